"""Celery's own tools against workers of duly, unchanged: inspect, control, status, events, Flower."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_kit import until
from tests.servers.celery import CeleryProgram
from tests.servers.process import free_port

from duly import Duly
from duly.celery import Celery
from duly.job import Filter

APP = """
import os, time
from duly import Duly

app = Duly("proj", store=os.environ["STORE"], broker=os.environ["BROKER"])

@app.task(rate_limit="1000/s", max_retries=3)
def add(x, y=0):
    return x + y

@app.task
def fail(*args):
    raise ValueError(*args)

@app.task
def slow(seconds):
    time.sleep(seconds)

@app.task(bind=True)
def flaky(self):
    if self.request.retries < 1:
        raise self.retry(countdown=0, exc=KeyError("not yet"))

@app.task(sensitive=("password",))
def login(name, password):
    return "token"

@app.task(sensitive=("password",))
def brood(password, seconds):
    time.sleep(seconds)
"""

CELERY = """
import json, os, sys, time
from celery import Celery

app = Celery("proj", broker=os.environ["BROKER"])
NODE = os.environ["NODE"]

@app.task
def slow(seconds):
    time.sleep(seconds)

inspect = app.control.inspect(destination=[NODE], timeout=10)
"""


class Place:
    """A worker of duly with a broker, and Celery's tools on the same broker."""

    def __init__(self, folder: Path, store: str, broker: str, queue: str) -> None:
        (folder / "duly").mkdir()
        (folder / "duly" / "proj.py").write_text(APP)
        self.node = f"{queue}@{socket.gethostname()}"
        self.queue = queue
        self.app = Duly("proj", store=store)
        environment = {"STORE": store, "BROKER": broker, "NODE": self.node}
        self.celery = CeleryProgram(folder / "celery", CELERY, environment)
        self._log = folder / "log"
        with open(self._log, "ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "duly", "-A", "proj", "worker", "-n", queue, "-Q", queue, "-c", "2", "-l",
                 "INFO"],
                cwd=folder / "duly", env={**os.environ, **environment}, stdout=log, stderr=log,
            )  # fmt: skip

    def call(self, task: str, *args: Any, **options: Any) -> str:
        return self.app.send_task(f"proj.{task}", args, queue=self.queue, **options).id

    def state(self, id: str) -> str:
        return self.app.jobs(Filter(ids=(id,))).jobs[0].state_name(self.app.now())

    def ask(self, code: str, patience: float = 60.0) -> Any:
        """What the last line says, as JSON."""
        return json.loads(self.celery.run(code, patience).splitlines()[-1])

    def log(self) -> str:
        return self._log.read_text() + self.celery.log()

    def close(self) -> None:
        self.celery.close()
        if self.worker.poll() is None:
            self.worker.kill()
        self.worker.wait()
        self.app.close()


