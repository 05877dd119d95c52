from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from duly.retry import Policy, delay, exhausted

RETRIES = st.integers(0, 10**6)
SECONDS = st.floats(0.001, 1e6)


@given(RETRIES, SECONDS, SECONDS, st.booleans(), st.integers())
def test_backoff_stays_within_its_bounds(n: int, factor: float, most: float, jitter: bool, seed: int) -> None:
    policy = Policy(retry_backoff=factor, retry_backoff_max=most, retry_jitter=jitter)
    ceiling = min(most, factor * 2 ** min(n, 64))
    wait = delay(n, policy, random.Random(seed))
    assert 0 <= wait <= ceiling
    assert jitter or wait == ceiling


@given(st.integers(0, 20), SECONDS)
def test_without_jitter_it_never_shrinks(n: int, factor: float) -> None:
    policy = Policy(retry_backoff=factor, retry_jitter=False)
    assert delay(n, policy) <= delay(n + 1, policy) <= 600


def test_celerys_defaults() -> None:
    assert delay(5, Policy()) == 180
    assert [delay(n, Policy(retry_backoff=True, retry_jitter=False)) for n in (0, 1, 2, 30)] == [1, 2, 4, 600]


def test_jitter_spreads() -> None:
    rng = random.Random(1)
    policy = Policy(retry_backoff=100)
    waits = [delay(0, policy, rng) for _ in range(1000)]
    assert min(waits) < 10
    assert max(waits) > 90


def test_what_is_covered_and_when_it_ends() -> None:
    policy = Policy(autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,))
    assert policy.covers(TimeoutError())
    assert not policy.covers(FileNotFoundError())
    assert not policy.covers(ValueError())
    assert [exhausted(n, 2) for n in (0, 1, 2, 3)] == [False, False, True, True]
    assert not exhausted(10**9, None)
