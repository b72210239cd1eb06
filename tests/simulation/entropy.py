"""Random bytes from the seed: ids, nonces and everything else that the code under test draws, so runs repeat."""

import contextlib
import os
import random
from collections.abc import Iterator


@contextlib.contextmanager
def seeded_entropy(seed: str) -> Iterator[None]:
    """The system's randomness comes from `seed` while the block runs, for `os`, `secrets` and `uuid` alike."""
    drawn = random.Random(seed).randbytes
    system, of_random = os.urandom, random._urandom  # type: ignore[attr-defined]  # noqa: SLF001  # what `secrets` draws from
    os.urandom = random._urandom = drawn  # type: ignore[attr-defined]  # noqa: SLF001  # as above
    try:
        yield
    finally:
        os.urandom, random._urandom = system, of_random  # type: ignore[attr-defined]  # noqa: SLF001  # as above
