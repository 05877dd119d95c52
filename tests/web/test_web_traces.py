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
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from web_kit import wait_for

from duly import Duly, Task
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


@app.task(bind=True)
def again(self: Task[..., None]) -> None:
    if self.request.attempt == 1:
        raise self.retry(countdown=1, exc=ValueError("not yet"))


seen: list[int] = []
"""The span that was current in ``see``."""

heard: list[dict[str, Any]] = []
"""The headers that ``hear`` came with."""


@app.task
def see() -> None:
    seen.append(trace.get_current_span().get_span_context().span_id)


@app.task(bind=True)
def hear(self: Task[..., None]) -> None:
    heard.append(dict(self.request.headers))


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
    assert run.attributes["duly.outcome"] == "succeeded"
    assert run.attributes["duly.lateness"] >= 0  # type: ignore[operator]
    assert run.attributes["duly.due"].startswith("20")  # type: ignore[union-attr]


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


def test_a_retry_is_a_word_in_its_span_and_the_next_attempt_has_a_trace_of_its_own(
    spans: InMemorySpanExporter, world: World
) -> None:
    again.delay()
    world.worker("w1")
    world.advance(10)
    [first, second] = [span for span in spans.get_finished_spans() if span.name == "process default"]
    assert [event.name for event in first.events] == ["retry"]
    assert first.status.is_ok or first.status.status_code is StatusCode.UNSET
    assert (first.attributes or {})["duly.outcome"] == "retry"
    assert (second.parent, len(second.links), (second.attributes or {})["duly.attempt"]) == (None, 1, 2)


def test_what_the_task_does_is_part_of_its_span_and_nothing_after_it(
    spans: InMemorySpanExporter, world: World
) -> None:
    seen.clear()
    see.delay()
    world.worker("w1")
    world.advance(5)
    assert seen == [named(spans, "process default").context.span_id]  # type: ignore[union-attr]
    assert not trace.get_current_span().get_span_context().is_valid


def test_what_a_caller_puts_into_the_headers_travels_beside_the_trace(
    spans: InMemorySpanExporter, world: World
) -> None:
    heard.clear()
    hear.apply_async(headers={"tenant": "acme"})
    world.worker("w1")
    world.advance(5)
    assert heard[0]["tenant"] == "acme"
    assert "traceparent" in heard[0]


def test_a_call_that_is_run_by_its_caller_has_both_spans_too(spans: InMemorySpanExporter) -> None:
    assert add.apply((1, 2)).get() == 3
    with pytest.raises(ValueError, match="no"):
        fail.apply(throw=True)
    first, second = [span for span in spans.get_finished_spans() if span.name == "process default"]
    assert [(span.attributes or {})["duly.outcome"] for span in (first, second)] == ["succeeded", "failed"]
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_attempt_that_is_not_sampled_hands_that_on_to_what_the_task_calls(world: World) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    stop = instrument(app, provider)
    heard.clear()
    seen.clear()
    try:
        hear.delay()
        see.delay()
        world.worker("w1")
        world.advance(5)
    finally:
        stop()
    assert heard[0]["traceparent"].endswith("-02")  # a trace, random, not sampled
    assert seen[0] != 0
    assert exporter.get_finished_spans() == ()


class _Broken(SpanProcessor):
    def on_start(self, span: object, parent_context: object = None) -> None:
        raise RuntimeError("a processor that cannot")


def test_what_is_wrong_with_the_sdk_is_logged_and_is_no_matter_of_the_jobs(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(_Broken())
    stop = instrument(app, provider)
    try:
        job = add.delay(1, 2)
        world.worker("w1")
        world.advance(5)
    finally:
        stop()
    assert job.get() == 3
    assert "OpenTelemetry could not follow a call" in caplog.text
    assert "OpenTelemetry could not follow an attempt" in caplog.text


LATE = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from duly import Duly, Task
from duly.contrib import otel

otel.LOOK = 0
app = Duly("late", store="sqlite:///:memory:")

@app.task
def add(x, y):
    return x + y

otel.instrument(app)
add.apply((1, 2))
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))
trace.set_tracer_provider(provider)
add.apply((1, 2))
"""


def test_an_sdk_that_is_set_up_after_instrument_is_found() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["process default", ""]


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
from duly import Duly, Task
app = Duly("logged")

@app.task
def speak():
    logging.getLogger("speaker").warning("hello %s", "there", extra={"customer": 42})

@app.task
def fail():
    raise ValueError("no")
"""


def test_a_worker_logs_json_that_names_the_job(tmp_path: Path) -> None:
    (tmp_path / "logged.py").write_text(TASKS)
    url = f"sqlite:///{tmp_path}/store.db"
    env = {**os.environ, "DULY_STORE": url, "PYTHONPATH": str(tmp_path)}
    log = tmp_path / "log"
    duly = [sys.executable, "-m", "duly", "-A", "logged"]
    worker = subprocess.Popen(
        [*duly, "worker", "-c", "1", "-l", "DEBUG", "--logformat", "json", "-f", str(log)], env=env, cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        called = subprocess.run(
            [*duly, "call", "logged.speak"], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        subprocess.run([*duly, "call", "logged.fail"], env=env, cwd=tmp_path, check=True)

        def said() -> list[Any]:
            return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

        ends = wait_for(lambda: (found := [line for line in said() if "outcome" in line])[1:] and found, 60)
        line = next(line for line in said() if line["logger"] == "speaker")
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(20)
    assert line["message"] == "hello there"
    assert (line["level"], line["task"], line["attempt"], line["customer"]) == ("WARNING", "logged.speak", 1, 42)
    assert line["job_id"] in called.stdout
    assert line["time"].endswith("Z")
    assert {(end["task"], end["outcome"]) for end in ends} == {
        ("logged.speak", "succeeded"),
        ("logged.fail", "failed"),
    }
    assert all(0 <= end["runtime"] < 60 for end in ends)


def test_whatever_is_logged_becomes_one_line_of_json() -> None:
    record = logging.makeLogRecord(
        {"msg": "two\nlines \ud800", "levelname": "INFO", "name": "x", "odd": {1: object()}}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "two\nlines" in json.loads(line)["message"]
