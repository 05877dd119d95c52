"""The filter language of the jobs page: ``state:failed task:mail.* due:<1h args.user_id:42 -queue:slow timeout``.

A query is words. ``name:value`` asks about one thing, with a ``-`` in front for its opposite; any other word has to
be somewhere in the job's id, task, arguments or error. All of them have to hold. Values with spaces go in quotes.

A query becomes a ``Filter``, the part that a store answers from its indexes, and *tests* for the rest.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from duly import secrecy
from duly.cli import times
from duly.cli.text import decode, did_you_mean
from duly.job import STATE_NAMES, Filter, JobView
from duly.store.contract import Order
from duly.web import payload

Test = Callable[[JobView], bool]

WAITING = ("scheduled", "held", "queued", "retrying")
FINAL = ("succeeded", "failed", "cancelled", "uncertain")


class BadQuery(ValueError):
    """The query cannot be read; ``str()`` says where, and what to write."""


@dataclass(frozen=True)
class Term:
    """One word of a query."""

    name: str  # empty: free text
    value: str
    negated: bool


@dataclass(frozen=True)
class Query:
    """What is asked for."""

    text: str
    which: Filter
    tests: tuple[Test, ...]
    order: Order

    def matches(self, job: JobView) -> bool:
        return all(test(job) for test in self.tests)

    @property
    def is_everything(self) -> bool:
        return self.which == Filter() and not self.tests


_WORD = re.compile(
    r'(?P<minus>-?)(?:(?P<name>[a-z_]+(?:\.[^\s:"]+)?):)?'
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>\S+))'
)


def terms(text: str) -> list[Term]:
    """The words of a query. Raises BadQuery."""
    found = []
    at = 0
    text = text.strip()
    while at < len(text):
        word = _WORD.match(text, at)
        if word is None:
            raise BadQuery(f"{text[at:]!r} cannot be read")
        value = word["bare"] if word["quoted"] is None else re.sub(r"\\(.)", r"\1", word["quoted"])
        if word["bare"] is not None and word["bare"].startswith('"'):
            raise BadQuery(f"{word[0]!r}: the quote is not closed")
        if word["name"] is None and re.fullmatch(r"[a-z_.]+:", value):
            raise BadQuery(f"{word[0]!r}: a value is missing after the colon")
        found.append(Term(word["name"] or "", value, bool(word["minus"])))
        at = word.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def parse(text: str, now: int, zone: ZoneInfo, order: Order | None = None) -> Query:
    """What a query asks for. Times without an offset are read in ``zone``. Raises BadQuery."""
    reader = _Reader(now, zone)
    for term in terms(text):
        reader.read(term)
    states = reader.states
    waits = states is not None and set(states) <= set(WAITING)
    which = Filter(
        states=states,
        id_prefix=reader.id_prefix,
        due_from=reader.due_from,
        due_before=reader.due_before,
        queues=(reader.queue,) if reader.queue is not None and waits else None,
    )
    return Query(text.strip(), which, tuple(reader.tests), order or ("due" if waits else "newest"))


# -- what can be asked -------------------------------------------------------------------------------


NAMES: dict[str, str] = {
    "state": "one of the states, several with commas",
    "task": "a name; * and ? stand for anything",
    "queue": "a name; * and ? stand for anything",
    "id": "how the id begins",
    "key": "the unique key; * and ? stand for anything",
    "due": "<1h (within the hour), >2d, <today, 2026-12-24..+2d",
    "created": "<1h (less than an hour ago), >2d, >today",
    "started": "as created",
    "finished": "as created",
    "runtime": ">10s, <1m",
    "late": "how late it started: >1s",
    "attempt": "a number, or >1",
    "retries": "a number, or >1",
    "lost": "how often a worker died running it: >0",
    "priority": "a number, or >5",
    "worker": "name@host or a part with *",
    "error": "in the class or the message",
    "fingerprint": "of a group of failures",
    "args": "args.user_id:42, args.0:x, or args:anything",
    "result": "in the return value",
}
"""Name and what its value may be, in the order of the help."""


class _Reader:
    """Collects what the terms of one query say."""

    def __init__(self, now: int, zone: ZoneInfo) -> None:
        self.now = now
        self.zone = zone
        self.states: tuple[str, ...] | None = None
        self.queue: str | None = None
        self.id_prefix: str | None = None
        self.due_from: int | None = None
        self.due_before: int | None = None
        self.tests: list[Test] = []

    def read(self, term: Term) -> None:
        name, _, path = term.name.partition(".")
        if name == "args":
            self._test(term, _args_test(path, term.value))
        elif not name:
            self._test(term, _text_test(term.value))
        elif path or name not in NAMES:
            known = f"; known: {', '.join(NAMES)}"
            raise BadQuery(f"there is no {term.name!r}{did_you_mean(name, NAMES) or known}")
        else:
            getattr(self, f"_{name}", self._plain)(term)

    def _test(self, term: Term, test: Test) -> None:
        self.tests.append((lambda job: not test(job)) if term.negated else test)

    def _plain(self, term: Term) -> None:
        """A term that is nothing but a test."""
        self._test(term, self._PLAIN[term.name](self, term.value))

    def _state(self, term: Term) -> None:
        names = [name for name in term.value.lower().split(",") if name]
        names = [one for name in names for one in _SETS.get(name, (name,))]
        for name in names:
            if name not in STATE_NAMES:
                hint = did_you_mean(name, (*STATE_NAMES, *_SETS)) or f"; known: {', '.join(STATE_NAMES)}"
                raise BadQuery(f"there is no state {name!r}{hint}")
        wanted = set(STATE_NAMES) - set(names) if term.negated else set(names)
        self.states = tuple(name for name in self.states or STATE_NAMES if name in wanted)

    def _id(self, term: Term) -> None:
        if term.negated or self.id_prefix is not None:
            self._test(term, lambda job: job.id.startswith(term.value))
        else:
            self.id_prefix = term.value

    def _queue(self, term: Term) -> None:
        if not term.negated and self.queue is None and not re.search(r"[*?,\\]", term.value):
            self.queue = term.value
        self._test(term, _name_test(lambda job: job.queue, term.value))

    def _due(self, term: Term) -> None:
        low, high = self._range(term.value, ahead=True)
        if term.negated:
            self._test(term, _within(lambda job: job.due, low, high))
            return
        if low is not None:
            self.due_from = low if self.due_from is None else max(low, self.due_from)
        if high is not None:
            self.due_before = high if self.due_before is None else min(high, self.due_before)

    def _range(self, value: str, ahead: bool) -> tuple[int | None, int | None]:
        """From (inclusive) and before (exclusive). A bare length of time counts from now, ahead or back."""
        low, dots, high = value.partition("..")
        if dots:
            return (self._instant(low) if low else None, self._instant(high) if high else None)
        sign, rest = _comparison(value)
        try:
            length = times.parse_span(rest)
        except times.BadTime:
            instant = self._instant(rest)
            return (None, instant) if sign == "<" else (instant, None)
        if ahead:
            return (None, self.now + length) if sign == "<" else (self.now + length, None)
        return (self.now - length, None) if sign == "<" else (None, self.now - length)

    def _instant(self, text: str) -> int:
        try:
            return times.parse_instant(text, self.now, self.zone)
        except times.BadTime as exc:
            raise BadQuery(str(exc)) from None

    def _when(self, of: Callable[[JobView], int | None]) -> Callable[[str], Test]:
        def make(value: str) -> Test:
            return _within(of, *self._range(value, ahead=False))

        return make

    def _length(self, of: Callable[[JobView, int], int | None], value: str) -> Test:
        sign, rest = _comparison(value)
        try:
            length = times.parse_span(rest)
        except times.BadTime as exc:
            raise BadQuery(str(exc)) from None
        now = self.now

        def test(job: JobView) -> bool:
            found = of(job, now)
            return found is not None and (found < length if sign == "<" else found > length)

        return test

    _PLAIN: dict[str, Callable[[_Reader, str], Test]] = {  # noqa: RUF012 - a table of functions
        "task": lambda self, value: _name_test(lambda job: job.task, value),
        "key": lambda self, value: _name_test(lambda job: job.key, value),
        "worker": lambda self, value: _name_test(lambda job: job.worker, value),
        "created": lambda self, value: self._when(lambda job: job.created)(value),
        "started": lambda self, value: self._when(lambda job: job.started)(value),
        "finished": lambda self, value: self._when(lambda job: job.finished)(value),
        "runtime": lambda self, value: self._length(runtime_of, value),
        "late": lambda self, value: self._length(lateness_of, value),
        "attempt": lambda self, value: _number_test(lambda job: job.attempt, value),
        "retries": lambda self, value: _number_test(lambda job: job.retries, value),
        "lost": lambda self, value: _number_test(lambda job: job.lost, value),
        "priority": lambda self, value: _number_test(lambda job: job.priority, value),
        "error": lambda self, value: _error_test(value),
        "fingerprint": lambda self, value: lambda job: job.error is not None and payload.fingerprint(job) == value,
        "result": lambda self, value: _bytes_test(lambda job: job.result, value),
    }


_SETS = {"waiting": WAITING, "ended": FINAL, "live": (*WAITING, "running")}


def runtime_of(job: JobView, now: int) -> int | None:
    """How long its last attempt took, or has taken so far; µs."""
    if job.started is None:
        return None
    return max((job.finished if job.finished is not None else now) - job.started, 0)


def lateness_of(job: JobView, now: int) -> int | None:
    """How long after its due it started, or waits already; None before its due, and if it never started."""
    if job.started is not None:
        return max(job.started - job.due, 0)
    return None if job.state.final or job.held or now < job.due else now - job.due


# -- tests -------------------------------------------------------------------------------------------


def _comparison(value: str) -> tuple[str, str]:
    sign = value[:1] if value[:1] in ("<", ">") else ""
    rest = value[len(sign) :].removeprefix("=")
    if not rest:
        raise BadQuery(f"{value!r}: after {sign or 'the colon'} comes a value")
    return sign, rest


def _is_glob(value: str) -> bool:
    return "*" in value or "?" in value


def _name_test(of: Callable[[JobView], str | None], value: str) -> Test:
    """One of several names with commas, each of them perhaps with * and ?. A backslash makes these three, and itself,
    plain characters."""
    globs = [""]
    for part in re.findall(r"\\[\\,*?]|.", value, re.DOTALL):
        if part == ",":
            globs.append("")
        else:  # in brackets a character stands for itself
            globs[-1] += f"[{part[-1]}]" if part in ("[", "\\*", "\\?") else part[-1]
    names = [re.compile(fnmatch.translate(glob)).match for glob in globs if glob]
    return lambda job: (found := of(job)) is not None and any(matches(found) for matches in names)


def _number_test(of: Callable[[JobView], int], value: str) -> Test:
    sign, rest = _comparison(value)
    if not rest.isascii() or not rest.isdigit():
        raise BadQuery(f"{value!r}: expected a number, or one after < or >")
    number = int(rest)
    if sign == "<":
        return lambda job: of(job) < number
    if sign == ">":
        return lambda job: of(job) > number
    return lambda job: of(job) == number


def _within(of: Callable[[JobView], int | None], low: int | None, high: int | None) -> Test:
    def test(job: JobView) -> bool:
        found = of(job)
        return found is not None and (low is None or found >= low) and (high is None or found < high)

    return test


def _bytes_test(of: Callable[[JobView], bytes | None], value: str) -> Test:
    """Somewhere in stored JSON, as it was typed or as JSON writes it; capitals count for nothing."""
    forms = {value.lower(), msgspec.json.encode(value).decode()[1:-1].lower()}
    return lambda job: (found := of(job)) is not None and any(form in decode(found).lower() for form in forms)


def _error_test(value: str) -> Test:
    wanted = value.lower()

    def test(job: JobView) -> bool:
        error = payload.error_of(job.error)
        if error is None:
            return False
        said = f"{error.module}.{error.type}: {error.message}".lower()
        return fnmatch.fnmatchcase(said, f"*{wanted}*") if _is_glob(wanted) else wanted in said

    return test


def _text_test(value: str) -> Test:
    """In the id, the task, the key, the visible arguments or the error."""
    wanted = value.lower()
    in_args, in_error = _bytes_test(secrecy.visible, value), _error_test(value)

    def test(job: JobView) -> bool:
        names = (job.id, job.task, job.key or "")
        return any(wanted in name.lower() for name in names) or in_args(job) or in_error(job)

    return test


def _args_test(path: str, value: str) -> Test:
    """``args.user_id:42``: the argument of that name (or position), or that member of some argument, is 42."""
    if not path:
        return _bytes_test(secrecy.visible, value)
    steps = path.split(".")
    wanted = _forms(value)

    def test(job: JobView) -> bool:
        found = payload.parsed(job)
        return found is not None and any(_is_value(one, wanted) for one in _arguments_at(*found, steps))

    return test


def _forms(value: str) -> tuple[str, Any]:
    """A value as text, and as JSON where it is some: 42 finds 42 and "42"."""
    try:
        return value, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value, value


def _is_value(found: Any, wanted: tuple[str, Any]) -> bool:
    text, value = wanted
    if isinstance(found, str):
        return fnmatch.fnmatchcase(found, text) if _is_glob(text) else found == text
    return type(found) is type(value) and bool(found == value)


def _arguments_at(args: Sequence[Any], kwargs: dict[str, Any], steps: Sequence[str]) -> Iterable[Any]:
    """What a path may mean: a named argument, one by position, or a member of one that is an object."""
    for root in (kwargs, args, *(arg for arg in args if isinstance(arg, dict))):
        found: Any = root
        for step in steps:
            if isinstance(found, dict) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                break
        else:
            yield found


# -- suggestions -------------------------------------------------------------------------------------


def suggestions(text: str, values: dict[str, Iterable[str]], limit: int = 12) -> list[str]:
    """Whole queries that ``text`` may be on its way to. ``values``: what is known to be there, by name."""
    head, _, last = text.rpartition(" ")
    minus = "-" if last.startswith("-") else ""
    name, colon, begun = last.removeprefix("-").partition(":")
    if not colon:
        options = [f"{known}." if known == "args" else f"{known}:" for known in NAMES if known.startswith(name)]
    else:
        first, comma, begun = begun.rpartition(",")
        known = values.get(name, ())
        options = [
            f"{name}:{first}{comma}{_quoted(_plainly(one))}"
            for one in known
            if begun.strip('"').lower() in one.lower()
        ]
    before = f"{head} " if head else ""
    return [f"{before}{minus}{option}" for option in options[:limit]]


def _quoted(value: str) -> str:
    return value if re.fullmatch(r'[^\s"]+', value) else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def term(name: str, value: str) -> str:
    """``name:value`` as a query has it; of a name exactly this one."""
    return f"{name}:{_quoted(_plainly(value))}"


def _plainly(value: str) -> str:
    return re.sub(r"([\\,*?])", r"\\\1", value)
