"""A schedule as a form: what a person writes, checked as ``app.schedules.add`` checks it."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from django import forms

from duly.app import Duly
from duly.cli import times
from duly.cli.data import call_parts
from duly.clock import MICROS
from duly.errors import ConfigError, DecodeError
from duly.job import CatchUp, Overlap, Schedule
from duly.periodic import make_schedule
from duly.schedules import Rule, cron, every, from_spec

RULES = """A cron line ("0 9 * * mon", "@daily"), "every 10m", or the rule as JSON."""
LOW = forms.Textarea(attrs={"rows": 3})
SPANS = ("deadline", "jitter", "expires")


class ScheduleForm(forms.Form):
    """``cleaned_data["schedule"]`` is the Schedule. ``before``: the one that is edited."""

    name = forms.CharField(max_length=500)
    rule = forms.CharField(help_text=RULES, widget=forms.TextInput(attrs={"size": 60}))
    tz = forms.CharField(required=False, label="Time zone", help_text="Of a cron line; empty: the project's.")
    task = forms.CharField(widget=forms.TextInput(attrs={"size": 60}))
    args = forms.JSONField(required=False, initial=list, label="Arguments", help_text="A JSON array.", widget=LOW)
    kwargs = forms.JSONField(
        required=False, initial=dict, label="Named arguments", help_text="A JSON object.", widget=LOW
    )
    queue = forms.CharField(required=False, help_text="Empty: the task's own.")
    priority = forms.IntegerField(required=False, min_value=0, max_value=9, help_text="9 runs first.")
    catch_up = forms.ChoiceField(
        choices=[(name, name) for name in get_args(CatchUp)], initial="last", help_text="What was missed."
    )
    deadline = forms.CharField(required=False, help_text="Missed for longer than this (10m): not made any more.")
    overlap = forms.ChoiceField(
        choices=[(name, name) for name in get_args(Overlap)], initial="allow", help_text="While an earlier one runs."
    )
    jitter = forms.CharField(required=False, help_text="Due up to so much later.")
    expires = forms.CharField(required=False, help_text="Not to be started so long after its due.")

    def __init__(self, *args: Any, app: Duly, before: Schedule | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._app = app
        self._before = before
        if before is not None:
            self.fields["name"].disabled = True

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if self._before is None and self._app.store.schedules([name]):
            raise forms.ValidationError(f"There is a schedule {name!r} already.")
        return name

    def clean_rule(self) -> Rule:
        text = self.cleaned_data["rule"].strip()
        try:
            if text.startswith("{"):
                return from_spec(msgspec.json.decode(text, type=dict[str, Any]))
            if text.startswith("every "):
                return every(times.parse_span(text.removeprefix("every ")) / MICROS)
            return cron(text)
        except (ConfigError, msgspec.DecodeError, times.BadTime) as exc:
            raise forms.ValidationError(str(exc)) from None

    def _span(self, name: str) -> float | None:
        text = self.cleaned_data.get(name)
        try:
            return times.parse_span(text) / MICROS if text else None
        except times.BadTime as exc:
            self.add_error(name, str(exc))
            return None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = self.cleaned_data
        options = {name: data.get(name) or None for name in ("tz", "queue")}
        options |= {name: data.get(name) for name in ("priority", "catch_up", "overlap")}
        options |= {name: self._span(name) for name in SPANS}
        options["jitter"] = options["jitter"] or 0
        if self.errors:
            return data
        try:
            args, kwargs = self._arguments(data["task"], data["args"] or [], data["kwargs"] or {})
            made = make_schedule(self._app, data["name"], data["task"], data["rule"], args, kwargs, options)
        except (ConfigError, DecodeError, TypeError) as exc:
            raise forms.ValidationError(str(exc)) from None
        if self._before is not None:  # what the form has no field for stays
            made = msgspec.structs.replace(made, headers=self._before.headers, options=self._before.options)
        return data | {"schedule": made}

    def _arguments(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """As the task takes them: texts become what its annotations say."""
        task = self._app.tasks.get(name)
        if task is None:
            return args, kwargs
        return task.codec.decode_args(msgspec.json.encode([args, kwargs]))


def initial(one: Schedule) -> dict[str, Any]:
    """The fields of a stored schedule."""
    args, kwargs = call_parts(one.args)
    spec = msgspec.json.decode(one.rule, type=dict[str, Any])
    spans = {"deadline": one.deadline, "jitter": one.jitter, "expires": one.expires_after}
    return {
        "name": one.name,
        "rule": spec["line"] if spec.get("kind") == "cron" else one.rule.decode(),
        "tz": spec.get("tz", "") if spec.get("kind") == "cron" else "",
        "task": one.task,
        "args": msgspec.json.decode(args),
        "kwargs": {} if kwargs is None else msgspec.json.decode(kwargs),
        "queue": one.queue,
        "priority": one.priority,
        "catch_up": one.catch_up,
        "overlap": one.overlap,
    } | {name: _seconds(span) for name, span in spans.items()}


def _seconds(span: int | None) -> str:
    """µs as the field takes them, exactly."""
    whole, rest = divmod(span or 0, MICROS)
    return "" if not span else f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
