"""Attending as the service wants it: settings, secrets and folders become one visit in one browser."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
from playwright.async_api import Error as PlaywrightError

from webinars import files, links
from webinars.attending import browser, sound
from webinars.attending.evidence import Evidence
from webinars.attending.provider import Provider
from webinars.attending.recipe import choose
from webinars.attending.recorder import Recorder
from webinars.attending.stay import Limits, Pace, Stay, reason
from webinars.ledger import Ledger, Planned
from webinars.settings import Settings
from webinars.vault import Vault
from webinars.verdict import Verdict
from webinars.visit import Visit


class Home(Protocol):
    """What the service gives."""

    settings: Settings
    ledger: Ledger
    vault: Vault


async def attend(home: Home, planned: Planned, attempt: int, job: str, pace: Pace | None = None) -> Visit:
    """Go there and stay. Raises WebinarsError if there is no browser, or the settings are wrong."""
    settings, ledger = home.settings, home.ledger
    provider = choose(planned.link, settings.recipes)
    visit = Visit(
        attempt=attempt, job=job, opened=_now(), link=links.redacted(planned.link), provider=provider.name
    )  # fmt: skip
    evidence = Evidence(visit, ledger.folder(planned), lambda seen: ledger.save_visit(planned, seen), _now)
    evidence.save()
    times = settings.times
    limits = Limits(grace=times.of("grace"), longest=times.of("longest"), screenshots=times.of("screenshots"))
    facts = _facts(home, planned, provider)
    profile = profile_of(settings, provider.name)
    try:
        async with (
            _sink(settings, provider, planned) as sink,
            browser.launch(settings.browser, sink) as launched,
            browser.context(launched, settings.timezone, profile) as context,
        ):
            stay = Stay(
                context, provider, lambda: ledger.planned(planned.event.id), facts, evidence, _now, limits,
                _recorder(settings, provider, ledger.folder(planned), attempt, sink), pace,
            )  # fmt: skip
            await stay.run()
            if profile is not None and visit.joined is not None:
                files.write(profile, _json(await context.storage_state()))
    except PlaywrightError as error:
        visit.verdict, visit.detail = Verdict.BROKEN, reason(error)
        visit.closed = _now()
        evidence.save()
    return visit


def profile_of(settings: Settings, provider: str) -> Path | None:
    """The file that remembers a log-in with a provider; None: each visit begins with nothing."""
    name = settings.browser.profiles.get(provider)
    return settings.place / "profiles" / f"{name}.json" if name else None


def _facts(home: Home, planned: Planned, provider: Provider) -> dict[str, str]:
    """What steps may fill in."""
    me = home.settings.me
    account = home.settings.accounts.get(provider.name, {})
    return {
        "name": me.name, "first_name": me.first_name, "last_name": me.last_name, "email": me.email,
        "company": me.company, "job_title": me.job_title, "country": me.country, "phone": me.phone,
        "passcode": planned.event.passcode,
        "username": home.vault.resolve(account.get("username", "")),
        "password": home.vault.resolve(account.get("password", "")),
    }  # fmt: skip


def _sink(settings: Settings, provider: Provider, planned: Planned) -> AbstractAsyncContextManager[str | None]:
    """Where the sound goes if this is recorded; nobody has use for it otherwise."""
    return sound.sink(planned.event.id) if provider.name in settings.recording.allowed else nullcontext()


def _recorder(
    settings: Settings, provider: Provider, folder: Path, attempt: int, sink: str | None
) -> Recorder | None:
    if provider.name not in settings.recording.allowed:
        return None
    return Recorder(folder / f"recording-{attempt}.mp4", settings.recording.frames, sink)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _now() -> datetime:
    return datetime.now(UTC)
