"""The catalogue of what projectors, the mailer and the relay count. Labels are bounded by code and configuration."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "chancery_projector_events", "Events applied to a read model", ["projector"], registry=registry
        )
        self.lag = Gauge(
            "chancery_projector_lag_records",
            "Records of the log that are not applied yet",
            ["consumer", "partition"],
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "chancery_projector_lag_seconds",
            "Everything that the log held so long ago is applied; absent until it was once",
            ["consumer", "partition"],
            registry=registry,
        )
        self.halted = Gauge(
            "chancery_projector_halted_partitions",
            "Partitions that a consumer stopped at and needs a person for",
            ["consumer"],
            registry=registry,
        )
        self.parked = Gauge(
            "chancery_projector_parked_streams",
            "Streams that were set aside and wait for `chancery projections retry`",
            ["projector"],
            registry=registry,
        )
        self.mails = Counter("chancery_mails", "Mails by what became of them", ["outcome"], registry=registry)
        self.conclusions = Counter(
            "chancery_risk_conclusions",
            "Conclusions of the risk worker by command, reason, and whether they were given or refused",
            ["command", "reason", "outcome"],
            registry=registry,
        )
        self.relayed = Counter(
            "chancery_relayed_events",
            "Events that the public topic was acknowledged to hold, by type",
            ["type"],
            registry=registry,
        )
