"""A process that believes another time than its machine's, by libfaketime; what it measures goes on as it does."""

from importlib.metadata import distribution

LIBRARY = distribution("libfaketime").locate_file("libfaketime/vendor/libfaketime/src/libfaketime.so.1")


def fake_time(offset: str) -> dict[str, str]:
    """Variables for a process: `offset` is what is added, as in `+90s` or `-1h`."""
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": offset,
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
