"""Calls that a signal handler interrupts, forks cut in two, or ``close`` meets halfway: nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import on_every_store

from duly import Duly
from duly import store as stores
from duly.job import Filter
from duly.store import Store


class Interruption(Exception):
    """As SoftTimeLimitExceeded: an Exception, raised out of nowhere."""


def count_stored(store: Store) -> int:
    """Every job there is: counts() ends at 10,000, which a quick machine stores here."""
    found, after = 0, None
    while True:
        page = store.jobs(Filter(), after=after, limit=1000)
        found, after = found + len(page.jobs), page.after
        if after is None:
            return found


@pytest.fixture
def add(app: Duly) -> Any:
    return app.task(name="add")(lambda x=0: x)


@pytest.fixture
def on_alarm() -> Iterator[Callable[[Callable[[], object]], None]]:
    before = signal.getsignal(signal.SIGALRM)

    def arm(deed: Callable[[], object]) -> None:
        signal.signal(signal.SIGALRM, lambda *_: deed())

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def within(seconds: float, deed: Callable[[], object]) -> None:
    """``deed`` in a thread, which has to come to its end."""
    thread = threading.Thread(target=deed, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waits for ever"


def interrupt() -> None:
    raise Interruption


@on_every_store
@pytest.mark.parametrize("threads", [0, 4])
def test_interruptions_anywhere_leave_no_lock_and_no_half_transaction(
    app: Duly, add: Any, on_alarm: Any, threads: int
) -> None:
    add.delay()
    stop, failed, told = threading.Event(), [], [1]

    def call() -> None:
        while not stop.is_set():
            try:
                add.delay()
                told.append(1)
            except BaseException as exc:
                failed.append(exc)

    others = [threading.Thread(target=call, daemon=True) for _ in range(threads)]
    for other in others:
        other.start()
    on_alarm(interrupt)
    interrupted = 0
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        try:
            # One that is raised in a finalizer, of some other test's garbage, goes to nobody; then another follows.
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + (interrupted * 37 % 1000) * 1e-6, 1.0)
            while True:
                add.delay()
                told.append(1)
        except Interruption:
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    stop.set()
    for other in others:
        other.join(20)
        assert not other.is_alive(), "it waits for ever"
    assert failed == [], "somebody else's interruption is no answer to a call"
    assert interrupted > 20
    within(10, add.delay)
    ready = count_stored(app.store)
    assert len(told) + 1 <= ready <= len(told) + 1 + interrupted


def test_a_transaction_that_was_interrupted_is_undone_at_once(app: Duly) -> None:
    """Not when the garbage collector comes by: somebody else has the lock by then."""
    kept: list[BaseException] = []
    db = app.store._db  # type: ignore[attr-defined]

    def work(connection: Any) -> None:
        connection.execute("DELETE FROM jobs")
        raise Interruption

    with pytest.raises(Interruption) as caught:
        db.write(work)
    kept.append(caught.value)
    within(5, lambda: db.write(lambda connection: connection.execute("DELETE FROM jobs")))
    assert not db.write(lambda connection: connection).in_transaction


def test_an_error_that_was_told_holds_no_call_alive(app: Duly) -> None:
    app.task(name="x")(lambda: None).apply_async(key="k")
    gc.disable()
    try:
        with pytest.raises(Exception, match="is held by job") as caught:
            app.tasks["x"].apply_async(key="k", on_conflict="error")
        error = weakref.ref(caught.value)
        del caught
        assert error() is None
    finally:
        gc.enable()


def test_a_handler_may_call_while_it_interrupts_a_call(app: Duly, add: Any, on_alarm: Any) -> None:
    """It stored its job, or was told why not; it did not wait for the call that waited for it."""
    add.delay()
    done, refused = [], []

    def handler() -> None:
        try:
            done.append(add.delay(1).id)
        except RuntimeError as exc:
            refused.append(str(exc))

    on_alarm(handler)
    calls = 1
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + (calls * 37 % 500) * 1e-6)
        add.delay()
        calls += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert count_stored(app.store) == calls + len(done)
    assert done or refused
    assert all("signal handler" in text for text in refused)


def test_a_handler_that_interrupts_the_waiting_for_another_writer(app: Duly, add: Any, on_alarm: Any) -> None:
    """The worst moment, made certain: the call it interrupts is the one that others wait for."""
    real = app.store
    ids: list[str] = []

    class Interrupted:
        def enqueue(self, jobs: Any) -> Any:
            if not ids:
                ids.append("")
                ids.append(add.delay(2).id)
            return real.enqueue(jobs)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    app._store = Interrupted()  # type: ignore[assignment]
    within(5, lambda: add.delay(1))
    assert real.counts()[0].ready == 2


# -- closing ---------------------------------------------------------------------------------------


async def test_close_comes_to_its_end_while_coroutines_call(app: Duly, add: Any) -> None:
    calling = True
    done = 0

    async def call() -> None:
        nonlocal done
        while calling:
            await asyncio.wait_for(add.adelay(), 10)
            done += 1

    callers = [asyncio.create_task(call()) for _ in range(8)]
    for _ in range(25):
        before = done
        await asyncio.wait_for(asyncio.to_thread(app.client.close), 10)
        while done < before + 8:  # noqa: ASYNC110 - what we wait for is that callers come and go
            await asyncio.sleep(0)
    calling = False
    await asyncio.gather(*callers)


# -- forks -----------------------------------------------------------------------------------------


def test_a_child_forked_while_the_store_is_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Duly("forks", store=f"sqlite:///{tmp_path}/jobs.db")
    add = app.task(name="add")(lambda: None)
    opening, go_on = threading.Event(), threading.Event()
    real = stores.open

    def slowly(url: str, **options: Any) -> Any:
        opening.set()
        assert go_on.wait(30)
        return real(url, **options)

    monkeypatch.setattr(stores, "open", slowly)
    thread = threading.Thread(target=add.delay)
    thread.start()
    assert opening.wait(10)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(10)
            monkeypatch.setattr(stores, "open", real)
            add.delay()
            code = 0
        finally:
            os._exit(code)
    go_on.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    assert len(app.jobs().jobs) == 2
    app.close()


def test_forks_while_stores_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks look at every store of the process, which other threads add to."""
    stop = threading.Event()
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    def make() -> None:
        while not stop.is_set():
            stores.open(f"sqlite:///{tmp_path}/jobs.db")
            Duly("passing")

    kept = [stores.open(f"sqlite:///{tmp_path}/{i}.db") for i in range(2000)]
    threads = [threading.Thread(target=make) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(30):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert unraisable == []
    assert kept


def test_the_last_commits_wait_for_the_disk_again_after_an_interruption(app: Duly) -> None:
    """A commit that need not be on the disk was cut off while it said so; the next one has to be."""
    db = app.store._db  # type: ignore[attr-defined]
    db.write(lambda _: None, durable=False)

    class CutOff:
        """The connection, whose next PRAGMA does its work and is interrupted on its way back."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def execute(self, statement: str, *values: Any) -> Any:
            self.real.execute(statement, *values)
            raise Interruption

    real = db._connection
    db._connection = CutOff(real)
    with pytest.raises(Interruption):
        db.write(lambda _: None, durable=True)
    db._connection = real
    db.write(lambda _: None, durable=False)
    (mode,) = db.peek(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
    assert mode == 1, "NORMAL, as asked for"
