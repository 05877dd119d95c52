"""``call`` and ``result``: store one job, read what became of one."""

from __future__ import annotations

import time
from datetime import UTC
from typing import Any, cast

import click
import msgspec

from duly.call import CallOptions, Defaults, make_job
from duly.cli import times
from duly.cli.celery_flags import celery_flags
from duly.cli.data import raw
from duly.cli.reach import warn_unserved
from duly.cli.render import error_line, error_of, progress_line
from duly.cli.root import Verb, Whole
from duly.cli.select import find
from duly.cli.session import NOT_DONE, NOT_YET, Session, pass_session
from duly.cli.text import clean, clean_lines, compact, decode
from duly.clock import MICROS, from_micros
from duly.errors import DecodeError, EncodeError
from duly.job import Job, Result, State

POLL = 1.0  # seconds between looks when no wake-up comes


def json_option(text: str | None, option: str, kind: type[list[Any]] | type[dict[str, Any]]) -> bytes | None:
    """JSON typed by a person, compact, numbers untouched; a usage error if it is not of ``kind``."""
    if text is None:
        return None
    example = '[4, "x"]' if kind is list else '{"y": 4}'
    what = f"a JSON {'array' if kind is list else 'object'}, like '{example}'"
    try:
        if isinstance(msgspec.json.decode(text), kind):
            return compact(text.encode())
        problem = f"{clean(text)!r} is JSON, but not {what}"
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        problem = f"{clean(text)!r} is not JSON ({error}). Expected {what}"
    raise click.BadParameter(problem, param_hint=f"'{option}'")


def when_due(session: Session, eta: str | None, countdown: str | None) -> int | None:
    """The due that ``--eta`` or ``--countdown`` asks for; None when neither was given."""
    if eta is not None and countdown is not None:
        raise click.UsageError("give --eta or --countdown, not both")
    if countdown is not None:
        due = session.store.now() + session.span(countdown, "--countdown")
        if due > times.MAX_INSTANT:
            raise click.BadParameter(f"{countdown!r} ends after the year 9999", param_hint="'--countdown'")
        return due
    return None if eta is None else session.instant(eta, "--eta")


