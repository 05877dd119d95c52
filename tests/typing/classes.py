"""Checked by mypy in strict mode (test_typing.py), never run: classes of tasks, hooks, signals, shared tasks."""

from __future__ import annotations

from typing import Any, assert_type

from duly import AsyncResult, AsyncTask, Duly, Ignore, Reject, Retry, Task, current_app, shared_task, signals
from duly.hooks import ExceptionInfo

app = Duly("typed")


class Report(Task[..., Any]):
    max_retries = 3
    queue = "reports"
    house = "mine"

    def __init__(self) -> None:
        self.opened = 0

    def before_start(self, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.opened += 1

    def on_failure(
        self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: ExceptionInfo
    ) -> None:
        assert_type(einfo.traceback, str)

    def on_success(self, retval: int) -> None: ...  # error


@app.task(base=Report, queue="own")
def monthly(month: str) -> str:
    return month


@app.task(bind=True, base=Report, throws=(KeyError,))
async def yearly(self: Report, year: int) -> list[str]:
    self.update_state("READING", {"current": self.opened})
    if year < 0:
        raise Ignore("no such year")
    if year == 0:
        raise Reject("not here", requeue=True)
    if year == 1:
        raise self.retry(countdown=1, throw=False)
    assert_type(self.retry(throw=bool(year)), Retry)
    return []


class Fetch(Task[[str], bytes]):
    name = "typed.fetch"

    def run(self, url: str) -> bytes:
        return url.encode()


fetch = app.register_task(Fetch())
assert_type(fetch, Fetch)
assert_type(fetch.delay("u"), AsyncResult[bytes])
assert_type(app.register_task(Fetch), Fetch)
assert_type(monthly.delay("May"), AsyncResult[str])
assert_type(monthly.apply(("May",), throw=True).get(), str)
typed: AsyncTask[..., list[str]] = yearly
assert_type(yearly.delay(2030).get(), list[str])


@shared_task
def add(x: int, y: int = 1) -> int:
    return x + y


@shared_task(bind=True, queue="mail")
def send(self: Task[..., Any], to: str) -> None: ...


assert_type(add.delay(1), AsyncResult[int])
assert_type(send.delay("a").get(), None)
assert_type(current_app.name, str)


@signals.task_failure.connect
def report(task_id: str, **_: Any) -> None: ...


@signals.task_prerun.connect(sender=add)
def note(**_: Any) -> int:
    return 1


assert_type(note(), int)
report("id", exception=None)

add.delay("1")  # error
fetch.delay(1)  # error
send.delay()  # error
monthly.delay(5)  # error
yearly.delay("x")  # error
signals.task_prerun.connect(3)  # error
app.register_task(int)  # error


@app.task(base=int)  # error
def wrong() -> None: ...
