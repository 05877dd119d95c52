"""A dashboard on a real store, and stores with something in them."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import msgspec
import uvicorn
from playwright.sync_api import BrowserContext
from playwright.sync_api import Error as PlaywrightError

from duly.app import Duly
from duly.ids import new_id
from duly.job import ErrorInfo, Job, Kind, Lease, Outcome, WorkerInfo
from duly.store.contract import Store
from duly.web import server
from duly.web.access import Access
from duly.web.app import build, by_access

READY = 20.0  # seconds until a server listens
SECOND = 1_000_000
HOUR = 3600 * SECOND

TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/mail.py", line 12, in send
    raise ValueError(f"no such address: {to}")
ValueError: no such address: bad1@example.org
"""


@dataclass
class Answer:
    """What the server said."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Client:
    """A program that keeps its cookies, as a browser does."""

    base: str
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"Accept": "text/html"})

    def get(self, path: str, **headers: str) -> Answer:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: Any = (), **headers: str) -> Answer:
        """Post a form, with the token that a page gives; follows the answer to the page it leads to."""
        token = self.token()
        body = urlencode([("csrf", token), *(fields.items() if isinstance(fields, dict) else fields)])
        answer = self._ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", **headers})
        if answer.status == 303:
            return self.get(answer.headers["location"])
        return answer

    def post_json(self, path: str, value: Any, **headers: str) -> Answer:
        return self._ask("POST", path, json.dumps(value), {"Content-Type": "application/json", **headers})

    def token(self) -> str:
        found = re.search(r'data-csrf="([0-9a-f]+)"', self.get("/login").text)
        assert found
        return found[1]

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        parts = urlsplit(self.base)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, {**self.headers, **cookie, **named})
            response = connection.getresponse()
            text = response.read().decode()
            for said in response.headers.get_all("set-cookie") or ():
                name, _, value = said.partition(";")[0].partition("=")
                self.cookies[name] = value
            return Answer(response.status, text, {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()


@contextlib.contextmanager
def serving(
    store: Store, app: Duly | None = None, access: Access | None = None, zone: str = "UTC", site: Any = None
) -> Iterator[str]:
    """The dashboard of a store on a port of its own; gives its address."""
    listening = server.bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    access = access or Access()
    where = server.Where("127.0.0.1", port, access)
    made = site or build(store, app, ZoneInfo(zone), by_access(access), access, server.names(where))
    config = uvicorn.Config(made, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + READY
    while not running.started:
        assert time.monotonic() < deadline, "the dashboard did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive(), "the dashboard did not stop"


def leave(context: BrowserContext) -> None:
    """Close a context whose pages may be on their way somewhere. Chromium that is told to close a page just while
    another document takes its place forgets about it, and the close, which knows no time-out, waits for ever."""
    for page in context.pages:
        while True:
            try:
                page.goto("about:blank")
                break
            except PlaywrightError as error:  # what was on its way came first, and is there now
                if "interrupted by another navigation" not in error.message:
                    raise
    context.close()


# -- what is in a store ------------------------------------------------------------------------------


def put(store: Store, task: str = "tasks.add", args: object = ([], {}), ahead: float = 0.0, **fields: Any) -> str:
    """Store a job due ``ahead`` seconds from now; gives its id."""
    due = fields.pop("due", store.now() + int(ahead * SECOND))
    job = Job(id=fields.pop("id", None) or new_id(), task=task, due=due, args=msgspec.json.encode(args), **fields)
    assert store.enqueue([job])[0].stored
    return job.id


def a_worker(store: Store, name: str = "w1", queues: tuple[str, ...] = ("default", "mail"), slots: int = 2) -> int:
    info = WorkerInfo(
        name=name, host="box", pid=4242, queues=queues, slots=slots, tasks=("tasks.add", "mail.send"),
        started=store.now() - 60 * SECOND,
    )  # fmt: skip
    return store.register(info, 3600 * SECOND)


def take(store: Store, worker: int, queue: str = "default", slot: int = 0) -> Lease:
    [lease] = store.exchange(worker, slot, [], 1, (queue,)).leases
    return lease


def settle(
    store: Store, worker: int, lease: Lease, kind: Kind = Kind.SUCCEEDED, took: float = 1.2, **more: Any
) -> None:
    now = store.now()
    outcome = Outcome(lease, kind, now - int(took * SECOND), now, **more)
    assert not store.exchange(worker, 0, [outcome], 0, ()).refused


def ended(store: Store, worker: int, kind: Kind = Kind.SUCCEEDED, took: float = 1.2, **fields: Any) -> str:
    """A job that has run."""
    more = {name: fields.pop(name) for name in ("result", "error", "log", "progress") if name in fields}
    queue = fields.pop("queue", "default")
    own = f"own-{new_id()}"
    id = put(store, queue=own, ahead=-took, **fields)
    lease = take(store, worker, own)
    settle(store, worker, msgspec.structs.replace(lease, queue=queue), kind, took, **more)
    return id


def failed(store: Store, worker: int, n: int = 1, task: str = "mail.send", **fields: Any) -> str:
    """A job that failed with an error like that of others, but for what varies."""
    error = ErrorInfo(type="ValueError", message=f"no such address: 'bad{n}@example.org'", traceback=TRACEBACK)
    args = ([f"bad{n}@example.org"], {"user_id": n})
    return ended(store, worker, Kind.FAILED, task=task, args=args, error=msgspec.json.encode(error), **fields)


def wait_for(condition: Any, timeout: float = 15.0) -> Any:
    """The first true value that ``condition`` gives; fails after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
    return found
