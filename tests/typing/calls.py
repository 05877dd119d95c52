"""Checked by mypy in strict mode (test_typing.py), never run. A line marked ``# error`` must be refused."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from duly import AsyncResult, AsyncTask, Duly, GroupResult, Signature, Task, chain, chord, group, signature, xmap

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
sig: Signature[int] = add.s(2)
assert_type(add.si(1, y=2), Signature[int])
assert_type(add.signature((1,), queue="q"), Signature[int])
assert_type(sig.delay(1), AsyncResult[int])
assert_type(sig.apply_async(countdown=1).get(), int)
assert_type(sig.set(queue="x").clone((1,)), Signature[int])
assert_type(sig(1), int)
assert_type(signature("typed.add"), Signature[Any])
assert_type(add.map([1]), xmap)
assert_type(chord([add.s(1, 1)])(add.s()), Any)
assert_type(group([add.s(1, 1)])(), GroupResult)
assert_type(group([add.s(1, 1)])().get(), list[Any])
whole: Signature[None] = chain(add.s(1, 1), add.s(2)) | mail.s(subject="x")
coroutine: Coroutine[Any, Any, bytes] = fetch("u")
assert_type(fetch.delay("u").get(), bytes)
assert_type(bound_fetch.delay("u"), AsyncResult[bytes])


async def use() -> None:
    assert_type(await fetch("u"), bytes)
    assert_type(await add.adelay(1), AsyncResult[int])
    assert_type(await (await add.adelay(1)), int)
    assert_type(await (await sig.adelay(1)), int)
    assert_type(await group([sig])(), list[Any])
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


add.si("a")  # error
add.si(1, z=2)  # error
add.s(1) | 5  # error
add.s().link(5)  # error
