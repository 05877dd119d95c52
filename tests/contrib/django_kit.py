"""The example project in real processes, with an application of probes beside its own."""

from __future__ import annotations

import http.cookiejar
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers.process import free_port
from tests.waiting import eventually

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "examples" / "django_reminders"


class Started:
    """A process that stays, and what it writes."""

    def __init__(self, command: list[str], log: Path, **options: Any) -> None:
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, **options)

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, words: str) -> Started:
        eventually(lambda: words in self.text() or self.process.poll() is not None)
        assert words in self.text(), self.text()
        return self

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Office:
    """The project with its databases in a folder of their own.

    ``settings``: Django settings to be changed, as JSON values.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.started: list[Started] = []
        outside = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
        self.env = outside | {
            "DJANGO_SETTINGS_MODULE": "probe_settings",
            "PROBE_SETTINGS": json.dumps(settings),
            "PYTHONPATH": str(HERE),
            "REMINDERS_DATA": str(folder),
        }

    def run(
        self, *words: str, status: int | None = 0, code: str | None = None, launcher: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """``manage.py`` with these words; or ``code``, at its prompt."""
        done = subprocess.run(
            [sys.executable, *launcher, str(PROJECT / "manage.py"),
             *(["shell", "-v0", "-c", code] if code else words)],
            env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def call(self, *words: str) -> Any:
        """``manage.py duly call``, and the result of the job."""
        id = self.run("duly", "call", "-q", *words).stdout.strip()
        done = self.run("duly", "result", id, "--timeout", "20", "--json", status=None)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str, ready: str, command: Sequence[str] = (str(PROJECT / "manage.py"),)) -> Started:
        """``manage.py`` with these words, or another command of Python's, from another folder than the project's."""
        log = self.folder / f"log{len(self.started)}"
        started = Started([sys.executable, "-u", *command, *words], log, env=self.env, cwd=self.folder)
        self.started.append(started)
        return started.wait_for(ready)

    def worker(self, *words: str) -> Started:
        return self.start("duly", "worker", "-l", "INFO", *words, ready="Ready.")

    def server(self) -> Site:
        port = free_port()
        self.start("runserver", "--noreload", f"127.0.0.1:{port}", ready="Quit the server")
        site = Site(f"http://127.0.0.1:{port}")
        eventually(site.answers)
        return site

    def close(self) -> None:
        for started in reversed(self.started):
            started.end()


class Site:
    """A web server, as a client with cookies sees it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError as exc:
            exc.close()
        except OSError:
            return False
        return True

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, **fields: Any) -> tuple[int, Any]:
        """Status and JSON of the answer to a form; None for what is no JSON."""
        data = urllib.parse.urlencode(fields).encode()
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            exc.close()
            return exc.code, None

    def page(self, path: str, **fields: Any) -> tuple[int, str]:
        """Status and text of a page; of the answer to a form if there are ``fields`` (a list: several of a name)."""
        data = None
        if fields:
            fields["csrfmiddlewaretoken"] = next((c.value for c in self.jar if c.name == "csrftoken"), "")
            data = urllib.parse.urlencode(fields, doseq=True).encode()
        try:
            with self.opener.open(self.url + path, data, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    def log_in(self, name: str) -> Site:
        """As a user of this name and password, on a client of its own."""
        client = Site(self.url)
        client.page("/admin/login/")
        status, text = client.page("/admin/login/?next=/admin/", username=name, password=name)
        assert status == 200, text
        assert "Log out" in text, text
        return client
