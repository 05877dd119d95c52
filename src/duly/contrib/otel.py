"""OpenTelemetry: a span for each call and each attempt, and the trace carried from the one to the other.

::

    from duly.contrib.otel import instrument

    instrument(app)  # in the module that makes the app, so that callers and workers both do it

Names and attributes are those of the semantic conventions for messaging; what they have no word for begins with
``duly.``. A job that is due at its call continues its caller's trace. One that is due ahead begins a trace of its own
with a link to the caller's, because a trace that waits for days is of use to nobody.

It listens to signals, so nothing is done where it was not called. The spans go where the program's own set-up of
OpenTelemetry sends them; without one, nowhere. An attempt whose process is killed leaves no span: the log and the
job's history have it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from duly import __version__, signals
from duly.app import Duly
from duly.clock import MICROS, from_micros, to_micros
from duly.request import Request, current

LINKED = "duly-linked"
"""A header of jobs that begin a trace of their own."""

_AHEAD = 1 * MICROS  # what is due further ahead is linked


class Instrumentation:
    """The receivers of one ``instrument()``."""

    def __init__(self, app: Duly, provider: TracerProvider | None) -> None:
        self._app = app
        self._tracer = trace.get_tracer("duly", __version__, provider)
        self._running: dict[str, tuple[Span, Any]] = {}  # by job id: the attempt's span, and what detaches it
        self._pairs = (
            (signals.before_task_publish, self.publishing),
            (signals.task_prerun, self.starting),
            (signals.task_failure, self.failing),
            (signals.task_retry, self.retrying),
            (signals.task_postrun, self.ending),
        )

    def connect(self) -> None:
        for signal, receiver in self._pairs:
            signal.connect(receiver)

    def disconnect(self) -> None:
        for signal, receiver in self._pairs:
            signal.disconnect(receiver)

    def publishing(self, sender: str, headers: dict[str, Any], routing_key: str, **_: Any) -> None:
        """A call: a short span, whose context goes into the job's headers."""
        attributes = {
            "messaging.system": "duly",
            "messaging.operation.name": "create",
            "messaging.operation.type": "create",
            "messaging.destination.name": routing_key,
            "messaging.message.id": headers["id"],
            "duly.task.name": sender,
        }
        due = to_micros(datetime.fromisoformat(headers["eta"]), UTC)
        with self._tracer.start_as_current_span(
            f"create {routing_key}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            propagate.inject(headers)
        if due > self._app.clock.now() + _AHEAD:
            headers[LINKED] = True

    def starting(self, task: Any, **_: Any) -> None:
        """An attempt begins: its span is current until it ends."""
        request = current.get()
        if request is None:
            return
        sent = propagate.extract(dict(request.headers))
        origin = trace.get_current_span(sent).get_span_context()
        linked = bool(request.headers.get(LINKED)) or request.attempt > 1
        span = self._tracer.start_span(
            f"process {request.queue}",
            context=None if linked else sent,
            kind=SpanKind.CONSUMER,
            attributes=_attributes(request),
            links=[Link(origin)] if linked and origin.is_valid else (),
        )
        self._running[request.id] = span, context.attach(trace.set_span_in_context(span))

    def failing(self, task_id: str, exception: BaseException, **_: Any) -> None:
        """It raised, and is not repeated."""
        if task_id in self._running:
            span, _token = self._running[task_id]
            span.record_exception(exception)
            span.set_attribute("error.type", type(exception).__qualname__)
            span.set_status(Status(StatusCode.ERROR, str(exception)[:200]))

    def retrying(self, request: Request, reason: object, **_: Any) -> None:
        """It is to be repeated; that is no error, but worth a word."""
        if request.id in self._running:
            span, _token = self._running[request.id]
            span.add_event("retry", {"duly.reason": str(reason)[:200]})

    def ending(self, task_id: str, state: str = "", **_: Any) -> None:
        """It ended, whatever came of it."""
        found = self._running.pop(task_id, None)
        if found is not None:
            span, token = found
            span.set_attribute("duly.outcome", str(state).lower())
            context.detach(token)
            span.end()


def _attributes(request: Request) -> dict[str, str | int | float]:
    return {
        "messaging.system": "duly",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": request.queue,
        "messaging.message.id": request.id,
        "duly.task.name": request.task,
        "duly.attempt": request.attempt,
        "duly.due": from_micros(request.due).isoformat(),
        "duly.lateness": max(request.now() - request.due, 0) / MICROS,
    }


def instrument(app: Duly, tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make spans from now on, of this app's process; gives a function that ends it.

    ``tracer_provider`` None: the program's own.
    """
    made = Instrumentation(app, tracer_provider)
    made.connect()
    return made.disconnect
