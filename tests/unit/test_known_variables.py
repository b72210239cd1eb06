"""What is said about a variable that nobody reads, and about those that Kubernetes makes."""

import pytest

from runtime.known_variables import OUTSIDE, unknown_variables

SETTINGS = ("signup", "query_port", "command_url", "passkey_origins")


@pytest.mark.parametrize("name", [*OUTSIDE, "CHANCERY_SIGNUP", "chancery_signup", "PATH", "SIGNUPS"])
def test_names_that_somebody_reads_and_those_of_others_are_no_matter(name: str) -> None:
    assert unknown_variables({name: "x"}, SETTINGS) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("CHANCERY_SIGNUPS", "CHANCERY_SIGNUP"),
        ("CHANCERY_SIGN_UP", "CHANCERY_SIGNUP"),
        ("CHANCERY_QUERYPORT", "CHANCERY_QUERY_PORT"),
        ("CHANCERY_HOMES", "CHANCERY_HOME"),
        ("CHANCERY_PASSKEY_ORIGIN", "CHANCERY_PASSKEY_ORIGINS"),
    ],
)
def test_the_nearest_name_is_offered_and_no_value_repeated(name: str, near: str) -> None:
    assert unknown_variables({name: "secret"}, SETTINGS) == [f"{name} is not a setting. Did you mean {near}?"]


def test_where_no_name_is_near_the_page_is() -> None:
    said = unknown_variables({"CHANCERY_XYZZY": ""}, SETTINGS)
    assert said == ["CHANCERY_XYZZY is not a setting. docs/reference/configuration.md lists all."]


def test_what_kubernetes_makes_for_a_service_is_told_apart_also_where_it_has_a_settings_name() -> None:
    """A Service `chancery-query` with port 8082, as every pod of its namespace sees it (Kubernetes' documentation)."""
    links = {
        "CHANCERY_QUERY_SERVICE_HOST": "10.0.0.11",
        "CHANCERY_QUERY_SERVICE_PORT": "8082",
        "CHANCERY_QUERY_SERVICE_PORT_HTTP": "8082",
        "CHANCERY_QUERY_PORT": "tcp://10.0.0.11:8082",
        "CHANCERY_QUERY_PORT_8082_TCP": "tcp://10.0.0.11:8082",
        "CHANCERY_QUERY_PORT_8082_TCP_PROTO": "tcp",
        "CHANCERY_QUERY_PORT_8082_TCP_PORT": "8082",
        "CHANCERY_QUERY_PORT_8082_TCP_ADDR": "10.0.0.11",
    }
    (said,) = unknown_variables(links, SETTINGS)
    assert said == (
        "CHANCERY_QUERY_PORT and 7 more look like what Kubernetes sets for a Service, and some have names of settings. "
        "Set `enableServiceLinks: false` in the pod."
    )
    for name, value in links.items():
        (said,) = unknown_variables({name: value}, SETTINGS)
        assert said.endswith("Set `enableServiceLinks: false` in the pod.")
    assert unknown_variables({"CHANCERY_QUERY_PORT": "8082"}, SETTINGS) == []
