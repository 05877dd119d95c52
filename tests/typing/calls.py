"""Checked by mypy in strict mode (test_typing.py), never run. A line marked ``# error`` must be refused."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from duly import AsyncResult, AsyncTask, Duly, Task

app = Duly("typed")


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(queue="mail", max_retries=3)
def mail(to: str, *, subject: str) -> None: ...


@app.task(bind=True, autoretry_for=(OSError,))
def bound(self: Task[..., Any], x: int) -> str:
    self.progress(1, 2, "half")
    assert_type(self.effect("key", str, x), str)
    self.retry(countdown=1)


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True)
async def bound_fetch(self: Task[..., Any], url: str) -> bytes:
    return await self.aeffect("get", fetch, url)


typed: Task[..., int] = add
assert_type(add(1, 2), int)
assert_type(add.delay(1), AsyncResult[int])
assert_type(add.delay(1, y=2).get(timeout=1), int)
assert_type(add.apply_async((1,), {"y": 2}, countdown=3, key="k"), AsyncResult[int])
assert_type(add.enqueue_many([(1,), (2, 3)]), list[AsyncResult[int]])
assert_type(mail.delay("a", subject="b").get(), None)
assert_type(bound.delay(3).get(), str)
assert_type(bound(3), str)
typed_async: AsyncTask[..., bytes] = fetch
coroutine: Coroutine[Any, Any, bytes] = fetch("u")
assert_type(fetch.delay("u").get(), bytes)
assert_type(bound_fetch.delay("u"), AsyncResult[bytes])


async def use() -> None:
    assert_type(await fetch("u"), bytes)
    assert_type(await add.adelay(1), AsyncResult[int])
    assert_type(await (await add.adelay(1)), int)
    assert_type(await (await fetch.adelay("u")).aget(timeout=1), bytes)


assert_type(app.conf.worker_lease, float)
assert_type(app.conf.worker_concurrency, int | None)

add.delay("1")  # error
add.delay()  # error
add.delay(1, 2, 3)  # error
mail.delay("a", "b")  # error
bound.delay("x")  # error
bound.delay(bound, 3)  # error
fetch.delay(1)  # error
add.apply_async((1,), contdown=3)  # error
add.apply_async((1,), on_conflict="slip")  # error
app.conf.worker_lease = "10"  # error


@app.task(priorty=3)  # error
def wrong() -> None: ...
