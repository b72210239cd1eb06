"""What projectors, the mailer, the relay and the risk worker count."""

from prometheus_client import CollectorRegistry

from runtime import metrics


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = metrics.PROJECTOR_EVENTS.made(registry)
        self.lag = metrics.PROJECTOR_LAG_RECORDS.made(registry)
        self.lag_seconds = metrics.PROJECTOR_LAG_SECONDS.made(registry)
        self.halted = metrics.HALTED_PARTITIONS.made(registry)
        self.parked = metrics.PARKED_STREAMS.made(registry)
        self.mails = metrics.MAILS.made(registry)
        self.conclusions = metrics.RISK_CONCLUSIONS.made(registry)
        self.passed_over = metrics.RISK_PASSED_OVER.made(registry)
        self.relayed = metrics.RELAYED_EVENTS.made(registry)
