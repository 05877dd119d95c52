"""``webinars up`` as it is run: a real worker, real browsers, a real kill; and the command line around it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import psutil
import pytest
from tests.servers.celery import celery_python
from tests.servers.rabbitmq import RabbitServer
from webinar_site.server import Site
from written import calendar

from duly.job import Filter
from webinars.service import Service
from webinars.settings import load

DEADLINE = 90  # seconds for anything to happen


class Machine:
    """A machine with settings and a folder; ``run`` is a command at its prompt."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.file = folder / "webinars.toml"
        self.calendar = folder / "calendar.ics"
        with_socket = psutil.net_connections("tcp")
        used = {connection.laddr.port for connection in with_socket if connection.laddr}
        self.port = next(port for port in range(18_100 + os.getpid() % 1000, 30_000) if port not in used)
        self.file.write_text(
            f'timezone = "Europe/Berlin"\nfolder = "{folder / "place"}"\n{more}'
            '[me]\nname = "Ada Example"\nemail = "ada@example.org"\n'
            f'[[calendars]]\nname = "work"\nkind = "ical"\npath = "{self.calendar}"\n'
            f'[page]\nport = {self.port}\n[times]\nlead = "10s"\ngrace = "2s"\nscreenshots = "1s"\n'
        )
        self.calendar.write_text(calendar())
        self.env = {**os.environ, "WEBINARS_SETTINGS": str(self.file), "COLUMNS": "80", "PYTHON_KEYRING_BACKEND":
                    "keyring.backends.fail.Keyring"}  # fmt: skip
        self.ups: list[subprocess.Popen[bytes]] = []
        self.services: list[Service] = []

    def run(self, *words: str, status: int = 0, give: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "webinars", *words], env=self.env, capture_output=True, text=True, timeout=60,
            input=give, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def up(self) -> subprocess.Popen[bytes]:
        log = open(self.folder / "up.log", "ab")  # noqa: SIM115 - the process has it
        self.ups.append(
            subprocess.Popen([sys.executable, "-m", "webinars", "up"], env=self.env, stdout=log, stderr=log)
        )
        log.close()
        return self.ups[-1]

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text()

    def service(self) -> Service:
        self.services.append(Service(load(self.file)))
        return self.services[-1]

    def close(self) -> None:
        for up in self.ups:
            up.terminate()
        for up in self.ups:
            up.wait(30)
        for service in self.services:
            service.app.close()

    def browsers(self) -> list[psutil.Process]:
        """Chromium's main processes that this machine's worker has started."""
        mark = str(self.folder)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "--headless" in " ".join(words) and not any(word.startswith("--type=") for word in words):
                try:
                    if process.environ().get("WEBINARS_SETTINGS", "").startswith(mark):
                        found.append(process)
                except psutil.Error:
                    continue
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


def wait(what: Callable[[], object], why: Callable[[], str] = str) -> None:
    end = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.05)


@pytest.mark.timeout(300)
def test_killed_in_the_middle_it_comes_back_and_there_is_one_report(machine: Machine, site: Site) -> None:
    room = "killed"
    site.phase[room] = "live"
    service = machine.service()
    link = f"{site.url}/room/{room}?with=consent&tk=t0ken"
    stay = service.settings.times.of("longest")
    planned, _ = service.attend_now(link, "Night talk", stay)
    up = machine.up()
    wait(lambda: "playing" in site.what(room), lambda: machine.log)
    wait(lambda: any(visit.joined for visit in service.ledger.visits(planned)), lambda: machine.log)
    assert len(machine.browsers()) == 1
    _, second = service.attend_now(link, "Invited twice", stay)
    wait(lambda: "1 of 1 running" in service.app.why(second), lambda: service.app.why(second))  # not two browsers
    service.app.cancel(second)

    up.send_signal(signal.SIGKILL)
    wait(lambda: not machine.browsers(), lambda: machine.log)  # they end with it
    machine.up()
    wait(lambda: len(service.ledger.visits(planned)) == 2, lambda: machine.log)
    wait(lambda: service.ledger.visits(planned)[1].joined, lambda: machine.log)
    assert len(machine.browsers()) == 1
    assert httpx2.get(f"http://127.0.0.1:{machine.port}/").text.count("Night talk") == 1

    site.phase[room] = "ended"
    wait(lambda: service.ledger.report(planned.folder), lambda: machine.log)
    report = service.ledger.report(planned.folder)
    assert report is not None
    assert report.attempts == 2
    assert report.outcome in ("attended", "attended in part")
    assert site.opened[room] == 2
    for secret in ("t0ken",):
        assert secret not in machine.log
        assert all(secret not in str(seen.args) for seen in service.app.jobs().jobs)
    assert "Night talk" in machine.run("report")
    assert "attended by machine" in machine.run("report", "night talk")


