"""A server that speaks as much of Calendar API v3 as a reader needs: paging, tokens, and its ways to refuse."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webinar_site.server import Served

Event = dict[str, Any]


class Google:
    """``events`` is the calendar; ``refuse`` holds answers to give instead: (status, headers, body)."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.page = 2  # events a page
        self.refuse: list[tuple[int, dict[str, str], dict[str, Any]]] = []
        self.refuse_page: int | None = None  # the number of the page at which a refusal comes; None: the first
        self.asked: list[dict[str, str]] = []
        self.tokens = 0  # handed out
        self.granted: list[dict[str, str]] = []  # what the token endpoint was asked
        self.revoked = False
        self._server = Served(
            Starlette(
                routes=[
                    Route("/calendars/{calendar}/events", self._list),
                    Route("/token", self._token, methods=["POST"]),
                ]
            )
        )
        self.url = self._server.url

    def close(self) -> None:
        self._server.close()

    async def _token(self, request: Request) -> Response:
        form = dict(part.split("=", 1) for part in (await request.body()).decode().split("&"))
        self.granted.append(form)
        if self.revoked:
            return JSONResponse({"error": "invalid_grant", "error_description": "Token has been revoked."}, 400)
        self.tokens += 1
        answer = {"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
        if form.get("grant_type") == "authorization_code":
            answer["refresh_token"] = "refresh-me"
        return JSONResponse(answer)

    async def _list(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(query)
        start = int(query.get("pageToken", "0"))
        if self.refuse and (self.refuse_page is None or start == self.refuse_page * self.page):
            status, headers, body = self.refuse.pop(0)
            return JSONResponse(body, status, headers)
        if request.headers.get("Authorization") != f"Bearer token-{self.tokens}":
            return JSONResponse({"error": {"code": 401}}, 401)
        if request.path_params["calendar"] != "ada@example.org":
            return JSONResponse({"error": {"code": 404}}, 404)
        answer: dict[str, Any] = {"kind": "calendar#events", "items": self.events[start : start + self.page]}
        if start + self.page < len(self.events):
            answer["nextPageToken"] = str(start + self.page)
        else:
            answer["nextSyncToken"] = "sync-1"
        return Response(msgspec.json.encode(answer), media_type="application/json")


def event(id: str, start: str, end: str, **more: Any) -> Event:
    """An event as the API gives it."""
    return {
        "kind": "calendar#event", "id": id, "status": "confirmed", "summary": f"Webinar {id}",
        "start": {"dateTime": start, "timeZone": "Europe/Berlin"}, "end": {"dateTime": end},
        "organizer": {"email": "webinars@isc2.org"}, "location": "https://zoom.us/w/123", **more,
    }  # fmt: skip
