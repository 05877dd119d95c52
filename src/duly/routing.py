"""Where a call goes: routers, and the queues of an app. Pure, but for routers that people write.

The destination of a job is one queue. It is decided at the call, by the first of these that says any of ``queue``,
``exchange`` and ``routing_key``: the call, the task (and ``task_annotations``), ``task_routes``; else it is
``task_default_queue``. Routes that look at nothing but a task's name are looked up once and not at each call.

A broker would copy a message into every queue whose binding fits its routing key. A job is stored once, so
a key that fits two queues is refused, naming both.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from duly.bindings import EXCHANGE_TYPES, Binding, Exchange, Queue, binding, bindings_of, name_of
from duly.call import Defaults, check_names
from duly.config import did_you_mean
from duly.errors import ConfigError

if TYPE_CHECKING:
    from duly.config import Settings

__all__ = ["Exchange", "Queue", "Routing", "binding"]

DESTINATION = ("queue", "exchange", "routing_key")
"""The options of a call that say where it goes."""


class Route(msgspec.Struct, frozen=True):
    """What a router says of a call."""

    options: Mapping[str, Any]  # of calls, those of DESTINATION among them
    why: str  # which router said it


class NameRouter:
    """A dict, or a list of pairs: exact names first, then globs (``*``, ``?``) and regexes in their order."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._exact: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for pattern, said in pairs:
            if isinstance(pattern, re.Pattern):
                self._patterns.append((pattern, Route(route_options(said), f"task_routes: {pattern.pattern!r}")))
            elif not isinstance(pattern, str) or not pattern:
                raise ValueError(f"{pattern!r} is no pattern; expected a task's name, a glob or a compiled regex")
            elif "*" in pattern or "?" in pattern:
                glob = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".") + r"\Z")
                self._patterns.append((glob, Route(route_options(said), f"task_routes: {pattern!r}")))
            else:
                self._exact[pattern] = Route(route_options(said), f"task_routes: {pattern!r}")

    def route(self, name: str) -> Route | None:
        if (exact := self._exact.get(name)) is not None:
            return exact
        return next((route for pattern, route in self._patterns if pattern.match(name)), None)

    def routes(self) -> list[Route]:
        return [*self._exact.values(), *(route for _, route in self._patterns)]


class CallRouter:
    """A function ``route(name, args, kwargs, options, task=None, **kw)``, or an object with
    ``route_for_task(name, args, kwargs)``; asked at each call."""

    def __init__(self, router: Any) -> None:
        self._router = router() if isinstance(router, type) else router
        self.name = f"task_routes: {getattr(router, '__qualname__', type(router).__qualname__)}"

    def route(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], task: Any
    ) -> Route | None:
        if hasattr(self._router, "route_for_task"):
            said = self._router.route_for_task(name, args, kwargs)
        else:
            said = self._router(name, args, kwargs, options, task=task)
        if not said:
            return None
        try:
            return Route(route_options(said), self.name)
        except ValueError as exc:
            raise ValueError(f"{self.name} gave {said!r}: {exc}") from None


Router = NameRouter | CallRouter


def route_options(said: Any) -> dict[str, Any]:
    """A route as options of a call: a queue's name, a Queue or a dict. Raises ValueError."""
    if isinstance(said, str | Queue) and said:
        return {"queue": name_of(said)}
    if not isinstance(said, Mapping):
        raise ValueError(f'{said!r} is no route; expected a queue, like "mail", or a dict, like {{"queue": "mail"}}')
    options = {name: value for name, value in said.items() if value is not None}
    if options.get("exchange") and options.pop("exchange_type", "direct") not in EXCHANGE_TYPES:
        raise ValueError(f"route {said!r}: exchange_type is one of {', '.join(EXCHANGE_TYPES)}")
    try:
        check_names(options)
    except TypeError as exc:
        raise ValueError(f"route {said!r}: {exc}") from None
    return {name: name_of(value) if name in DESTINATION else value for name, value in options.items()}


