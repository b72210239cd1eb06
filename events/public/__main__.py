"""`python -m events.public`: writes the schemas, the AsyncAPI document and the catalogue page from the types.

It refuses a change that would break a subscriber, and writes nothing then.
"""

import sys
from pathlib import Path

from events.public.catalogue import PUBLIC_EVENTS, published_schema
from events.public.compatibility import breaks
from events.public.documents import documents, load_published

CHECKOUT = Path(__file__).parent.parent.parent


def write_documents(checkout: Path) -> list[str]:
    """What would break a subscriber; empty if everything was written."""
    schemas = {name: published_schema(cls) for name, cls in PUBLIC_EVENTS.items()}
    broken = breaks(load_published(checkout), schemas)
    for path, text in documents().items() if not broken else ():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(text)
    return broken


def answer(broken: list[str]) -> str | None:
    """What the command says at its end, which is a failure if it says anything."""
    if not broken:
        return None
    return "\n".join(("This breaks subscribers; publish a new version instead:", *broken))


if __name__ == "__main__":
    sys.exit(answer(write_documents(CHECKOUT)))
