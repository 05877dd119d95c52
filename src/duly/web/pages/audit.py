"""The audit trail: who did what, and how far a bulk action is."""

from __future__ import annotations

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from duly.messages import Action
from duly.web.actions import summary
from duly.web.bulk import STALE
from duly.web.site import Form, changing, go, needed, query, render, site_of

PAGE = 100


def audit(request: Request) -> Response:
    """The trail, newest first."""
    before = query(request, "before")
    lines = site_of(request).store.actions(_number(before) if before else None, PAGE)
    older = lines[-1].id if len(lines) == PAGE else None
    return render(request, "audit.html", lines=lines, older=older, summary=summary, standing=_standing(request))


def action(request: Request) -> Response:
    """One line; while it runs the page asks again each second."""
    line = _line(request, needed(request, "id"))
    return render(request, "action.html", line=line, summary=summary, standing=_standing(request)(line))


@changing
def stop(request: Request, form: Form) -> Response:
    """End a bulk action after the batch it is at."""
    id = _number(form.needed("id"))
    stopped = site_of(request).bulk.stop(id)
    said = "It ends after the batch it is at." if stopped else "It does not run in this dashboard's process."
    return go(request, "/audit/action", said=said, id=id)


def _line(request: Request, id: str) -> Action:
    number = _number(id)
    lines = site_of(request).store.actions(number + 1, 1)
    if not lines or lines[0].id != number:
        raise HTTPException(404, "there is no such line in the audit trail: it never was there, or was pruned")
    return lines[0]


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise HTTPException(400, f"{text!r} is no number of a line in the audit trail")
    return int(text)


def _standing(request: Request) -> Callable[[Action], str]:
    now = site_of(request).store.now()

    def standing(line: Action) -> str:
        """running, done, failed, or interrupted: its process went away in the middle."""
        return "interrupted" if line.state == "running" and line.updated < now - STALE else line.state

    return standing
