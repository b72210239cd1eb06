"""What is true after each commit, by rules of a few lines that share nothing with the domain's code."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any


class Model:
    """`outrages` says what no log may hold: an address with two holders, a refresh token with two successors."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.guesses: Counter[str] = Counter()
        self.holders: dict[str, str | None] = {}
        self.claims: defaultdict[str, set[str]] = defaultdict(set)
        self.generations: defaultdict[str, int | None] = defaultdict(lambda: 1)
        self.changed: set[str] = set()
        self.outrages: list[str] = []

    def apply(self, commit: Mapping[str, Any]) -> None:
        for event in commit["events"]:
            self._apply(event["stream"], event["type"], event["data"])

    def _apply(self, stream: str, event_type: str, data: Mapping[str, Any]) -> None:
        match event_type:
            case "identifier.code_rejected":
                self.counts[stream] += 1
            case "sign_in.failed":
                self.guesses[stream.partition("-")[2]] += data["cause"] == "wrong-password"
            case "identifier.claimed":
                self._claim(stream, data["account_id"], data["account_id"])
            case "identifier.claimed_by_change":
                self._claim(stream, data["account_id"], data["change_id"])
            case "identifier.released":
                self.claims[stream].discard(data["claim_id"])
                if not self.claims[stream]:
                    self.holders[stream] = None
            case "session.refreshed":
                self._refresh(data["session_id"], data["generation"])
            case "session.revoked":
                self.generations[data["session_id"]] = None
            case "email.changed":
                self.changed.add(stream.partition("-")[2])

    def _claim(self, stream: str, account_id: str, claim_id: str) -> None:
        holder = self.holders.get(stream)
        if holder not in (None, account_id):
            self.outrages.append(f"{stream} is held by {holder} and by {account_id}")
        self.holders[stream] = account_id
        self.claims[stream].add(claim_id)

    def _refresh(self, session_id: str, generation: int) -> None:
        if generation != (self.generations[session_id] or 0) + 1:
            self.outrages.append(f"{session_id} has generation {generation} out of turn")
        self.generations[session_id] = generation