@click.command(cls=Verb)
@click.argument("task")
@click.option("-a", "--args", metavar="JSON", help="Positional arguments: a JSON array.")
@click.option("-k", "--kwargs", metavar="JSON", help="Keyword arguments: a JSON object.")
@click.option("--eta", metavar="TIME", help="When it is due.")
@click.option("--countdown", metavar="SPAN", help="Due after this long, e.g. 90 (seconds), 10m, 1h30m.")
@click.option("--expires", metavar="TIME", help="Not to be started at or after this time.")
@click.option("-Q", "--queue", metavar="QUEUE", help="Instead of the task's own queue.")
@click.option("--exchange", metavar="NAME", help="With --routing-key: the queue bound by it.")
@click.option("--routing-key", metavar="KEY", help="The queue that this key leads to (docs/routing.md).")
@click.option("--priority", type=Whole(0, 9), metavar="0-9", help="9 runs first.")
@click.option("--key", metavar="KEY", help="Only if no live job holds this key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: id and whether it was stored.")
@celery_flags("call")
@pass_session
def call(
    session: Session,
    task: str,
    args: str | None,
    kwargs: str | None,
    eta: str | None,
    countdown: str | None,
    expires: str | None,
    queue: str | None,
    exchange: str | None,
    routing_key: str | None,
    priority: int | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Store a job of TASK and print its id.

    With -A the arguments are checked against the task; with only a store they are taken as they are.
    """
    session.may_create = True
    data = b"[" + (json_option(args, "--args", list) or b"[]")
    data += b"," + (json_option(kwargs, "--kwargs", dict) or b"{}") + b"]"
    options: CallOptions = {
        "queue": queue, "exchange": exchange, "routing_key": routing_key, "priority": priority, "key": key
    }  # fmt: skip
    if session.app_spec is None and (exchange is not None or routing_key is not None):
        raise click.UsageError("--exchange and --routing-key need the app's task_queues: say which app with -A")
    due = when_due(session, eta, countdown)
    ends = session.instant(expires, "--expires") if expires is not None else None
    if ends is not None and ends <= (due or session.store.now()):
        raise click.UsageError(f"--expires {expires!r} is not after the job is due: it could never start")
    if due is not None:
        options["eta"] = from_micros(due)
    if ends is not None:
        options["expires"] = from_micros(ends)
    job = _job(session, task, data, options)
    [answer] = session.store.enqueue([job])
    warn_unserved(session, job.queue)
    if as_json:
        session.json({"id": answer.id, "stored": answer.stored})
    else:
        session.print(clean(answer.id))
        if not answer.stored:
            session.note(f"Nothing was stored: this job already holds the key {clean(str(key))!r}.")


def _job(session: Session, name: str, data: bytes, options: CallOptions) -> Job:
    """The job of a call: of the app's task with its own defaults, or of a bare name."""
    now = session.store.now()
    if not name:
        raise click.UsageError("an empty name names no task")
    task = session.app.find(name) if session.app_spec is not None else None
    try:
        if task is None:
            return make_job(Defaults(name, "default", 0, 0, None), data, options, now, UTC)
        arguments = task.codec.decode_args(data)
        given = cast(CallOptions, {name: value for name, value in options.items() if value is not None})
        defaults = task.defaults_of(*arguments, given)
        return make_job(defaults, task.codec.encode_args(*arguments), given, now, UTC)
    except (TypeError, ValueError, EncodeError, DecodeError) as error:
        raise click.UsageError(clean(str(error))) from None


@click.command(cls=Verb)
@click.argument("job_id", metavar="ID")
@click.option("--timeout", metavar="SPAN", help="Wait this long for it to finish, e.g. 30 (seconds), 10m.")
@click.option("--traceback", is_flag=True, help="Print the traceback of a failed job.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: id, state, result, error.")
@celery_flags("result")
@pass_session
def result(session: Session, job_id: str, timeout: str | None, traceback: bool, as_json: bool) -> None:
    """Print a job's result as JSON. ID may be abbreviated.

    Exit status 1 if it ended without one, 75 if it has not ended yet.
    """
    span = session.span(timeout, "--timeout") / MICROS if timeout is not None else 0.0
    found = _wait(session, find(session, job_id).id, span)
    if as_json:
        _print_json(session, found)
    elif found.state == State.SUCCEEDED:
        session.print(clean(decode(found.result)) if found.result is not None else "null")
    elif found.state.final:
        _print_error(session, found, traceback)
    else:
        _print_unfinished(session, found)
    if not found.state.final:
        session.leave(NOT_YET)
    if found.state != State.SUCCEEDED:
        session.leave(NOT_DONE)


def _wait(session: Session, job_id: str, timeout: float) -> Result:
    """The job as it is when it has ended, or when ``timeout`` seconds have passed."""
    deadline = time.monotonic() + timeout
    listener = session.store.listen("results")
    try:
        while True:
            [found] = session.store.results([job_id])
            if found is None:
                session.err.print(f"Error: job {clean(job_id)} was forgotten meanwhile.")
                session.leave(NOT_DONE)
            left = deadline - time.monotonic()
            if found.state.final or left <= 0:
                return found
            listener.wait(min(left, POLL))
    finally:
        listener.close()


def _print_json(session: Session, found: Result) -> None:
    state = found.state_name(session.store.now())
    session.json({"id": found.id, "state": state, "result": raw(found.result), "error": raw(found.error)})


def _print_error(session: Session, found: Result, traceback: bool) -> None:
    error = error_of(found.error)
    if traceback and error is not None and error.traceback is not None:
        for line in clean_lines(error.traceback):
            session.err.print(line, soft_wrap=True)
    reason = error_line(found.error)
    session.err.print(f"{found.state_name(0)}{': ' if reason else ''}{reason}", soft_wrap=True)


def _print_unfinished(session: Session, found: Result) -> None:
    now = session.store.now()
    name = found.state_name(now)
    progress = progress_line(found.progress)
    due = f", due {times.relative(found.due, now)}" if name in ("scheduled", "retrying") else ""
    session.err.print(f"not finished: {name}{due}{f': {progress}' if progress else ''}", soft_wrap=True)
