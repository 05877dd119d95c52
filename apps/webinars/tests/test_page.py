"""The report page over HTTP: what it shows, what it does not give away, and to whom it answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx2
import pytest
from webinar_site.server import Served

from webinars import files, plan
from webinars.concluding import JobEnd, conclude
from webinars.errors import SettingsError
from webinars.event import Event
from webinars.hourly import planned
from webinars.page.app import Page, application
from webinars.service import Service
from webinars.settings import Settings
from webinars.trust import Known
from webinars.verdict import Verdict
from webinars.visit import Moment, Visit

EVIL = "<script>alert(1)</script> & friends"


@pytest.fixture
def service(settings: Callable[..., Settings]) -> Iterator[Service]:
    calendars = [{"name": "work", "kind": "ical", "path": "/nowhere.ics"}]
    service = Service(settings(calendars=calendars, timezone="Europe/Berlin"))
    now = service.now()
    with service.ledger.changing() as noted:
        for uid, hours in (("past", -3), ("going", -0.5), ("ahead", 30)):
            start = now + timedelta(hours=hours)
            link = f"https://zoom.us/w/{uid}?pwd=s3same"
            event = Event(
                calendar="work",
                uid=uid,
                title=f"{uid} {EVIL}",
                start=start,
                end=start + timedelta(hours=1),
                links=(link,),
            )
            noted[event.id] = planned(plan.Line(event, True, "the title says webinar", link, "room"))
    for entry in service.ledger.plan().values():
        if entry.event.uid == "ahead":
            continue
        moment = Moment(entry.event.start, "inside", "1-001-inside.jpg")
        visit = Visit(attempt=1, opened=entry.event.start, joined=entry.event.start, inside=3000, moments=[moment])
        visit.verdict = Verdict.JOINED if entry.event.uid == "going" else Verdict.ATTENDED
        service.ledger.save_visit(entry, visit)
        files.write(service.ledger.folder(entry) / "1-001-inside.jpg", b"\xff\xd8picture")
        if entry.event.uid == "past":
            service.ledger.save_report(entry, conclude(entry, [visit], visit, JobEnd("succeeded"), now))
    service.ledger.remember("work", Known(read_at=now, upcoming={}, taken=[], problem="suddenly empty"))
    yield service
    service.app.close()


@pytest.fixture
def page(service: Service) -> Iterator[httpx2.Client]:
    served = Served(application(service))
    with httpx2.Client(base_url=served.url, follow_redirects=True) as client:
        yield client
    served.close()


def folder(service: Service, uid: str) -> str:
    return next(entry.folder for entry in service.ledger.plan().values() if entry.event.uid == uid)


def test_home_shows_what_goes_on_what_is_ahead_and_what_was(page: httpx2.Client, service: Service) -> None:
    text = page.get("/").text
    for words in ("Going on", "inside", "Ahead", "in 1 d", "Reports", "✓ attended", "not believed", "suddenly empty"):
        assert words in text
    assert f'href="/{folder(service, "past")}/"' in text


@pytest.mark.parametrize("uid", ["past", "going", "ahead"])
def test_one_webinar(page: httpx2.Client, service: Service, uid: str) -> None:
    answer = page.get(f"/{folder(service, uid)}/")
    assert answer.status_code == 200
    assert ("1-001-inside.jpg" in answer.text) == (uid != "ahead")
    assert ("by a machine" in answer.text) == (uid == "past")


def test_titles_are_shown_as_text_and_secrets_not_at_all(page: httpx2.Client, service: Service) -> None:
    for path in ("/", f"/{folder(service, 'past')}/", f"/{folder(service, 'going')}/"):
        answer = page.get(path)
        assert "<script>" not in answer.text
        assert "s3same" not in answer.text
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_pictures(page: httpx2.Client, service: Service) -> None:
    assert page.get(f"/{folder(service, 'past')}/1-001-inside.jpg").content == b"\xff\xd8picture"


@pytest.mark.parametrize(
    "path",
    ["/none/", "/none/1.jpg", "/{f}/plan.json", "/{f}/visit-1.json", "/{f}/..%2f..%2fplan.json", "/%2e%2e/plan.json",
     "/../plan.json", "/{f}/report.json"],
)  # fmt: skip
def test_nothing_else_is_given(page: httpx2.Client, service: Service, path: str) -> None:
    answer = page.get(path.format(f=folder(service, "past")))
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_it_answers_to_its_own_names_only(page: httpx2.Client) -> None:
    assert page.get("/", headers={"Host": "evil.example"}).status_code == 400


def test_it_is_not_shown_to_others(settings: Callable[..., Settings]) -> None:
    service = Service(settings(page={"host": "0.0.0.0"}))
    with pytest.raises(SettingsError, match="ssh -L"):
        Page(service)


def test_a_port_that_is_taken_is_said_before_anything_runs(settings: Callable[..., Settings]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = Service(settings(page={"port": taken.getsockname()[1]}))
        with pytest.raises(SettingsError, match="is it running already"):
            Page(service)
