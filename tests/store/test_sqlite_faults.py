"""What the world does to a file. Each fault is a clear StoreError, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import duly.store
from duly.errors import ConfigError, StoreCorrupt, StoreError, StoreTooNew, StoreUnavailable
from duly.ids import new_id
from duly.job import Filter, Job, State, WorkerInfo
from duly.store import Store
from duly.store.sqlite.sql import SCHEMA

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = duly.store.open(f"sqlite:///{path}?timeout=0.2")
    yield store
    store.close()


def put(store: Store, **fields: object) -> str:
    id = new_id()
    store.enqueue([Job(**{"id": id, "task": "t", "due": 0} | fields)])  # type: ignore[arg-type]
    return id


def put_without_end(store: Store, told: list[str]) -> None:
    while len(told) < 1000:
        told.append(put(store, args=b"x" * 20_000))


def count(store: Store) -> int:
    total, after = 0, None
    while True:
        page = store.jobs(Filter(), after=after, limit=1000)
        total += len(page.jobs)
        after = page.after
        if after is None:
            return total


def in_child(target: Callable[[], object]) -> str:
    """Run ``target`` in a child process; gives the name and text of what it raised, or nothing."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(30)
            target()
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return said


# -- no room ---------------------------------------------------------------------------------------


def test_a_full_disk_says_so_and_keeps_what_was_acknowledged(store: Store, path: Path) -> None:
    """The limit of a file's size stands for the disk: SQLite sees the same failed write."""
    told: list[str] = []
    put(store)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        with pytest.raises(StoreError) as caught:
            put_without_end(store, told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(caught.value, StoreUnavailable)
    assert "nothing was written" in str(caught.value)
    assert told
    assert None not in store.results(told)
    assert count(store) == len(told) + 1
    put(store)  # and when there is room again it goes on


def test_a_full_disk_in_a_small_file_system(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    try:
        store = duly.store.open(f"sqlite:///{place / 'jobs.db'}")
        told: list[str] = []
        with pytest.raises(StoreUnavailable, match=r"disk is full|disk did not obey"):
            put_without_end(store, told)
        assert told
        assert None not in store.results(told)
        assert count(store) == len(told)
        store.close()
        again = duly.store.open(f"sqlite:///{place / 'jobs.db'}")
        assert count(again) == len(told)
        again.close()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# -- no right --------------------------------------------------------------------------------------


def as_nobody(url: str, call: Callable[[Store], object]) -> str:
    def run() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        call(duly.store.open(url))

    return in_child(run)


def open_the_way(path: Path) -> None:
    for folder in path.parents:
        if str(folder).startswith(("/tmp/", str(path.parent))):
            folder.chmod(0o755)


@needs_root
@pytest.mark.parametrize("mode", [0o555, 0o777], ids=["folder read-only", "file read-only"])
def test_a_file_that_may_not_be_written(store: Store, path: Path, mode: int) -> None:
    told = put(store)
    store.close()
    open_the_way(path)
    path.parent.chmod(mode)
    path.chmod(0o444)
    said = as_nobody(f"sqlite:///{path}", put)
    assert said.startswith("StoreUnavailable")
    assert str(path) in said
    assert "write" in said
    assert store.results([told])[0] is not None


@needs_root
def test_a_folder_where_nothing_may_be_made(tmp_path: Path) -> None:
    open_the_way(tmp_path / "jobs.db")
    tmp_path.chmod(0o555)
    said = as_nobody(f"sqlite:///{tmp_path}/jobs.db", put)
    assert said.startswith("StoreUnavailable")


@needs_root
def test_a_file_that_may_not_even_be_read(store: Store, path: Path) -> None:
    put(store)
    store.close()
    open_the_way(path)
    path.chmod(0o600)
    said = as_nobody(f"sqlite:///{path}", lambda store: store.jobs(Filter()))
    assert said.startswith("StoreUnavailable")


@needs_root
def test_wake_ups_that_may_not_be_made_are_a_clear_error_and_enqueue_needs_none(store: Store, path: Path) -> None:
    put(store)
    store.close()
    open_the_way(path)
    path.parent.chmod(0o777)
    path.chmod(0o666)
    folder = Path(f"{path}-wake")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    assert as_nobody(f"sqlite:///{path}", lambda store: store.listen("work")).startswith("StoreUnavailable")
    folder.chmod(0o000)
    assert as_nobody(f"sqlite:///{path}", put) == ""
    assert count(store) == 2


# -- no turn ---------------------------------------------------------------------------------------

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.readline()
"""


def hold(path: Path, *statements: str) -> subprocess.Popen[str]:
    """Another process that has the file locked until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *statements],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_held_too_long_says_so_and_reads_go_on(store: Store, path: Path) -> None:
    told = put(store)
    holder = hold(path, "BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"locked by another process for more than 0\.2 s"):
        put(store)
    assert store.results([told])[0] is not None
    holder.communicate("done\n", timeout=20)
    put(store)
    assert count(store) == 2


def test_a_lock_given_up_in_time_is_waited_for(path: Path) -> None:
    store = duly.store.open(f"sqlite:///{path}?timeout=20")
    put(store)
    holder = hold(path, "BEGIN IMMEDIATE")
    release = threading.Timer(0.05, lambda: holder.communicate("done\n", timeout=20))
    release.start()
    put(store)
    release.join()
    assert count(store) == 2
    store.close()


def test_opening_waits_while_somebody_has_the_file_alone(path: Path) -> None:
    """As a process has that closes the file as the last one, or recovers it as the first."""
    store = duly.store.open(f"sqlite:///{path}?timeout=20")
    told = put(store)
    store.close()
    holder = hold(path, "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE")
    release = threading.Timer(0.05, lambda: holder.communicate("done\n", timeout=20))
    release.start()
    assert store.results([told])[0] is not None
    release.join()
    store.close()


def test_opening_does_not_wait_for_ever(path: Path) -> None:
    store = duly.store.open(f"sqlite:///{path}?timeout=0.2")
    told = put(store)
    store.close()
    assert store.results([told])[0] is not None
    store.close()
    holder = hold(path, "PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.results([told])
    holder.communicate("done\n", timeout=20)
    assert store.results([told])[0] is not None
    store.close()


# -- damage ----------------------------------------------------------------------------------------


def fill(store: Store, path: Path) -> None:
    store.enqueue([Job(id=f"j{i}", task="t", due=0, args=b"x" * 500) for i in range(400)])
    store.close()  # the log is copied into the file
    assert path.stat().st_size > 100_000


def test_a_header_written_over(store: Store, path: Path) -> None:
    fill(store, path)
    with path.open("r+b") as file:
        file.write(os.urandom(100))
    with pytest.raises(StoreCorrupt, match="damaged or is not SQLite"):
        put(store)


def test_a_page_in_the_middle_written_over(store: Store, path: Path) -> None:
    fill(store, path)
    with path.open("r+b") as file:
        for page in range(3, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    with pytest.raises(StoreCorrupt):
        count(store)
    with pytest.raises(StoreCorrupt):
        put(store)


def test_a_file_cut_short(store: Store, path: Path) -> None:
    fill(store, path)
    os.truncate(path, 3 * 4096)
    with pytest.raises(StoreCorrupt):
        count(store)


def test_not_a_database(store: Store, path: Path) -> None:
    path.write_text("these are not the bytes you are looking for\n" * 100)
    with pytest.raises(StoreCorrupt, match="not SQLite"):
        put(store)
    assert path.read_text().startswith("these are not")


def test_a_database_of_another_program_is_left_alone(store: Store, path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="belongs to another program"):
        put(store)
    store.close()
    assert path.read_bytes() == before


def test_a_schema_of_a_newer_release_is_refused_and_left_alone(store: Store, path: Path) -> None:
    put(store)
    store.close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={len(SCHEMA) + 1}")
    db.close()
    with pytest.raises(StoreTooNew, match="upgrade duly"):
        put(store)
    with pytest.raises(StoreTooNew):
        count(store)
    store.close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={len(SCHEMA)}")
    db.close()
    assert count(store) == 1


def test_two_releases_side_by_side_carry_what_they_do_not_know(store: Store, path: Path) -> None:
    """A newer release may add columns, flags and options within a schema that the older one still takes."""
    put(store)
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE jobs ADD COLUMN invented_later INTEGER NOT NULL DEFAULT 7")
    db.execute("UPDATE jobs SET flags = flags | (1 << 40), options = ?", (b'{"later":true}',))
    db.commit()
    db.close()
    put(store)
    worker = store.register(WorkerInfo(name="w", host="h", pid=1), 10_000_000)
    leases = store.exchange(worker, 0, [], 10, ["default"]).leases
    assert [(lease.flags, lease.options) for lease in leases] == [(1 << 40, b'{"later":true}'), (0, None)]


# -- the file goes away ----------------------------------------------------------------------------


def test_a_file_deleted_while_open_is_not_written_to(store: Store, path: Path) -> None:
    put(store)
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink()
    with pytest.raises(StoreUnavailable, match="removed or replaced while it was open"):
        put(store)


def test_a_file_replaced_while_open_is_not_written_to(store: Store, path: Path, tmp_path: Path) -> None:
    put(store)
    other = duly.store.open(f"sqlite:///{tmp_path / 'other.db'}")
    theirs = put(other)
    other.close()
    os.replace(tmp_path / "other.db", path)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        put(store)
    for name in (Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    assert store.results([theirs])[0] is not None


def test_a_log_left_by_a_killed_process_is_read(store: Store, path: Path) -> None:
    script = textwrap.dedent("""
        import os, signal, sys
        import duly.store
        from duly.job import Job
        store = duly.store.open("sqlite:///" + sys.argv[1])
        store.enqueue([Job(id=f"j{i}", task="t", due=0) for i in range(100)])
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    died = subprocess.run([sys.executable, "-c", script, str(path)], timeout=30)
    assert died.returncode == -signal.SIGKILL
    assert Path(f"{path}-wal").stat().st_size > 0
    assert count(store) == 100
    assert {r.state for r in store.results([f"j{i}" for i in range(100)]) if r} == {State.WAITING}


# -- no such place ---------------------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    store = duly.store.open(f"sqlite:///{tmp_path}/no/such/jobs.db")
    for call in (put, count, lambda store: store.listen("work"), lambda store: store.maintain()):
        with pytest.raises(StoreUnavailable, match=r"folder .*no/such does not exist"):
            call(store)
    store.notify("work")
    store.close()


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a folder"):
        put(duly.store.open(f"sqlite:///{tmp_path}"))


def test_an_empty_file_becomes_a_store(store: Store, path: Path) -> None:
    path.touch()
    put(store)
    assert count(store) == 1


def test_a_copy_that_lost_its_log_works(store: Store, path: Path, tmp_path: Path) -> None:
    kept = put(store)
    copy = tmp_path / "copy.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"VACUUM INTO '{copy}'")
    connection.close()
    copied = duly.store.open(f"sqlite:///{copy}")
    new = put(copied)
    assert {job.id for job in copied.jobs(Filter()).jobs} == {kept, new}
    copied.close()


@pytest.mark.parametrize(
    "url",
    ["sqlite:", "sqlite://", "sqlite:///", "sqlite://jobs.db", "sqlit:///x", "", "x?timeout=-1",
     "sqlite:///x?timeout=soon", "sqlite:///x?synchronous=OFF", "sqlite:///x?sync=1", "mysql://x"],
)  # fmt: skip
def test_a_url_that_cannot_be_understood(url: str) -> None:
    with pytest.raises(ConfigError):
        duly.store.open(url)
