"""What all pages share: the store they show, who looks, and how a page is made.

A page is a function ``page(request) -> Response`` that runs in a thread (stores are synchronous). One that changes
something is ``@changing``: it gets the form that was posted, after the viewer's right to change and the form's token
have been checked.
"""

from __future__ import annotations

import functools
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from duly.store.contract import Store
from duly.web.access import Access, Viewer
from duly.web.assets import assets
from duly.web.show import Shown, environment, zone_named

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.web.bulk import Bulk
    from duly.web.history import History
    from duly.web.metrics import Ledger
    from duly.web.snapshot import Watch

MAX_BODY = 1 << 20
"""Bytes of a posted form or JSON document."""

_SEAT = "duly_seat"  # a cookie that ties the tokens of forms to one browser
_SAID = "duly_said"  # a cookie with what was done, for the next page to show
_MAX_FIELDS = 2_000


@dataclass
class Site:
    """One dashboard.

    ``authorize`` says who a request comes from; ``access`` is there if the dashboard asks by itself (and so has a
    login form). ``hosts``: the names it may be asked by, None: any.
    """

    store: Store
    app: Duly | None
    zone: ZoneInfo
    authorize: Callable[[HTTPConnection], Viewer | None]
    access: Access | None
    hosts: frozenset[str] | None
    history: History
    watch: Watch
    bulk: Bulk
    ledger: Ledger
    secret: bytes

    @property
    def asks(self) -> bool:
        """Whether there is a login form."""
        return self.access is not None and bool(self.access.users or self.access.token or self.access.read_token)


def site_of(request: HTTPConnection) -> Site:
    site: Site = request.app.state.site
    return site


def viewer_of(request: HTTPConnection) -> Viewer:
    """Who looks; the guard has let them in."""
    viewer: Viewer = request.scope["duly.viewer"]
    return viewer


def zone_of(request: HTTPConnection) -> ZoneInfo:
    """In which zone this viewer wants to see times."""
    return zone_named(unquote(request.cookies.get("duly_zone", ""))) or site_of(request).zone


def base_of(request: HTTPConnection) -> str:
    """What the dashboard's own paths begin with where it is mounted."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def render(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """The page of a template. Beside ``context`` it has who looks, where links begin, and the time."""
    site = site_of(request)
    seat = request.cookies.get(_SEAT) or secrets.token_urlsafe(16)
    now = site.store.now() if context.get("now") is None else context["now"]
    shown = Shown(now=now, zone=zone_of(request), base=base_of(request))
    html = (
        environment()
        .get_template(template)
        .render(
            {
                "base": base_of(request),
                "viewer": request.scope.get("duly.viewer"),
                "asks": site.asks,
                "theme": _theme(request),
                "csrf": _token(site, seat),
                "asset": lambda name: f"{base_of(request)}/static/{assets()[name].name}",
                "site_zone": site.zone.key,
                "zone": zone_of(request).key,
                "path_query": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
                "path": request.url.path.removeprefix(base_of(request)),
                "shown": shown,
                "partial": is_partial(request),
                "said": unquote(request.cookies.get(_SAID, "")),
                **context,
                "now": now,
            }
        )
    )
    response = HTMLResponse(html, status)
    if _SAID in request.cookies:
        response.delete_cookie(_SAID, path=base_of(request) or "/")
    if _SEAT not in request.cookies:
        set_cookie(request, response, _SEAT, seat)
    return response


def is_partial(request: Request) -> bool:
    """Whether a script asks for a part of a page."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


def set_cookie(request: Request, response: Response, name: str, value: str, age: int | None = None) -> None:
    """A cookie that scripts cannot read and other sites do not send."""
    secure = request.url.scheme == "https"
    path = base_of(request) or "/"
    response.set_cookie(name, value, max_age=age, path=path, httponly=True, samesite="lax", secure=secure)


def link(request: HTTPConnection, path: str, **query: Any) -> str:
    """A path of the dashboard with a query; None leaves a name out."""
    words = urlencode({name: value for name, value in query.items() if value is not None}, quote_via=quote)
    return f"{base_of(request)}{path}" + (f"?{words}" if words else "")


def query(request: Request, name: str, default: str = "") -> str:
    return request.query_params.get(name, default)


def needed(request: Request, name: str) -> str:
    """A value that the query has to have."""
    value = request.query_params.get(name)
    if not value:
        raise HTTPException(400, f"the address needs ?{name}=")
    return value


# -- what changes something --------------------------------------------------------------------------


class Form:
    """What was posted."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self._fields if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._fields if key == name]

    def needed(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise HTTPException(400, f"the form lacks {name!r}")
        return value


async def read_form(request: Request) -> Form:
    """Raises HTTPException for a body that is no form, or not from a page of ours."""
    body = await request.body()
    try:
        form = Form(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    seat = request.cookies.get(_SEAT, "")
    token = form.get("csrf") or request.headers.get("x-csrf-token", "")
    if not seat or not hmac.compare_digest(token.encode(), _token(site_of(request), seat).encode()):
        raise HTTPException(403, "this form is not from a page of this dashboard, or is too old: load the page again")
    return form


def changing(handler: Callable[[Request, Form], Response]) -> Callable[[Request], Awaitable[Response]]:
    """A page that changes something, for viewers who may."""

    @functools.wraps(handler)
    async def endpoint(request: Request) -> Response:
        must_may_change(request)
        return await run_in_threadpool(handler, request, await read_form(request))

    return endpoint


def must_may_change(request: Request) -> None:
    """Raises HTTPException for a viewer who may only look."""
    if not viewer_of(request).may_change:
        raise HTTPException(403, f"{viewer_of(request).name} may look but not change anything here")


def go(request: Request, path: str, said: str = "", **query: Any) -> Response:
    """After a change: on to a page, with what was done said there."""
    response = RedirectResponse(link(request, path, **query), 303)
    if said:
        set_cookie(request, response, _SAID, quote(said[:1_000], safe=""), age=60)
    return response


def _theme(request: Request) -> str:
    theme = request.cookies.get("duly_theme", "")
    return theme if theme in ("light", "dark") else ""


def _token(site: Site, seat: str) -> str:
    return hmac.new(site.secret, seat.encode(), "sha256").hexdigest()
