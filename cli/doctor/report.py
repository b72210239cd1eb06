"""How findings are told, to people and to programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import get_args

from cli.doctor.finding import Finding, Level


def is_well(found: Sequence[Finding]) -> bool:
    return all(one.level != "red" for one in found)


def lines(found: Sequence[Finding]) -> Iterator[tuple[Level, str]]:
    for one in found:
        advice = f"\n       → {one.advice}" if one.advice else ""
        yield one.level, f"{one.check}: {one.said}{advice}"


def summary(found: Sequence[Finding], seconds: float) -> str:
    counts = {level: sum(one.level == level for one in found) for level in get_args(Level)}
    told = ", ".join(f"{count} {level}" for level, count in counts.items() if count)
    return f"{told} in {seconds:.1f} s."


def as_object(found: Sequence[Finding], seconds: float, not_looked_at: Sequence[str]) -> dict[str, object]:
    return {
        "ok": is_well(found),
        "seconds": round(seconds, 3),
        "findings": [asdict(one) for one in found],
        "not_looked_at": list(not_looked_at),
    }
