"""Streams of events: a part of a page, sent again whenever it has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from duly.errors import StoreError
from duly.web.site import render
from duly.web.snapshot import EVERY

STREAM = 600.0
"""Seconds a stream lasts; then the browser comes again, and who looks is asked anew."""

Look = Callable[[object], tuple[object, str] | None]
"""Given what was sent last (None at first), what is to be sent now and how to know it again; None: nothing new."""


def part(request: Request, template: str, **context: Any) -> str:
    """The HTML of a part of a page."""
    return bytes(render(request, template, **context).body).decode()


def stream(look: Look) -> Response:
    """Server-sent events. A store that does not answer ends the stream; the browser tries again."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(look), media_type="text/event-stream", headers=headers)


async def _events(look: Look) -> AsyncIterator[str]:
    seen: object = None
    end = time.monotonic() + STREAM
    yield "retry: 2000\n\n"
    while time.monotonic() < end:
        try:
            found = await run_in_threadpool(look, seen)
        except StoreError:
            return
        if found is None:
            yield ": nothing new\n\n"  # so that a connection that is gone is noticed
        else:
            seen, html = found
            lines = "\n".join(f"data: {line}" for line in html.splitlines())
            yield f"id: {seen}\n{lines}\n\n"
        await asyncio.sleep(EVERY)
