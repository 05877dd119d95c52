"""OpenTelemetry spans from call to run, and logs as JSON with the job they are about."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from web_kit import wait_for

from duly import Duly
from duly.contrib.otel import instrument
from duly.testing import World
from duly.worker.logs import JsonFormatter

app = Duly("traced")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def fail() -> None:
    raise ValueError("no")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    stop = instrument(app, provider)
    yield exporter
    stop()


@pytest.fixture
def world() -> Iterator[World]:
    with World(app=app) as made:
        yield made


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    [found] = [span for span in exporter.get_finished_spans() if span.name == name]
    return found


def test_a_run_continues_the_trace_of_its_call(spans: InMemorySpanExporter, world: World) -> None:
    job = add.delay(1, 2)
    world.worker("w1")
    world.advance(5)
    call, run = named(spans, "create default"), named(spans, "process default")
    assert run.parent is not None
    assert run.parent.span_id == call.context.span_id  # type: ignore[union-attr]
    assert (call.kind, run.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert run.attributes is not None
    assert run.attributes["messaging.message.id"] == job.id
    assert run.attributes["messaging.system"] == "duly"
    assert run.attributes["duly.task.name"].endswith(".add")  # type: ignore[union-attr]
    assert run.attributes["duly.outcome"] == "success"


def test_an_appointment_has_a_trace_of_its_own_with_a_link(spans: InMemorySpanExporter, world: World) -> None:
    add.apply_async((1, 2), countdown=86_400)
    world.worker("w1")
    world.advance(days=1)
    world.advance(5)
    call, run = named(spans, "create default"), named(spans, "process default")
    assert run.parent is None
    assert [link.context.span_id for link in run.links] == [call.context.span_id]  # type: ignore[union-attr]


def test_a_failure_is_in_its_span(spans: InMemorySpanExporter, world: World) -> None:
    fail.delay()
    world.worker("w1")
    world.advance(5)
    run = named(spans, "process default")
    assert not run.status.is_ok
    assert run.attributes is not None
    assert run.attributes["error.type"] == "ValueError"
    assert [event.name for event in run.events] == ["exception"]


def test_nothing_is_left_when_it_is_ended(world: World) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(app, provider)()
    add.delay(1, 2)
    world.worker("w1")
    world.advance(5)
    assert exporter.get_finished_spans() == ()


TASKS = """
import logging
from duly import Duly
app = Duly("logged")

@app.task
def speak():
    logging.getLogger("speaker").warning("hello %s", "there", extra={"customer": 42})
"""


def test_a_worker_logs_json_that_names_the_job(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(TASKS)
    url = f"sqlite:///{tmp_path}/store.db"
    env = {**os.environ, "DULY_STORE": url, "PYTHONPATH": str(tmp_path)}
    log = tmp_path / "log"
    duly = [sys.executable, "-m", "duly", "-A", "logged"]
    worker = subprocess.Popen(
        [*duly, "worker", "-c", "1", "-l", "INFO", "--logformat", "json", "-f", str(log)], env=env, cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        called = subprocess.run(
            [*duly, "call", "logged.speak"], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )

        def said() -> object:
            lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            return next((line for line in lines if line["logger"] == "speaker"), None)

        line = wait_for(said, 30)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(20)
    assert line["message"] == "hello there"
    assert (line["level"], line["task"], line["attempt"], line["customer"]) == ("WARNING", "logged.speak", 1, 42)
    assert line["job_id"] in called.stdout
    assert line["time"].endswith("Z")


def test_whatever_is_logged_becomes_one_line_of_json() -> None:
    record = logging.makeLogRecord(
        {"msg": "two\nlines \ud800", "levelname": "INFO", "name": "x", "odd": {1: object()}}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "two\nlines" in json.loads(line)["message"]
