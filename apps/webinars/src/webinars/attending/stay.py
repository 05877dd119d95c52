"""One visit: go in, stay, notice the end. A loop that looks, understands, and does one thing.

    1. open the page, early; a site that does not answer is asked again
    2. on the way: what a sign says (denied, not found, ...), else the first step that applies, else wait
    3. inside: note it, take pictures now and then, notice the end, or that we fell out
    4. fell out: reconnect or load the page again, as long as the webinar lasts
    5. the end: the host's, or the scheduled one plus grace

The clock is a parameter, and so is the plan: it is read again each minute, so that a moved end, another link or a
cancellation reaches a visit that goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec
from playwright.async_api import BrowserContext, Locator, Page
from playwright.async_api import Error as PlaywrightError

from webinars import links
from webinars.attending import eyes
from webinars.attending.evidence import MARK, Evidence
from webinars.attending.eyes import Sight
from webinars.attending.provider import Provider, Screen, Sign, Step, When
from webinars.attending.recorder import Recorder, RecorderMissing
from webinars.instants import span_text
from webinars.ledger import Planned
from webinars.verdict import Verdict

HOST_ENDED = "the host ended it"
BY_TIME = "its scheduled end, and the grace after it"


class Pace(msgspec.Struct, frozen=True):
    """Seconds between things."""

    look: float = 1.0  # looks on the way
    watch: float = 5.0  # looks inside
    plan: float = 60.0  # readings of the plan
    sure: int = 3  # looks in a row until a bad sign is believed
    quiet: float = 20.0  # that a player stands at its end, or nothing moves inside, until it is believed
    gap: float = 30.0  # more between two looks is no time inside: the machine slept
    stalled: float = 90.0  # that a picture may stand still before the page is loaded again
    stuck: float = 120.0  # after the start, without a sign or a step, before a person is asked
    reload: float = 60.0  # between two loads of a page that says nothing useful
    longest_pause: float = 30.0  # between two tries to reconnect
    open: float = 30.0  # that a page may take to answer


class Limits(msgspec.Struct, frozen=True):
    """What the settings say about staying."""

    grace: timedelta
    longest: timedelta
    screenshots: timedelta


class _End(Exception):
    """The visit is over."""

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.verdict, self.detail = verdict, detail


_BAD = {
    Screen.CAPTCHA: Verdict.CAPTCHA,
    Screen.REMOVED: Verdict.REMOVED,
    Screen.DENIED: Verdict.DENIED,
    Screen.NOT_FOUND: Verdict.NOT_FOUND,
}
_ON_THE_WAY = (*_BAD, Screen.MOVED, Screen.DISCONNECTED, Screen.ENDED, Screen.INSIDE)
_INSIDE = (Screen.REMOVED, Screen.MOVED, Screen.DISCONNECTED, Screen.ENDED, Screen.ASKED, Screen.INSIDE)


class Stay:
    """The visit, made for one attempt and run once."""

    def __init__(
        self,
        context: BrowserContext,
        provider: Provider,
        read_plan: Callable[[], Planned | None],
        facts: Mapping[str, str],
        evidence: Evidence,
        now: Callable[[], datetime],
        limits: Limits,
        recorder: Recorder | None = None,
        pace: Pace | None = None,
    ) -> None:
        """``facts``: what steps fill in, by the names in ``provider.PERSONAL`` and ``SECRET``."""
        self._context, self._provider, self._read_plan = context, provider, read_plan
        self._facts, self._evidence, self._now, self._limits = facts, evidence, now, limits
        self._recorder, self._pace = recorder, pace or Pace()
        self._visit = evidence.visit
        planned = read_plan()
        assert planned is not None, "attending begins with a plan"
        self._planned = planned
        self._page: Page | None = None
        self._taken: Counter[tuple[str, str]] = Counter()  # how often each step was taken
        self._bad: Counter[Screen] = Counter()  # bad signs in a row
        self._inside = False
        self._position = -1.0  # of what plays
        self._moved_at: datetime | None = None  # when something last played, or a sign said inside
        self._idle_since: datetime | None = None  # on the way: since when there was neither sign nor step
        self._loaded_at = now()
        self._status = 200  # of HTTP, of the last page loaded
        self._plan_read = now()
        self._shot_at = now()
        self._looked_at: datetime | None = None
        self._tries = 0  # to reconnect, since we were inside last

    async def run(self) -> None:
        """Fill in the visit. Raises Playwright's error if the browser is gone."""
        self._context.on("page", self._turn_to)
        try:
            await self._load(self._planned.link)
            while True:
                self._check_plan()
                await self._look()
                await asyncio.sleep(self._pace.watch if self._inside else self._pace.look)
        except _End as end:
            self._visit.verdict, self._visit.detail = end.verdict, end.detail
            await self._evidence.note(f"{end.verdict.value}: {end.detail}", self._page)
        finally:
            if self._recorder is not None:
                await self._recorder.stop()
            self._visit.closed = self._now()
            self._evidence.save()

    # -- time and plan ---------------------------------------------------------------------------

    @property
    def _until(self) -> datetime:
        event = self._planned.event
        return min(event.end + self._limits.grace, event.start + self._limits.longest)

    def _check_plan(self) -> None:
        """Read the plan again when it is time to, and leave when the webinar's time is over."""
        now = self._now()
        if (now - self._plan_read).total_seconds() >= self._pace.plan:
            self._plan_read = now
            planned = self._read_plan()
            if planned is None or not planned.wanted:
                raise _End(Verdict.CANCELLED, "the calendar cancelled it")
            if planned.link != self._planned.link:
                self._loaded_at = datetime.min.replace(tzinfo=now.tzinfo)  # load the new one at the next look
                self._inside = False
            self._planned = planned
        if now >= self._until:
            raise self._late_end(now)

    def _late_end(self, now: datetime) -> _End:
        """What it is when the time is over and the host has not ended it."""
        if self._inside:
            return _End(Verdict.ATTENDED, BY_TIME)
        if self._visit.joined is not None:
            return _End(Verdict.STUCK, "we fell out and did not get in again")
        if self._visit.verdict is Verdict.UNREACHABLE:
            return _End(Verdict.UNREACHABLE, self._visit.detail)
        return _End(Verdict.WAITING, f"nobody let us in until {now:%H:%M} UTC")

    # -- pages -----------------------------------------------------------------------------------

    async def _load(self, link: str) -> None:
        """Open a link in a page of its own. A site that does not answer is tried again at the next look."""
        self._visit.link = links.redacted(link)
        self._loaded_at = self._now()
        if self._page is None or self._page.is_closed():
            self._page = await self._context.new_page()
        try:
            response = await self._page.goto(
                self._provider.address(link), wait_until="domcontentloaded", timeout=self._pace.open * 1000
            )
        except PlaywrightError as error:
            if not self._connected():
                raise
            self._visit.verdict, self._visit.detail = Verdict.UNREACHABLE, reason(error)
            await self._evidence.note(f"the page does not open: {self._visit.detail}")
            return
        self._status = status = response.status if response is not None else 200
        if status >= 500:
            self._visit.verdict, self._visit.detail = Verdict.UNREACHABLE, f"the site answered {status}"
        elif self._visit.verdict is Verdict.UNREACHABLE:
            self._visit.verdict, self._visit.detail = Verdict.WAITING, ""
        if self._visit.page_open is None and status < 500:
            self._visit.page_open = self._now()
        await self._evidence.note(f"opened the page ({status})", self._page)

    def _turn_to(self, page: Page) -> None:
        """A page that the site opened: what it opened last is where it wants us."""
        self._page = page

    def _connected(self) -> bool:
        browser = self._context.browser
        return browser is not None and browser.is_connected()

    async def _reload(self) -> None:
        await self._load(self._planned.link)
        self._taken.clear()

    # -- looking ---------------------------------------------------------------------------------

    async def _look(self) -> None:
        """One look, and what follows. A page that crashed or was closed is opened again."""
        now = self._now()
        if self._due(now):
            await self._reload()
            return
        page = self._page
        if page is None or page.is_closed():
            self._fell_out()
            await self._reload()
            return
        try:
            sight = await eyes.look(page)
            await (self._stay_inside(page, sight) if self._inside else self._get_in(page, sight))
        except PlaywrightError as error:
            if not self._connected():
                raise
            await self._stumble(page, error)
        self._looked_at = self._now()

    def _due(self, now: datetime) -> bool:
        """Whether the page has to be loaded anew before anything else: it never came, or the link is another one."""
        waited = (now - self._loaded_at).total_seconds()
        if self._visit.verdict is Verdict.UNREACHABLE:
            return waited >= min(2.0 ** self._tries_to_open(), self._pace.longest_pause) * self._pace.look
        return waited > 10 * 365 * 86_400

    def _tries_to_open(self) -> int:
        return min(sum("does not open" in moment.what for moment in self._visit.moments), 6)

    async def _stumble(self, page: Page, error: PlaywrightError) -> None:
        """A look failed: the page navigates just now, or has crashed."""
        if "crash" in error.message.lower():
            await self._evidence.note("the page crashed")
            await page.close()
            self._fell_out()

    # -- on the way ------------------------------------------------------------------------------

    async def _get_in(self, page: Page, sight: Sight) -> None:
        sign = await eyes.screen(page, sight, self._provider, _ON_THE_WAY)
        if self._plays(sight) or (sign is not None and sign.screen is Screen.INSIDE):
            await self._entered(page)
            return
        if sign is not None and await self._met(page, sign):
            return
        if await self._step(page, "way"):
            self._idle_since = None
            return
        if sight.paused:
            await self._play(page)
        sign = await eyes.screen(page, sight, self._provider, (Screen.LOGIN, Screen.WAITING))
        if sign is not None and sign.screen is Screen.LOGIN:
            self._believe(Screen.LOGIN, Verdict.LOGIN, self._login_text())
            return
        if self._status in (404, 410):
            self._believe(Screen.NOT_FOUND, Verdict.NOT_FOUND, f"the site answered {self._status}")
            return
        self._bad.clear()
        await self._idle(known=sign is not None)

    async def _met(self, page: Page, sign: Sign) -> bool:
        """Do what a sign on the way asks for; False if steps should be tried all the same."""
        if sign.screen in _BAD:
            self._believe(sign.screen, _BAD[sign.screen], f"the page says so ({sign})")
        elif sign.screen is Screen.ENDED:
            if self._visit.joined is not None:
                self._believe(Screen.ENDED, Verdict.ATTENDED, HOST_ENDED)
            elif self._now() > self._planned.event.start + timedelta(seconds=self._pace.stuck):
                self._believe(Screen.ENDED, Verdict.ENDED, "the page says that it is over")
            else:
                await self._idle(known=False)  # of the last one, before this one begins
        elif sign.screen is Screen.MOVED:
            await self._follow(page, sign)
        elif not await self._step(page, "disconnected"):
            await self._reconnect(page)
        return True

    def _believe(self, screen: Screen, verdict: Verdict, detail: str) -> None:
        """End with a verdict once its sign was seen several times in a row: pages flicker."""
        count = self._bad[screen] + 1
        self._bad.clear()
        self._bad[screen] = count
        if count >= self._pace.sure:
            raise _End(verdict, detail)

    def _login_text(self) -> str:
        if not self._facts.get("password"):
            return "the page asks for a log-in, and there is no account in the settings"
        return "the page asks for a log-in, and the account was not accepted"

    async def _idle(self, known: bool) -> None:
        """Nothing to do. A page that is not understood is loaded again now and then, and after the start a person is
        asked; one that says that it waits is left to it."""
        now = self._now()
        if known:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or now
        lost = now - max(self._idle_since, self._planned.event.start)
        if lost.total_seconds() >= self._pace.stuck:
            raise _End(Verdict.STUCK, "no way in was found on the page")
        if (now - self._loaded_at).total_seconds() >= self._pace.reload:
            await self._reload()

    async def _follow(self, page: Page, sign: Sign) -> None:
        """Go where the page says that the webinar has moved to."""
        element = await eyes.find(page, sign.see or "")
        target = await element.get_attribute("href") if element is not None else None
        if element is None or self._taken["moved", target or ""] >= 2:
            return
        self._taken["moved", target or ""] += 1
        await self._evidence.note("it has moved to another room; following", page)
        await element.click(timeout=5_000)

    # -- steps -----------------------------------------------------------------------------------

    async def _step(self, page: Page, when: When) -> bool:
        """Take the first step that applies, and if it fills something in, all others that do; False if none does."""
        filled: list[str] = []
        for step in self._provider.steps:
            if step.when != when or self._taken[step.name, step.see] >= step.times or not self._knows(step):
                continue
            if filled and step.do == "click":
                continue  # at the next look, when what was filled in has had its effect
            element = await eyes.applies(page, step)
            if element is None:
                continue
            self._taken[step.name, step.see] += 1
            if step.do == "click":
                await self._evidence.note(f"step: {step.name}", page)
                await element.click(timeout=5_000)
                return True
            await self._fill_in(step, element)
            filled.append(step.name)
        if filled:
            await self._evidence.note(f"filled in: {', '.join(filled)}", page)
        return bool(filled)

    def _knows(self, step: Step) -> bool:
        """Whether all that a step fills in is known, and not empty."""
        return step.do in ("click", "check") or bool(_filled(step.value, self._facts))

    async def _fill_in(self, step: Step, element: Locator) -> None:
        value = _filled(step.value, self._facts)
        if step.do == "check":
            await element.check(timeout=5_000)
        elif step.do == "choose":
            await element.select_option(label=value, timeout=5_000)
        else:
            if step.secret:
                await element.evaluate(MARK)
            await element.fill(value, timeout=5_000)

    async def _play(self, page: Page) -> None:
        """Start what stands still, without sound."""
        for frame in page.frames:
            await frame.evaluate(
                "() => document.querySelectorAll('video').forEach(video => {"
                " if (video.paused && !video.ended) { video.muted = true; video.play().catch(() => {}) } })"
            )

    # -- inside ----------------------------------------------------------------------------------

    def _plays(self, sight: Sight) -> bool:
        """Whether a player moves since the last look; for hosts whose rooms are no player a sign has to say it."""
        before, self._position = self._position, sight.position
        return self._provider.player and 0 <= before < sight.position

    async def _entered(self, page: Page) -> None:
        now = self._now()
        again = self._visit.joined is not None
        self._inside, self._tries, self._idle_since = True, 0, None
        self._moved_at = self._visit.seen = now
        self._bad.clear()
        self._visit.joined = self._visit.joined or now
        self._visit.verdict, self._visit.detail = Verdict.JOINED, ""
        self._visit.reconnects += again
        self._shot_at = now
        late = span_text(now - self._planned.event.start)
        first = "inside" if now <= self._planned.event.start else f"inside, {late} after the start"
        await self._evidence.note("inside again" if again else first, page)
        await self._record(page)

    async def _record(self, page: Page) -> None:
        """Nothing is recorded before we are inside: forms with secrets are over by then."""
        if self._recorder is None:
            return
        if self._visit.recording:
            await self._recorder.follow(page)
            return
        try:
            await self._recorder.start(page)
        except RecorderMissing as error:
            self._recorder = None
            await self._evidence.note(str(error))
            return
        self._visit.recording = self._recorder.path.name
        await self._evidence.note(f"recording, {'with' if self._recorder.sound else 'without'} sound")

    async def _stay_inside(self, page: Page, sight: Sight) -> None:
        now = self._now()
        sign = await eyes.screen(page, sight, self._provider, _INSIDE)
        playing = self._plays(sight)
        if playing or (sign is not None and sign.screen is Screen.INSIDE):
            self._count(now)
        elif sign is not None and sign.screen not in (Screen.ASKED, Screen.INSIDE):
            await self._met_inside(page, sign)
            return
        elif self._gone_for(now) >= self._pace.quiet:
            await self._gone(page, sight, now)
            return
        if sign is not None and sign.screen is Screen.ASKED and not self._taken["asked", ""]:
            self._taken["asked", ""] += 1
            await self._evidence.note("the page asks whether somebody is there; a machine does not answer that", page)
        await self._step(page, "inside")
        await self._picture(page, now)

    def _count(self, now: datetime) -> None:
        """Count the time inside since the last look."""
        since = self._visit.seen or now
        gap = (now - since).total_seconds()
        if gap <= self._pace.gap:
            self._visit.inside += gap
        self._visit.seen = self._moved_at = now
        self._bad.clear()

    def _gone_for(self, now: datetime) -> float:
        return (now - (self._moved_at or now)).total_seconds()

    async def _met_inside(self, page: Page, sign: Sign) -> None:
        if sign.screen is Screen.ENDED:
            self._believe(Screen.ENDED, Verdict.ATTENDED, HOST_ENDED)
        elif sign.screen is Screen.REMOVED:
            self._believe(Screen.REMOVED, Verdict.REMOVED, f"the page says so ({sign})")
        else:
            await self._evidence.note("moved" if sign.screen is Screen.MOVED else "disconnected", page)
            self._fell_out()

    async def _gone(self, page: Page, sight: Sight, now: datetime) -> None:
        """Nothing moves any more, and no sign says why."""
        if sight.over:
            raise _End(Verdict.ATTENDED, HOST_ENDED)
        if now >= self._planned.event.end:
            raise _End(Verdict.ATTENDED, "it stopped after its scheduled end")
        if sight.paused:
            await self._play(page)
        if self._gone_for(now) >= self._pace.stalled or not sight.videos:
            await self._evidence.note("the picture stands still", page)
            self._fell_out()
            await self._reconnect(page)

    async def _picture(self, page: Page, now: datetime) -> None:
        if now - self._shot_at >= self._limits.screenshots:
            self._shot_at = now
            await self._evidence.note("still inside", page)
        else:
            self._evidence.save()

    # -- outside again ---------------------------------------------------------------------------

    def _fell_out(self) -> None:
        self._inside = False
        self._position = -1.0
        self._taken.clear()

    async def _reconnect(self, page: Page) -> None:
        """Load the page again, with longer and longer pauses."""
        pause = min(2.0**self._tries, self._pace.longest_pause) * self._pace.look
        if (self._now() - self._loaded_at).total_seconds() < pause:
            return
        self._tries += 1
        await self._reload()


def _filled(value: str, facts: Mapping[str, str]) -> str:
    """A step's value; empty if a fact it needs is not known."""
    try:
        filled = value.format_map({name: fact for name, fact in facts.items() if fact})
    except KeyError:
        return ""
    return filled


def reason(error: PlaywrightError) -> str:
    """net::ERR_... without the address, which may hold a token."""
    words = [word for word in error.message.replace("\n", " ").split() if word.startswith("net::")]
    return words[0] if words else error.message.strip().split(" ", 1)[0].rstrip(":") or "no answer"
