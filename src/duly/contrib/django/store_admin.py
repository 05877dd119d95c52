"""What the admin's pages of jobs and of schedules have in common: they show the store, and change it.

Whoever may *view* sees, whoever may *change* acts. What was done is in the admin's log and in the store's own
audit trail. A store that does not answer is a page of its own, with status 503.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from duly.app import Duly
from duly.contrib.django.project import project_app
from duly.errors import ConfigError, StoreError
from duly.messages import Action
from duly.store.contract import Store

View = Callable[..., HttpResponse]

SELECTED = "_selected_action"
DONE = ("prevented", "signalled", "moved", "retried", "done")
_STATES = {"prevented": "cancelled", "signalled": "asked to stop", "moved": "due now", "retried": "run again"}


def answering(view: View) -> View:
    """The view; or a page that says why the store does not answer."""

    @functools.wraps(view)
    def guarded(self: StoreAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(self, request, *args, **kwargs)
        except StoreError as exc:
            return self.page(request, "unavailable", "The store does not answer", {"error": str(exc)}, 503)
        except ConfigError as exc:  # a wrong setting; a name that somebody else has taken meanwhile
            return self.page(request, "unavailable", "This cannot be done", {"error": str(exc)}, 400)

    return guarded


class StoreAdmin(admin.ModelAdmin):
    """Pages of things that are in the store; a subclass has the views."""

    actions = None

    @property
    def app(self) -> Duly:
        return project_app()

    @property
    def store(self) -> Store:
        return self.app.store

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_look(self, request: HttpRequest) -> None:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied

    def may_act(self, request: HttpRequest) -> None:
        if not self.has_change_permission(request):
            raise PermissionDenied

    # -- pages -----------------------------------------------------------------------------------

    def page(
        self, request: HttpRequest, template: str, title: str, context: Mapping[str, Any], status: int = 200
    ) -> HttpResponse:
        """A page in the admin's frame."""
        request.current_app = self.admin_site.name
        frame = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "may_act": self.has_change_permission(request),
            **context,
        }
        return TemplateResponse(request, f"admin/duly/{template}.html", frame, status=status)

    def back(self, request: HttpRequest) -> HttpResponse:
        """To the page that the form was on."""
        return HttpResponseRedirect(request.get_full_path())

    # -- acting ----------------------------------------------------------------------------------

    def perform(self, request: HttpRequest, verb: str, act: Callable[[str], str], names: Iterable[str]) -> None:
        """Do ``act`` to each, note it, and tell how each answered. ``act`` gives a verdict."""
        verdicts: Counter[str] = Counter()
        for name in names:
            try:
                verdict = act(name)
            except ConfigError as exc:
                messages.error(request, str(exc))
                continue
            verdicts[verdict] += 1
            if verdict in DONE:
                self.note(request, verb, name)
        for verdict, number in verdicts.items():
            level = messages.SUCCESS if verdict in DONE else messages.WARNING
            messages.add_message(request, level, f"{verb}: {number} {_STATES.get(verdict, verdict)}")

    def note(self, request: HttpRequest, verb: str, name: str) -> None:
        """A line in both logs."""
        who = str(request.user.get_username())
        now = self.store.now()
        self.store.record_action(Action(at=now, who=who, verb=verb, what=name, done=1, seen=1, updated=now))
        self.log_change(request, self.model(pk=name), verb)
