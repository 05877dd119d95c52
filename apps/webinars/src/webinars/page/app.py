"""The page's application: what is ahead, what was, and the evidence of each webinar.

It has no log-in, so it listens on loopback only and answers only to loopback's names (a page elsewhere could have its
own name point here otherwise). From elsewhere: ssh -L, or a proxy that knows who may see it.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from webinars import links
from webinars.errors import SettingsError
from webinars.instants import clock, local, span_text
from webinars.ledger import Planned
from webinars.service import Service
from webinars.visit import Visit

_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_FOLDER = re.compile(r"[a-z0-9-]+")
_FILE = re.compile(r"[a-z0-9-]+\.(jpg|mp4)")
AHEAD = 50
PAST = 100


def application(service: Service) -> Starlette:
    """The page over a service's ledger."""
    screens = Screens(service)
    return Starlette(
        routes=[
            Route("/", screens.home),
            Route("/style.css", screens.style),
            Route("/{folder}/", screens.webinar),
            Route("/{folder}/{file}", screens.file),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])],
        exception_handlers={404: screens.nothing},
    )


class Screens:
    """One method a screen."""

    def __init__(self, service: Service) -> None:
        self._service, self._ledger = service, service.ledger
        self._templates = Environment(
            loader=PackageLoader("webinars.page"), autoescape=True, undefined=StrictUndefined
        )
        zone = service.settings.zone
        self._templates.filters.update(
            local=lambda moment: local(moment, zone), clock=lambda moment: clock(moment, zone), span=span_text,
            seconds=lambda number: span_text(timedelta(seconds=abs(number))), redacted=links.redacted,
        )  # fmt: skip

    def home(self, request: Request) -> Response:
        """What is ahead or goes on, the calendars, and the last reports."""
        now = self._service.now()
        plan = sorted(self._ledger.plan().values(), key=lambda entry: entry.event.start)
        ahead = [entry for entry in plan if entry.wanted and entry.event.end > now]
        return self._html(
            "home.html", now=now, going=self._going(ahead, now), calendars=self._calendars(),
            ahead=[entry for entry in ahead if entry.event.start > now][:AHEAD],
            reports=self._ledger.reports()[:PAST],
        )  # fmt: skip

    def webinar(self, request: Request) -> Response:
        """One webinar: its report, or what is seen of it so far."""
        folder = self._folder(request)
        report = self._ledger.report(folder)
        entry = next((entry for entry in self._ledger.plan().values() if entry.folder == folder), None)
        if report is None and entry is None:
            raise HTTPException(404)
        visits = self._ledger.visits(entry) if entry is not None else []
        moments = report.moments if report else tuple(moment for visit in visits for moment in visit.moments)
        return self._html("webinar.html", folder=folder, report=report, entry=entry, visits=visits, moments=moments)

    def file(self, request: Request) -> Response:
        """A picture or a recording."""
        name = request.path_params["file"]
        path = self._ledger.path(self._folder(request)) / name
        if not _FILE.fullmatch(name) or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, headers=_SAFE)

    def style(self, request: Request) -> Response:
        return FileResponse(Path(__file__).parent / "style.css", headers=_SAFE)

    def nothing(self, request: Request, error: Exception) -> Response:
        return self._html("nothing.html", status=404)

    def _html(self, name: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self._templates.get_template(name).render(values), status, headers=_SAFE)

    def _folder(self, request: Request) -> str:
        folder = str(request.path_params["folder"])
        if not _FOLDER.fullmatch(folder):
            raise HTTPException(404)
        return folder

    def _going(self, ahead: list[Planned], now: datetime) -> list[tuple[Planned, Visit | None]]:
        """What has begun, with its last visit."""
        begun = [entry for entry in ahead if entry.event.start <= now and not self._ledger.report(entry.folder)]
        return [(entry, next(reversed(self._ledger.visits(entry)), None)) for entry in begun]

    def _calendars(self) -> list[tuple[str, datetime | None, str]]:
        """Name, when it was last believed, and what is wrong with it now."""
        found = [(calendar.name, self._ledger.known(calendar.name)) for calendar in self._service.settings.calendars]
        return [(name, known.read_at if known else None, known.problem if known else "") for name, known in found]


class Page:
    """The page at its address. It has its port once it is made, so what is wrong is said before anything runs."""

    def __init__(self, service: Service) -> None:
        """Raises SettingsError if the page would be open to others, or its port is taken."""
        settings = service.settings.page
        self._socket = _listen(settings.host, settings.port)
        self.url = f"http://{settings.host}:{settings.port}/"
        config = uvicorn.Config(application(service), log_level="warning", access_log=False, ws="none")
        self._server = uvicorn.Server(config)

    def serve(self) -> None:
        """Until Ctrl-C."""
        self._server.run([self._socket])

    def serve_in_background(self) -> None:
        """In a thread, for as long as the process lives."""
        threading.Thread(target=self.serve, name="page", daemon=True).start()


def _listen(host: str, port: int) -> socket.socket:
    if not _is_loopback(host):
        raise SettingsError(
            f"page: host = {host!r} would show it to others, and it has no log-in; keep it on 127.0.0.1 "
            f"and use ssh -L {port}:127.0.0.1:{port}, or a proxy that asks who it is"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while ")[0]  # Python adds the address, which is said already
        raise SettingsError(
            f"page: {host}:{port} cannot be had ({reason}); is it running already? "
            "Another one: port = ..., or webinars up --no-page"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
