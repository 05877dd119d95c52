"""Wake-ups, use from threads, after a fork, and after ``close``.

Nothing here sleeps: a wait has a deadline that is only reached when the test fails, but for the few
that show that nothing comes, and those wait for milliseconds.
"""

from __future__ import annotations

import gc
import itertools
import os
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from duly.errors import StaleLease
from duly.job import Change, Filter, Kind, State
from duly.store.contract import Channel, Listener, Store
from duly.testing.clock import ManualClock
from duly.testing.conformance.base import (
    LEASE,
    SECOND,
    T0,
    Base,
    ended,
    everything,
    job,
    put,
    register,
    reserve,
    settle,
    take,
    view,
)

LONG = 20.0  # seconds; only a failing test waits for so long
CHANNELS: tuple[Channel, ...] = ("work", "results", "control")
channels = pytest.mark.parametrize("channel", CHANNELS)


def in_threads(n: int, target: Callable[[int], object]) -> None:
    """Run ``target(0..n-1)`` at once, and raise what any of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(n)

    def run(index: int) -> None:
        try:
            start.wait(LONG)
            target(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


def in_child(target: Callable[[], object]) -> int:
    """Run ``target`` in a forked child; gives its exit status, 0 when it raised nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: fork beside threads
        pid = os.fork()
    if pid == 0:
        status = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LONG))  # a child that hangs dies, and the test fails
        try:
            target()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Interruption(BaseException):
    """Raised where nobody expects it."""


def _interrupted_at(step: int, call: Callable[[], object]) -> bool:
    """Run ``call`` and raise at the ``step``-th place where Python might handle a signal; False if it has fewer."""
    left = step

    def raise_at_step(frame: object, event: str, arg: object) -> None:
        nonlocal left
        if event not in ("call", "c_return") or arg is sys.setprofile:
            return  # Python looks for signals when it enters a function and when C code has returned
        if left == 0:
            sys.setprofile(None)
            raise Interruption
        left -= 1

    gc.disable()  # or it may be some library's callback of the garbage collector that is interrupted
    try:
        sys.setprofile(raise_at_step)
        call()
    except Interruption:
        return True
    finally:
        sys.setprofile(None)
        gc.enable()
    return False


