"""Challenges that passkeys sign: what they are good for, and for whom."""

from datetime import UTC, datetime, timedelta

from runtime.passkey_challenges import PasskeyChallenge, new_challenge, parse_challenge, second_step_challenge

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
END = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOUND = ("account", "session")


def test_a_challenge_names_its_end_and_is_new_each_time() -> None:
    first, second = (new_challenge(KEY, "register", END, *BOUND) for _ in range(2))
    named = parse_challenge(KEY, "register", first, *BOUND)
    other = parse_challenge(KEY, "register", second, *BOUND)
    assert named is not None
    assert other is not None
    assert named == PasskeyChallenge(challenge_id=named.challenge_id, expires_at=END)
    assert named.challenge_id != other.challenge_id


def test_a_part_of_a_second_counts_as_a_whole_one() -> None:
    raw = new_challenge(KEY, "sign-in", END - timedelta(microseconds=1))
    named = parse_challenge(KEY, "sign-in", raw)
    assert named is not None
    assert named.expires_at == END


def test_abuse_f1_a_challenge_that_was_not_made_here_is_none() -> None:
    raw = new_challenge(KEY, "sign-in", END)
    assert parse_challenge(KEY, "sign-in", raw) is not None
    assert parse_challenge(OTHER_KEY, "sign-in", raw) is None
    for changed in (b"", raw[:-1], raw + b"\x00", bytes(len(raw)), raw[:32]):
        assert parse_challenge(KEY, "sign-in", changed) is None
    for at in range(len(raw)):
        flipped = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert parse_challenge(KEY, "sign-in", flipped) is None


def test_abuse_f1_a_challenge_is_good_for_its_own_purpose() -> None:
    assert parse_challenge(KEY, "sign-in", new_challenge(KEY, "register", END)) is None
    assert parse_challenge(KEY, "register", new_challenge(KEY, "sign-in", END)) is None


def test_abuse_f4_a_challenge_is_good_for_its_own_account_and_session() -> None:
    raw = new_challenge(KEY, "register", END, *BOUND)
    for bound in ((), ("account",), ("account", "other"), ("other", "session"), ("accounts", "ession")):
        assert parse_challenge(KEY, "register", raw, *bound) is None


def test_a_second_step_has_one_challenge_for_each_sign_in() -> None:
    assert second_step_challenge(KEY, "a") == second_step_challenge(KEY, "a")
    assert second_step_challenge(KEY, "a") != second_step_challenge(KEY, "b")
    assert second_step_challenge(KEY, "a") != second_step_challenge(OTHER_KEY, "a")
    assert parse_challenge(KEY, "sign-in", second_step_challenge(KEY, "a")) is None
