"""``duly move-store`` with real processes: producers, workers on both stores, and a mover that is killed."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.servers.postgres import PostgresServer
from tests.servers.postgres import place as server_place
from tests.servers.redis import RedisServer
from tests.waiting import eventually

from duly import store as stores
from duly.ids import new_id
from duly.job import Filter, Job
from duly.store.contract import Store
from duly.store.moving import moves_of

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "duly", *words]


class Place:
    """Two stores and what is done with them."""

    def __init__(self, folder: Path, old: str, new: str) -> None:
        self.old, self.new = old, new
        self.notes = folder / "notes"
        self.notes.touch()
        self._log = folder / "log"
        self._environment = os.environ | {"NOTES": str(self.notes), "DULY_STORE": old}

    @contextmanager
    def running(self, words: list[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A process, ended with the block."""
        with open(self._log, "a") as log:
            process = subprocess.Popen(
                words, cwd=HERE, env=self._environment | environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def worker(self, url: str) -> list[str]:
        return command("-A", "moving_app", "--store", url, "worker", "-c", "1")

    def move(self, *options: str) -> subprocess.CompletedProcess[str]:
        words = command("move-store", self.old, self.new, *options)
        return subprocess.run(words, cwd=HERE, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def ran(self) -> collections.Counter[str]:
        return collections.Counter(self.notes.read_text().split())


@pytest.fixture(params=["sqlite-sqlite"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """FROM and TO, of the kinds that the parameter says."""
    with ExitStack() as ends:
        old, new = (
            _url(kind, tmp_path / name, ends)
            for kind, name in zip(request.param.split("-"), ("old", "new"), strict=True)
        )
        yield Place(tmp_path, old, new)


def _url(kind: str, place: Path, ends: ExitStack) -> str:
    if kind == "sqlite":
        return f"sqlite:///{place}.db"
    if kind == "redis":
        return ends.enter_context(RedisServer(place)).url()
    return ends.enter_context(PostgresServer(ends.enter_context(server_place()) / "postgres")).url()


@pytest.fixture
def old(place: Place) -> Iterator[Store]:
    store = stores.open(place.old)
    yield store
    store.close()


@pytest.mark.parametrize("place", ["sqlite-postgres", "postgres-redis"], indirect=True)
def test_live_with_a_mover_that_is_killed_nothing_is_lost_or_doubled(place: Place, old: Store) -> None:
    with ExitStack() as ends:
        ends.enter_context(place.running(place.worker(place.old)))
        producer = ends.enter_context(place.running([sys.executable, "moving_producer.py"]))
        eventually(lambda: len(place.ran()) > 100)
        killed_at = []
        for _ in range(4):
            with place.running(command("move-store", place.old, place.new, "--follow")) as mover:
                if not killed_at:
                    eventually(lambda: moves_of(old).moving())
                    ends.enter_context(place.running(place.worker(place.new)))
                before = len(place.ran())
                eventually(lambda before=before: len(place.ran()) > before + 100)
                mover.kill()
                killed_at.append(len(place.ran()))
        mover = ends.enter_context(place.running(command("move-store", place.old, place.new, "--follow")))
        producer.send_signal(signal.SIGTERM)
        said, _ = producer.communicate(timeout=PATIENCE)
        assert producer.returncode == 0, said
        mover.send_signal(signal.SIGINT)
        mover.wait(PATIENCE)
    made, right = map(int, said.split()[-2:])
    ran = place.ran()
    assert right == made == len(ran), f"killed at {killed_at}"
    assert [i for i, times in ran.items() if times > 1] == []
    assert place.move("--seal").returncode == 0
    assert old.jobs(Filter()).jobs == []


def test_an_emptied_store_is_sealed_and_says_where_jobs_belong(place: Place, old: Store) -> None:
    old.enqueue([Job(id=new_id(), task="t", due=0) for _ in range(3)])
    moved = place.move("--seal")
    assert (moved.returncode, moved.stdout) == (0, f"Moved 3 jobs to {place.new}. FROM is sealed.\n")
    called = subprocess.run(
        command("-A", "moving_app", "--store", place.old, "call", "moving_app.note", "-a", "[1]"),
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert called.returncode == 74
    assert called.stderr == (
        f"Error: this store was moved to {place.new} and takes no jobs any more; set the app's store (or DULY_STORE) "
        "to that one\n"
    )


def test_a_move_is_undone(place: Place, old: Store) -> None:
    moves_of(old).begin_move(place.new)
    words = command("move-store", place.old, "--undo")
    undone = subprocess.run(words, capture_output=True, text=True, check=False)
    assert undone.stdout == f"The move to {place.new} is ended; what was moved stays there.\n"
    again = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (
        2,
        f"Error: {place.old} is not being moved, so there is nothing to undo\n",
    )


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("sqlite:///no/such.db", "sqlite:///to.db"), 74, "such.db"),
        (("sqlite:///a.db", "sqlite:///a.db"), 2, "FROM and TO are both sqlite:///a.db"),
        (("sqlite:///a.db",), 2, "say where to: duly move-store FROM TO"),
        (("sqlite:///a.db", "mysql://h/db"), 2, "there is no such kind of store"),
    ],
)
def test_slips_are_told(tmp_path: Path, words: tuple[str, ...], status: int, says: str) -> None:
    done = subprocess.run(
        command("move-store", *words), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, says in done.stderr) == (status, True), done.stderr
    assert "Traceback" not in done.stderr
