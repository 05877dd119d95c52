"""``import celery`` resolved to this package: an importer in front of the others.

A name that has a module here is that module, under both names. What Celery has and duly has not is refused with
ImportError, where it is imported, with what to use instead. Nothing of a Celery that is installed is touched.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType

VARIABLE = "DULY_AS_CELERY"
"""Set to 1 in the environment: every duly command, and all that it starts, resolves Celery's names here."""

_ROOTS = {"celery": "duly.celery", "kombu": "duly.celery.kombu"}

_INSTEAD = {
    "celery.backends": "results are in the store, beside their jobs: app.AsyncResult(id)",
    "celery.beat": "schedules are in the store, and every worker makes their jobs: app.schedules, duly schedule",
    "celery.bin": "the command line is duly: duly -A proj worker",
    "celery.bootsteps": "a worker has no bootsteps; the signals worker_init, worker_ready, worker_process_init and "
    "worker_shutdown are the moments of its life",
    "celery.concurrency": "the pools are process, thread and async: duly worker -P",
    "celery.contrib.migrate": "duly relay and the gateways move messages of a broker",
    "celery.contrib.rdb": "attach a debugger to an executor, or run the task with task.apply() under pdb",
    "celery.contrib.sphinx": "document tasks as functions; a task keeps its function's name and docstring",
    "celery.events": "there are no events: the store knows what happens (app.jobs(), duly status --watch)",
    "celery.fixups": "duly.contrib.django is the Django integration",
    "celery.loaders": "modules of tasks are found by include, imports and autodiscover_tasks",
    "celery.platforms": "duly worker --uid, --gid, --pidfile and duly systemd do what daemons need",
    "celery.security": "there are no messages to sign: who may write the store may give orders",
    "celery.worker": "a worker runs no code of yours but tasks and the receivers of signals; for a rate limit, "
    "a pause or a question there is app.control",
    "celery.app.amqp": "app.conf.task_queues and task_routes say where calls go",
    "celery.app.defaults": "duly.config.Settings has the settings and their defaults",
    "celery.app.log": "signals.setup_logging lets a program set up logging itself",
    "celery.app.trace": "duly.hooks and the signals task_prerun and task_postrun are around each run",
    "celery.utils.time": "datetime and zoneinfo",
    "celery.utils.functional": "functools and itertools",
    "celery.utils.dispatch": "duly.signals.Signal is the class of signals",
    "celery.utils.nodenames": "duly inspect ping names the workers",
    "kombu.common": "there is no broker, and so no Broadcast or maybe_declare; app.control tells workers",
    "kombu.connection": "there is no broker; DULY_STORE or store= names the store",
    "kombu.messaging": "there is no broker to produce to or consume from; call a task",
    "kombu.mixins": "there is no broker to consume from; write a task",
    "kombu.pools": "there is no connection to pool; app.store serves every thread",
    "kombu.serialization": "arguments are JSON, read by their annotations; pickle where accept_content names it",
    "kombu.transport": "there is no broker",
    "kombu.utils": "json and uuid of the standard library",
}
"""Modules that are not here, with all below them, and what to use instead."""


class NoCounterpart(ModuleNotFoundError):
    """A module of Celery's that duly has no counterpart of; the message says what to use instead."""


def install() -> None:
    """From now on ``import celery`` and ``import kombu`` give this package's modules, in this process.

    Raises RuntimeError if a real Celery has been imported already: half of a program would use it.
    """
    if any(isinstance(each, _Finder) for each in sys.meta_path):
        return
    for root, target in _ROOTS.items():
        module = sys.modules.get(root)
        if module is not None and module.__name__ != target:
            where = getattr(module, "__file__", "somewhere")
            raise RuntimeError(
                f"duly.celery.install() comes too late: {root} was imported already, from {where}; call it before, "
                f"or set {VARIABLE}=1"
            )
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``celery`` and ``kombu``, and all below them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        root, dot, rest = fullname.partition(".")
        if root not in _ROOTS:
            return None
        ours = _ROOTS[root] + dot + rest
        if _exists(ours):
            return importlib.machinery.ModuleSpec(fullname, _Alias(ours), is_package=_is_package(ours))
        raise NoCounterpart(_refusal(fullname), name=fullname)


class _Alias(importlib.abc.Loader):
    """Puts a module of this package in the place of the one that was asked for."""

    def __init__(self, target: str) -> None:
        self._target = target

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self._target)

    def get_code(self, fullname: str) -> CodeType | None:
        """For ``python -m celery``."""
        spec = importlib.util.find_spec(self._target)
        assert spec is not None
        assert isinstance(spec.loader, importlib.abc.InspectLoader)
        return spec.loader.get_code(self._target)


def _exists(name: str) -> bool:
    parent = name.rpartition(".")[0]
    if parent != "duly" and not (_exists(parent) and _is_package(parent)):
        return False
    return importlib.util.find_spec(name) is not None


def _is_package(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.submodule_search_locations is not None


def _refusal(name: str) -> str:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (instead := _INSTEAD.get(".".join(parts[:end]))) is not None:
            return f"duly has no {name}; instead: {instead}"
    return f"duly has no {name}; docs/from-celery.md lists what there is of Celery's"
