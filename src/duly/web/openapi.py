"""The description of the JSON API, from the same table that its routes are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from duly import __version__
from duly.web import api

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Operation:
    """One address of the API."""

    path: str
    handler: Callable[..., Any]
    gives: Any  # the type of its answer
    takes: type | None = None  # the type of what is posted
    query: dict[str, dict[str, Any]] = field(default_factory=dict)  # name: JSON schema, and perhaps "required"
    errors: tuple[int, ...] = ()


def _whole(usual: int, least: int, most: int, text: str) -> dict[str, Any]:
    return {
        "schema": {"type": "integer", "minimum": least, "maximum": most, "default": usual}, "description": text,
    }  # fmt: skip


_TEXT = {"type": "string", "maxLength": 2000}
_ID = {"id": {"schema": {**_TEXT, "minLength": 1}, "required": True, "description": "the job's id"}}

OPERATIONS = (
    Operation("/status", api.status, api.Status),
    Operation(
        "/jobs", api.jobs, api.Jobs, errors=(400,),
        query={"q": {"schema": _TEXT, "description": "a filter, as on the jobs page"},
               "after": {"schema": _TEXT, "description": "the *after* of the page before"},
               "limit": _whole(50, 1, api.LIMIT, "at least so many, if there are as many")},
    ),
    Operation("/job", api.job, api.JobDetail, query=_ID, errors=(400, 404)),
    Operation("/tasks", api.tasks, list[api.TaskOut]),
    Operation("/schedules", api.schedules, list[api.ScheduleOut]),
    Operation(
        "/future", api.future, api.Future, errors=(400,),
        query={name: {"schema": {"type": "integer", "minimum": 0, "maximum": 253_402_300_799_999_999},
                      "description": f"microseconds since 1970: where it {name}s"} for name in ("from", "to")},
    ),
    Operation(
        "/scale", api.scale, api.Scale, errors=(400,),
        query={"queue": {"schema": _TEXT, "description": "its name"},
               "within": _whole(60, 0, 86_400, "seconds ahead")},
    ),
    Operation(
        "/audit", api.audit, api.AuditOut, errors=(400,),
        query={"before": _whole(0, 0, 2**53, "lines with a smaller id; 0: the newest"),
               "limit": _whole(100, 1, api.LIMIT, "how many")},
    ),
    Operation("/jobs/actions", api.do, api.Done, api.Do, errors=(400, 403, 415)),
    Operation("/queues/actions", api.do_queue, api.Said, api.DoQueue, errors=(400, 403, 415)),
    Operation("/schedules/actions", api.do_schedule, api.Said, api.DoSchedule, errors=(400, 403, 404, 415)),
)  # fmt: skip


def routes() -> list[Route]:
    """Where the API answers."""
    found = [Route(f"{PREFIX}/openapi.json", describe)]
    for one in OPERATIONS:
        if one.takes is None:
            found.append(Route(PREFIX + one.path, one.handler))
        else:
            found.append(Route(PREFIX + one.path, api.taking(one.takes, one.handler), methods=["POST"]))
    return found


def describe(request: Request) -> Response:
    """``openapi.json``."""
    return api.answer({**document(), "servers": [{"url": str(request.base_url).rstrip("/") + PREFIX}]})


@cache
def document() -> dict[str, Any]:
    """The description, but for where the server is."""
    types = [one.gives for one in OPERATIONS] + [one.takes for one in OPERATIONS if one.takes] + [api.Wrong]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "duly", "version": __version__, "description": api.__doc__},
        "paths": {one.path: _path(one, by_type) for one in OPERATIONS},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "user": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"token": []}, {"user": []}],
    }


def _path(one: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": (one.handler.__doc__ or "").strip(),
        "operationId": one.handler.__name__,
        "responses": {
            "200": {"description": "done", "content": _json(schemas[repr(one.gives)])},
            **{
                str(status): {"description": "refused", "content": _json(schemas[repr(api.Wrong)])}
                for status in (*one.errors, 401, 503)
            },
        },
    }
    if one.query:
        described["parameters"] = [{"name": name, "in": "query", **about} for name, about in one.query.items()]
    if one.takes is None:
        return {"get": described}
    return {"post": {**described, "requestBody": {"required": True, "content": _json(schemas[repr(one.takes)])}}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