def routers_of(value: Any) -> tuple[Router, ...]:
    """What ``task_routes`` says: a dict, a list of pairs, a router, the name of one, or a list of these.

    Raises ValueError.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or _is_pair(value):
        value = [value]
    if value and all(_is_pair(each) for each in value):
        value = [value]
    return tuple(_router(each) for each in value)


def _router(value: Any) -> Router:
    if isinstance(value, Mapping):
        return NameRouter(value.items())
    if _is_pair(value):
        return NameRouter([value])
    if isinstance(value, list | tuple):
        if not all(_is_pair(each) for each in value):
            raise ValueError(f"{value!r} is no list of pairs, like [('crawl.*', {{'queue': 'crawl'}})]")
        return NameRouter(value)
    if isinstance(value, str):
        value = _by_name(value)
    if callable(value) or hasattr(value, "route_for_task"):
        return CallRouter(value)
    raise ValueError(f"{value!r} is no router; expected a dict, a list of pairs, a function or the name of one")


def _is_pair(value: Any) -> bool:
    """(pattern, route); two strings could be two routers too, and only a glob or a dotless queue tells."""
    if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[0], str | re.Pattern):
        return False
    return isinstance(value[1], Mapping | Queue) or isinstance(value[0], re.Pattern) or "." not in str(value[1])


def _by_name(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        module, _, attribute = name.rpartition(".")
    try:
        found = importlib.import_module(module) if module else None
    except ModuleNotFoundError:
        found = None
    if found is None or not hasattr(found, attribute):
        raise ValueError(f"{name!r} names no router; expected one like proj.routers.MyRouter")
    return getattr(found, attribute)


# -- an app's ------------------------------------------------------------------------------------


class Routing:
    """The queues and routes of an app, as its settings have them; made anew when a setting changes.

    Raises ConfigError for routes that lead nowhere.
    """

    def __init__(self, conf: Settings) -> None:
        self.default = conf.task_default_queue
        self._priority = conf.task_default_priority
        self.queues = {queue.name: queue for queue in conf.task_queues}
        self.bindings = tuple(bindings_of(conf))
        self._exchange = conf.task_default_exchange or self.default
        self._key = conf.task_default_routing_key or self.default
        self._strict = not conf.task_create_missing_queues
        self._routers = routers_of(conf.task_routes)
        self.asks = any(isinstance(router, CallRouter) for router in self._routers)
        """Whether a router has to be asked at each call."""
        self._check()

    def _check(self) -> None:
        try:
            self.destination({"queue": self.default})
            for router in self._routers:
                for route in router.routes() if isinstance(router, NameRouter) else ():
                    self.destination(route.options)
        except ValueError as exc:
            raise ConfigError(f"task_routes and task_queues: {exc}") from None

    @property
    def served(self) -> tuple[str, ...]:
        """What a worker serves that is told nothing else: the declared queues, and the default one."""
        return tuple(dict.fromkeys((*self.queues, self.default)))

    @property
    def known(self) -> tuple[str, ...] | None:
        """The only queues there may be; None: any."""
        return self.served if self._strict else None

    def route(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        task: Any = None,
    ) -> Route | None:
        """What the first router that knows something says of a call; a router of calls may raise what it likes."""
        for router in self._routers:
            if isinstance(router, NameRouter):
                found = router.route(name)
            else:
                found = router.route(name, args, kwargs or {}, options or {}, task)
            if found is not None:
                return found
        return None

    def defaults(self, name: str, own: Mapping[str, Any], flags: int, route: Route | None) -> Defaults:
        """What a task brings to its jobs: ``own`` are its options, which count more than the route's.

        Raises TypeError and ValueError for a destination that is none.
        """
        said = route.options if route is not None else {}
        queue = self.destination(own) or self.destination(said) or self.default
        rest = {key: value for key, value in said.items() if key not in DESTINATION and key not in own}
        priority = own.get("priority", rest.pop("priority", self._priority))
        return Defaults(name, queue, priority, flags, own.get("expires"), self, rest)

    def destination(self, options: Mapping[str, Any]) -> str | None:
        """The queue that options name by ``queue``, or by ``exchange`` and ``routing_key``; None if they name none.

        Raises TypeError, and ValueError for a queue that is not declared (``task_create_missing_queues`` is False)
        and for keys that fit no queue or several.
        """
        if type(queue := options.get("queue")) is str and queue and not self._strict:  # nearly always
            return queue
        queue, exchange, key = (name_of(options.get(name)) for name in DESTINATION)
        if queue is None and key is None and exchange is None:
            return None
        for name, value in zip(DESTINATION, (queue, exchange, key), strict=True):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name}={value!r}: expected a text")
        if queue is not None:
            return self._declared(queue)
        if exchange == "":  # the one that every queue is bound to by its name
            return self._declared(key or self.default)
        return self._bound(exchange or self._exchange, key or self._key)

    def _declared(self, queue: str) -> str:
        if not queue:
            raise ValueError("queue='' is empty; leave it out instead")
        if self._strict and queue not in self.served:
            raise ValueError(
                f"queue {queue!r} is not in task_queues, and task_create_missing_queues is False"
                f"{did_you_mean(queue, self.served)}"
            )
        return queue

    def _bound(self, exchange: str, key: str) -> str:
        there = [each for each in self.bindings if each.exchange == exchange]
        if not there:
            known = {each.exchange for each in self.bindings}
            raise ValueError(f"no queue is bound to exchange {exchange!r}{did_you_mean(exchange, known)}")
        fit = list(dict.fromkeys(each.queue for each in there if each.fits(key)))
        if not fit:
            bound = ", ".join(f"{each.queue} by {each.key!r}" for each in there)
            raise ValueError(
                f"routing_key={key!r} fits no queue bound to exchange {exchange!r} (there are: {bound}); add a "
                "Queue to task_queues, or say queue="
            )
        if len(fit) > 1:
            raise ValueError(
                f"routing_key={key!r} fits {len(fit)} queues, {', '.join(fit)}, and a job goes to one; say queue= "
                "(for a job in each: call it for each)"
            )
        return fit[0]

    def binding_of(self, options: Mapping[str, Any]) -> Binding | None:
        """The binding by which :meth:`destination` found the queue; None if it was named."""
        if options.get("queue") is not None or not (queue := self.destination(options)):
            return None
        key = options.get("routing_key") or self._key
        return next((each for each in self.bindings if each.queue == queue and each.fits(key)), None)
