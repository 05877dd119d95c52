"""The rules: what is unsafe in a Celery project, why, and what to do. Each takes the facts and gives findings.

The figures are defaults of Celery 5.6, kombu and RabbitMQ 3.12: a visibility timeout of an hour on Redis and SQS, and
a consumer timeout of half an hour, after which RabbitMQ closes the channel of whoever holds a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from duly.lint.facts import UNKNOWN, Facts, Place, Said
from duly.lint.values import seconds
from duly.schedules.words import plural

VISIBILITY = 3600.0  # seconds
CONSUMER_TIMEOUT = 1800.0  # seconds
BRIEF = 60.0  # seconds that a worker may well hold a job
LONG_VISIBILITY = 12 * 3600.0  # seconds

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    rule: str
    severity: Severity  # error: unsafe as it stands; warning: unsafe if something happens, or is as it seems
    place: Place
    text: str  # what is so, and why it matters
    do: str  # what to do, with Celery and with duly


def judge(facts: Facts) -> list[Finding]:
    """All findings, by place."""
    found = [finding for rule in _RULES for finding in rule(facts)]
    return sorted(found, key=lambda each: (each.place, each.rule))


# -- eta -----------------------------------------------------------------------------------------


def _eta(facts: Facts) -> Iterator[Finding]:
    """Jobs due ahead, which a worker holds in memory without acknowledging them."""
    for call in facts.calls:
        if call.options.get("eta", None) not in (None,):
            said, ahead = "eta=", None
        elif call.options.get("countdown", None) is not None:
            said, ahead = "countdown=", seconds(call.options["countdown"])
        else:
            continue
        if ahead is None:
            text = f"{call.name}({said}...): if this can be more than {_limit_words(facts)} ahead, {_held(facts)}"
            yield Finding("eta", "warning", call.place, text, _ETA_DO)
        elif ahead > _limit(facts):
            text = f"{call.name}({said}{ahead:g}) is more than {_limit_words(facts)} ahead: {_held(facts)}"
            yield Finding("eta", "error", call.place, text, _ETA_DO)
        elif ahead > BRIEF:
            text = (
                f"{call.name}({said}{ahead:g}): a worker holds the job in its memory until then, beyond its prefetch "
                "count; many of them fill it, and it cannot be listed, moved or cancelled for good"
            )
            yield Finding("eta", "warning", call.place, text, _ETA_DO)


def _retry_delay(facts: Facts) -> Iterator[Finding]:
    """Retries are jobs due ahead, too."""
    for task in facts.tasks:
        for name in ("default_retry_delay", "retry_backoff_max"):
            delay = seconds(task.options.get(name))
            if delay is not None and delay > _limit(facts):
                text = f"task {task.name}: {name}={delay:g} is more than {_limit_words(facts)}: {_held(facts)}"
                yield Finding("eta", "error", task.place, text, _ETA_DO)


_ETA_DO = (
    "Celery: keep it below the limit, or store the time yourself and start the task from a schedule. duly: nothing, "
    "a job that is due ahead is a row in the store"
)


def _limit(facts: Facts) -> float:
    if _broker(facts) != "redis":
        return CONSUMER_TIMEOUT
    return _visibility(facts)[0]


def _limit_words(facts: Facts) -> str:
    return f"{_limit(facts):g} s"


def _held(facts: Facts) -> str:
    if _broker(facts) == "redis":
        return "the broker's visibility timeout gives it to another worker as well, and it runs twice"
    if _broker(facts) == "amqp":
        return (
            "RabbitMQ's consumer_timeout closes the channel of the worker that holds it, and jobs are lost or doubled"
        )
    return "the broker takes it for lost while a worker holds it: RabbitMQ closes the channel, Redis runs it twice"


# -- acknowledging -------------------------------------------------------------------------------


def _ack(facts: Facts) -> Iterator[Finding]:
    late_everywhere = _on(facts, "task_acks_late")
    reject_everywhere = _on(facts, "task_reject_on_worker_lost")
    late = [task for task in facts.tasks if task.options.get("acks_late") is True]
    early = [task for task in facts.tasks if "acks_late" not in task.options or task.options["acks_late"] is False]
    if not late_everywhere and early and (app := _app(facts)) is not None:
        text = (
            f"acknowledged before it runs, for acks_late is off: {plural(len(early), 'task')} ({_some(early)}); if "
            "the worker dies meanwhile, the job is gone"
        )
        yield Finding("ack", "warning", app, text, _ACK_DO)
    if reject_everywhere:
        return
    lost = (
        "a job whose process is killed (out of memory, a segfault) is acknowledged as failed and does not run again"
    )
    for task in late:
        if task.options.get("reject_on_worker_lost") is not True:
            text = f"task {task.name}: acks_late without reject_on_worker_lost: {lost}"
            yield Finding("ack", "warning", task.place, text, _ACK_DO)
    if late_everywhere and (said := facts.setting("task_acks_late")) is not None:
        text = f"task_acks_late without task_reject_on_worker_lost: {lost}"
        yield Finding("ack", "warning", said.place, text, _ACK_DO)


_ACK_DO = (
    "Celery: acks_late and reject_on_worker_lost for tasks that may run twice. duly: always so, three times at most; "
    "at_most_once=True for those that may not"
)


# -- visibility ----------------------------------------------------------------------------------


def _visible(facts: Facts) -> Iterator[Finding]:
    if _broker(facts) != "redis":
        return
    visibility, place = _visibility(facts)
    place = place or _app(facts)
    if place is None:
        return
    set_ = facts.setting("broker_transport_options") is not None
    said = f"visibility_timeout is {visibility:g} s{'' if set_ else ', the default'}"
    for task in facts.tasks:
        hard = seconds(task.options.get("time_limit"))
        if hard is not None and hard > visibility and _is_late(facts, task):
            text = (
                f"task {task.name} may run for {hard:g} s and acknowledges late, but {said}: it is run a second time"
            )
            yield Finding("visibility", "error", task.place, text, _VISIBILITY_DO)
    late = [task for task in facts.tasks if _is_late(facts, task) and not _limited(facts, task)]
    if late:
        text = (
            f"{said}: each of {plural(len(late), 'task')} with acks_late and without a time limit is run twice when "
            f"it takes longer ({_some(late)})"
        )
        yield Finding("visibility", "warning", place, text, _VISIBILITY_DO)
    if visibility > LONG_VISIBILITY:
        text = f"{said}: a job whose worker was killed comes back only after that"
        yield Finding("visibility", "warning", place, text, _VISIBILITY_DO)


_VISIBILITY_DO = (
    "Celery: a visibility_timeout above the longest task and the farthest eta, and time limits below it. duly: "
    "nothing to set, the worker's lease is renewed from another process however long a task runs"
)


# -- time limits ---------------------------------------------------------------------------------


def _limits(facts: Facts) -> Iterator[Finding]:
    for task in facts.tasks:
        soft, hard = seconds(task.options.get("soft_time_limit")), seconds(task.options.get("time_limit"))
        if soft and hard and soft >= hard:
            text = f"task {task.name}: soft_time_limit={soft:g} is never reached, it is killed at time_limit={hard:g}"
            yield Finding("timeout", "error", task.place, text, "make the soft limit smaller")
    soft_said, hard_said = facts.setting("task_soft_time_limit"), facts.setting("task_time_limit")
    if soft_said and hard_said:
        soft, hard = seconds(soft_said.value), seconds(hard_said.value)
        if soft and hard and soft >= hard:
            text = f"task_soft_time_limit={soft:g} is never reached, tasks are killed at task_time_limit={hard:g}"
            yield Finding("timeout", "error", soft_said.place, text, "make the soft limit smaller")
    without = [task for task in facts.tasks if not _limited(facts, task)]
    if without and (app := _app(facts)) is not None:
        text = (
            f"without a time limit: {plural(len(without), 'task')} ({_some(without)}); one that hangs, at a socket "
            "without a timeout say, holds its slot for ever, and what was prefetched behind it"
        )
        yield Finding("timeout", "warning", app, text, _TIMEOUT_DO)


_TIMEOUT_DO = (
    "task_time_limit and task_soft_time_limit for all, and others for those that take long; the same with duly, "
    "where nothing waits behind a slow job"
)


# -- pickle --------------------------------------------------------------------------------------


def _pickle(facts: Facts) -> Iterator[Finding]:
    for said in facts.settings:
        if said.name in ("task_serializer", "result_serializer", "accept_content", "result_accept_content") and (
            _names_pickle(said.value)
        ):
            yield Finding("pickle", "error", said.place, f"{said.name} names pickle: {_PICKLE}", _PICKLE_DO)
    for each in (*facts.tasks, *facts.calls):
        if _names_pickle(each.options.get("serializer")):
            yield Finding("pickle", "error", each.place, f"{each.name}: serializer='pickle': {_PICKLE}", _PICKLE_DO)


_PICKLE = "whoever can write to the broker or the result backend can run any code in a worker"
_PICKLE_DO = (
    "json, with plain values as arguments. duly: JSON reads datetimes, Decimals, UUIDs, dataclasses back by the "
    "task's annotations; pickle still works where accept_content names it"
)


# -- what could not be read ----------------------------------------------------------------------


def _unread(facts: Facts) -> Iterator[Finding]:
    for place, why in facts.unread:
        yield Finding(
            "unread", "warning", place, f"this file cannot be read: {why}", "what is in it was not looked at"
        )


_RULES = (_eta, _retry_delay, _ack, _visible, _limits, _pickle, _unread)


# -- what the rules have in common -----------------------------------------------------------------


def _broker(facts: Facts) -> str:
    said = facts.setting("broker_url")
    url = str(said.value) if said is not None and isinstance(said.value, str) else ""
    scheme = url.partition(":")[0]
    if scheme.startswith(("redis", "rediss", "sentinel", "sqs")):
        return "redis"  # the brokers with a visibility timeout
    return "amqp" if "amqp" in scheme or scheme == "pyamqp" else "unknown"


def _visibility(facts: Facts) -> tuple[float, Place | None]:
    said = facts.setting("broker_transport_options")
    if said is None or not isinstance(said.value, dict):
        return VISIBILITY, None if said is None else said.place
    found = seconds(said.value.get("visibility_timeout"))
    return VISIBILITY if found is None else found, said.place


def _on(facts: Facts, name: str) -> bool:
    said = facts.setting(name)
    return said is not None and said.value is not UNKNOWN and bool(said.value)


def _is_late(facts: Facts, task: Said) -> bool:
    return task.options.get("acks_late", _on(facts, "task_acks_late")) is True


def _limited(facts: Facts, task: Said) -> bool:
    names = ("time_limit", "soft_time_limit")
    return any(task.options.get(name) for name in names) or any(
        facts.setting(f"task_{name}") is not None for name in names
    )


def _names_pickle(found: Any) -> bool:
    words = found if isinstance(found, list | tuple | set) else [found]
    return any(isinstance(word, str) and ("pickle" in word or "x-python-serialize" in word) for word in words)


def _app(facts: Facts) -> Place | None:
    """Where to show what concerns the project as a whole."""
    if facts.apps:
        return facts.apps[0].place
    return facts.tasks[0].place if facts.tasks else None


def _some(tasks: list[Said]) -> str:
    names = ", ".join(task.name for task in tasks[:3])
    return names if len(tasks) <= 3 else f"{names} and {len(tasks) - 3} more"
