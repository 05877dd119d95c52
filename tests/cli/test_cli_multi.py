"""``duly multi``: which node gets what, and real workers started, restarted, stopped and killed."""

from __future__ import annotations

import os
import shlex
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Duly
from duly.cli.pidfile import holder
from duly.store.contract import Store

FILES = ("--pidfile=run/%n.pid", "--logfile=log/%n%I.log")


@pytest.fixture
def multi(duly: Duly, tmp_path: Path) -> Iterator[Duly]:
    (tmp_path / "shop.py").write_text(
        "from duly import Duly\napp = Duly('shop')\n@app.task(queue='q')\ndef nap(s): __import__('time').sleep(s)\n"
    )
    yield duly
    for pidfile in (tmp_path / "run").glob("*.pid"):
        if (pid := holder(str(pidfile))) is not None:
            os.kill(pid, signal.SIGKILL)


def commands(within: Duly, *words: str) -> dict[str, list[str]]:
    """What ``show`` prints, by node: the options after those that every node has."""
    ran = within("multi", "show", *words)
    assert ran.status == 0, ran.err
    lines = [shlex.split(line) for line in ran.out.splitlines()]
    assert all(line[1:5] == ["-m", "duly", "worker", "--detach"] for line in lines)
    return {line[5].removeprefix("--hostname="): line[8:] for line in lines}


def test_which_node_gets_what(within: Duly) -> None:
    shown = commands(
        within, "3", "-A", "proj", "-c", "4", "-c:1-2", "2", "-Q:worker3", "a,b", "-Q", "data", "-Q", "more",
        "--loglevel:1,3=DEBUG", "-lINFO", "-E", "--", "worker.lease=12",
    )  # fmt: skip
    rest = ["--", "worker.lease=12"]
    shared = ["--app=proj"]
    data = ["--queues=data", "--queues=more"]
    assert shown == {
        "worker1": [*shared, "--concurrency=2", *data, "--loglevel=DEBUG", "--task-events", *rest],
        "worker2": [*shared, "--concurrency=2", *data, "--loglevel=INFO", "--task-events", *rest],
        "worker3": [*shared, "--concurrency=4", "--queues=a,b", "--loglevel=DEBUG", "--task-events", *rest],
    }


def test_names_and_files(within: Duly, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = socket.gethostname()
    names = within("multi", "names", "2", "--range-prefix", "celery", "--suffix", "X", "--prefix=a").out.split()
    assert names == [f"acelery1X@{here}", f"acelery2X@{here}"]
    assert within("multi", "names", "w1", "w2@there", "--hostname=box").out.split() == ["w1@box", "w2@there"]
    assert within("multi", "expand", "%n|%h|%d|%i%I|%%", "w1@box").out.strip() == "w1|w1@box|box|0|%"
    shown = within("multi", "show", "w1", "w2", "--pidfile:w2=%n.x", "-f:1", "l-%n%I", *FILES).out.splitlines()
    assert f"--pidfile={tmp_path}/run/w1.pid --logfile={tmp_path}/l-%n%I" in shown[0]
    assert f"--pidfile={tmp_path}/w2.x --logfile={tmp_path}/log/%n%I.log" in shown[1]
    assert within("multi", "get", "w2", "w1", "w2", *FILES).out.split()[5] == "--hostname=w2"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    home = within("multi", "show", "1").out
    assert f"--pidfile={'/run/duly' if os.geteuid() == 0 else '/state/duly/run'}/worker1.pid" in home
    assert within("multi", "show", "1", "--executable", "/usr/bin/python9").out.startswith("/usr/bin/python9 -m duly")
    before = within("-A", "proj", "--config", "c", "multi", "show", "1", "--", "a=b").out.split()
    assert before[-4:] == ["--app=proj", "--config=c", "--", "a=b"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["strat", "2"], "multi has no verb 'strat'; did you mean 'start'?"),
        (["start"], "no nodes: name them, or say how many: 3"),
        (["start", "0"], "0 nodes: expected 1 to 1000"),
        (["start", "w", "w"], "is there twice"),
        (["start", "2", "-c:3", "4"], "there is no node 3; there are 2, counted from 1"),
        (["start", "w1", "w2", "-c:w3", "4"], "there is no node 'w3'; there are w1, w2"),
        (["start", "2", "--concurency=3"], "no option '--concurency'; did you mean '--concurrency'?"),
        (["start", "2", "-c"], "option '-c' needs a value"),
        (["start", "2", "--purge=3"], "option '--purge' takes no value"),
        (["start", "2", "--prefix:1=x"], "--prefix:1: this option is for all nodes"),
        (["stop", "2", "-99"], "there is no signal 99"),
        (["get"], "get needs a node, then the nodes"),
        (["get", "w3", "2"], "there is no node 'w3'"),
        (["expand"], "expand needs a template, then the nodes"),
        (["expand", "%z", "2"], "%z in '%z' stands for nothing"),
    ],
)
def test_what_cannot_be_read(within: Duly, words: list[str], wanted: str) -> None:
    ran = within("multi", *words)
    assert ran.status == 2
    assert wanted in " ".join(ran.err.split())
    assert ran.out == ""


