"""What the command line says of an app: it counts more than the app's code, in every process that loads the app."""

from __future__ import annotations

import msgspec


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """Given to ``loading.load_app``; handed on to executors."""

    config: str | None = None  # a module of settings
    settings: tuple[str, ...] = ()  # "worker.concurrency=4"
    include: tuple[str, ...] = ()  # more modules of tasks


NO_OVERRIDES = Overrides()
