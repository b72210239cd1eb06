"""The catalogue of what projectors and the mailer count. Labels are bounded by code and configuration."""

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
        self.halted = Gauge(
            "chancery_projector_halted_partitions",
            "Partitions that a consumer stopped at and needs a person for",
            ["consumer"],
            registry=registry,
        )
        self.mails = Counter("chancery_mails", "Mails by what became of them", ["outcome"], registry=registry)
