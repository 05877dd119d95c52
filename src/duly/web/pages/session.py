"""Logging in and out, and what is said when something is wrong."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from duly.errors import DulyError, StoreError
from duly.web.access import SESSION
from duly.web.site import base_of, query, read_form, render, set_cookie, site_of

log = logging.getLogger("duly.web")

COOKIE = "duly_session"


def login_form(request: Request) -> Response:
    """Who are you?"""
    return render(request, "login.html", 200, wrong="", next=query(request, "next", "/"))


async def login(request: Request) -> Response:
    """Check a user and password, or a token; on to the page that was asked for."""
    site = site_of(request)
    form = await read_form(request)
    address = request.client.host if request.client else ""
    target = form.get("next", "/")
    if site.access is None:
        raise HTTPException(404, "there is no login here")
    viewer = await run_in_threadpool(site.access.login, form.get("user"), form.get("password"), address)
    if viewer is None:
        waits = site.access.must_wait(address)
        wrong = "Too many wrong ones: wait a minute." if waits else "That is not right."
        log.warning("a login as %r from %s was refused", form.get("user"), address)
        return render(request, "login.html", 429 if waits else 401, wrong=wrong, next=target)
    response = RedirectResponse(base_of(request) + _own(target), 303)
    set_cookie(request, response, COOKIE, site.access.session(viewer), SESSION)
    return response


async def logout(request: Request) -> Response:
    """Forget who this is."""
    await read_form(request)
    response = RedirectResponse(base_of(request) + "/login", 303)
    response.delete_cookie(COOKIE, path=base_of(request) or "/")
    return response


def _own(target: str) -> str:
    """A path of ours, whatever was asked for."""
    parts = urlsplit(target)
    own = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if own else "/"


# -- what went wrong ---------------------------------------------------------------------------------


def refused(request: Request, exc: Exception) -> Response:
    """An HTTPException: the request is wrong."""
    assert isinstance(exc, HTTPException)
    return _sorry(request, exc.status_code, exc.detail)


def wrong(request: Request, exc: Exception) -> Response:
    """An error of duly's that is the request's fault."""
    return _sorry(request, 400, str(exc))


def store_failed(request: Request, exc: Exception) -> Response:
    """The store does not answer."""
    log.error("%s: the store failed: %s", request.url.path, exc)
    return _sorry(request, 503, f"The store does not answer: {exc}")


def broken(request: Request, exc: Exception) -> Response:
    """A mistake in duly; the log has the traceback, which starlette raises again."""
    return _sorry(request, 500, "Something went wrong in the dashboard; its log says what.")


def _sorry(request: Request, status: int, text: str) -> Response:
    path = request.url.path.removeprefix(base_of(request))
    if path.startswith("/api/") or "text/html" not in request.headers.get("accept", "text/html"):
        return JSONResponse({"error": text}, status)
    try:
        return render(request, "error.html", status, text=text, now=0 if status >= 500 else None)
    except DulyError:  # the store is asked for its time
        return render(request, "error.html", status, text=text, now=0)


HANDLERS = {HTTPException: refused, StoreError: store_failed, DulyError: wrong, 404: refused, Exception: broken}