class Waiting(Base):
    """Wake-ups are hints that come at once; the store works without them."""

    # -- wake-ups --------------------------------------------------------------------------------

    @channels
    def test_notify_wakes_every_listener_of_its_channel_and_no_other(self, store: Store, channel: Channel) -> None:
        others = [store.listen(c) for c in CHANNELS if c != channel]
        mine = [store.listen(channel) for _ in range(3)]
        store.notify(channel)
        assert [listener.wait(LONG) for listener in mine] == [True] * 3
        assert [listener.wait(0) for listener in (*mine, *others)] == [False] * 5
        for listener in (*mine, *others):
            listener.close()

    def test_a_wake_up_before_the_wait_counts(self, store: Store) -> None:
        listener = store.listen("work")
        store.notify("work")
        store.notify("work")
        assert listener.wait(LONG) is True
        listener.close()

    def test_wait_ends_when_its_time_is_up(self, store: Store) -> None:
        listener = store.listen("work")
        assert listener.wait(0.01) is False
        assert listener.wait(0) is False
        assert listener.wait(-1) is False
        listener.close()

    def test_a_wait_is_woken_from_another_thread(self, store: Store) -> None:
        for wake in (lambda one: one.poke(), lambda one: store.notify("work")):
            listener = store.listen("work")
            thread = threading.Timer(0.01, wake, (listener,))
            thread.start()
            assert listener.wait(LONG) is True
            thread.join()
            listener.close()

    def test_poke_wakes_only_its_own(self, store: Store) -> None:
        one, two = store.listen("work"), store.listen("work")
        one.poke()
        assert (one.wait(LONG), two.wait(0)) == (True, False)
        one.close()
        two.close()

    def test_poke_never_blocks(self, store: Store) -> None:
        listener = store.listen("work")
        for _ in range(20_000):
            listener.poke()
        assert listener.wait(LONG) is True
        assert listener.wait(0) is False
        listener.close()

    def test_notify_never_blocks_on_who_does_not_listen(self, store: Store) -> None:
        listener = store.listen("work")
        for _ in range(3_000):
            store.notify("work")
        assert listener.wait(LONG) is True
        listener.close()

    def test_fileno_is_readable_until_the_wake_up_is_taken(self, store: Store) -> None:
        listener = store.listen("work")

        def readable() -> bool:
            return bool(select.select([listener.fileno()], [], [], 0)[0])

        assert not readable()
        store.notify("work")
        assert select.select([listener.fileno()], [], [], LONG)[0]
        assert listener.wait(0) is True
        assert not readable()
        listener.close()

    def test_close_twice_and_poke_after_close(self, store: Store) -> None:
        listener = store.listen("work")
        listener.close()
        listener.close()
        listener.poke()
        store.notify("work")

    def test_what_is_due_wakes_who_waits_for_work(self, store: Store, worker: int) -> None:
        id = put(store, due=T0 + 3600 * SECOND)
        store.cancel(Filter(ids=(id,)))
        listener = store.listen("work")
        for change in (lambda: put(store), lambda: store.retry(Filter(ids=(id,)))):
            listener.wait(0)
            change()
            assert listener.wait(LONG) is True
        listener.close()

    def test_jobs_given_back_wake_who_waits_for_work(self, store: Store, clock: ManualClock) -> None:
        listener = store.listen("work")
        dead, leaving, worker = (register(store, name) for name in ("dead", "leaving", "w"))
        put(store)

        def given_back(change: Callable[[], object]) -> None:
            while listener.wait(0):
                pass
            change()
            assert listener.wait(LONG) is True

        take(store, dead)
        given_back(lambda: store.rescue(9, [dead]))
        take(store, leaving)
        given_back(lambda: store.unregister(leaving))
        take(store, worker)
        given_back(lambda: store.abandon(worker, 0, [], b"{}", 9))
        lease = take(store, worker)
        given_back(lambda: settle(store, worker, lease, Kind.RELEASED))
        store.move(Filter(), Change(due=T0 + 3600 * SECOND))
        given_back(lambda: store.move(Filter(), Change(due=T0)))
        listener.close()

    def test_an_end_wakes_who_waits_for_results(self, store: Store, worker: int, clock: ManualClock) -> None:
        listener = store.listen("results")

        def ends(change: Callable[[], object]) -> None:
            while listener.wait(0):
                pass
            change()
            assert listener.wait(LONG) is True

        for kind in (Kind.SUCCEEDED, Kind.FAILED, Kind.CANCELLED, Kind.UNCERTAIN):
            put(store)
            lease = take(store, worker)
            ends(lambda lease=lease, kind=kind: settle(store, worker, lease, kind))  # type: ignore[misc]
        put(store)
        ends(lambda: store.cancel(Filter()))
        put(store, expires=T0)
        ends(lambda: reserve(store, worker))
        put(store, key="k")
        ends(lambda: put(store, key="k", on_conflict="replace"))
        take(store, worker)
        ends(lambda: store.abandon(worker, 0, [everything(store)[0].id], b"{}", 1))
        put(store)
        take(store, worker)
        ends(lambda: store.rescue(1, [worker]))
        listener.close()

    def test_cancelling_a_running_job_wakes_the_supervisors(self, store: Store, worker: int) -> None:
        put(store)
        take(store, worker)
        listener = store.listen("control")
        store.cancel(Filter())
        assert listener.wait(LONG) is True
        listener.close()

    def test_wake_ups_reach_other_stores_of_the_place(self, store: Store, clock: ManualClock, place: Path) -> None:
        self.need("shared")
        listener = store.listen("work")
        second = self.make_store(clock, place)
        put(second)
        assert listener.wait(LONG) is True
        second.close()
        listener.close()

    def test_wake_ups_reach_other_processes(self, store: Store, clock: ManualClock, place: Path) -> None:
        self.need("processes")
        self.need("fork")
        listener = store.listen("work")
        assert in_child(lambda: self.make_store(clock, place).notify("work")) == 0
        assert listener.wait(LONG) is True
        listener.close()

    def test_a_listener_whose_process_died_disturbs_nobody(
        self, store: Store, clock: ManualClock, place: Path
    ) -> None:
        self.need("processes")
        self.need("fork")
        left: list[Listener] = []
        assert in_child(lambda: left.append(self.make_store(clock, place).listen("work"))) == 0
        listener = store.listen("work")
        for _ in range(3):
            store.notify("work")
            assert listener.wait(LONG) is True
        listener.close()

    # -- threads ---------------------------------------------------------------------------------

    def test_threads_share_a_store_and_no_job_runs_twice(self, store: Store) -> None:
        workers = [register(store, f"w{i}") for i in range(4)]
        taken: list[str] = []
        lock = threading.Lock()

        def produce_and_run(index: int) -> None:
            for _ in range(10):
                store.enqueue([job() for _ in range(5)])
                leases = reserve(store, workers[index % 4], 4, slot=index)
                answer = store.exchange(workers[index % 4], index, [ended(store, x) for x in leases], 0, ())
                assert answer.refused == []
                with lock:
                    taken.extend(lease.id for lease in leases)

        in_threads(8, produce_and_run)
        while leases := reserve(store, workers[0]):
            taken += [lease.id for lease in leases]
        assert len(taken) == len(set(taken)) == 400

    def test_of_many_threads_with_one_key_one_is_stored(self, store: Store) -> None:
        answers: list[bool] = []
        in_threads(8, lambda index: answers.append(store.enqueue([job(key="k")])[0].stored))
        assert sorted(answers) == [False] * 7 + [True]

    def test_of_many_threads_with_one_token_one_settles(self, store: Store, worker: int) -> None:
        put(store)
        lease = take(store, worker)
        answers: list[bool] = []

        def settle_once(index: int) -> None:
            outcome = ended(store, lease, result=str(index).encode())
            answers.append(store.exchange(worker, 0, [outcome], 0, ()).refused == [])

        in_threads(8, settle_once)
        assert sorted(answers) == [False] * 7 + [True]

    @pytest.mark.parametrize("call", ["enqueue", "exchange", "renew", "look"])
    def test_an_exception_out_of_nowhere_leaves_nothing_open(
        self, store: Store, worker: int, clock: ManualClock, place: Path, call: str
    ) -> None:
        """A signal handler (a soft time limit, Ctrl-C) may raise between any two steps of a call: at each in turn, or
        at every ``stride``-th where a store takes a new connection each time."""
        second = store if "shared" in self.missing else self.make_store(clock, place)
        calls: dict[str, Callable[[], object]] = {
            "enqueue": lambda: put(store),
            "exchange": lambda: reserve(store, worker, 1),
            "renew": lambda: store.renew(worker, LEASE),
            "look": lambda: (store.counts(), store.next_due(["default"])),
        }
        put(second, priority=9)
        for step in itertools.count(step=self.stride):
            if not _interrupted_at(step, calls[call]):
                break
            put(second, queue="theirs")
            put(store, queue="ours")
            store.renew(worker, LEASE)
        assert step > 10
        if second is not store:
            second.close()

    def test_readers_do_not_disturb_writers(self, store: Store, worker: int) -> None:
        def use(index: int) -> None:
            for _ in range(15):
                if index % 2:
                    put(store)
                    for lease in reserve(store, worker, 1, slot=index):
                        settle(store, worker, lease)
                else:
                    store.jobs(Filter())
                    store.counts()
                    store.rollups(0, 2**60)

        in_threads(6, use)

    # -- fork and close --------------------------------------------------------------------------

    def test_a_store_works_on_both_sides_of_a_fork(self, store: Store, worker: int) -> None:
        self.need("fork")
        before = put(store, due=T0 - 2)

        def child() -> None:
            assert [v.id for v in everything(store)] == [before]
            put(store, id="from the child", due=T0 - 1)
            lease = take(store, register(store, "child"))
            assert lease.id == before
            store.save_effect(lease, "k", b"1")
            store.close()

        assert in_child(child) == 0
        assert view(store, before).state == State.RUNNING
        assert take(store, worker).id == "from the child"
        put(store)
        assert len(everything(store)) == 3

    def test_two_forked_children_at_once(self, store: Store, worker: int) -> None:
        self.need("fork")
        put(store)  # the connection is open before the fork

        def grandchild() -> None:
            assert in_child(lambda: [put(store) for _ in range(20)]) == 0
            for _ in range(20):
                put(store)

        in_threads(2, lambda index: self._check_child(grandchild))
        assert len(everything(store)) == 81

    @staticmethod
    def _check_child(target: Callable[[], object]) -> None:
        assert in_child(target) == 0

    def test_a_fork_in_the_middle_of_another_threads_call_does_not_hang_the_child(self, store: Store) -> None:
        """Locks held by a thread that does not exist in the child must not be waited for there."""
        self.need("fork")
        stop = threading.Event()

        def busy() -> None:
            while not stop.is_set():
                put(store, queue="busy", due=T0 + SECOND)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(10):
                assert in_child(lambda: put(store, queue="child")) == 0
        finally:
            stop.set()
            thread.join(LONG)
        assert len(everything(store, Filter(queues=("child",)), limit=1000)) == 10

    def test_a_closed_store_opens_again_by_itself(self, store: Store, worker: int) -> None:
        self.need("shared")
        id = put(store)
        store.close()
        store.close()
        assert view(store, id).state == State.WAITING
        store.close()
        lease = take(store, worker)
        store.close()
        assert settle(store, worker, lease)
        store.close()
        with pytest.raises(StaleLease):
            store.save_effect(lease, "k", b"1")

    def test_what_one_store_wrote_another_reads(self, store: Store, clock: ManualClock, place: Path) -> None:
        self.need("shared")
        id = put(store, args=b"[[1],{}]")
        second = self.make_store(clock, place)
        assert view(second, id) == view(store, id)
        worker = register(second)
        lease = take(second, worker)
        assert view(store, id).state == State.RUNNING
        assert settle(store, worker, lease, result=b"1"), "a token holds on any connection"
        assert view(second, id).result == b"1"
        second.close()

    def test_maintain_disturbs_nothing(self, store: Store, worker: int, clock: ManualClock) -> None:
        id = put(store)
        lease = take(store, worker)
        for _ in range(3):
            store.maintain()
            clock.advance(1)
        assert store.renew(worker, LEASE).alive is True
        assert settle(store, worker, lease)
        assert view(store, id).state == State.SUCCEEDED