INVITE = """
import sys
from datetime import UTC, datetime
from celery import Celery

app = Celery(broker=sys.argv[1])
asked = {"link": sys.argv[2], "title": "By message", "start": datetime.now(UTC), "length": "30m"}
for _ in range(2):
    app.send_task("webinars.invite", kwargs=asked, queue="desk")
app.send_task("webinars.invite", kwargs={"link": "ftp://x.example"}, queue="desk")
"""


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[RabbitServer]:
    with RabbitServer(tmp_path / "rabbitmq") as server:
        yield server


@pytest.mark.timeout(300)
def test_an_invitation_that_comes_through_rabbitmq(machine: Machine, site: Site, rabbitmq: RabbitServer) -> None:
    site.phase["message"] = "live"
    machine.file.write_text(f'broker = "secret:broker"\n{machine.file.read_text()}')
    machine.run("secret", "set", "broker", give=rabbitmq.url() + "\n")
    service = machine.service()
    machine.up()
    link = f"{site.url}/room/message?with=consent"
    subprocess.run([celery_python(), "-c", INVITE, service.vault.get("broker"), link], check=True, timeout=60)
    wait(lambda: "playing" in site.what("message"), lambda: machine.log)
    invited = Filter(task="webinars.invite", states=("succeeded",))
    wait(lambda: len(service.app.jobs(invited).jobs) == 2, lambda: machine.log)
    [planned] = service.ledger.plan().values()
    assert planned.event.title == "By message"
    wait(lambda: any(visit.joined for visit in service.ledger.visits(planned)), lambda: machine.log)
    site.phase["message"] = "ended"
    wait(lambda: service.ledger.report(planned.folder), lambda: machine.log)
    report = service.ledger.report(planned.folder)
    assert report is not None
    assert (report.outcome, report.attempts) in (("attended", 1), ("attended in part", 1)), report
    assert "is no address of a page" in machine.log


def test_up_reads_the_calendars_and_leaves_at_once_when_told(machine: Machine) -> None:
    machine.calendar.write_text(
        calendar("UID:a\nSUMMARY:A webinar\nDTSTART:20991126T010000Z\nLOCATION:https://zoom.us/w/1?pwd=x")
    )
    machine.file.write_text(machine.file.read_text().replace("[times]", '[times]\nahead = "40000d"'))
    up = machine.up()
    wait(lambda: machine.service().ledger.plan(), lambda: machine.log)
    assert "job stored" in machine.run("plan")
    up.terminate()
    assert up.wait(30) == 0


def test_plan_shows_reasons_and_changes_nothing(machine: Machine) -> None:
    machine.file.write_text(machine.file.read_text().replace("[times]", '[times]\nahead = "40000d"'))
    machine.calendar.write_text(
        calendar(
            "UID:a\nSUMMARY:A [webinar]\nDTSTART:20991126T010000Z\nLOCATION:https://zoom.us/w/1?pwd=s3same",
            "UID:b\nSUMMARY:1:1\nDTSTART:20991126T010000Z\nLOCATION:https://meet.google.com/abc-defg-hij",
        )
    )
    text = machine.run("plan")
    assert "A [webinar]" in text
    assert "Thu 2099-11-26 02:00 CET" in text
    assert "not stored yet" in text
    assert "1 other event is not attended" in text
    assert "s3same" not in text
    assert "nothing says it" in machine.run("plan", "--all")
    assert not (machine.folder / "place" / "plan.json").exists()
    assert not (machine.folder / "place" / "known").exists()


