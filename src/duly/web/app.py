"""The dashboard as an ASGI app: its addresses, and how it is put together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.routing import Route

from duly.store.contract import Store
from duly.web import assets, health, metrics, openapi
from duly.web.access import Access, Viewer
from duly.web.bulk import Bulk
from duly.web.guard import Guard
from duly.web.history import History
from duly.web.metrics import Ledger
from duly.web.pages import audit, failures, future, job, jobs, now, punctuality, schedules, session, tasks
from duly.web.site import MAX_BODY, Site
from duly.web.snapshot import Watch

if TYPE_CHECKING:
    from duly.app import Duly

Authorize = Callable[[HTTPConnection], Viewer | None]

ROUTES = [
    Route("/", now.now),
    Route("/live", now.live),
    Route("/queues/pause", now.pause, methods=["POST"]),
    Route("/workers/shut-down", now.shut_down, methods=["POST"]),
    Route("/jobs", jobs.jobs),
    Route("/jobs/suggest", jobs.suggest),
    Route("/jobs/bulk", jobs.preview),
    Route("/jobs/bulk/all", jobs.preview_all),
    Route("/jobs/bulk", jobs.start, methods=["POST"]),
    Route("/job", job.job),
    Route("/job/live", job.live),
    Route("/job/act", job.act, methods=["POST"]),
    Route("/job/move", job.move, methods=["POST"]),
    Route("/job/again", job.again, methods=["POST"]),
    Route("/failures", failures.failures),
    Route("/future", future.future),
    Route("/future.ics", future.ics),
    Route("/tasks", tasks.tasks),
    Route("/task", tasks.task),
    Route("/schedules", schedules.schedules),
    Route("/schedule", schedules.schedule),
    Route("/schedule/edit", schedules.edit),
    Route("/schedule/preview", schedules.preview),
    Route("/schedule/save", schedules.save, methods=["POST"]),
    Route("/schedule/act", schedules.act, methods=["POST"]),
    Route("/punctuality", punctuality.punctuality),
    Route("/audit", audit.audit),
    Route("/audit/action", audit.action),
    Route("/audit/stop", audit.stop, methods=["POST"]),
    Route("/login", session.login_form),
    Route("/login", session.login, methods=["POST"]),
    Route("/logout", session.logout, methods=["POST"]),
    Route("/healthz", health.healthz),
    Route("/readyz", health.readyz),
    Route("/metrics", metrics.metrics),
    Route("/static/{name}", assets.serve),
    *openapi.routes(),
]


def dashboard(app: Duly, *, authorize: Authorize) -> Starlette:
    """The dashboard of an app, to be mounted in another ASGI app: ``Mount("/duly", dashboard(app, authorize=who))``.

    ``authorize`` is given each request and says who looks, as a ``Viewer``, or None for somebody who may not. It is
    asked for everything but scripts, styles and health checks; the host app's middleware has run before it.
    """
    return build(app.store, app, app.zone, authorize)


def build(
    store: Store,
    app: Duly | None,
    zone: ZoneInfo,
    authorize: Authorize,
    access: Access | None = None,
    hosts: Iterable[str] | None = None,
) -> Starlette:
    """The dashboard of a store. ``hosts``: the names it may be asked by; None: any."""
    history = History(store)
    site = Site(
        store=store,
        app=app,
        zone=zone,
        authorize=authorize,
        access=access,
        hosts=None if hosts is None else frozenset(hosts),
        history=history,
        watch=Watch(store, history),
        bulk=Bulk(store),
        ledger=Ledger(store),
        secret=access.secret if access is not None else secrets.token_bytes(32),
    )
    made = Starlette(
        routes=ROUTES, middleware=[Middleware(Guard, site=site)], exception_handlers=session.HANDLERS,
        max_body_size=MAX_BODY,
    )  # fmt: skip
    made.state.site = site
    return made


def by_access(access: Access) -> Authorize:
    """``authorize`` of a dashboard that asks by itself."""

    def authorize(connection: HTTPConnection) -> Viewer | None:
        return access.viewer(connection.headers, connection.cookies.get(session.COOKIE))

    return authorize