@pytest.fixture(scope="module", params=["rabbitmq", "redis"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One worker for all tests of a broker; the last one ends it."""
    server = request.getfixturevalue(f"shared_{request.param}")
    broker = server.new_vhost() if request.param == "rabbitmq" else server.url(9)
    folder = tmp_path_factory.mktemp("place")
    made = Place(folder, f"sqlite:///{folder}/duly.db", broker, f"watched-{request.param}")
    try:
        until(lambda: made.node in made.celery.command("status").stdout, "the worker's answer", 60)
        yield made
    finally:
        made.close()


def test_inspect_shows_what_goes_on(place: Place) -> None:
    running = place.call("slow", 60)
    until(lambda: place.state(running) == "running", "it runs")
    later = place.call("add", 1, countdown=600)
    gone = place.call("add", 2, countdown=600)
    place.app.cancel(gone)
    said = place.ask(f"""
names = ["ping", "stats", "registered", "active_queues", "active", "reserved", "scheduled", "revoked", "conf",
         "report", "clock"]
found = {{name: (getattr(inspect, name)() or {{}}).get(NODE) for name in names}}
found["query"] = inspect.query_task("{running}", "{later}", "nobody")[NODE]
print(json.dumps(found))
""")
    assert said["ping"] == {"ok": "pong"}
    assert said["stats"]["pool"]["max-concurrency"] == 2
    assert said["stats"]["pid"] == place.worker.pid
    assert said["registered"] == [
        "proj.add [rate_limit=1000/s]", "proj.brood", "proj.fail", "proj.flaky", "proj.login", "proj.slow",
    ]  # fmt: skip
    assert [(one["name"], one["routing_key"]) for one in said["active_queues"]] == [(place.queue, place.queue)]
    assert [(one["id"], one["args"]) for one in said["active"]] == [(running, [60])]
    assert [one["request"]["id"] for one in said["scheduled"]] == [later]
    assert said["revoked"] == [gone]
    assert said["reserved"] == []
    assert "guest:guest" not in json.dumps(said)
    assert said["report"]["ok"].startswith("duly ")
    assert {id: state for id, (state, _) in said["query"].items()} == {running: "active", later: "scheduled"}
    for id in (running, later):
        place.app.control.revoke(id, terminate=True)


def test_every_field_of_celerys_answers_is_there(place: Place) -> None:
    """What a dashboard's script finds by its name in the answer of a worker of Celery's, it finds here."""
    theirs = f"theirs@{socket.gethostname()}"
    worker = place.celery.start("worker", "-n", theirs, "-Q", "theirs", "-c", "1", "-l", "WARNING")
    later = place.call("add", 1, countdown=600)
    said = place.ask(f"""
both = dict(destination=[NODE, "{theirs}"], limit=2)
soon, inspect = app.control.inspect(timeout=1, **both), app.control.inspect(timeout=30, **both)
app.send_task("proj.brood", ("hunter2", 60), queue="{place.queue}", task_id="broods")
slow.apply_async((60,), queue="theirs")
slow.apply_async((60,), queue="theirs", countdown=600)
while not all((soon.active() or {{}}).get(node) for node in (NODE, "{theirs}")): pass
while not (soon.scheduled() or {{}}).get("{theirs}"): pass
said = {{name: getattr(inspect, name)() for name in ["stats", "active", "scheduled", "active_queues", "ping"]}}
print(json.dumps(said | {{"named": inspect.registered("max_retries", "rate_limit")}}))
""")
    os.killpg(worker.pid, signal.SIGKILL)
    said["stats"][theirs]["pool"].pop("writes")  # how it feeds its children
    missing = {name: _fields(both[theirs]) - _fields(both[place.node]) for name, both in said.items()}
    assert missing == {name: set() for name in said}
    assert "proj.add [max_retries=3 rate_limit=1000/s]" in said["named"][place.node]
    assert "hunter2" not in json.dumps(said)
    with Celery("proj", store=place.app.store_url) as app:
        ours = app.control.inspect(timeout=20)
        for name in ("active", "scheduled", "active_queues", "ping"):
            assert _fields(said[name][theirs]) <= _fields(getattr(ours, name)()[place.node]), name
        missing = _fields(said["stats"][theirs]) - _fields(ours.stats()[place.node])
    assert {name for name in missing if not name.startswith(".broker")} == {".clock", ".total"}
    for id in ("broods", later):
        place.app.control.revoke(id, terminate=True)


def _fields(said: Any, path: str = "") -> set[str]:
    """The paths to all that a JSON value has; a list's items count as one, and tasks' and hosts' names as values."""
    if isinstance(said, list):
        return {field for one in said for field in _fields(one, path + "[]")}
    if not isinstance(said, dict) or path.endswith((".total", ".kwargs")):
        return set()
    return {f"{path}.{name}" for name in said} | {
        field for name, value in said.items() for field in _fields(value, f"{path}.{name}")
    }


def test_control_is_obeyed_or_refused_with_the_reason(place: Place) -> None:
    waiting, running = place.call("add", 1, countdown=600), place.call("slow", 60)
    until(lambda: place.state(running) == "running", "it runs")
    said = place.ask(f"""
def tell(name, *args, **kwargs):
    found = getattr(app.control, name)(*args, reply=True, timeout=10, destination=[NODE], **kwargs)
    return found[0][NODE] if found else None
print(json.dumps({{
    "revoke": tell("revoke", ["{waiting}", "{running}"]),
    "early": tell("revoke", "comes-later"),
    "rate": tell("rate_limit", "proj.add", "10/m"),
    "no task": tell("rate_limit", "proj.nope", "10/m"),
    "no rate": tell("rate_limit", "proj.add", "often"),
    "time": tell("time_limit", "proj.add", soft=5, hard=10),
    "grow": tell("pool_grow", 1), "shrink": tell("pool_shrink", 1),
    "autoscale": tell("autoscale", 4, 1), "restart": tell("pool_restart"),
    "unknown": tell("broadcast", "paint_it_black"),
    "wrong": tell("broadcast", "pool_grow", arguments={{"n": "many"}}),
    "on": tell("enable_events"), "again": tell("enable_events"), "off": tell("disable_events"),
    "elsewhere": app.control.ping(destination=["nobody@nowhere"], timeout=1),
    "pattern": len(app.control.broadcast("ping", reply=True, timeout=3, pattern="*@*", matcher="glob", limit=1)),
}}))
""")
    assert "flagged as revoked" in said["revoke"]["ok"]
    assert place.state(waiting) == "cancelled"
    assert place.state(running) == "running"  # as with Celery: only terminate ends what runs
    assert said["rate"] == {"ok": "new rate limit set successfully"}
    assert "unknown task" in said["no task"]["error"]
    assert "often" in said["no rate"]["error"]
    assert said["time"] == {"ok": "time limits set successfully"}
    assert said["grow"] == {"ok": "3 executors"}
    assert said["shrink"] == {"ok": "2 executors"}
    assert "--autoscale" in said["autoscale"]["error"]
    assert "jobs survive it" in said["restart"]["error"]
    assert "paint_it_black" in said["unknown"]["error"]
    assert said["wrong"]["error"].startswith("pool_grow: ")
    assert (said["on"], said["again"]) == ({"ok": "task events enabled"}, {"ok": "task events already enabled"})
    assert said["off"] == {"ok": "task events disabled"}
    assert said["elsewhere"] == []
    assert said["pattern"] == 1
    place.call("add", 3, countdown=600, task_id="comes-later")
    until(lambda: place.state("comes-later") == "cancelled", "what was revoked before it came")
    place.celery.run(f"app.control.terminate('{running}', signal='SIGKILL')")
    until(lambda: place.state(running) == "cancelled", "the end of what ran")


def test_events_tell_what_jobs_do(place: Place) -> None:
    listening = place.celery.folder / "listening"
    code = f"""
from pathlib import Path
seen = []
wanted = {{"ok": "task-succeeded", "bad": "task-failed", "twice": "task-succeeded", "stopped": "task-revoked",
           "secret": "task-succeeded"}}
def take(event):
    seen.append(event)
    if event["type"] == "worker-heartbeat": Path({str(listening)!r}).touch()
    if wanted.items() <= {{e.get("uuid"): e["type"] for e in seen}}.items(): receiver.should_stop = True
app.control.enable_events()
with app.connection() as connection:
    receiver = app.events.Receiver(connection, handlers={{"*": take}})
    receiver.capture(limit=None, timeout=30, wakeup=False)
print(json.dumps(seen))
"""
    told: list[Any] = []
    listener = threading.Thread(target=lambda: told.extend(place.ask(code)))
    listener.start()
    until(listening.exists, "somebody listens")
    place.call("add", 2, 3, task_id="ok")
    place.call("fail", "no", task_id="bad")
    place.call("flaky", task_id="twice")
    place.celery.run(f"app.send_task('proj.login', ('me', 'hunter2'), queue='{place.queue}', task_id='secret')")
    place.call("slow", 60, task_id="stopped")
    until(lambda: place.state("stopped") == "running", "it runs")
    place.app.control.revoke("stopped", terminate=True)
    listener.join(60)
    assert told, place.log()
    of: dict[str, list[str]] = {}
    for event in told:
        of.setdefault(event.get("uuid", ""), []).append(event["type"].removeprefix("task-"))
    assert of["ok"] == ["received", "started", "succeeded"]
    assert of["bad"] == ["received", "started", "failed"]
    assert of["twice"] == ["received", "started", "retried", "started", "succeeded"]
    assert of["stopped"] == ["received", "started", "revoked"]
    assert "worker-heartbeat" in of[""]
    found = {(event.get("uuid"), event["type"]): event for event in told}
    assert found["ok", "task-received"]["args"] == "(2, 3)"
    assert found["ok", "task-succeeded"]["result"] == "5"
    assert 0 <= found["ok", "task-succeeded"]["runtime"] < 60
    assert found["bad", "task-failed"]["exception"] == "ValueError('no')"
    assert found["twice", "task-retried"]["exception"] == "KeyError('not yet')"
    assert "hunter2" not in json.dumps(told)
    assert all(event["hostname"] == place.node for event in told)


@pytest.mark.parametrize("place", ["rabbitmq"], indirect=True)
def test_flower_sees_the_worker_and_its_tasks(place: Place) -> None:
    port = free_port()
    place.celery.environment["FLOWER_UNAUTHENTICATED_API"] = "1"
    place.celery.start("flower", f"--port={port}", "--address=127.0.0.1")
    until(lambda: place.node in _get(port, "workers?refresh=1"), "Flower knows the worker", 60)
    place.celery.run("app.control.enable_events(destination=[NODE], reply=True, timeout=10)")
    for id in ("f1", "f2"):
        place.call("add", 2, 3, task_id=id)
    place.call("fail", "no", task_id="f3")

    def states() -> dict[str, str]:
        found = json.loads(_get(port, "tasks") or "{}").items()
        return {id: task["state"] for id, task in found if id in ("f1", "f2", "f3")}

    until(lambda: states() == {"f1": "SUCCESS", "f2": "SUCCESS", "f3": "FAILURE"}, "Flower knows the tasks", 30)
    worker = json.loads(_get(port, "workers?refresh=1"))[place.node]
    assert [queue["name"] for queue in worker["active_queues"]] == [place.queue]
    assert worker["stats"]["total"]["proj.add"] >= 2


@pytest.mark.parametrize("place", ["redis"], indirect=True)
def test_queues_are_added_and_taken_away_and_the_worker_shut_down(place: Place) -> None:
    done = place.celery.command("control", "-d", place.node, "-t", "10", "add_consumer", "more")
    assert "add consumer more" in done.stdout, place.log()
    place.celery.run("app.send_task('proj.add', (1, 2), queue='more', task_id='of-more')")
    until(lambda: place.app.store.results(["of-more"]) != [None], "a message of the new queue")
    until(lambda: place.state("of-more") == "succeeded", "its end")
    done = place.celery.command("control", "-d", place.node, "-t", "10", "cancel_consumer", "more")
    assert "no longer consuming from more" in done.stdout, place.log()
    place.celery.run("app.control.shutdown()")
    assert place.worker.wait(30) == 0, place.log()


def _get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=15) as answer:
            return str(answer.read().decode())
    except OSError:  # it is still starting, or a worker did not answer it in time
        return ""
