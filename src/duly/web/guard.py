"""What every request passes before a page sees it, and every answer before it leaves.

1. *By whose name*: without a login, a page of another site could reach a dashboard on loopback by a name of its own
   that points there (DNS rebinding); so it answers only to names it knows.
2. *From where*: what changes something has to come from a page of ours. Browsers say where a request comes from
   (``Sec-Fetch-Site``, ``Origin``); programs that log in with a header of their own are not asked.
3. *From whom*: a viewer that ``authorize`` knows, else the login page, or 401 for programs.
4. Answers carry the rules for browsers: nothing inline, nothing from elsewhere, not in a frame.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duly.web.site import Site, base_of, link

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_OPEN = ("/static/", "/login", "/healthz", "/readyz")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware around the pages."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        answer = self._refusal(connection)
        await (answer or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        """The answer to a request that goes no further. Notes the viewer of one that does."""
        if not self._is_our_name(connection):
            return PlainTextResponse(
                f"This dashboard does not answer to the name {connection.headers.get('host', '')!r}; "
                "allow it with --allow-host.", 421,
            )  # fmt: skip
        if connection.scope["method"] not in _SAFE and not _is_from_us(connection):
            return PlainTextResponse("This request comes from another site.", 403)
        viewer = self._site.authorize(connection)
        connection.scope["duly.viewer"] = viewer
        path = connection.scope["path"].removeprefix(base_of(connection))  # not .url, which the Host header makes
        if viewer is None and not path.startswith(_OPEN):
            return self._stranger(connection, path)
        return None

    def _is_our_name(self, connection: HTTPConnection) -> bool:
        if self._site.hosts is None:
            return True
        host = urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""
        return host in self._site.hosts

    def _stranger(self, connection: HTTPConnection, path: str) -> Response:
        """Somebody unknown: a person is shown the login form, a program gets 401."""
        wants_page = "text/html" in connection.headers.get("accept", "")
        if self._site.asks and wants_page and connection.scope["method"] in _SAFE:
            query = connection.url.query
            return RedirectResponse(link(connection, "/login", next=path + (f"?{query}" if query else "")), 303)
        status = 401 if self._site.access is not None else 403
        headers = {"WWW-Authenticate": 'Basic realm="duly"'} if status == 401 and not wants_page else None
        return JSONResponse({"error": "log in first"}, status, headers)


def _is_from_us(connection: HTTPConnection) -> bool:
    headers = connection.headers
    if "authorization" in headers:  # a browser adds none by itself to what another site sends, but for Basic
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    if "sec-fetch-site" in headers:
        return headers["sec-fetch-site"] == "same-origin"
    if "origin" in headers:
        return urlsplit(headers["origin"]).netloc == headers.get("host")
    return True  # no browser: they all say where a request that changes something comes from


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            if b"cache-control" not in there:
                added.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with
