"""The lateness policy: a job that could start only late runs, ends cancelled or ends failed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_fair_workers import Fair, fair  # noqa: F401 - a fixture

from duly import ConfigError, Duly, JobCancelled, JobTooLate
from duly.ids import new_id
from duly.job import Job, JobView, Kind, State
from duly.testing.world import World
from duly.why import why


def late_by(seconds: float, call: dict[str, object] | None = None, **options: object) -> tuple[str, Exception | None]:
    """How a job of a task with these options ends that no worker was there for, for so long after its due."""
    with World() as world:

        @world.app.task(**options)
        def attend() -> str:
            return "attended"

        job = attend.apply_async(countdown=60, **(call or {}))
        world.advance(60 + seconds)
        world.worker()
        world.advance(1)
        return job.state, job.get(propagate=False, timeout=0) if job.state != "succeeded" else None


@pytest.mark.parametrize(
    ("seconds", "options", "call", "state"),
    [
        (3600, {}, {}, "succeeded"),  # as it comes, a job runs however late it is
        (3600, {"late_tolerance": 1}, {}, "succeeded"),
        (61, {"on_late": "skip"}, {}, "cancelled"),  # a minute is tolerated unless another time is given
        (59, {"on_late": "skip"}, {}, "succeeded"),
        (5, {"on_late": "skip", "late_tolerance": 4}, {}, "cancelled"),
        (5, {"on_late": "fail", "late_tolerance": 4}, {}, "failed"),
        (5, {"on_late": "fail", "late_tolerance": 6}, {}, "succeeded"),
        (5, {}, {"on_late": "fail", "late_tolerance": 4}, "failed"),
        (5, {"on_late": "skip", "late_tolerance": 4}, {"on_late": "run"}, "succeeded"),
        (5, {"on_late": "skip", "late_tolerance": 4}, {"late_tolerance": 10}, "succeeded"),
        (5, {"on_late": "skip"}, {"late_tolerance": timedelta(seconds=4)}, "cancelled"),
    ],
)
def test_what_becomes_of_it(seconds: float, options: dict[str, object], call: dict[str, object], state: str) -> None:
    assert late_by(seconds, call, **options)[0] == state


def test_the_reason_says_when_it_was_due_and_how_late_it_was() -> None:
    text = "due 2026-01-01 00:01:00 UTC, it could start only 2 min later; tolerated are 1 min"
    _, skipped = late_by(120, on_late="skip")
    _, failed = late_by(120, on_late="fail")
    assert isinstance(skipped, JobCancelled)
    assert isinstance(failed, JobTooLate)
    assert text.partition("UTC")[2] in str(skipped)
    assert text.partition("UTC")[2] in str(failed)


def test_a_retry_is_as_late_as_it_is_after_its_own_due() -> None:
    with World() as world:
        runs: list[int] = []

        @world.app.task(bind=True, on_late="skip", late_tolerance=5, default_retry_delay=600)
        def attend(self) -> None:  # type: ignore[no-untyped-def]
            runs.append(world.clock.now())
            if len(runs) == 1:
                self.retry()

        world.worker()
        job = attend.delay()
        world.advance(hours=1)
        assert job.state == "succeeded"
        assert len(runs) == 2


def test_a_job_whose_worker_died_is_late_after_its_due() -> None:
    with World() as world:

        @world.app.task(on_late="skip", late_tolerance=300)
        def attend() -> None: ...

        lengths = iter([7200, 0])
        world.takes(attend.name, lambda _: next(lengths))
        first = world.worker()
        job = attend.delay()
        world.advance(hours=1)
        world.kill(first)
        world.worker()
        world.advance(60)
        assert job.state == "cancelled"


@pytest.mark.parametrize("options", [{"on_late": "never"}, {"late_tolerance": -1}, {"late_tolerance": "5"}])
def test_a_task_says_what_its_options_take(options: dict[str, object]) -> None:
    app = Duly("late", store="sqlite:///:memory:")
    with pytest.raises(ConfigError, match=next(iter(options))):
        app.task(**options)(lambda: None)  # type: ignore[call-overload]


def test_so_does_a_call() -> None:
    app = Duly("late", store="sqlite:///:memory:")

    @app.task
    def attend() -> None: ...

    with pytest.raises(ValueError, match="on_late='never': expected one of run, skip, fail"):
        attend.apply_async(on_late="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="late_tolerance=-1"):
        attend.apply_async(late_tolerance=-1)


# -- with real workers --------------------------------------------------------------------------------


def late(fair: Fair, name: str, by: float = 60.0) -> JobView:  # noqa: F811
    job = Job(id=new_id(), task=f"fair_tasks.{name}", due=fair.store.now() - int(by * 1e6))
    fair.store.enqueue([job])
    return fair.wait(job.id)


@pytest.mark.parametrize("pool", ["process", "thread", "async"])
def test_in_each_pool(fair: Fair, pool: str) -> None:  # noqa: F811
    fair.worker(pool=pool)
    skipped, failed = late(fair, "webinar"), late(fair, "report")
    assert (skipped.state, failed.state) == (State.CANCELLED, State.FAILED)
    assert late(fair, "webinar", by=0).state == State.SUCCEEDED
    assert fair.notes() == ["attended"]
    assert fair.error(failed.id)["type"] == "JobTooLate"
    assert "skipped: due " in why(fair.store, skipped.id)
    assert "JobTooLate: too late: due " in why(fair.store, failed.id)
    assert fair.outcomes(failed.id) == ["failed"]


def test_it_is_counted_with_its_lateness(fair: Fair) -> None:  # noqa: F811
    fair.worker()
    late(fair, "webinar"), late(fair, "report")
    now = fair.store.now()
    rolled = [row for row in fair.store.rollups(now - 120_000_000, now + 60_000_000) if row.measure == "lateness"]
    assert {(row.task, row.outcome) for row in rolled} == {
        ("fair_tasks.webinar", Kind.CANCELLED.name.lower()),
        ("fair_tasks.report", "failed"),
    }
    assert all(row.total >= 60_000_000 for row in rolled)
