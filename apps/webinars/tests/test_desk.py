"""What is done at the desk: telling people, and tidying up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from webinar_site.server import Served

from duly.testing import World
from webinars import files, notify, plan
from webinars.errors import SettingsError
from webinars.event import Event
from webinars.hourly import planned
from webinars.service import DESK, Service
from webinars.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # apprise, on Python before 3.13


class Phone:
    """Takes notes by HTTP; refuses while ``broken`` is set."""

    def __init__(self) -> None:
        self.notes: list[dict[str, str]] = []
        self.broken = False
        self._server = Served(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]))
        self.url = self._server.url.replace("http://", "json://") + "/s3same"

    async def _take(self, request: Request) -> Response:
        if self.broken:
            return Response(status_code=500)
        self.notes.append(await request.json())
        return Response()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def phone() -> Iterator[Phone]:
    phone = Phone()
    yield phone
    phone.close()


def test_a_person_is_told(phone: Phone) -> None:
    notify.send([phone.url], "missed: Night talk", "a log-in is needed")
    assert [(note["title"], note["message"]) for note in phone.notes] == [
        ("missed: Night talk", "a log-in is needed")
    ]


def test_a_phone_that_does_not_answer_is_tried_again(phone: Phone, settings: Callable[..., Settings]) -> None:
    service = Service(settings(notify={"urls": ["secret:phone"]}))
    service.vault.set("phone", phone.url)
    phone.broken = True
    with World(app=service.app) as world:
        world.worker(queues=(DESK,))
        job = service.tell.delay("missed", "why")
        world.advance(seconds=1)
        assert job.state == "retrying"
        phone.broken = False
        world.advance(minutes=5)
        assert job.successful()
        assert len(phone.notes) == 1
        assert all(
            b"s3same" not in seen.args and b"s3same" not in (seen.log or b"") for seen in service.app.jobs().jobs
        )


def test_an_address_that_is_none_is_said_without_its_secrets() -> None:
    with pytest.raises(
        SettingsError, match=r"address number 1 is none that apprise knows \(nothing:\.\.\.\)"
    ) as error:
        notify.send(["nothing://token"], "x", "y")
    assert "token" not in str(error.value)


def test_what_is_old_is_deleted_and_what_is_not_stays(settings: Callable[..., Settings]) -> None:
    service = Service(settings(keep="30d"))
    now = service.now()
    for uid, days in (("old", 40), ("new", 3)):
        start = now - timedelta(days=days)
        event = Event(calendar="c", uid=uid, title=uid, start=start, end=start + timedelta(hours=1))
        entry = planned(plan.Line(event, True, "", "https://zoom.us/w/1", "r"))
        with service.ledger.changing() as noted:
            noted[event.id] = entry
        file = service.ledger.folder(entry) / "1-001-inside.jpg"
        files.write(file, b"picture")
        for path in (file, file.parent):
            os.utime(path, (start.timestamp(), start.timestamp()))
    gone = service.app.find("webinars.tidy")()
    assert [name.split("-")[3] for name in gone] == ["old"]
    assert [entry.event.uid for entry in service.ledger.plan().values()] == ["new"]
    assert len(service.ledger.folders()) == 1
