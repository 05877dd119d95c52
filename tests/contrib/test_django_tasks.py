"""duly as a back end of Django's own tasks."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from django_kit import Office

BACKEND = "duly.contrib.django.backend.DulyBackend"
SETTINGS = {"TASKS": {"default": {"BACKEND": BACKEND, "QUEUES": []}}}


@pytest.fixture
def tasks(office: Office) -> Office:
    office.env["PROBE_SETTINGS"] = json.dumps(SETTINGS)
    office.env["PROBE_SIGNALS"] = str(office.folder / "signals")
    return office


def say(office: Office, code: str) -> list[str]:
    """What the code prints, with ``until(result)`` to wait for the end of a job."""
    prelude = """
        import datetime
        from django.utils import timezone
        from duly.contrib.django import app
        from probe.django6 import *
        def until(result):
            app.AsyncResult(result.id).get(20, propagate=False)
            result.refresh()
            return result
    """
    return office.run(code=textwrap.dedent(prelude) + textwrap.dedent(code)).stdout.splitlines()


def test_tasks_run_and_give_their_results(tasks: Office) -> None:
    tasks.worker("-c", "1", "-Q", "default,mail")
    lines = say(tasks, """
        result = add.enqueue(2, y=3)
        print(result.status, result.is_finished)
        until(result)
        print(result.status, result.return_value, result.attempts, result.errors, result.args, result.kwargs)
        print(result.enqueued_at <= result.started_at <= result.finished_at, result.worker_ids[0].split("@")[0])
        print(add.get_result(result.id).return_value)
        soon = timezone.now() + datetime.timedelta(seconds=0.3)
        print(until(later.using(run_after=soon).enqueue("x")).return_value)
        again = until(attempt.enqueue(2))
        print(again.status, again.return_value == [2, again.id], [e.exception_class.__name__ for e in again.errors])
        never = until(attempt.enqueue(9))
        print(never.status, [e.traceback.splitlines()[-1] for e in never.errors], never.attempts)
        import asyncio
        async def main():
            one = await add.aenqueue(1)
            until_it = await asyncio.to_thread(until, one)
            print((await add.aget_result(one.id)).return_value)
        asyncio.run(main())
    """)  # fmt: skip
    assert lines == [
        "READY False", "SUCCESSFUL 5 1 [] [2] {'y': 3}", "True worker", "5", "x",
        "SUCCESSFUL True ['ValueError']", "FAILED ['ValueError: attempt 1', 'ValueError: attempt 2'] 2", "2",
    ]  # fmt: skip
    signals = (tasks.folder / "signals").read_text().splitlines()
    assert [line for line in signals if "enqueued attempt" in line] == ["enqueued attempt READY 0"] * 2
    ran = [line for line in signals if "enqueued" not in line]  # which may come before
    assert [line for line in ran if " add " in line][:2] == ["started add RUNNING 1", "finished add SUCCESSFUL 1"]
    assert [line for line in ran if " attempt " in line] == [
        "started attempt RUNNING 1", "started attempt RUNNING 2", "finished attempt SUCCESSFUL 2",
        "started attempt RUNNING 1", "started attempt RUNNING 2", "finished attempt FAILED 2",
    ]  # fmt: skip


def test_queues_and_priorities_and_what_is_refused(tasks: Office) -> None:
    lines = say(tasks, """
        from duly.contrib.django.backend import scaled, base, exceptions
        print([scaled(p) for p in (-100, -1, 0, 1, 50, 100)])
        result = attempt.using(queue_name="slow", priority=-100).enqueue(1)
        job = app.jobs().jobs[0]
        print(job.queue, job.priority, job.task, job.id == result.id)
        for call in (lambda: add.enqueue(), lambda: add.enqueue(object()), lambda: add.get_result("nobody"),
                     lambda: add.get_result(result.id), lambda: add.using(priority=101)):
            try:
                call()
            except Exception as exc:
                print(type(exc).__name__)
        app.cancel(result.id)
        result.refresh()
        print(result.status)
        print(len(app.jobs().jobs))
    """)  # fmt: skip
    assert lines[:2] == ["[0, 4, 4, 4, 6, 9]", "slow 0 probe.django6.attempt True"]
    assert lines[2:6] == ["TypeError", "TypeError", "TaskResultDoesNotExist", "TaskResultMismatch"]
    assert lines[6].startswith("InvalidTask")
    assert lines[7:] == ["FAILED", "1"]


def test_they_run_eagerly_and_by_name(tasks: Office) -> None:
    lines = say(tasks, """
        print(add.call(1, 1), app.tasks["probe.django6.add"](1, 2), app.tasks["probe.django6.add"].delay(1, 3).state)
        app.conf.task_always_eager = True
        print(app.tasks["probe.django6.attempt"].delay(2).get()[:1], app.tasks["probe.django6.add"].delay(2, 2).get())
    """)  # fmt: skip
    assert lines == ["2 3 queued", "[2] 4"]


def test_options_of_the_back_end_are_refused(tmp_path: Path) -> None:
    options = SETTINGS | {"TASKS": {"default": {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": {"retries": 3}}}}
    done = Office(tmp_path, **options).run("check", status=1)
    assert "(duly.E002) TASKS['default']['OPTIONS'] has retries; duly's back end takes none." in done.stderr
