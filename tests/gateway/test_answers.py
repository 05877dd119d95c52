"""Answers to a real Celery client: it sends, jobs run here, and it reads their results as if Celery had run them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import pytest
from gateway_kit import until
from tests.servers.celery import CeleryProgram
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

from duly import Duly, group
from duly.errors import ConfigError
from duly.gateway.backends import Answer, RedisBackend, open_backend
from duly.gateway.publishing import KOMBU
from duly.gateway.running import Gateways
from duly.job import Filter
from duly.testing.embedded import embedded_worker

PROJECT = """
import os
from celery import Celery, chain, chord, group, signature, states
from celery.result import AsyncResult, GroupResult

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND"))
app.conf.task_default_queue = "here"

@app.task(name="proj.add")
def add(x, y=0): return x + y
@app.task(name="proj.tsum")
def tsum(numbers): return sum(numbers)
@app.task(name="proj.fail")
def fail(*args): raise ValueError(*args)
@app.task(name="proj.note")
def note(*args): return list(args)
@app.task(name="proj.blame")
def blame(id): return ["blamed", id]
@app.task(name="proj.flaky")
def flaky(): pass
@app.task(name="proj.steps")
def steps(): pass
@app.task(name="proj.becomes")
def becomes(*numbers): pass
@app.task(name="proj.theirs", queue="there")
def theirs(*args): return ["theirs", *args]
"""
"""What a Celery client knows. ``theirs`` is run by Celery's own worker, from the queue "there"."""


