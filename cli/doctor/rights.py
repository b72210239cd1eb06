"""Who may do what with Kafka's topics: nobody but Chancery's own users may change history, and few of those."""

from collections.abc import Sequence

from cli.doctor.finding import Finding, green, red, yellow
from eventstore.provision import Topics, demanded
from runtime.kafka import KafkaUnavailableError
from runtime.kafka_acls import Acls, who_may
from runtime.kafka_admin import open_admin
from runtime.kafka_rights import Names, writers
from runtime.settings import Settings

RIGHTS = "rights at Kafka"
EVERYBODY = "User:*"
_PAGE = "See docs/how-to/secure-kafka.md."
_DESTRUCTIVE = ("Delete", "Alter", "AlterConfigs")


async def of_topics(settings: Settings) -> Sequence[Finding]:
    """One line for each of the three, or one in all where there is nothing to see."""
    writing = writers(Names.of(settings))
    found = []
    async with open_admin(settings.kafka) as admin:
        for topic in demanded(Topics.of(settings)):
            try:
                acls = await admin.acls(topic)
            except KafkaUnavailableError as error:
                said = str(error).rpartition(": ")[2]
                return [yellow(RIGHTS, f"not known: {said}", f"Give it Describe on the cluster. {_PAGE}")]
            if acls is None:
                return [_unchecked(settings.mode)]
            found.append(judged_rights(topic, acls, writing[topic]))
    return found


def judged_rights(topic: str, acls: Acls, writing: int) -> Finding:
    """`writing`: how many users should write it."""
    check = f"rights at {topic}"
    writer_names, readers, destroyers = (
        who_may(acls, "Write"),
        who_may(acls, "Read"),
        who_may(acls, *_DESTRUCTIVE),
    )
    if EVERYBODY in (*writer_names, *readers, *destroyers):
        return red(
            check, f"{EVERYBODY} has rights: whoever reaches Kafka has them", f"Take them away. {_PAGE}"
        )
    if destroyers:
        return yellow(check, f"{_listed(destroyers)} could delete records", f"No process needs that. {_PAGE}")
    if len(writer_names) > writing:
        said = f"written by {_listed(writer_names)}"
        return yellow(check, said, f"Only {writing} should write it. {_PAGE}")
    return green(check, f"written by {_listed(writer_names) or 'super users only'}")


def _unchecked(mode: str) -> Finding:
    said = "brokers check no rights: whoever reaches them may do everything"
    return (
        yellow(RIGHTS, said, _PAGE) if mode == "production" else green(RIGHTS, f"{said}, as in development")
    )


def _listed(principals: Sequence[str]) -> str:
    return ", ".join(one.removeprefix("User:") for one in principals)
