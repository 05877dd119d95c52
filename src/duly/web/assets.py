"""Scripts and styles: files of the package, served under names that hold their hash, so that a browser keeps them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

NAMES = ("duly.css", "duly.js", "vendor/htmx.min.js", "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file, and what a browser gets."""

    name: str  # with the hash: "duly.0123abcd.css"
    media_type: str
    body: bytes
    zipped: bytes


@cache
def assets() -> dict[str, Asset]:
    """The files by their own names."""
    return {name: _read(name) for name in NAMES}


@cache
def _by_hashed_name() -> dict[str, Asset]:
    return {asset.name: asset for asset in assets().values()}


def _read(name: str) -> Asset:
    body = files("duly.web").joinpath("static", *name.split("/")).read_bytes()
    stem, _, kind = name.rpartition(".")
    hashed = f"{stem.rpartition('/')[2]}.{hashlib.sha256(body).hexdigest()[:8]}.{kind}"
    return Asset(hashed, _TYPES[kind], body, gzip.compress(body, mtime=0))


def serve(request: Request) -> Response:
    """``/static/NAME``."""
    asset = _by_hashed_name().get(request.path_params["name"])
    if asset is None:
        return PlainTextResponse("no such file", 404)
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.zipped, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.body, media_type=asset.media_type, headers=headers)