def make_app(store: str) -> Duly:
    app = Duly("proj", store=store)
    app.conf.update(task_default_queue="here", task_routes={"proj.theirs": {"queue": "there"}})

    @app.task(name="proj.add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task(name="proj.tsum")
    def tsum(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="proj.fail")
    def fail(*args: Any) -> None:
        raise ValueError(*args)

    @app.task(name="proj.note")
    def note(*args: Any) -> list[Any]:
        return list(args)

    @app.task(name="proj.blame")
    def blame(id: str) -> list[str]:
        return ["blamed", id]

    @app.task(name="proj.flaky", bind=True, max_retries=5)
    def flaky(self: Any) -> str:
        if self.request.retries < 1:
            raise self.retry(countdown=3600, exc=KeyError("not yet"))
        return "now"

    @app.task(name="proj.becomes", bind=True)
    def becomes(self: Any, *numbers: int) -> None:
        self.replace(group(add.s(number, 100) for number in numbers) | tsum.s())

    @app.task(name="proj.steps", bind=True)
    def steps(self: Any) -> str:
        self.update_state(state="HALF", meta={"done": 50})
        assert released.wait(120)
        return "whole"

    return app


released = threading.Event()


@contextmanager
def served(app: Duly, urls: Mapping[str, str]) -> Iterator[Duly]:
    """The app's jobs run in this process, and so do its gateways."""
    app.conf.update(broker_url=urls["BROKER"], result_backend=urls["BACKEND"], task_track_started=True)
    gateways = Gateways(app, ["here"])
    with embedded_worker(app, queues=["here"], concurrency=2):
        gateways.start()
        yield app
        gateways.close(10)


@pytest.fixture(scope="module")
def urls(shared_redis: RedisServer) -> dict[str, str]:
    return {"BROKER": shared_redis.url(5), "BACKEND": shared_redis.url(6)}


@pytest.fixture(scope="module")
def celery(urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryProgram]:
    with CeleryProgram(tmp_path_factory.mktemp("proj"), PROJECT, urls) as program:
        yield program


@pytest.fixture(scope="module")
def app(urls: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duly]:
    with served(make_app(f"sqlite:///{tmp_path_factory.mktemp('store')}/duly.db"), urls) as app:
        yield app


def test_values_come_back_as_they_are(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
from datetime import datetime, timezone
moment = datetime(2030, 1, 2, tzinfo=timezone.utc)
r = add.delay(2, 3)
print(r.get(timeout=20), r.state, r.children, r.date_done is not None)
print(note.delay(moment, "é", None).get(timeout=20) == [moment, "é", None])
""")
    assert said.splitlines() == ["5 SUCCESS [] True", "True"]


def test_a_failure_is_the_exception_with_the_workers_traceback(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
r = fail.delay("no", 7)
try: r.get(timeout=20)
except ValueError as exc: print(exc.args)
print(r.state, repr(r.result), "in fail" in r.traceback)
""")
    assert said.splitlines() == ["('no', 7)", "FAILURE ValueError('no', 7) True"]


def test_states_on_the_way_are_told(app: Duly, celery: CeleryProgram) -> None:
    released.clear()
    said = celery.run(
        """
import time
a, b = steps.delay(), flaky.delay()
end = time.time() + 60
while (a.state, b.state) != ("HALF", "RETRY") and time.time() < end: time.sleep(0.05)
print(a.id, b.id)
print(a.state, a.info, b.state, repr(b.info))
""",
        90,
    )
    ids, states = said.splitlines()
    assert states == "HALF {'done': 50} RETRY KeyError('not yet')"
    released.set()
    app.move(ids.split()[1], countdown=0)
    said = celery.run(f"print(*[AsyncResult(id).get(timeout=60) for id in {ids.split()!r}])", 90)
    assert said.splitlines() == ["whole now"]


def test_a_chain_goes_on_and_its_results_hang_together(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
r = (add.s(1, 2) | add.s(10) | note.s("x")).apply_async()
print(r.get(timeout=20), r.parent.get(timeout=20), r.parent.parent.get(timeout=20))
first = AsyncResult(r.parent.parent.id)
print([c.id for c in first.children] == [r.parent.id], [v for _, v in first.collect(timeout=20)])
from datetime import datetime, timedelta, timezone
moment = datetime(2030, 1, 2, tzinfo=timezone.utc)
soon = datetime.now(timezone.utc) + timedelta(seconds=1)
r = (note.s(moment) | note.s(moment).set(eta=soon, priority=3, expires=moment)).apply_async()
print(r.get(timeout=20) == [[moment], moment])
""")
    assert said.splitlines() == ["[13, 'x'] 13 3", "True [3, 13, [13, 'x']]", "True"]


def test_links_and_errbacks_are_called(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
r = add.apply_async((1, 1), link=[note.s("linked").set(task_id="linked-1")])
print(r.get(timeout=20), AsyncResult("linked-1").get(timeout=20))
r = fail.apply_async(("bad",), link_error=[blame.s().set(task_id="error-1")])
found = AsyncResult("error-1").get(timeout=20)
print(found == ["blamed", r.id], r.get(propagate=False))
""")
    assert said.splitlines() == ["2 [2, 'linked']", "True bad"]


def test_a_chain_that_fails_fails_all_that_waits(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
r = (fail.s("first") | add.s(1) | add.s(2)).apply_async()
try: r.get(timeout=20)
except Exception as exc: print(type(exc).__name__, exc)
print(r.state, r.parent.state, r.parent.parent.state)
""")
    assert said.splitlines() == ["ValueError first", "FAILURE FAILURE FAILURE"]


def test_groups_and_chords_are_counted_as_celery_counts(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
g = group(add.s(i, i) for i in range(5)).apply_async()
print(g.get(timeout=20))
c = chord((add.s(i, i) for i in range(5)), tsum.s()).apply_async()
print(c.get(timeout=20), [r.get(timeout=20) for r in c.parent.results])
c = (group(add.s(i) | add.s(100) for i in range(3)) | tsum.s() | add.s(1000)).apply_async()
print(c.get(timeout=20))
c = chord([add.s(1, 1), fail.s("member")], tsum.s()).apply_async()
try: AsyncResult(c.id).get(timeout=20)
except Exception as exc: print(type(exc).__name__, str(exc).split(" ", 2)[2])
g = (add.s(1, 1) | group(add.s(10), add.s(20)) | tsum.s()).apply_async()
print(g.get(timeout=20))
""")
    assert said.splitlines() == [
        "[0, 2, 4, 6, 8]",
        "20 [0, 2, 4, 6, 8]",
        "1303",
        "ChordError raised ValueError('member')",
        "34",
    ]


def test_a_job_that_puts_a_canvas_in_its_place_is_answered_by_that(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("""
print(becomes.delay(1, 2).get(timeout=20))
print((add.s(1, 2) | becomes.s(4) | add.s(1000)).apply_async().get(timeout=20))
""")
    assert said.splitlines() == ["203", "1207"]


def test_ignored_results_are_not_written(app: Duly, celery: CeleryProgram) -> None:
    id = celery.run("print(add.apply_async((1, 1), ignore_result=True).id)").strip()
    until(lambda: app.AsyncResult(id).state == "succeeded", "its end")
    said = celery.run(f"add.delay(1).get(timeout=60); print(AsyncResult({id!r}).state)", 90)  # the next one was told
    assert said.splitlines() == ["PENDING"]


def test_a_job_that_is_cancelled_is_revoked(app: Duly, celery: CeleryProgram) -> None:
    said = celery.run("print(add.apply_async((1, 1), countdown=600, task_id='far').id)")
    assert said.split() == ["far"]
    until(lambda: app.AsyncResult("far").state != "unknown", "far is stored")
    app.cancel("far")
    said = celery.run("""
r = AsyncResult("far")
try: r.get(timeout=20)
except Exception as exc: print(type(exc).__name__)
print(r.state)
""")
    assert said.splitlines() == ["TaskRevokedError", "REVOKED"]


def test_celerys_workers_go_on_with_ours_and_ours_with_theirs(app: Duly, celery: CeleryProgram) -> None:
    """Steps of one chain, and members of one chord, in both kinds of worker."""
    worker = celery.start("worker", "-Q", "there", "-c", "1", "--without-gossip", "--without-mingle", "-l", "WARNING")
    said = celery.run("""
r = (add.s(1, 2) | theirs.s() | note.s("ours again")).apply_async()
print(r.get(timeout=60))
c = chord([add.s(1, 1), theirs.s(5), add.s(2, 2), theirs.s(6)], note.s("body")).apply_async()
print(c.get(timeout=60))
r = add.apply_async((3, 4), link=[theirs.s("linked").set(task_id="theirs-linked")])
print(AsyncResult("theirs-linked").get(timeout=60))
""", patience=150)  # fmt: skip
    worker.terminate()
    assert said.splitlines() == [
        "[['theirs', 3], 'ours again']",
        "[[2, ['theirs', 5], 4, ['theirs', 6]], 'body']",
        "['theirs', 7, 'linked']",
    ], celery.log()


@pytest.mark.parametrize("kind", ["rabbitmq", "redis"])
def test_results_come_by_rpc(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    server = request.getfixturevalue(f"shared_{kind}")
    urls = {"BROKER": server.new_vhost() if kind == "rabbitmq" else server.url(7), "BACKEND": "rpc://"}
    with (
        served(make_app(f"sqlite:///{tmp_path}/duly.db"), urls),
        CeleryProgram(tmp_path / "celery", PROJECT, urls) as celery,
    ):
        said = celery.run("""
r = add.delay(2, 3)
print(r.get(timeout=20))
try: fail.delay("no").get(timeout=20)
except ValueError as exc: print("ValueError", exc)
r = (add.s(1, 2) | add.s(10)).apply_async()
print(r.get(timeout=20), r.parent.get(timeout=20))
print(sorted(group(add.s(i, i) for i in range(20)).apply_async().get(timeout=20)) == [2 * i for i in range(20)])
""")
    assert said.splitlines() == ["5", "ValueError no", "13 3", "True"]


def test_a_step_for_a_queue_that_is_not_there_declares_it(shared_rabbitmq: RabbitServer, tmp_path: Path) -> None:
    url = shared_rabbitmq.new_vhost()
    urls = {"BROKER": url, "BACKEND": "rpc://"}
    client = CeleryProgram(tmp_path / "celery", PROJECT, urls)
    with served(make_app(f"sqlite:///{tmp_path}/duly.db"), urls), client as celery:
        celery.run("(add.s(1, 2) | theirs.s()).apply_async()")
        vhost = unquote(url.rpartition("/")[2])
        until(lambda: shared_rabbitmq.queues(vhost).get("there", {}).get("ready") == 1, "it is there, with the step")


def test_an_answer_waits_for_a_back_end_that_is_away(tmp_path: Path, shared_redis: RedisServer) -> None:
    with RedisServer(tmp_path / "backend", {"appendonly": "yes"}) as backend:
        urls = {"BROKER": shared_redis.url(8), "BACKEND": backend.url()}
        with (
            served(make_app(f"sqlite:///{tmp_path}/duly.db"), urls) as app,
            CeleryProgram(tmp_path / "celery", PROJECT, {**urls, "BACKEND": ""}) as celery,
        ):
            backend.kill()
            celery.run("for i in range(3): add.apply_async((i, i), task_id=f'late-{i}')")
            until(lambda: app.AsyncResult("late-2").state == "succeeded", "they have ended")
            assert len(app.store.unanswered(10)) == 3
            backend.start()
            until(lambda: not app.store.unanswered(10), "all are told")
            metas = [json.loads(backend.ask("GET", f"celery-task-meta-late-{i}").splitlines()[1]) for i in range(3)]
    assert [meta["result"] for meta in metas] == [0, 2, 4]


WORKER = """
import os, time
from duly import Duly

app = Duly("proj", store=os.environ["STORE"], broker=os.environ["BROKER"], result_backend=os.environ["BACKEND"])

@app.task
def slow(seconds):
    time.sleep(seconds)
    return "done"
"""


def test_what_ends_while_its_worker_stops_is_told(tmp_path: Path, shared_redis: RedisServer) -> None:
    urls = {"BROKER": shared_redis.url(10), "BACKEND": shared_redis.url(11), "STORE": f"sqlite:///{tmp_path}/duly.db"}
    (tmp_path / "proj.py").write_text(WORKER)
    command = [sys.executable, "-m", "duly", "-A", "proj", "worker", "-c", "1", "-Q", "here"]
    with (
        closing(Duly("proj", store=urls["STORE"])) as app,
        CeleryProgram(tmp_path / "celery", PROJECT, urls) as celery,
    ):
        worker = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **urls})
        try:
            celery.run("app.send_task('proj.slow', (4,), task_id='long', queue='here')")
            until(lambda: app.AsyncResult("long").state == "running", "it runs")
            worker.terminate()
            assert celery.run("print(AsyncResult('long').get(timeout=30))").split() == ["done"]
            assert worker.wait(20) == 0
        finally:
            worker.kill()
            worker.wait()


def test_what_is_told_again_changes_nothing(tmp_path: Path, shared_redis: RedisServer) -> None:
    """As after a gateway that was killed between telling and noting it: a member of a chord, the last one."""
    urls = {"BROKER": shared_redis.url(8), "BACKEND": shared_redis.url(9)}
    with (
        served(make_app(f"sqlite:///{tmp_path}/duly.db"), urls) as app,
        CeleryProgram(tmp_path / "celery", PROJECT, urls) as celery,
    ):
        celery.run("""
r = chord([add.s(1, 1).set(task_id="m1"), add.s(2, 2).set(task_id="m2")], tsum.s().set(task_id="b1")).apply_async()
assert r.get(timeout=20) == 6
""")
        with sqlite3.connect(tmp_path / "duly.db") as db:
            assert db.execute("UPDATE jobs SET flags = flags & ~256 WHERE id IN ('m1', 'm2', 'b1')").rowcount == 3
        db.close()
        assert len(app.store.unanswered(10)) == 3
        app.store.notify("results")
        until(lambda: not app.store.unanswered(10), "all are told")
        said = celery.run("print(AsyncResult('b1').get(timeout=20), AsyncResult('m1').get(timeout=20))")
        assert said.split() == ["6", "2"]
        assert [one.outcome for one in app.store.attempts("b1")] == ["succeeded"]


def test_a_result_of_celerys_stays(shared_redis: RedisServer) -> None:
    """A SUCCESS that another worker has written is not written over."""
    back = RedisBackend(shared_redis.url(9), 60.0)
    back.publish([Answer("same", b'{"status": "SUCCESS", "result": 1}', None, None)])
    back.publish([Answer("same", b'{"status": "FAILURE", "result": 2}', None, None)])
    assert back.metas(["same", "other"]) == [{"status": "SUCCESS", "result": 1}, None]
    back.close()


def test_a_back_end_that_nobody_writes_to_is_refused() -> None:
    for url in ("db+sqlite:///x", "cache+memcached://h", "django-db", "redis+socket:///x", "redis://h:port"):
        with pytest.raises(ConfigError, match="result_backend="):
            open_backend(url, ["amqp://h//"], None, KOMBU)


def test_gateways_that_are_killed_lose_no_answer(tmp_path: Path, shared_redis: RedisServer) -> None:
    """Chains of two and chords, while the gateway is killed again and again: each gets its result, once."""
    urls = {"BROKER": shared_redis.url(12), "BACKEND": shared_redis.url(13), "STORE": f"sqlite:///{tmp_path}/duly.db"}
    (tmp_path / "proj.py").write_text(WORKER + ADDING)
    command = [sys.executable, "-m", "duly", "-A", "proj", "worker", "-c", "1", "-Q", "here"]
    worker = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **urls})
    enough, done = tmp_path / "enough", threading.Event()

    def kill_gateways() -> None:
        """Three, each some time after it was started."""
        killed = 0
        while killed < 3 and not done.wait(0.7):
            for child in psutil.Process(worker.pid).children():
                with suppress(psutil.Error):  # it has just ended by itself
                    if "gatekeeper" in " ".join(child.cmdline()):
                        child.kill()
                        killed += 1
        enough.touch()

    killer = threading.Thread(target=kill_gateways)
    with (
        closing(Duly("proj", store=urls["STORE"])) as app,
        CeleryProgram(tmp_path / "celery", PROJECT, urls) as celery,
    ):
        try:
            until(lambda: bool(app.store.workers()), "the worker")
            killer.start()
            said = celery.run(f"""
right = True
while right and not os.path.exists({str(enough)!r}):
    chains = [(add.s(i, 1) | add.s(100)).apply_async() for i in range(100)]
    chords = [chord([add.s(i, 1), add.s(i, 2), add.s(i, 3)], tsum.s()).apply_async() for i in range(30)]
    right = [r.get(timeout=60) for r in chains] == [i + 101 for i in range(100)]
    right = right and [r.get(timeout=60) for r in chords] == [3 * i + 6 for i in range(30)]
print(right)
""", patience=150)  # fmt: skip
            until(lambda: not app.store.unanswered(1), "all are told")
        finally:
            done.set()
            killer.join()
            worker.kill()
            worker.wait()
        assert said.split() == ["True"]
        assert all(job.attempt == 1 for job in app.jobs(Filter(), limit=1000).jobs)


ADDING = """
@app.task
def add(x, y=0):
    return x + y

@app.task
def tsum(numbers):
    return sum(numbers)
"""
