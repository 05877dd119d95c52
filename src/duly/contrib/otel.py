"""OpenTelemetry: a span for each call and each attempt, and the trace carried from the one to the other.

::

    from duly.contrib.otel import instrument

    instrument(app)  # in the module that makes the app, so that callers and workers both do it

Names and attributes are those of the semantic conventions for messaging; what they have no word for begins with
``duly.``. A job that is due at its call continues its caller's trace. One that is due ahead begins a trace of its own
with a link to the caller's, because a trace that waits for days is of use to nobody.

The spans go where the program's own set-up of OpenTelemetry sends them; while there is none, nothing is done beyond
looking for one each LOOK. Whether a span is sampled is decided first, and what is not recorded is not worked out. An
attempt whose process is killed leaves no span: the log and the job's history have it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from opentelemetry import context, propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from duly import __version__
from duly.app import Duly
from duly.clock import MICROS, from_micros
from duly.codec import decode_value, encode_value
from duly.failure import describe, message
from duly.job import Job, Kind
from duly.request import Request

log = logging.getLogger("duly.otel")

LINKED = "duly-linked"
"""A header of jobs that begin a trace of their own."""

LOOK = 1.0
"""Seconds between two looks for an SDK while none is set up."""

_AHEAD = 1 * MICROS  # what is due further ahead is linked
_MOST = 200  # characters of what an exception says, in a status


class Instrumentation:
    """Follows the jobs of one app (``duly.tracing.Tracer``)."""

    def __init__(self, app: Duly, provider: TracerProvider | None) -> None:
        self._app = app
        self._tracer = None if provider is None else trace.get_tracer("duly", __version__, provider)
        self._look_at = 0.0  # monotonic seconds

    def call(self, job: Job) -> Job:
        """A call: a short span, whose context goes into the job's headers."""
        tracer = self._tracer or self._find()
        if tracer is None:
            return job
        try:
            span = tracer.start_span(
                f"create {job.queue}",
                kind=SpanKind.PRODUCER,
                attributes={
                    "messaging.system": "duly",
                    "messaging.operation.name": "create",
                    "messaging.operation.type": "create",
                    "messaging.destination.name": job.queue,
                    "messaging.message.id": job.id,
                    "duly.task.name": job.task,
                },
            )
            headers: dict[str, Any] = {} if job.headers is None else decode_value(job.headers)
            propagate.inject(headers, trace.set_span_in_context(span))
            if job.due > self._app.clock.now() + _AHEAD:
                headers[LINKED] = True
            span.end()
            return msgspec.structs.replace(job, headers=encode_value(headers, "headers"))
        except Exception as exc:
            _complain("a call", exc)
            return job

    def begin(self, request: Request) -> Attempt | None:
        """An attempt begins: its span is current until it ends."""
        tracer = self._tracer or self._find()
        if tracer is None:
            return None
        try:
            lease = request.lease
            headers = {} if lease.headers is None else decode_value(lease.headers)
            sent = propagate.extract(headers) if headers else context.Context()
            linked = LINKED in headers or lease.attempt > 1
            origin = trace.get_current_span(sent).get_span_context() if linked else trace.INVALID_SPAN_CONTEXT
            span = tracer.start_span(
                f"process {lease.queue}",
                context=context.Context() if linked else sent,
                kind=SpanKind.CONSUMER,
                attributes={
                    "messaging.system": "duly",
                    "messaging.operation.name": "process",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": lease.queue,
                    "messaging.message.id": lease.id,
                    "duly.task.name": lease.task,
                    "duly.attempt": lease.attempt,
                },
                links=[Link(origin)] if origin.is_valid else None,
            )
            return Attempt(span, request)
        except Exception as exc:
            _complain("an attempt", exc)
            return None

    def _find(self) -> trace.Tracer | None:
        """The program's own tracer, as soon as it has set up an SDK."""
        now = time.monotonic()
        if now < self._look_at:
            return None
        self._look_at = now + LOOK
        provider = trace.get_tracer_provider()
        if not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
            self._tracer = provider.get_tracer("duly", __version__)
        return self._tracer


class Attempt:
    """The span of an attempt, current in this context."""

    __slots__ = ("_due", "_recorded", "_span", "_started", "_token")

    def __init__(self, span: Span, request: Request) -> None:
        self._span = span
        self._recorded = span.is_recording()
        self._due = request.due
        self._started = request.now() if self._recorded else 0  # µs UTC on the store's clock
        self._token = context.attach(trace.set_span_in_context(span))

    def end(self, kind: Kind, exc: BaseException | None) -> None:
        context.detach(self._token)
        if not self._recorded:
            return
        span = self._span
        try:
            span.set_attributes({
                "duly.due": from_micros(self._due).isoformat(),
                "duly.lateness": max(self._started - self._due, 0) / MICROS,
                "duly.outcome": kind.name.lower(),
            })  # fmt: skip
            if exc is not None and kind is Kind.RETRY:  # no error, but worth a word
                span.add_event("retry", {"duly.reason": describe(exc)[:_MOST]})
            elif exc is not None:
                span.record_exception(exc)
                span.set_attribute("error.type", type(exc).__qualname__)
                span.set_status(Status(StatusCode.ERROR, message(exc)[:_MOST]))
            span.end()
        except Exception as wrong:
            _complain("the end of an attempt", wrong)


def instrument(app: Duly, tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make spans from now on, of this app's calls and attempts in this process; gives a function that ends it.

    ``tracer_provider`` None: the program's own, from the moment that it is set up.
    """
    made = app.tracer = Instrumentation(app, tracer_provider)

    def stop() -> None:
        if app.tracer is made:
            app.tracer = None

    return stop


def _complain(what: str, exc: Exception) -> None:
    log.error("OpenTelemetry could not follow %s: %s", what, describe(exc), exc_info=True)
