"""The quick way to an address's canonical form finds what the slow way finds."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.email_address import canonical_email, canonical_of_known

LOCAL = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\.[A-Za-z0-9+_-]{1,8}){0,2}", fullmatch=True)
LABEL = st.one_of(
    st.from_regex(r"[A-Za-z0-9]{1,8}(-{1,2}[A-Za-z0-9]{1,5})?", fullmatch=True),
    st.sampled_from(["xn--bcher-kva", "XN--BCHER-KVA", "bücher", "ﬁ", "K", "ß", "İ"]),
)
TOP = st.sampled_from(["com", "COM", "de", "test", "Example"])


@given(st.builds("{}@{}.{}".format, st.one_of(LOCAL, LABEL), LABEL, TOP))
def test_an_address_that_was_taken_has_one_form_whichever_way_it_is_found(text: str) -> None:
    canonical = canonical_email(text)
    if canonical is not None:
        assert canonical_of_known(text) == canonical
        assert canonical_of_known(canonical) == canonical
