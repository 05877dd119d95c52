"""What is known of a server's clock from what it answers."""

from __future__ import annotations

import random
import time

import pytest

from duly.store.redis.server_clock import ServerClock

AHEAD = 90_000_000.0  # µs: the server's clock is 90 s ahead of the monotonic one


def hear(clock: ServerClock, there: float, back: float, ahead: float = AHEAD) -> None:
    """An answer that was on its way for so long, in µs, each way; it has just come."""
    received = time.monotonic_ns() / 1000
    instant = received - back + ahead
    clock.hear(int(instant), int((received - back - there) * 1000), int(received * 1000))


def error(clock: ServerClock, ahead: float = AHEAD) -> float:
    return clock.now() - time.monotonic_ns() / 1000 - ahead


def test_nothing_is_known_before_the_first_answer() -> None:
    clock = ServerClock()
    assert not clock.is_known()
    hear(clock, 50, 50)
    assert clock.is_known(well=True)


def test_delays_on_one_way_only_do_not_mislead_for_long() -> None:
    clock = ServerClock()
    hear(clock, 400_000, 100)
    assert not clock.is_known(well=True)
    assert abs(error(clock)) > 100_000
    hear(clock, 100, 300_000)
    assert abs(error(clock)) < 500, "what both say together was not seen"


def test_answers_of_a_busy_machine_come_to_a_good_clock() -> None:
    rng = random.Random(3)
    clock = ServerClock()
    for _ in range(200):
        hear(clock, rng.expovariate(1 / 3000), rng.expovariate(1 / 3000))
    assert abs(error(clock)) < 300
    assert clock.is_known(well=True)


@pytest.mark.parametrize("moved", [-5_000_000, 5_000_000])
def test_a_clock_that_was_set_is_followed_at_once(moved: float) -> None:
    clock = ServerClock()
    for _ in range(5):
        hear(clock, 50, 50)
    hear(clock, 200, 200, AHEAD + moved)
    assert abs(error(clock, AHEAD + moved)) < 1000
