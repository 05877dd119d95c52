"""``duly status --watch``: what it shows in which room, and in a real terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import UTC
from fcntl import ioctl

import pytest

from duly.cli.render import SYMBOLS, Look
from duly.cli.watch import fitted, frame, read
from duly.ids import new_id
from duly.job import ErrorInfo, Job, Kind, Outcome, WorkerInfo
from duly.store import Store
from duly.store import open as open_store

SECOND = 1_000_000


@pytest.fixture
def url(store_url: str) -> str:
    return store_url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def busy(store: Store, queues: int = 2, failures: int = 30) -> None:
    """Some of everything: waiting, running and failed jobs, a paused queue, one that nobody serves."""
    import msgspec

    now = store.now()
    names = tuple(f"queue{i}" for i in range(queues))
    worker = store.register(WorkerInfo(name="w1", host="box", pid=7, queues=names, slots=2, started=now), 60 * SECOND)
    for name in (*names, "unserved"):
        store.enqueue([Job(id=new_id(), task="tasks.crawl", due=now - 5 * SECOND, queue=name) for _ in range(3)])
    store.enqueue([Job(id=new_id(), task="tasks.broken", due=now - SECOND, queue="queue0", priority=9)] * 1)
    for number in range(failures):
        store.enqueue([Job(id=new_id(), task="tasks.broken", due=now - SECOND, queue="queue1", priority=9)])
        lease = store.exchange(worker, 0, [], 1, ("queue1",)).leases[0]
        error = msgspec.json.encode(ErrorInfo(type="ValueError", message=f"cannot do {number}" + " and so on" * 20))
        store.exchange(worker, 0, [Outcome(lease, Kind.FAILED, now, now + 1500, error=error)], 0, ())
    store.exchange(worker, 1, [], 1, ("queue0",))
    store.pause("queue1")


def lines(store: Store, width: int, height: int) -> list[str]:
    seen = read(store)
    return [line.plain for line in frame(seen, Look(UTC, seen.now, width, SYMBOLS), height)]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 12), (60, 24), (200, 60)])
@pytest.mark.parametrize("queues", [2, 40])
def test_it_fits_the_screen(store: Store, width: int, height: int, queues: int) -> None:
    busy(store, queues)
    shown = lines(store, width, height)
    assert len(shown) <= height
    assert max(map(len, shown)) <= width


def test_everything_is_there_in_80_by_24(store: Store) -> None:
    busy(store)
    text = "\n".join(lines(store, 80, 24))
    for words in ("queue0", "queue1", "unserved", "paused", "w1@box", "1/2", "tasks.broken", "ValueError: cannot do"):
        assert words in text, text
    row = next(line for line in text.splitlines() if line.startswith("queue1"))
    assert "1.1s" in row, row  # 1 s late: the bound of its bucket


def test_an_empty_store_says_so(store: Store) -> None:
    text = "\n".join(lines(store, 80, 24))
    assert "No queues" in text
    assert "No workers. Start one" in text


def test_the_longest_section_is_cut_first_and_says_so() -> None:
    from rich.text import Text

    long, short = [Text(str(i)) for i in range(20)], [Text("head"), Text("row")]
    cut = fitted([long, short], 12)
    assert [line.plain for line in cut[1]] == ["head", "row"]
    assert len(cut[0]) == 8
    assert cut[0][-1].plain == "... 13 more lines"


class Terminal:
    """The command in a terminal of 80 x 24."""

    def __init__(self, url: str) -> None:
        self.master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "duly", "--store", url, "status", "--watch"],
            stdin=slave, stdout=slave, stderr=slave, env=os.environ | {"TERM": "xterm-256color"},
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def wait_for(self, words: str, patience: float = 30.0) -> None:
        end = time.monotonic() + patience
        while words not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(url: str, store: Store) -> Iterator[Terminal]:
    store.counts()  # so that there is a store
    terminal = Terminal(url)
    yield terminal
    terminal.close()


def test_it_follows_what_happens_and_q_ends_it(terminal: Terminal, store: Store) -> None:
    terminal.wait_for("No queues")
    store.enqueue([Job(id=new_id(), task="t", due=store.now(), queue="fresh")])
    terminal.wait_for("fresh")
    os.write(terminal.master, b"xq")
    assert terminal.process.wait(60) == 0


def test_ctrl_c_ends_it(terminal: Terminal) -> None:
    terminal.wait_for("No queues")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(60) == 0


def test_without_a_terminal_it_writes_a_line_a_second(url: str, store: Store) -> None:
    busy(store)
    with subprocess.Popen(
        [sys.executable, "-m", "duly", "--store", url, "status", "--watch"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        written = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert all("1 worker, 1 running, " in line and "\x1b" not in line for line in written), written
