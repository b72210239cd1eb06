"""Known failures become one sentence on standard error and the documented exit code; the rest is a traceback."""

import contextlib
import sys
from collections.abc import Iterator

CHECK_FAILED = 1
USAGE = 2
UNREACHABLE = 3


@contextlib.contextmanager
def explained() -> Iterator[None]:
    from domain.refusals import Refusal
    from eventstore.errors import CorruptLogError, TryAgainError, UnsafeTopicError
    from eventstore.sealing import UnsealError
    from readmodels.versions import RebuildError
    from runtime.kafka import KafkaUnavailableError
    from runtime.postgres import PostgresUnavailableError
    from runtime.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        _leave(str(error), USAGE)
    except Refusal as refusal:
        _leave(refusal.sentence, CHECK_FAILED)
    except (UnsafeTopicError, CorruptLogError, UnsealError, RebuildError) as error:
        _leave(str(error), CHECK_FAILED)
    except (TryAgainError, KafkaUnavailableError, PostgresUnavailableError, OSError) as error:
        _leave(f"{error}. Is the stack up? `chancery status` tells.", UNREACHABLE)


def _leave(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    sys.exit(code)