def test_a_door_can_be_tried_before_anything_is_stored(machine: Machine, site: Site) -> None:
    """With the id that plan shows."""
    site.phase["door"] = "waiting"
    link = f"{site.url}/room/door?with=consent"
    start = datetime.now(UTC) + timedelta(hours=5)
    machine.calendar.write_text(
        calendar(f"UID:a\nSUMMARY:A webinar\nORGANIZER:mailto:x@isc2.org\nDTSTART:{start:%Y%m%dT%H%M%SZ}\nURL:{link}")
    )
    id = re.findall(r"^[0-9a-f]{6}", machine.run("plan"), re.MULTILINE)[0]
    assert "step there: accept cookies (click)" in machine.run("attend", id, "--dry-run")
    assert "has no job yet; the next reading stores it: webinars up" in machine.run("attend", id, status=1)
    assert not (machine.folder / "place" / "plan.json").exists()


def test_a_dry_run_looks_and_clicks_nothing(machine: Machine, site: Site) -> None:
    site.phase["dry"] = "waiting"
    service = machine.service()
    service.attend_now(f"{site.url}/room/dry?with=consent,register", "Dry", service.settings.times.of("longest"))
    text = machine.run("attend", "dry", "--dry-run")
    assert "step there: accept cookies (click)" in text
    assert "step there: e-mail (fill)" in text
    assert site.what("dry") == ["sees register"]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["plna"], 2, "Did you mean 'plan'?"),
        (["now", "foo"], 2, "begins with https://"),
        (["now", "https://x.example", "--for", "2"], 2, "is no span of time"),
        (["attend", "nothing"], 1, "no webinar 'nothing' is planned"),
        (["report", "nothing"], 1, "no report of 'nothing'"),
        (["accept", "else"], 1, "nothing is known of a calendar 'else'"),
        (["login", "zoom"], 1, 'zoom = "zoom"'),
        (["secret", "forget", "x"], 1, "there is no secret 'x'"),
        (["--settings", "/nowhere.toml", "plan"], 1, "make them with: webinars setup"),
        (["--settings", "badfolder.toml", "plan"], 1, "folder = '/dev/null/x' cannot be made"),
    ],
)
def test_slips_of_the_pen(machine: Machine, words: list[str], status: int, complaint: str) -> None:
    wrong = machine.folder / "badfolder.toml"
    wrong.write_text('folder = "/dev/null/x"\n[me]\nname = "A"\nemail = "a@example.org"\n')
    words = [str(wrong) if word == wrong.name else word for word in words]
    assert complaint in machine.run(*words, status=status)


def test_setup_examines_and_says_what_to_do(machine: Machine) -> None:
    machine.calendar.unlink()
    text = " ".join(machine.run("setup", "--check", status=1).split())  # lines are folded where the path has them end
    assert "Chromium" in text
    assert "No such file" in text
    assert "1 to be put right" in text


def test_setup_asks_and_writes_what_can_be_read(machine: Machine) -> None:
    machine.file.unlink()
    answers = ['Ada "Q" Example', "ada@example.org", "Europe/Berlin", "ical-file", "mine", str(machine.calendar)]
    machine.env["XDG_DATA_HOME"] = str(machine.folder / "data")
    text = machine.run("setup", give="\n".join(answers) + "\n")
    assert "0 events" in text
    assert load(machine.file).me.name == 'Ada "Q" Example'
    assert machine.file.stat().st_mode & 0o777 == 0o600


def test_a_secret_is_read_from_standard_input(machine: Machine) -> None:
    assert "secrets.json" in machine.run("secret", "set", "mine", give="s3same\n")
    assert machine.service().vault.get("mine") == "s3same"
