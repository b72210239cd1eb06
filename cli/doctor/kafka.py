"""Kafka: whether it answers, is new enough, and whether its topics can lose what they hold."""

from collections.abc import Mapping, Sequence

from cli.doctor.finding import Finding, green, reason_of, red, yellow
from eventstore.provision import Topics, demanded
from runtime.kafka_admin import KafkaAdmin, KafkaForbiddenError, TopicState, open_admin
from runtime.kafka_version import KafkaVersion, kafka_version
from runtime.settings import Settings

KAFKA = "Kafka"
OLDEST = (4, 0)
Problems = list[tuple[str, str]]
"""What is said, and what to do."""
_ALTER = "kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name {topic} --add-config {name}={value}"


async def broker(settings: Settings) -> Sequence[Finding]:
    version = await kafka_version(settings.kafka)
    async with open_admin(settings.kafka) as admin:
        found = judged_broker(version, await admin.brokers(), settings.replication_factor)
    if found.level == "green" and settings.mode == "production" and not settings.kafka.is_encrypted:
        return [
            yellow(
                KAFKA,
                f"{found.said}, not encrypted",
                "Set CHANCERY_KAFKA_TLS. See docs/how-to/secure-kafka.md.",
            )
        ]
    return [found]


def judged_broker(version: KafkaVersion, brokers: int, copies: int) -> Finding:
    said = f"version {version}, {brokers} broker{'' if brokers == 1 else 's'}"
    if version.number < OLDEST:
        return red(KAFKA, said, "Chancery needs 4.0 or later: upgrade.")
    if brokers < copies:
        advice = f"Every record has {copies} copies: bring back the brokers that are gone."
        return red(KAFKA, said, advice)
    return green(KAFKA, said)


async def topics(settings: Settings) -> Sequence[Finding]:
    """One line for each of the three."""
    wanted = Topics.of(settings)
    async with open_admin(settings.kafka) as admin:
        return [
            await _topic(admin, wanted, name, must, settings.mode) for name, must in demanded(wanted).items()
        ]


async def _topic(admin: KafkaAdmin, wanted: Topics, name: str, must: Mapping[str, str], mode: str) -> Finding:
    try:
        state = await admin.state(name)
        if state is None:
            return red(f"topic {name}", "does not exist", "Run `chancery provision`.")
        return judged_topic(name, state, await admin.settings(name), must, wanted, mode)
    except KafkaForbiddenError as error:
        said = f"not known: {reason_of(error)}"
        return yellow(f"topic {name}", said, "Ask as the operator's user. See docs/how-to/secure-kafka.md.")


def judged_topic(  # what is, and what should be
    name: str,
    state: TopicState,
    actual: Mapping[str, str],
    must: Mapping[str, str],
    wanted: Topics,
    mode: str,
) -> Finding:
    check = f"topic {name}"
    said = f"{state.partitions} partitions, {state.copies} cop{'y' if state.copies == 1 else 'ies'} each"
    wrong = [
        *_of_partitions(state, wanted),
        *_of_settings(name, actual, must),
        *_of_copies(name, state, wanted, int(actual.get("min.insync.replicas", "1"))),
    ]
    if wrong:
        return red(check, *_joined(wrong))
    if noted := _worth_knowing(name, state, actual, mode):
        return yellow(check, *_joined([(said, ""), *noted]))
    return green(check, f"{said}, and settings that lose nothing")


def _of_partitions(state: TopicState, wanted: Topics) -> Problems:
    if state.partitions == wanted.partitions:
        return []
    said = f"{state.partitions} partitions, and CHANCERY_PARTITIONS says {wanted.partitions}"
    return [(said, "The number is fixed when the log is made: all three topics and the setting must agree.")]


def _of_settings(topic: str, actual: Mapping[str, str], must: Mapping[str, str]) -> Problems:
    return [
        (f"{name}={actual.get(name)}, which can lose history", _altered(topic, name, value))
        for name, value in must.items()
        if actual.get(name) != value
    ]


def _of_copies(topic: str, state: TopicState, wanted: Topics, least: int) -> Problems:
    """An acknowledged record must be on all copies but one, or the loss of one broker can lose it."""
    problems: Problems = []
    needed = max(1, wanted.replication_factor - 1)
    if state.copies < wanted.replication_factor:
        said = f"{state.copies} copies of some partition, and CHANCERY_REPLICATION_FACTOR says {wanted.replication_factor}"
        problems.append((said, "Add copies with kafka-reassign-partitions.sh."))
    if least < needed:
        said = f"min.insync.replicas={least}: a record may be acknowledged that one lost broker takes along"
        problems.append((said, _altered(topic, "min.insync.replicas", str(needed))))
    if state.in_sync < least:
        said = f"takes no records: {state.in_sync} copies of some partition are in sync, and {least} must be"
        problems.append((said, "Bring back the brokers that are gone."))
    return problems


def _worth_knowing(topic: str, state: TopicState, actual: Mapping[str, str], mode: str) -> Problems:
    problems: Problems = []
    if state.in_sync < state.copies:
        problems.append((f"{state.in_sync} in sync", "A broker is gone or slow; see its log."))
    if state.copies > 1 and int(actual.get("min.insync.replicas", "1")) >= state.copies:
        said = "every copy must be in sync, so one broker less stops all writes"
        problems.append((said, _altered(topic, "min.insync.replicas", str(state.copies - 1))))
    if state.copies == 1 and mode == "production":
        problems.append(
            ("a lost disk is a lost log", "Give it three copies with kafka-reassign-partitions.sh.")
        )
    if actual.get("message.timestamp.type") != "LogAppendTime":
        said = "the broker may refuse records of a process whose clock is wrong"
        problems.append((said, _altered(topic, "message.timestamp.type", "LogAppendTime")))
    return problems


def _joined(problems: Problems) -> tuple[str, str]:
    said, advice = zip(*problems, strict=True)
    return "; ".join(said), " ".join(filter(None, advice))


def _altered(topic: str, name: str, value: str) -> str:
    return f"Set it: {_ALTER.format(topic=topic, name=name, value=value)}"
