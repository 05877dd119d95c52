"""From a message to the job it becomes, whatever it is.

A job has its message's id, so a message that comes again is stored once. What cannot be read becomes a job too, of
the task ``duly.unreadable``, which fails with the reason: so it is seen where people look for what failed, its bytes
among its arguments, and nothing is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from duly import builtin
from duly.call import MAX_INSTANT, check_length
from duly.clock import MICROS
from duly.codec import encode_value
from duly.errors import DecodeError
from duly.failure import describe
from duly.gateway import wire
from duly.gateway.envelope import Envelope, fingerprint
from duly.gateway.following import Adopted, Here, with_what_follows
from duly.gateway.wire import Message
from duly.job import MAX_PRIORITY, Flag, Job, Options, Place
from duly.task import Task

log = logging.getLogger("duly.gateway")

_ALIASES = {"celery.map": builtin.MAP, "celery.starmap": builtin.STARMAP}
"""Celery's tasks that are called otherwise here."""

_encode = msgspec.json.Encoder().encode
_NO_OPTIONS = Options()
_IGNORE_RESULT = int(Flag.IGNORE_RESULT)


class _Known(msgspec.Struct, frozen=True):
    """What a task brings to each of its jobs."""

    task: Task[..., Any] | None
    flags: int
    expires: int | None  # µs after its due
    sensitive: tuple[str | int, ...]
    limited: bool  # its jobs have a limit_key
    max_retries: int | None


class Adopter:
    """Makes jobs of one app's tasks; one for each door."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._app = app = here.app
        self._priority = here.priority
        self._accept = app.conf.accept_content
        self._known: dict[str, _Known] = {}

    def adopted(self, envelope: Envelope, queue: str, now: int) -> Adopted:
        """What is stored for a message that came on ``queue``. ``now``: the store's clock. Raises nothing."""
        try:
            message = wire.decode(envelope, self._accept, self._app.zone)
            return with_what_follows(self._here, message, self.job(message, queue, now))
        except Exception as exc:  # what is in a message anybody may have written
            return Adopted([self.unreadable(envelope, queue, now, exc)], [])

    def unreadable(self, envelope: Envelope, queue: str, now: int, exc: BaseException) -> Job:
        """What a message becomes that is no job."""
        why = str(exc) if isinstance(exc, DecodeError) else describe(exc)
        log.error("a message on queue %s cannot be read and is kept as a failed job: %s", queue, why)
        kept = {
            "body": envelope.body,
            "content_type": envelope.content_type,
            "content_encoding": envelope.content_encoding,
            "headers": _plain(envelope.headers),
            "properties": _plain(envelope.properties),
        }
        return Job(
            id=f"unreadable-{fingerprint(envelope)}",
            task=builtin.UNREADABLE,
            due=now,
            args=encode_value([[why], kept], "a message"),
            queue=queue,
        )

    def job(self, message: Message, queue: str, now: int) -> Job:
        """The job of a message, without what follows it. Raises DecodeError, TypeError and ValueError."""
        for what, text in (("id", message.id), ("task", message.task)):
            check_length(what, text)
        known = self._known.get(message.task) or self._look_up(message.task)
        due = now if message.eta is None else message.eta
        if not 0 <= due <= MAX_INSTANT:
            raise DecodeError(f"eta {due} is not between 1970 and the year 9999")
        expires = message.expires if message.expires is not None or known.expires is None else due + known.expires
        job = Job(
            id=message.id,
            task=_ALIASES.get(message.task, message.task),
            due=due,
            args=message.args,
            queue=queue,
            priority=0 if message.priority is None else self._priority(message.priority),
            expires=expires,
            headers=encode_value(message.headers, "headers") if message.headers else None,
            options=self._options(message, known),
            flags=known.flags | _IGNORE_RESULT if message.ignore_result else known.flags,
        )
        if known.limited and known.task is not None:
            return known.task.limited(job, *known.task.codec.decode_args(job.args))
        return job

    @staticmethod
    def _options(message: Message, known: _Known) -> bytes | None:
        most = known.max_retries
        options = Options(
            time_limit=message.time_limit or None,
            soft_time_limit=message.soft_time_limit or None,
            max_retries=max(most - message.retries, 0) if message.retries and most is not None else None,
            sensitive=known.sensitive,
            place=_place(message),
        )
        return None if options == _NO_OPTIONS else _encode(options)

    def _look_up(self, name: str) -> _Known:
        task = self._app.known(_ALIASES.get(name, name))
        if task is None:
            conf = self._app.conf
            flags = (Flag.AT_MOST_ONCE if conf.task_at_most_once else 0) | (
                Flag.IGNORE_RESULT if conf.task_ignore_result else 0
            )
            return _Known(None, int(flags), None, (), False, conf.task_max_retries)
        defaults = task.defaults()
        known = self._known[name] = _Known(
            task=task,
            flags=defaults.flags,
            expires=None if defaults.expires is None else int(defaults.expires * MICROS),
            sensitive=defaults.sensitive,
            limited=task.options.get("limit_key") is not None,
            max_retries=task.max_retries,
        )
        return known


def rabbit_priority(number: int) -> int:
    """RabbitMQ's priorities are duly's, and may be more than 9."""
    return min(max(number, 0), MAX_PRIORITY)


def redis_priority(number: int) -> int:
    """On Redis 0 is first."""
    return MAX_PRIORITY - min(max(number, 0), MAX_PRIORITY)


def _place(message: Message) -> Place | None:
    root = message.root_id if message.root_id != message.id else None
    if root is None and message.parent_id is None and message.group is None:
        return None
    return Place(root=root, parent=message.parent_id, group=message.group, index=message.group_index)


def _plain(values: Mapping[str, Any]) -> Any:
    """Headers as people can read them, whatever is in them."""
    return msgspec.to_builtins(values, enc_hook=repr, str_keys=True)
