"""What a person reads, and the status a script gets, when something is wrong."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from conftest import Duly, a_job
from duly.store.contract import Store


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["jbos"], "Did you mean 'jobs'?"),
        (["jobs", "--staet", "x"], "--state"),
        (["jobs", "--state", "faild"], "did you mean 'failed'?"),
        (["jobs", "--due-from", "tomorow"], "'tomorow' is not a time"),
        (["jobs", "--tz", "Europe/Berln"], "did you mean 'Europe/Berlin'?"),
        (["result", "x", "--timeout", "soon"], "'soon' is not a length of time"),
        (["jobs", "--store", "sqlit:///x.db"], "did you mean sqlite://?"),
        (["jobs", "--after", "garbage"], "garbage"),
        (["jobs", "--workdir", "/nonesuch"], "/nonesuch"),
        (["worker"], "no app given"),
        (["worker", "-A", "x", "--lease", "1ms"], "too short"),
        (["show", ""], "an empty id"),
        (["show", "\udcff"], "is not UTF-8"),
        (["call", ""], "an empty name"),
        (["call", "x", "--key", ""], "key='' is empty"),
        (["call", "x", "--priority", "10"], "--priority"),
        (["call", "x", "--countdown", "999999999999"], "after the year 9999"),
        (["move", "x", "--to-queue", ""], "a queue needs a name"),
        (["tasks"], "no app given"),
        (["worker", "-A", "x", "-l", "INFOO"], "did you mean 'INFO'?"),
        (["worker", "-A", "x", "-P", "proces"], "did you mean 'process'?"),
    ],
)
def test_a_typo_is_named_with_its_remedy(duly: Duly, store: Store, words: list[str], wanted: str) -> None:
    store.counts()  # there is one to look at
    ran = duly(*words, env={"COLUMNS": "200"})
    assert ran.status == 2
    assert wanted in ran.err
    assert ran.out == ""


def test_without_a_store_the_three_ways_are_told(duly: Duly) -> None:
    ran = duly("jobs", env={"DULY_STORE": ""})
    assert ran.status == 2
    for way in ("-A", "--store", "DULY_STORE"):
        assert way in ran.err


def test_a_queue_without_jobs_is_perhaps_a_typo(duly: Duly, store: Store) -> None:
    a_job(store, queue="crawl")
    assert "did you mean 'crawl'?" in duly("jobs", "-Q", "crwal").err
    assert "did you mean 'crawl'?" in duly("cancel", "-Q", "crwal", "--yes").err


def test_a_store_that_is_none_is_told_with_status_74(duly: Duly, tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"this is no database" * 1000)
    ran = duly("jobs", "--store", f"sqlite:///{tmp_path}/no.db")
    assert ran.status == 74
    assert ran.err.startswith("Error: ")
    assert "no.db" in ran.err


def test_options_of_duly_work_before_and_after_the_verb(duly: Duly, store: Store, url: str) -> None:
    job = a_job(store)
    for words in (["--store", url, "jobs", "--json"], ["jobs", "--json", "--store", url]):
        assert duly(*words, env={"DULY_STORE": ""}).json[0]["id"] == job.id


def test_help_and_version_need_nothing(duly: Duly) -> None:
    nothing = {"DULY_STORE": ""}
    text = duly("--help", env=nothing).out
    assert "tomorrow 09:00" in text
    assert max(map(len, text.splitlines())) <= 80
    for verb in ("worker", "jobs", "show", "cancel", "move", "retry", "result", "call", "purge", "status", "forget",
                 "prune", "tasks", "config", "version"):  # fmt: skip
        assert f"\n  {verb} " in text
        ran = duly(verb, "--help", env=nothing)
        assert ran.status == 0
        assert max(map(len, ran.out.splitlines())) <= 80
    assert duly("--version", env=nothing).out.startswith("duly ")


def test_help_imports_only_what_it_needs(environment: dict[str, str]) -> None:
    """What keeps ``duly --help`` quick."""
    code = (
        "import sys; from duly.cli import run\n"
        "run(['--help'])\n"
        "heavy = {'rich', 'sqlite3', 'psutil', 'duly.worker', 'duly.store.sqlite'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_early_is_no_error(store: Store, environment: dict[str, str]) -> None:
    for _ in range(200):
        a_job(store, args=(["x" * 2000], {}))
    process = subprocess.Popen(
        [sys.executable, "-m", "duly", "jobs", "--json", "--limit", "200"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_ctrl_c_leaves_with_130(store: Store, environment: dict[str, str]) -> None:
    job = a_job(store, ahead=3600)
    words = [sys.executable, "-X", "importtime", "-m", "duly", "result", job.id, "--timeout", "1h"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        killer = threading.Timer(60, process.kill)  # or a failure would wait for ever
        killer.start()
        for line in process.stderr:
            if line.rstrip().endswith("duly.store.sqlite"):  # the last but for what waiting needs
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    killer.cancel()
    assert process.returncode == 130
    assert "Traceback" not in rest


def test_colours_only_on_a_terminal_that_wants_them(store: Store, environment: dict[str, str]) -> None:
    a_job(store)
    assert "\x1b[" in on_a_terminal(["jobs"], environment)
    assert "\x1b[" not in on_a_terminal(["jobs", "-C"], environment)
    assert "\x1b[" not in on_a_terminal(["jobs"], {**environment, "NO_COLOR": "1"})


def test_confirmation_is_asked_on_a_terminal(store: Store, environment: dict[str, str]) -> None:
    job = a_job(store, ahead=60)
    text = on_a_terminal(["cancel", "-Q", "default"], environment, answer=b"n\n")
    assert "Cancel 1 job (1 scheduled)?" in text
    assert "Nothing was changed" in text
    assert "prevented" in on_a_terminal(["cancel", "-Q", "default"], environment, answer=b"y\n")
    assert store.results([job.id])[0].state.name == "CANCELLED"  # type: ignore[union-attr]


def on_a_terminal(words: list[str], environment: dict[str, str], answer: bytes = b"") -> str:
    """What the command writes when all its streams are a terminal."""
    pid, master = pty.fork()
    if pid == 0:
        env = {**environment, "TERM": "xterm-256color", "COLUMNS": "80"}
        os.execve(sys.executable, [sys.executable, "-m", "duly", *words], env)
    os.write(master, answer)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and select.select([master], [], [], 30)[0]:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    os.waitpid(pid, 0)
    os.close(master)
    return shown.decode()
