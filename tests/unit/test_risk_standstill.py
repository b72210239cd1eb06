"""A partition that stands still ends the risk worker; one that moves, or has nothing to read, does not."""

import pytest

from projectors.risk.standstill import Standstill, StandstillError


def test_a_partition_that_stands_still_short_of_its_end_is_found_after_the_patience() -> None:
    standstill: Standstill[str] = Standstill(15)
    standstill.look({"p": 4, "q": 9}, {"p": 5, "q": 9}, 100.0)
    standstill.look({"p": 4, "q": 9}, {"p": 7, "q": 9}, 115.0)
    with pytest.raises(StandstillError, match="p stands still at 4, short of 8"):
        standstill.look({"p": 4, "q": 9}, {"p": 8, "q": 9}, 115.1)


def test_one_that_moves_or_is_at_its_end_or_was_given_away_is_not() -> None:
    standstill: Standstill[str] = Standstill(15)
    for second in range(100):
        standstill.look({"moves": second, "idle": 3}, {"moves": 1000, "idle": 3}, float(second))
    standstill.look({"idle": 3}, {"idle": 4}, 100.0)
    standstill.look({}, {}, 110.0)
    standstill.look({"idle": 3}, {"idle": 4}, 120.0)
