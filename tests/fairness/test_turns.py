"""Turns by weight and reserved slots: the arithmetic, and the errors a person gets."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.config import Settings
from duly.errors import ConfigError
from duly.turns import check_reserve, homes, in_turns, numbered
from duly.worker.seat import after

weights = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 12), min_size=1, max_size=5)


@given(weights)
def test_in_a_round_each_queue_has_turns_by_its_weight(given: dict[str, int]) -> None:
    counts = Counter(in_turns(given))
    assert counts.keys() == given.keys()
    assert len({weight / counts[queue] for queue, weight in given.items()}) == 1


@given(weights)
def test_turns_are_spread_over_the_round(given: dict[str, int]) -> None:
    """At each point a queue has had its share of the turns so far, to within one turn for each of the others."""
    turns, total = in_turns(given), sum(given.values())
    for n in range(1, len(turns) + 1):
        for queue, weight in given.items():
            assert abs(turns[:n].count(queue) - n * weight / total) <= len(given)


def test_a_heavy_queue_does_not_take_its_turns_in_one_go() -> None:
    assert in_turns({"notify": 4, "crawl": 1}) == ("notify", "notify", "crawl", "notify", "notify")
    assert in_turns({"a": 3, "b": 3}) == ("a", "b")


def test_the_next_round_goes_on_where_the_last_ended() -> None:
    turns = in_turns({"a": 2, "b": 1})
    served = []
    for _ in range(9):  # one job at a time, both queues full
        served.append(turns[0])
        turns = after(turns, turns[0])
    assert Counter(served) == {"a": 6, "b": 3}
    assert after(("a", "b"), "gone") == ("a", "b")


@pytest.mark.parametrize(
    "value", ["notify=4,crawl", "notify=4, crawl=1", ["notify=4", "crawl"], {"notify": 4, "crawl": 1}]
)
def test_ways_to_write_weights(value: object) -> None:
    assert numbered(value, "weight") == {"notify": 4, "crawl": 1}
    assert Settings(worker_queues=value).worker_queues == {"notify": 4, "crawl": 1}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("notify=0", "queue 'notify': weight 0 is not a whole number of 1 to 100"),
        ("notify=many", "queue 'notify': weight 'many' is not"),
        ({"notify": 1.5}, "queue 'notify': weight 1.5 is not"),
        ({"notify": True}, "queue 'notify': weight True is not"),
        ("=3", "expected the name of a queue, got ''"),
        (7, "expected queues"),
        ([7], "expected the name of a queue, got 7"),
    ],
)
def test_what_is_no_weight_is_named(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        numbered(value, "weight")
    with pytest.raises(ConfigError, match=f"setting worker_queues = .*{says}"):
        Settings(worker_queues=value)


def test_reserved_slots_come_first() -> None:
    assert homes({"notify": 1, "mail": 2}, 5) == ("notify", "mail", "mail", None, None)
    assert homes({}, 2) == (None, None)


@pytest.mark.parametrize(
    ("reserve", "slots", "says"),
    [
        ({"notfy": 1}, 4, "does not serve 'notfy'; did you mean 'notify'"),
        ({"notify": 5}, 4, "5 reserved of 4 slots; start the worker with -c 6 or more"),
        ({"notify": 1}, 1, "leaves none for crawl; start the worker with -c 2 or more"),
    ],
)
def test_a_reserve_that_cannot_be_is_refused(reserve: dict[str, int], slots: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_reserve(reserve, ("notify", "crawl"), slots)


def test_every_slot_may_be_reserved_if_every_queue_has_one() -> None:
    check_reserve({"notify": 1, "crawl": 1}, ("notify", "crawl"), 2)
