"""The host: rooms whose phase a test sets, and a record of what each visitor did."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

HERE = Path(__file__).parent


class Site:
    """1. ``start`` in a thread; ``url`` is where it is. 2. A test sets ``phase[room]`` and reads ``told[room]``."""

    def __init__(self, folder: Path) -> None:
        self.phase: dict[str, str] = {}
        self.told: dict[str, list[dict[str, Any]]] = {}
        self.opened: dict[str, int] = {}
        self._folder = folder
        for name, seconds in (("talk", 60), ("teaser", 2)):
            _video(folder / f"{name}.mp4", seconds)
        self._server = Served(Starlette(routes=self._routes()))
        self.url = self._server.url

    def close(self) -> None:
        self._server.close()

    def what(self, room: str) -> list[str]:
        """What the visitors of a room did, in order."""
        return [entry["what"] for entry in self.told.get(room, [])]

    def entry(self, room: str, what: str) -> dict[str, Any]:
        return next(entry for entry in self.told[room] if entry["what"] == what)

    def _routes(self) -> list[Route]:
        return [
            Route("/room/{room}", self._room),
            Route("/{kind:str}/{path:path}/{room}", self._meeting),
            Route("/state/{room}", self._state),
            Route("/tell/{room}", self._tell, methods=["POST"]),
            Route("/{name}.mp4", self._video),
        ]

    async def _room(self, request: Request) -> Response:
        room = request.path_params["room"]
        self.opened[room] = self.opened.get(room, 0) + 1
        phase = self.phase.get(room)
        if phase is None:
            return HTMLResponse("<h1>Nothing here</h1>", 404)
        if phase == "broken":
            return HTMLResponse("<h1>Internal error</h1>", 500)
        return FileResponse(HERE / "page.html")

    async def _meeting(self, request: Request) -> Response:
        return FileResponse(HERE / "meeting.html")

    async def _state(self, request: Request) -> Response:
        return JSONResponse({"phase": self.phase.get(request.path_params["room"], "")})

    async def _tell(self, request: Request) -> Response:
        self.told.setdefault(request.path_params["room"], []).append(await request.json())
        return JSONResponse({})

    async def _video(self, request: Request) -> Response:
        return FileResponse(self._folder / f"{request.path_params['name']}.mp4")


class Served:
    """An ASGI app on a free port of loopback, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", 0))  # connections wait in it until uvicorn takes them
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()


def _video(path: Path, seconds: int) -> None:
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-y", "-f", "lavfi", "-i", f"testsrc=size=320x180:rate=2:duration={seconds}",
         "-c:v", "libx264", "-preset", "ultrafast", "-g", "2", "-pix_fmt", "yuv420p", "-movflags", "+faststart",
         str(path)],
        check=True,
    )  # fmt: skip
