"""The examples of Flask and FastAPI, each with its real server and a real worker."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django_kit import PROJECT, Site, Started
from tests.servers.process import free_port
from tests.waiting import eventually

EXAMPLES = PROJECT.parent


class Example:
    """An example's folder, its worker and its server."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.site = Site(f"http://127.0.0.1:{self.port}")
        outside = {key: value for key, value in os.environ.items() if not key.startswith("DULY_")}
        self.env = outside | {"REPORTS_STORE": f"sqlite:///{folder}/reports.db", "REPORTS_SHORTEST_WORD": "4"}
        self.started: list[Started] = []

    def start(self, *words: str, ready: str) -> Started:
        log = self.folder / f"log{len(self.started)}"
        place = EXAMPLES / self.name
        self.started.append(Started([sys.executable, "-u", "-m", *words], log, env=self.env, cwd=place))
        return self.started[-1].wait_for(ready)

    def ask(self, method: str, path: str, data: bytes | None = None, kind: str | None = None) -> tuple[int, Any]:
        headers = {"content-type": kind} if kind else {}
        request = urllib.request.Request(self.site.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    def close(self) -> None:
        for one in reversed(self.started):
            one.end()


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Example]:
    example = Example(request.param, tmp_path)
    yield example
    example.close()


@pytest.mark.parametrize("example", ["flask_reports"], indirect=True)
def test_flask(example: Example) -> None:
    example.start("flask", "--app", "reports", "run", "--port", str(example.port), ready="Running on")
    form = "application/x-www-form-urlencoded"
    assert example.ask("POST", "/reports", b"", form)[0] == 400
    status, asked = example.ask("POST", "/reports", b"text=many+many+odd+words", form)
    assert status == 202
    path = asked["report"]
    status, waits = example.ask("GET", path)
    assert (status, waits["state"]) == (200, "queued")
    assert "worker" in waits["why"]
    withdrawn = example.ask("POST", "/reports", b"text=other", form)[1]["report"]
    assert example.ask("DELETE", withdrawn) == (200, {"cancel": "prevented"})
    assert example.ask("GET", "/reports/nobody")[0] == 404

    example.start("duly", "-A", "reports", "worker", "-c", "1", ready="Ready.")
    report = eventually(lambda: (found := example.ask("GET", path)[1])["state"] == "succeeded" and found)
    assert report == {
        "state": "succeeded",
        "words": {"many": 2, "words": 1},
    }  # as the application is configured
    assert example.ask("GET", withdrawn)[1]["state"] == "cancelled"


@pytest.mark.parametrize("example", ["fastapi_reports"], indirect=True)
def test_fastapi(example: Example) -> None:
    example.start("uvicorn", "web:web", "--port", str(example.port), ready="Application startup complete")
    eventually(example.site.answers)
    kind = "application/json"
    assert example.ask("POST", "/reports", b'{"text": ""}', kind)[0] == 422
    status, asked = example.ask("POST", "/reports", b'{"text": "to be or not to be"}', kind)
    assert status == 202
    assert example.ask("GET", asked["report"])[1]["state"] == "queued"
    status, text = example.ask("GET", asked["report"] + "/wait?seconds=0.05")
    assert status == 504
    assert "no worker is running" in text

    example.start("duly", "-A", "tasks", "worker", "-c", "2", "-P", "async", ready="Ready.")
    words = {"be": 2, "not": 1, "or": 1, "to": 2}
    answer = {"state": "succeeded", "report": {"words": words, "longest": "not"}, "why": None}
    assert example.ask("GET", asked["report"] + "/wait") == (200, answer)
    assert example.ask("GET", asked["report"]) == (200, answer)
    assert example.ask("GET", "/reports/nobody")[0] == 404
    assert example.ask("GET", "/openapi.json")[0] == 200
    example.started[0].end()
    assert "Application shutdown complete" in example.started[0].text()
