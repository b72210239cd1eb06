"""All checks, in the order in which their lines stand."""

from collections.abc import Mapping, Sequence
from functools import partial

from cli.doctor import clocks, kafka, keys, mail, postgres, processes, projections, rights, valkey
from cli.doctor.finding import Check

NOT_LOOKED_AT = (
    "rights of Kafka's super users, and rights that are denied",
    "disks",
    "backups",
    "certificates of clients",
)
_KAFKA = "Is it up, and does CHANCERY_KAFKA_BOOTSTRAP name it?"
_POSTGRES = "Is it up, and is CHANCERY_POSTGRES_DSN right?"
_VALKEY = "Is it up, and is CHANCERY_REDIS_URL right?"


def all_checks(at: Mapping[str, str]) -> Sequence[Check]:
    on_kafka, on_postgres, on_valkey = (kafka.KAFKA,), (postgres.POSTGRES,), (valkey.VALKEY,)
    return (
        Check(name=kafka.KAFKA, look=kafka.broker, advice=_KAFKA),
        Check(name="topics", look=kafka.topics, advice=_KAFKA, needs=on_kafka),
        Check(name=rights.RIGHTS, look=rights.of_topics, advice=_KAFKA, needs=on_kafka),
        Check(name=postgres.POSTGRES, look=postgres.server, advice=_POSTGRES),
        Check(name=postgres.READ_MODELS, look=postgres.read_models, advice=_POSTGRES, needs=on_postgres),
        Check(name=postgres.WRITE_MODEL, look=postgres.write_model, advice=_POSTGRES, needs=on_postgres),
        Check(name=valkey.VALKEY, look=valkey.server, advice=_VALKEY),
        Check(
            name=clocks.AGAINST_POSTGRES, look=clocks.against_postgres, advice=_POSTGRES, needs=on_postgres
        ),
        Check(name=clocks.AGAINST_VALKEY, look=clocks.against_valkey, advice=_VALKEY, needs=on_valkey),
        Check(name=keys.WRAPPING, look=keys.wrapping_key, advice=_KAFKA, needs=on_kafka),
        Check(name=keys.SIGNING, look=keys.signing_keys, advice=_POSTGRES, needs=on_postgres),
        Check(
            name=projections.PROJECTIONS,
            look=projections.lags,
            advice="Run `chancery projections status`.",
            needs=on_kafka + on_postgres,
        ),
        Check(name=projections.PAUSES, look=projections.paused, advice=_POSTGRES, needs=on_postgres),
        Check(name=valkey.FEED, look=valkey.revocation_feed, advice=_VALKEY, needs=on_valkey),
        Check(name=mail.MAIL, look=mail.server, advice="Is CHANCERY_SMTP_HOST right?"),
        *(
            Check(name=f"process {name}", look=partial(processes.readiness, name, at), advice="See its log.")
            for name in processes.PROCESSES
        ),
    )
