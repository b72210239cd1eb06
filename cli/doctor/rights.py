"""Who may do what with Kafka's topics: nobody but Chancery's own users may change history, and few of those."""

from collections.abc import Sequence

from cli.doctor.finding import Finding, green, reason_of, red, yellow
from eventstore.provision import Topics, demanded
from runtime.kafka_acls import Acls, all_acls_of_cluster, all_acls_of_topic, who_may
from runtime.kafka_admin import KafkaForbiddenError, open_admin
from runtime.kafka_rights import USER_PREFIX, Names, writers
from runtime.settings import Settings

RIGHTS = "rights at Kafka"
CLUSTER = "rights at the cluster"
_PAGE = "See docs/how-to/secure-kafka.md."
_EVERYBODY = {"User:*": "everybody", "User:ANONYMOUS": "everybody who comes without a name"}
_DESTRUCTIVE = ("Delete", "Alter", "AlterConfigs")
_BEHIND_ALL = (*_DESTRUCTIVE, "ClusterAction")
"""With these of the cluster one gives oneself any right, deletes any topic, or reads it as another broker would."""


async def of_topics(settings: Settings) -> Sequence[Finding]:
    """One line for each of the three and one for the cluster, or one in all where there is nothing to see."""
    topics = demanded(Topics.of(settings))
    async with open_admin(settings.kafka) as admin:
        try:
            by_topic = {topic: await admin.acls(all_acls_of_topic(topic)) for topic in topics}
            of_cluster = await admin.acls(all_acls_of_cluster())
        except KafkaForbiddenError as error:
            return [yellow(RIGHTS, f"not known: {reason_of(error)}", f"Ask as the operator's user. {_PAGE}")]
    if of_cluster is None:
        return [_unchecked(settings.mode)]
    expected = writers(Names.of(settings))
    found = [judged_rights(topic, acls or (), expected[topic]) for topic, acls in by_topic.items()]
    return [*found, judged_cluster(of_cluster)]


def judged_rights(topic: str, acls: Acls, expected: Sequence[str]) -> Finding:
    """`expected`: the users that should write it, by their names without `USER_PREFIX`. Other names are only counted."""
    check = f"rights at {topic}"
    found = who_may(acls, "Write")
    if open_to := _open_to(acls, "Read", "Write", *_DESTRUCTIVE):
        return red(check, f"{open_to} has rights", f"Take them away. {_PAGE}")
    if destroyers := who_may(acls, *_DESTRUCTIVE):
        return yellow(check, f"{_listed(destroyers)} could delete records", f"No process needs that. {_PAGE}")
    if not found:
        said = "written by super users only, or by everybody if brokers allow what no entry names"
        return yellow(
            check, said, f"Give each process a user, and set allow.everyone.if.no.acl.found=false. {_PAGE}"
        )
    if not _is_as_expected(found, expected):
        advice = f"Only {' and '.join(expected)} should write it. {_PAGE}"
        return yellow(check, f"written by {_listed(found)}", advice)
    return green(check, f"written by {_listed(found)}")


def judged_cluster(acls: Acls) -> Finding:
    if open_to := _open_to(acls, *_BEHIND_ALL):
        return red(CLUSTER, f"{open_to} could take any right", f"Take that away. {_PAGE}")
    if mighty := who_may(acls, *_BEHIND_ALL):
        return yellow(CLUSTER, f"{_listed(mighty)} could take any right", f"No process needs that. {_PAGE}")
    return green(CLUSTER, "nobody but super users could take more rights")


def _is_as_expected(found: Sequence[str], expected: Sequence[str]) -> bool:
    usual = {f"User:{USER_PREFIX}{name}" for name in expected}
    return set(found) <= usual if usual & set(found) else len(found) <= len(expected)


def _open_to(acls: Acls, *operations: str) -> str:
    return " and ".join(_EVERYBODY[one] for one in who_may(acls, *operations) if one in _EVERYBODY)


def _unchecked(mode: str) -> Finding:
    said = "brokers check no rights: whoever reaches them may do everything"
    return (
        yellow(RIGHTS, said, _PAGE) if mode == "production" else green(RIGHTS, f"{said}, as in development")
    )


def _listed(principals: Sequence[str]) -> str:
    return ", ".join(one.removeprefix("User:") for one in principals)
