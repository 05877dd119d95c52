"""The admin's pages of schedules: what recurs, when, and what came of it; pause, resume, run now, store and edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from duly import scheduler
from duly.cli import times
from duly.cli.render import arguments
from duly.cli.schedule import words_of
from duly.contrib.django.moments import moment
from duly.contrib.django.schedule_form import ScheduleForm, initial
from duly.contrib.django.store_admin import SELECTED, StoreAdmin, answering
from duly.errors import ConfigError
from duly.job import Filter, Schedule

COMING = 5  # occurrences ahead that are shown
MADE = 20  # occurrences that were made


class ScheduleAdmin(StoreAdmin):
    """Those that the code declares can be paused and run; those stored by hand can be edited and removed too."""

    verbs: dict[str, tuple[str, Callable[[ScheduleAdmin, str], Any]]] = {  # noqa: RUF012 - a constant
        "pause": ("Pause", lambda self, name: scheduler.pause(self.store, name)),
        "resume": ("Resume", lambda self, name: scheduler.resume(self.store, name)),
        "run": ("Run now", lambda self, name: scheduler.run_now(self.store, name)),
        "remove": ("Remove", lambda self, name: scheduler.remove(self.store, name)),
    }

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(admin.ModelAdmin.has_add_permission(self, request))

    @answering
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.may_look(request)
        if request.method == "POST":
            return self._act(request, request.POST.getlist(SELECTED))
        now = self.store.now()
        context = {
            "rows": [row(one, now) for one in self.store.schedules()],
            "verbs": self._possible(request, ["pause", "resume", "run", "remove"]),
            "has_add_permission": self.has_add_permission(request),
        }
        return self.page(request, "schedules", "Schedules", context)

    @answering
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        self.may_look(request)
        name = unquote(object_id)
        try:
            one = scheduler.find(self.store, name)
        except ConfigError as exc:
            return self.page(request, "unavailable", "No such schedule", {"error": str(exc)}, 404)
        form = None
        if request.method == "POST" and "action" in request.POST:
            return self._act(request, [name])
        if one.owner is None and self.has_change_permission(request):
            form = ScheduleForm(request.POST or None, app=self.app, before=one, initial=initial(one))
            if request.method == "POST" and form.is_valid():
                return self._store(request, form, "Changed")
        return self._show(request, one, form)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return self._add(request)

    @answering
    def _add(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ScheduleForm(request.POST or None, app=self.app, before=None)
        if request.method == "POST" and form.is_valid():
            return self._store(request, form, "Added")
        return self.page(request, "schedule", "Add a schedule", {"form": form})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """For the page of its history."""
        return self.model(pk=object_id)

    def _show(self, request: HttpRequest, one: Schedule, form: ScheduleForm | None) -> HttpResponse:
        now = self.store.now()
        made = self.store.occurrences(one.name, MADE)
        jobs = {job.id: job for job in self.store.jobs(Filter(ids=tuple(o.job for o in made)), limit=MADE).jobs}
        context = {
            "row": row(one, now),
            "object": self.model(pk=one.name),
            "form": form,
            "coming": [] if one.paused else [moment(instant) for instant in coming(one, now, COMING)],
            "made": [
                {
                    "nominal": moment(o.nominal),
                    "job": o.job,
                    "state": jobs[o.job].state_name(now) if o.job in jobs else "gone",
                }
                for o in made
            ],
            "verbs": self._possible(
                request,
                ["resume" if one.paused else "pause", "run", *(["remove"] if one.owner is None else [])],
            ),
        }
        return self.page(request, "schedule", f"Schedule {one.name}", context)

    def _possible(self, request: HttpRequest, names: list[str]) -> dict[str, str]:
        if not request.user.has_perm("duly.delete_schedule"):
            names = [name for name in names if name != "remove"]
        return {name: self.verbs[name][0] for name in names}

    def _store(self, request: HttpRequest, form: ScheduleForm, verb: str) -> HttpResponse:
        schedule: Schedule = form.cleaned_data["schedule"]
        scheduler.put(self.store, schedule)
        self.note(request, verb, schedule.name)
        messages.success(request, f"{verb}: {words_of(schedule)}")
        return self._to_list()

    def _to_list(self) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:duly_schedule_changelist", current_app=self.admin_site.name))

    def _act(self, request: HttpRequest, names: list[str]) -> HttpResponse:
        self.may_act(request)
        action = request.POST.get("action", "")
        if action not in self._possible(request, list(self.verbs)):
            messages.warning(request, "No action was chosen.")
            return self.back(request)
        words, act = self.verbs[action]

        def done(name: str) -> str:
            act(self, name)
            return "done"

        self.perform(request, words, done, names)
        return self._to_list() if action == "remove" else self.back(request)


# -- what the pages show -----------------------------------------------------------------------------


def coming(one: Schedule, now: int, limit: int) -> list[int]:
    """The next occurrences; none for a rule that cannot be read here."""
    try:
        return scheduler.coming(one, now, limit)
    except ConfigError:
        return []


def row(one: Schedule, now: int) -> dict[str, Any]:
    """A schedule in the list."""
    ahead = [] if one.paused else coming(one, now, 1)
    return {
        "name": one.name,
        "runs": words_of(one),
        "call": f"{one.task}({arguments(one.args)})",
        "queue": one.queue,
        "paused": one.paused,
        "next": moment(ahead[0]) if ahead else None,
        "when": times.relative(ahead[0], now) if ahead else "",
        "last": moment(one.last),
        "owner": one.owner,
    }
