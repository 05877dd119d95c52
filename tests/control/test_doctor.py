"""``duly doctor``: each finding is made, and a healthy store gives none."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_kit import LEASE, job, put, register, reserve, settle

import duly.store
from duly import doctor
from duly.clock import MICROS, SYSTEM
from duly.job import Flag, Kind, Schedule
from duly.messages import Finding
from duly.store.contract import Store
from duly.store.sqlite.examining import filesystem
from duly.testing.clock import START, ManualClock

HOUR = 3600 * MICROS


@pytest.fixture
def store(clock: ManualClock, tmp_path: Path) -> Iterator[Store]:
    """In a file: what a server finds of itself is told in tests of its own."""
    store = duly.store.open(f"sqlite:///{tmp_path}/duly.db", clock=clock)
    yield store
    store.close()


def bad(store: Store, clock: ManualClock) -> list[Finding]:
    """Everything but the good ones, of what does not depend on the machine that runs the test."""
    findings = doctor.examine(store, clock)
    return [one for one in findings if one.severity != "ok" and one.about != "disk" and "lies " not in one.text]


def only(store: Store, clock: ManualClock) -> Finding:
    [finding] = bad(store, clock)
    assert finding.help
    return finding


def test_a_healthy_store_is_clean(store: Store, clock: ManualClock) -> None:
    register(store)
    put(store)
    assert bad(store, clock) == []
    assert {one.about for one in doctor.examine(store, clock)} >= {
        "store", "disk", "clock", "workers", "queues", "tasks", "schedules", "jobs",
    }  # fmt: skip


def test_the_exit_status_is_the_worst_severity() -> None:
    ok, warning, error = (Finding(severity=s, about="x", text="x") for s in ("ok", "warning", "error"))  # type: ignore[arg-type]
    assert doctor.status([ok]) == 0
    assert doctor.status([ok, warning]) == 1
    assert doctor.status([warning, error, ok]) == 2


def test_no_worker(store: Store, clock: ManualClock) -> None:
    assert only(store, clock).text == "No worker is alive: nothing runs."


def test_a_queue_nobody_serves(store: Store, clock: ManualClock) -> None:
    register(store, "w1", ("default",))
    put(store, queue="crawl", due=START - 90 * MICROS)
    put(store, queue="later", due=START + HOUR)
    found = only(store, clock)
    assert found.severity == "error"
    assert found.text == "Queue 'crawl' has 1 due job and no live worker serves it; the oldest waits for 1 min 30 s."


def test_jobs_far_too_old(store: Store, clock: ManualClock) -> None:
    register(store)
    put(store, due=START - 3 * HOUR)
    put(store)
    assert only(store, clock).text == "Queue 'default': the oldest of 2 due jobs waits for 3 h."


def test_a_task_nobody_registers(store: Store, clock: ManualClock) -> None:
    register(store, tasks=("t",))
    put(store, task="gone", due=START + HOUR)
    found = only(store, clock)
    assert (found.severity, found.text) == ("error", "1 waiting job of task 'gone', which no live worker registers.")


def test_a_lapsed_worker_that_holds_jobs(store: Store, clock: ManualClock) -> None:
    dead = register(store, "dead")
    put(store)
    reserve(store, dead)
    clock.advance(LEASE / MICROS + 90)
    register(store, "alive")
    assert only(store, clock).text == "Worker dead@h gave its last sign of life 1 min 30 s ago and still holds 1 job."


def test_a_pause_that_was_forgotten(store: Store, clock: ManualClock) -> None:
    store.pause("mail")
    clock.advance(3 * 86_400)
    register(store)
    assert only(store, clock).text == "Queue 'mail' is paused for 3 d."


def test_a_schedule_that_is_behind(store: Store, clock: ManualClock) -> None:
    store.put_schedule(Schedule(name="hourly", rule=b'{"every":3600}', task="t", next=START + MICROS))
    clock.advance(600)
    register(store)
    found = only(store, clock)
    assert found.about == "schedules"
    assert "'hourly' is behind: its occurrence of 9 min 59 s ago" in found.text


def test_uncertain_and_failed_jobs(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    put(store, flags=int(Flag.AT_MOST_ONCE))
    reserve(store, worker)
    clock.advance(11)
    store.rescue(3)
    worker = register(store, "w2")
    assert only(store, clock).text == "1 job ended uncertain: nobody knows how far they came."
    for _ in range(25):
        put(store)
    for lease in reserve(store, worker, want=25):
        settle(store, worker, lease, Kind.FAILED)
    texts = [one.text for one in bad(store, clock)]
    assert texts[1] == "25 jobs failed in the last 24 hours, most of them (25) of task 't'."


def test_clocks_that_differ(store: Store, clock: ManualClock) -> None:
    register(store, "ahead", started=START + 60 * MICROS)
    assert "registered 1 min in the future" in only(store, clock).text


def test_a_clock_that_was_set_back(store: Store, clock: ManualClock) -> None:
    worker = register(store)
    clock.advance(2 * 86_400)
    store.renew(worker, LEASE)
    clock.set(clock.now() - 5 * HOUR)
    texts = [one.text for one in bad(store, clock)]
    assert any("The lease of worker w1@h ends in 5 h" in text for text in texts)


def test_a_clock_that_jumps_while_it_is_looked_at(store: Store) -> None:
    class Jumping(ManualClock):
        def now(self) -> int:
            self.set(super().now() + MICROS)
            return super().now()

    register(store)
    findings = doctor.examine(store, Jumping())
    assert any("clock jumped by +1.0 s" in one.text for one in findings)


# -- the store's own -----------------------------------------------------------------------------


@pytest.fixture
def relaxed(tmp_path: Path) -> Iterator[Store]:
    store = duly.store.open(f"sqlite:///{tmp_path}/n.db?synchronous=NORMAL")
    yield store
    store.close()


def test_less_than_full_durability_is_told(relaxed: Store) -> None:
    [finding] = [one for one in relaxed.examine() if one.severity != "ok" and "power" in one.text]
    assert finding.severity == "warning"


def test_a_damaged_file_is_an_error(store: Store, tmp_path: Path) -> None:
    for _ in range(3):
        store.enqueue([job() for _ in range(200)])
    store.close()
    path = tmp_path / "duly.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        (unread,) = db.execute("SELECT rootpage - 1 FROM sqlite_schema WHERE name = 'attempts_job'").fetchone()
    for page, said in ((unread, "The file is damaged"), (0, "cannot be read any further")):
        with open(path, "r+b") as file:
            file.seek(4096 * page)
            file.write(b"\xff" * 4096)
        errors = [one for one in doctor.examine(store, SYSTEM) if one.severity == "error"]
        assert any(said in one.text for one in errors), errors
        assert doctor.status(errors) == 2
        store.close()


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /srv/shared rw - nfs4 server:/x rw
31 22 0:41 / /tmp rw - tmpfs tmpfs rw
32 22 8:2 / /srv/shared/my\\040disk rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/duly.db", "ext4"),
        ("/srv/shared/duly.db", "nfs4"),
        ("/srv/sharedx/duly.db", "ext4"),
        ("/srv/shared/my disk/duly.db", "xfs"),
    ],
)
def test_the_file_system_is_the_innermost_mount(path: str, kind: str, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert filesystem(path, str(mounts)) == kind


def test_no_list_of_mounts_is_no_opinion() -> None:
    assert filesystem("/x", "/nonexistent") == ""
