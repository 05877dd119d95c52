"""The real command in a process of its own, on a real store in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from duly.ids import new_id
from duly.job import Job, Kind, Lease, Outcome, WorkerInfo
from duly.store import open as open_store
from duly.store.contract import Store

TIMEOUT = 60  # seconds a command may take before the test fails


@dataclass
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Duly = Callable[..., Ran]


@pytest.fixture
def url(store_url: str) -> str:
    return store_url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def environment(url: str) -> dict[str, str]:
    """This process's, with the store set and without what would change the output."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "DULY_STORE")}
    return {**kept, "DULY_STORE": url, "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def duly(environment: dict[str, str], tmp_path: Path) -> Duly:
    def run(*words: str, env: dict[str, str] | None = None, stdin: str | None = None) -> Ran:
        merged = {**environment, **(env or {})}
        done = subprocess.run(
            [sys.executable, "-m", "duly", *words],
            env={name: value for name, value in merged.items() if value},
            cwd=tmp_path,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert "duly/cli/" not in done.stderr, done.stderr  # a traceback of duly's own
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def a_job(store: Store, task: str = "tasks.add", args: object = ([], {}), ahead: float = 0.0, **fields: Any) -> Job:
    """A job, stored; due ``ahead`` seconds from now."""
    due = store.now() + int(ahead * 1_000_000)
    job = Job(id=new_id(), task=task, due=due, args=msgspec.json.encode(args), **fields)
    store.enqueue([job])
    return job


def a_worker(store: Store, lease: int = 60_000_000, name: str = "w1") -> int:
    info = WorkerInfo(name=name, host="box", pid=4242, queues=("default",), slots=2, started=store.now())
    return store.register(info, lease)


def reserve(store: Store, worker: int, want: int = 1, queue: str = "default") -> list[Lease]:
    return store.exchange(worker, 0, [], want, (queue,)).leases


def settle(store: Store, worker: int, lease: Lease, kind: Kind, **fields: Any) -> None:
    now = store.now()
    outcome = Outcome(lease, kind, now - 1_200_000, now, **fields)
    assert not store.exchange(worker, 0, [outcome], 0, ()).refused


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until something is true."""

    def wait(what: Callable[[], bool], patience: float = 30.0) -> None:
        end = time.monotonic() + patience
        while not what():
            assert time.monotonic() < end, f"did not happen within {patience} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def within(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Duly:
    """The command in this process, for words that it refuses before it does anything: quicker than :func:`duly`."""
    from duly.cli import run as run_words

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DULY_STORE", environment["DULY_STORE"])

    def run(*words: str, env: dict[str, str] | None = None, stdin: str | None = None) -> Ran:
        status = run_words(words)
        return Ran(status, *capsys.readouterr())

    return run
