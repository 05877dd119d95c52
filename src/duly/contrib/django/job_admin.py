"""The admin's pages of jobs: a list by pages of keys (nothing is counted), and one job with all there is to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from duly.cli import times
from duly.cli.data import call_parts
from duly.cli.render import arguments, error_line, error_of, progress_line, took, value_text
from duly.cli.text import decode, shorten
from duly.contrib.django.moments import moment
from duly.contrib.django.store_admin import SELECTED, StoreAdmin, answering
from duly.errors import ConfigError
from duly.job import STATE_NAMES, Attempt, Change, Filter, JobView, State
from duly.secrecy import visible
from duly.store.contract import Order

PAGE = 100  # jobs on a page of the list
ARGUMENTS = 120  # characters of a job's arguments in the list


class JobFilter(forms.Form):
    """What the list is narrowed to; empty fields narrow nothing."""

    state = forms.ChoiceField(required=False, choices=[("", "any state"), *((name, name) for name in STATE_NAMES)])
    queue = forms.CharField(required=False)
    task = forms.CharField(required=False, help_text="A name; * and ? stand for anything.")
    key = forms.CharField(required=False)
    id = forms.CharField(required=False, help_text="Or how it begins.")
    order = forms.ChoiceField(required=False, choices=[("newest", "newest first"), ("due", "by due")])

    def chosen(self) -> Filter:
        data = self.cleaned_data
        return Filter(
            states=(data["state"],) if data["state"] else None,
            queues=(data["queue"],) if data["queue"] else None,
            task=data["task"] or None,
            key=data["key"] or None,
            id_prefix=data["id"] or None,
        )


class JobAdmin(StoreAdmin):
    """Look at jobs; cancel them, run them again, or now."""

    verbs: dict[str, tuple[str, Callable[[JobAdmin, str], str]]] = {  # noqa: RUF012 - a constant
        "cancel": ("Cancel", lambda self, id: self.store.cancel(_one(id))[0].verdict),
        "retry": ("Run again", lambda self, id: self.store.retry(_one(id))[0].verdict),
        "now": ("Run now", lambda self, id: self.store.move(_one(id), Change(due=self.store.now()))[0].verdict),
    }

    @answering
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.may_look(request)
        if request.method == "POST":
            return self._act(request, request.POST.getlist(SELECTED))
        form = JobFilter(request.GET)
        which = form.chosen() if form.is_valid() else Filter()
        order: Order = "due" if form.cleaned_data.get("order") == "due" else "newest"
        after = request.GET.get("after")
        try:
            page = self.store.jobs(which, order, after, PAGE)
        except ConfigError as exc:  # somebody's own idea of a page's end
            messages.warning(request, str(exc))
            page, after = self.store.jobs(which, order, None, PAGE), None
        now = self.store.now()
        query = request.GET.copy()
        query.pop("after", None)
        first = query.urlencode()
        query["after"] = page.after or ""
        context = {
            "form": form,
            "rows": [row(job, now) for job in page.jobs],
            "first": f"?{first}" if after else None,
            "next": f"?{query.urlencode()}" if page.after else None,
            "verbs": {name: words for name, (words, _) in self.verbs.items()},
            "narrowed": which != Filter(),
        }
        return self.page(request, "jobs", "Jobs", context)

    @answering
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self.may_look(request)
        id = unquote(object_id)
        if request.method == "POST":
            return self._act(request, [id])
        found = self.store.jobs(_one(id), limit=1).jobs
        if not found:
            said = f"No job {id}: it never was in this store, or was forgotten or pruned."
            return self.page(request, "unavailable", "No such job", {"error": said}, 404)
        job, now = found[0], self.store.now()
        context = {
            "row": row(job, now),
            "object": self.model(pk=id),
            "why": self.app.why(id),
            "facts": facts(job),
            "attempts": [attempt_row(one) for one in self.store.attempts(id)],
            "verbs": {name: self.verbs[name][0] for name in possible(job)},
        }
        return self.page(request, "job", f"Job {id}", context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """For the page of its history."""
        return self.model(pk=object_id)

    def _act(self, request: HttpRequest, ids: list[str]) -> HttpResponse:
        self.may_act(request)
        words, act = self.verbs.get(request.POST.get("action", ""), (None, None))
        if words is None or act is None:
            messages.warning(request, "No action was chosen.")
        elif not ids:
            messages.warning(request, f"{words}: no job was chosen.")
        else:
            self.perform(request, words, lambda id: act(self, id), ids)
        return self.back(request)


def _one(id: str) -> Filter:
    return Filter(ids=(id,))


def possible(job: JobView) -> list[str]:
    """What can be done to a job in its state."""
    if job.state.final:
        return ["retry"]
    return ["cancel"] if job.state == State.RUNNING else ["now", "cancel"]


# -- what the pages show -----------------------------------------------------------------------------


def row(job: JobView, now: int) -> dict[str, Any]:
    """A job in the list."""
    note = error_line(job.error) if job.error is not None else took(job.started, job.finished)
    return {
        "id": job.id,
        "task": job.task,
        "state": job.state_name(now),
        "arguments": shorten(arguments(visible(job)), ARGUMENTS),
        "queue": job.queue,
        "due": moment(job.due),
        "when": times.relative(job.due, now),
        "attempts": job.attempt,
        "note": progress_line(job.progress) if job.finished is None and job.progress else note,
    }


def facts(job: JobView) -> list[tuple[str, Any]]:
    """All else there is to say of a job, where there is something to say; instants as datetimes."""
    positional, keyword = call_parts(visible(job))
    late = None if job.started is None else times.span(max(job.started - job.due, 0))
    named: dict[str, Any] = {
        "arguments": value_text(positional),
        "named arguments": "" if keyword is None or bytes(keyword) == b"{}" else value_text(keyword),
        "queue": job.queue,
        "priority": job.priority,
        "key": job.key,
        "created": moment(job.created),
        "due": moment(job.due),
        "expires": moment(job.expires),
        "started": moment(job.started),
        "lateness": late,
        "finished": moment(job.finished),
        "took": took(job.started, job.finished).removeprefix("took "),
        "worker": job.worker,
        "retries": job.retries or None,
        "lost with a worker": job.lost or None,
        "progress": progress_line(job.progress),
        "headers": value_text(job.headers),
        "options": value_text(job.options),
        "result": _result(job.result),
    }
    return [(capfirst(name), value) for name, value in named.items() if value not in (None, "")]


def _result(raw: bytes | None) -> str:
    if raw is None:
        return ""
    try:
        return decode(msgspec.json.format(raw, indent=2))
    except msgspec.DecodeError:
        return decode(raw)


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """One line of a job's history."""
    error = error_of(attempt.error)
    return {
        "number": attempt.attempt,
        "outcome": attempt.outcome,
        "worker": attempt.worker,
        "started": moment(attempt.started),
        "took": took(attempt.started, attempt.finished).removeprefix("took "),
        "error": error_line(attempt.error),
        "traceback": None if error is None else error.traceback,
        "log": None if attempt.log is None else decode(attempt.log),
    }