def test_help(duly: Duly) -> None:
    for words in ([], ["help"], ["--help"], ["-h"]):
        ran = duly("multi", *words)
        assert ran.status == 0
        assert "stopwait" in ran.out
        assert max(map(len, ran.out.splitlines())) <= 80


def pids(tmp_path: Path) -> dict[str, int | None]:
    return {file.stem: holder(str(file)) for file in sorted((tmp_path / "run").glob("*.pid"))}


def test_start_restart_stop_and_kill(multi: Duly, store: Store, tmp_path: Path) -> None:
    words = ("2", "-A", "shop", "-c", "1", *FILES)
    ran = multi("multi", "start", *words)
    assert ran.status == 0, ran.err
    first = pids(tmp_path)
    assert list(first) == ["worker1", "worker2"]
    assert ran.out.splitlines() == [f"{name}@{socket.gethostname()} started, process {first[name]}" for name in first]
    assert {worker.name: worker.pid for worker in store.workers()} == first

    again = multi("multi", "start", *words)
    assert (again.status, again.out.count("is running already"), pids(tmp_path)) == (0, 2, first)

    ran = multi("multi", "restart", *words)
    second = pids(tmp_path)
    assert ran.status == 0
    assert set(second.values()).isdisjoint({*first.values(), None})

    ran = multi("multi", "kill", "worker1", *FILES)
    assert "(SIGKILL)" in ran.out
    ran = multi("multi", "stopwait", "2", *FILES)
    assert "worker2@" in ran.out
    assert ran.out.rstrip().endswith("has left")
    assert [pid for pid in pids(tmp_path).values() if pid] == []
    ran = multi("multi", "stop", "2", *FILES)
    assert ran.out.count("is not running: nobody holds") == 2
    assert ran.status == 0


def test_stop_takes_a_signal_and_does_not_wait(multi: Duly, store: Store, tmp_path: Path) -> None:
    assert multi("multi", "start", "w1", "-A", "shop", "-Q", "q", "-c", "1", *FILES).status == 0
    job = multi("-A", "shop", "call", "shop.nap", "-a", "[60]").out.strip()
    assert "(SIGQUIT)" in multi("multi", "stop_verify", "-QUIT", "w1", *FILES).out
    assert store.results([job])[0].state.name == "WAITING"  # type: ignore[union-attr]


def test_a_node_that_does_not_start_shows_why(multi: Duly) -> None:
    ran = multi("multi", "start", "w1", "-A", "nonesuch", *FILES)
    assert ran.status == 1
    assert f"w1@{socket.gethostname()} did not start (status 1)" in ran.out
    assert "no module 'nonesuch'" in ran.err
