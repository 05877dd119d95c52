"""Visits in a real Chromium to a host of our own: each way in, each way out, and what is noted of it."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from staging import Direction, Scene, play
from webinar_site.server import Site

from webinars.attending import providers
from webinars.verdict import Verdict


class Local:
    """A provider's own steps and signs, at the test's address."""

    def __init__(self, provider: providers.Provider) -> None:
        self.name, self.player = provider.name, provider.player
        self.steps, self.signs = provider.steps, provider.signs

    def address(self, link: str) -> str:
        return link


async def live_then_ended(d: Direction) -> None:
    await d.noted("opened")
    d.show("live")
    await d.inside()
    d.show("ended")


async def registered(d: Direction) -> None:
    await d.told("sees waiting")
    await asyncio.sleep(1)  # a teaser plays meanwhile; it must not be taken for the webinar
    d.visit.moments.append(d.visit.moments[-1])  # marks when the room opened
    d.show("live")
    await d.inside()
    await d.noted("still inside")
    d.show("ended")


async def player_ends(d: Direction) -> None:
    d.show("live")
    await d.inside()
    d.show("over")


async def disconnected(d: Direction) -> None:
    d.show("live")
    await d.inside()
    d.show("disconnected")
    await d.told("rejoin")
    d.show("live")
    await d.noted("inside again")
    d.show("ended")


async def page_crashes(d: Direction) -> None:
    d.show("live")
    await d.inside()
    session = await d.context.new_cdp_session(d.context.pages[0])
    task = asyncio.create_task(session.send("Page.crash"))
    await d.noted("inside again")
    task.cancel()
    d.show("ended")


async def page_is_closed(d: Direction) -> None:
    d.show("live")
    await d.inside()
    await d.context.pages[0].close()
    await d.noted("inside again")
    d.show("ended")


async def removed(d: Direction) -> None:
    d.show("live")
    await d.inside()
    d.show("removed")


async def moved_by_the_page(d: Direction) -> None:
    d.site.phase["moved-2"] = "live"
    d.show("moved")
    await d.inside()
    d.site.phase["moved-2"] = "ended"


async def moved_by_the_calendar(d: Direction) -> None:
    await d.told("sees waiting")
    d.site.phase["other-room"] = "live"
    d.change(link=f"{d.site.url}/room/other-room")
    await d.inside()
    d.site.phase["other-room"] = "ended"


async def cancelled(d: Direction) -> None:
    d.show("live")
    await d.inside()
    d.change(wanted=False)


async def till_its_end(d: Direction) -> None:
    await d.inside()
    end = datetime.now(UTC) + timedelta(seconds=1)
    d.change(event=msgspec.structs.replace(d.planned.event, end=end))


async def comes_up(d: Direction) -> None:
    await d.until(lambda: d.site.opened.get("down", 0) >= 2)
    d.show("live")
    await d.inside()
    d.show("ended")


async def asked(d: Direction) -> None:
    d.show("live")
    await d.inside()
    d.show("asked")
    await d.noted("asks whether somebody is there")
    d.show("ended")


MOVED = (providers.Sign(screen=providers.Screen.MOVED, see="css=#new-room >> visible=true"),)


class WithMoved(providers.Generic):
    signs = (*MOVED, *providers.SIGNS)


SCENES = [
    Scene("register", options="consent,register", script=registered, record=True),
    Scene("player-ends", script=player_ends),
    Scene("disconnected", script=disconnected),
    Scene("crashes", script=page_crashes, alone=True),
    Scene("closed", script=page_is_closed),
    Scene("removed", script=removed),
    Scene("denied", "denied"),
    Scene("captcha", "captcha"),
    Scene("no-account", options="login"),
    Scene("wrong-account", options="login", facts={"username": "ada", "password": "battery staple"}),
    Scene(
        "account",
        "live",
        options="login",
        script=till_its_end,
        facts={"username": "ada", "password": "correct horse"},
    ),
    Scene("missing", None),
    Scene("down", "broken", script=comes_up),
    Scene("moved", script=moved_by_the_page, provider=WithMoved()),
    Scene("calendar-moves", script=moved_by_the_calendar),
    Scene("cancelled", script=cancelled),
    Scene("never-starts", ends=4),
    Scene("to-the-end", "live", script=till_its_end),
    Scene("odd", "odd"),
    Scene("old-end", "ended", starts=120, script=live_then_ended),
    Scene("over", "ended", starts=-300),
    Scene("asked", script=asked),
    *(
        Scene(f"{kind.name}-1", script=live_then_ended, path=f"{kind.name}/j", provider=Local(kind))  # type: ignore[arg-type]
        for kind in providers.KNOWN
        if not kind.player
    ),
]


pytestmark = pytest.mark.timeout(400)  # the first test waits for all visits


@pytest.fixture(scope="module")
def visits(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Direction]:
    return asyncio.run(play(SCENES, site, tmp_path_factory.mktemp("visits")))


@pytest.mark.parametrize(
    ("room", "verdict", "detail"),
    [
        ("register", Verdict.ATTENDED, "the host ended it"),
        ("player-ends", Verdict.ATTENDED, "the host ended it"),
        ("disconnected", Verdict.ATTENDED, "the host ended it"),
        ("crashes", Verdict.ATTENDED, "the host ended it"),
        ("closed", Verdict.ATTENDED, "the host ended it"),
        ("removed", Verdict.REMOVED, "the page says so"),
        ("denied", Verdict.DENIED, "the page says so"),
        ("captcha", Verdict.CAPTCHA, "the page says so"),
        ("no-account", Verdict.LOGIN, "there is no account"),
        ("wrong-account", Verdict.LOGIN, "was not accepted"),
        ("account", Verdict.ATTENDED, "its scheduled end"),
        ("missing", Verdict.NOT_FOUND, "the site answered 404"),
        ("down", Verdict.ATTENDED, "the host ended it"),
        ("moved", Verdict.ATTENDED, "the host ended it"),
        ("calendar-moves", Verdict.ATTENDED, "the host ended it"),
        ("cancelled", Verdict.CANCELLED, "the calendar cancelled it"),
        ("never-starts", Verdict.WAITING, "nobody let us in"),
        ("to-the-end", Verdict.ATTENDED, "its scheduled end"),
        ("odd", Verdict.STUCK, "no way in"),
        ("old-end", Verdict.ATTENDED, "the host ended it"),
        ("over", Verdict.ENDED, "it is over"),
        ("asked", Verdict.ATTENDED, "the host ended it"),
        ("zoom-1", Verdict.ATTENDED, "the host ended it"),
        ("teams-1", Verdict.ATTENDED, "the host ended it"),
        ("webex-1", Verdict.ATTENDED, "the host ended it"),
        ("goto-1", Verdict.ATTENDED, "the host ended it"),
        ("meet-1", Verdict.ATTENDED, "the host ended it"),
    ],
)
def test_how_a_visit_ends(visits: dict[str, Direction], room: str, verdict: Verdict, detail: str) -> None:
    visit = visits[room].visit
    assert not visits[room].error, visits[room].error
    assert visit.verdict is verdict, visit
    assert detail in visit.detail
    assert visit.closed is not None
    if verdict is Verdict.ATTENDED:
        assert visit.joined is not None


def test_the_form_gets_what_the_settings_say_and_nothing_else(visits: dict[str, Direction], site: Site) -> None:
    told = site.what("register")
    assert told.index("consent") < told.index("registered")
    form = site.entry("register", "registered")
    assert {name: form[name] for name in ("firstName", "lastName", "email", "company", "opinion")} == {
        "firstName": "Ada", "lastName": "Example", "email": "ada@example.org", "company": "", "opinion": "",
    }  # fmt: skip


def test_a_teaser_is_not_the_webinar(visits: dict[str, Direction], site: Site) -> None:
    told = site.what("register")
    assert "playing" in told[told.index("sees live") :]
    moments = [moment.what for moment in visits["register"].visit.moments]
    assert sum(what.startswith("inside") for what in moments) == 1


@pytest.mark.parametrize("room", ["disconnected", "crashes", "closed"])
def test_a_reconnect_is_counted(visits: dict[str, Direction], room: str) -> None:
    assert visits[room].visit.reconnects == 1


@pytest.mark.parametrize("room", ["register", "asked", "disconnected"])
def test_nothing_is_answered_in_the_place_of_a_person(visits: dict[str, Direction], site: Site, room: str) -> None:
    assert not {"answered the poll", "claimed to be there"} & set(site.what(room))


def test_doors_of_hosts_get_name_and_passcode(visits: dict[str, Direction], site: Site) -> None:
    doors = {kind: [e for e in site.told[f"{kind}-1"] if e["what"] == "door"] for kind in ("zoom", "teams", "meet")}
    assert doors["zoom"][-1]["input-for-name"] == "Ada Example"
    assert doors["zoom"][-1]["input-for-pwd"] == "s3same"
    assert doors["teams"][-1]["field0"] == "Ada Example"
    assert doors["meet"][-1]["field0"] == "Ada Example"
    assert all("inside" in site.what(f"{kind}-1") for kind in doors)


def test_evidence_is_kept_and_private(visits: dict[str, Direction]) -> None:
    direction = visits["register"]
    shots = [moment.screenshot for moment in direction.visit.moments if moment.screenshot]
    assert len(set(shots)) >= 5
    for name in shots:
        file = direction.folder / name
        assert file.read_bytes()[:2] == b"\xff\xd8"  # JPEG
        assert file.stat().st_mode & 0o777 == 0o600
    assert (direction.folder / "visit-1.json").stat().st_mode & 0o777 == 0o600


def test_nothing_secret_is_in_what_is_noted(visits: dict[str, Direction]) -> None:
    for room in ("register", "account", "zoom-1"):
        text = (visits[room].folder / "visit-1.json").read_text()
        assert not any(secret in text for secret in ("t0ken", "correct horse", "s3same"))


@pytest.mark.parametrize(("room", "step"), [("account", "user name, password"), ("zoom-1", "name, passcode")])
def test_a_field_with_a_secret_is_covered_in_the_picture(visits: dict[str, Direction], room: str, step: str) -> None:
    shot = next(m.screenshot for m in visits[room].visit.moments if m.what == f"filled in: {step}")
    other = visits["register"].visit.moments[0].screenshot
    assert _covered(visits[room].folder / shot) > 1000  # pixels; Playwright covers with pink
    assert _covered(visits["register"].folder / other) == 0


def _covered(picture: Path) -> int:
    """Pixels that are pink."""
    decode = ["ffmpeg", "-v", "error", "-i", str(picture), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(decode, capture_output=True, check=True).stdout
    return sum(r > 200 and g < 60 and b > 200 for r, g, b in zip(raw[::3], raw[1::3], raw[2::3], strict=True))


def test_the_picture_is_recorded_where_it_is_allowed(visits: dict[str, Direction]) -> None:
    assert visits["register"].visit.recording == "recording-1.mp4"
    assert visits["disconnected"].visit.recording == ""
    file = visits["register"].folder / "recording-1.mp4"
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "format=duration:stream=codec_name",
        "-of",
        "csv=p=0",
        str(file),
    ]
    codec, duration = subprocess.run(probe, capture_output=True, text=True, check=True).stdout.split()
    assert codec == "h264"
    assert 0.5 < float(duration) < 30
    assert file.stat().st_mode & 0o777 == 0o600


def test_inside_is_counted_from_looks(visits: dict[str, Direction]) -> None:
    visit = visits["to-the-end"].visit
    assert visit.joined is not None
    assert visit.closed is not None
    assert 0 < visit.inside <= (visit.closed - visit.joined) / timedelta(seconds=1)


def test_the_page_was_open_before_we_were_inside(visits: dict[str, Direction]) -> None:
    visit = visits["register"].visit
    assert visit.page_open is not None
    assert visit.joined is not None
    assert visit.opened < visit.page_open < visit.joined
    assert Path(visits["register"].folder).name == "register"
