"""Several hosts on one server: one loses its network in the middle of a job, one has a clock that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.servers.hosts import Host, Network
from tests.servers.redis import RedisServer
from tests.waiting import eventually

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds
SKEW = 90.0  # seconds by which a wrong clock is off


class Note(NamedTuple):
    what: str  # "begin" or "end"
    job: int
    host: str
    at: int  # µs UTC


class Site:
    """A server, hosts, and what their workers noted."""

    def __init__(self, folder: Path, network: Network, url: str, ends: ExitStack) -> None:
        self.network = network
        self._folder = folder
        self._url = url
        self._ends = ends
        (folder / "notes").touch()

    def environment(self, host: Host, skew: float) -> dict[str, str]:
        names = {"DULY_STORE": self._url, "NOTES": str(self._folder / "notes"), "HOST": host.name}
        if skew:
            names |= {"SKEW": str(skew), "PYTHONPATH": str(HERE / "skewed")}
        return os.environ | names

    def worker(self, host: Host, skew: float = 0.0) -> subprocess.Popen[bytes]:
        """A worker on this host, ready."""
        log = self._folder / f"{host.name}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                host.command([sys.executable, "-m", "duly", "-A", "hosts_app", "worker", "-c", "1", "-l", "INFO"]),
                cwd=HERE, env=self.environment(host, skew), stdout=output, stderr=output,
            )  # fmt: skip
        self._ends.callback(process.wait)
        self._ends.callback(process.kill)
        eventually(lambda: "Ready." in log.read_text())
        return process

    def log(self, host: Host) -> str:
        return (self._folder / f"{host.name}.log").read_text()

    def call(self, host: Host, code: str, skew: float = 0.0) -> str:
        """Run Python on a host, with the app's tasks; gives what it prints."""
        done = subprocess.run(
            host.command([sys.executable, "-c", f"import time\nfrom hosts_app import app, quick, slow\n{code}"]),
            cwd=HERE, env=self.environment(host, skew), capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def notes(self, job: int | None = None) -> list[Note]:
        rows = (line.split() for line in (self._folder / "notes").read_text().splitlines())
        notes = [Note(what, int(i), host, int(at)) for what, i, host, at in rows]
        return [note for note in notes if job is None or note.job == job]


class FarRedis(RedisServer):
    """Redis on a host of its own."""

    def __init__(self, folder: Path, network: Network) -> None:
        super().__init__(folder, {"bind": network.server.address, "protected-mode": "no"})
        self._network = network

    def command(self) -> list[str]:
        return self._network.server.command(list(super().command()))

    def answers(self) -> bool:
        ping = self._network.server.command(
            ["redis-cli", "-h", self._network.server.address, "-p", str(self.port), "ping"]
        )
        return subprocess.run(ping, capture_output=True, check=False).returncode == 0

    def url(self, database: int = 0) -> str:
        return f"redis://{self._network.server.address}:{self.port}/{database}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as ends:
        network = ends.enter_context(Network())
        server = ends.enter_context(FarRedis(tmp_path / "server", network))
        yield Site(tmp_path, network, server.url(), ends)


def test_a_host_that_is_cut_off_stops_its_job_which_runs_elsewhere_and_comes_back(site: Site) -> None:
    first, second, caller = (site.network.host() for _ in range(3))
    site.worker(first)
    site.call(caller, "slow.delay(1, 6.0)")
    eventually(lambda: site.notes(1))
    site.worker(second)
    first.cut()
    eventually(lambda: [note for note in site.notes(1) if note.what == "end"])
    begun = [note for note in site.notes(1) if note.what == "begin"]
    assert [note.host for note in begun] == [first.name, second.name]
    assert [note.host for note in site.notes(1) if note.what == "end"] == [second.name], site.log(first)
    assert site.call(caller, "[job] = app.jobs().jobs; print(job.state.name, job.lost)") == "SUCCEEDED 1"
    first.mend()
    many = "for i in range(100, 160): slow.delay(i, 0.1)"
    site.call(caller, many)
    eventually(lambda: {note.host for note in site.notes() if note.job >= 100} == {first.name, second.name})


@pytest.mark.parametrize("skew", [SKEW, -SKEW], ids=["ahead", "behind"])
def test_a_host_whose_clock_is_wrong_starts_no_job_early_and_none_late(site: Site, skew: float) -> None:
    host = site.network.host()
    site.worker(host, skew)
    dues = site.call(
        host,
        "jobs = [quick.apply_async((i,), countdown=1 + i / 10) for i in range(20)]\n"
        "print(*(app.jobs(order='due').jobs[i].due for i in range(20)))",
        skew,
    )
    eventually(lambda: len(site.notes()) == 20)
    lateness = [note.at - due for note, due in zip(site.notes(), map(int, dues.split()), strict=True)]
    assert min(lateness) >= -1000, lateness  # µs; how exactly the server's clock is known on loopback
    assert max(lateness) < 2_000_000, lateness
