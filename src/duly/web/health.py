"""``/healthz`` and ``/readyz``: for whoever starts, stops and balances. No login, and nothing said about the work."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from duly.errors import DulyError
from duly.web.site import site_of


async def healthz(request: Request) -> Response:
    """The process turns."""
    return PlainTextResponse("ok\n")


def readyz(request: Request) -> Response:
    """The store answers."""
    try:
        site_of(request).store.next_schedule()
    except DulyError:  # why is in the log, and not for everybody
        return PlainTextResponse("the store does not answer\n", 503)
    return PlainTextResponse("ok\n")
