"""``setup``: the settings step by step, and whether machine and calendars are as they have to be."""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
from rich.markup import escape

from webinars import files, machine, notify, settings
from webinars.attending import recipe
from webinars.calendars.ical import window
from webinars.cli.root import Session, console, pass_session
from webinars.cli.tables import MARKS, table
from webinars.errors import WebinarsError
from webinars.machine import Check
from webinars.plan import make
from webinars.service import Service
from webinars.settings import Settings

_KINDS = ("ical-url", "ical-file", "google", "brighttalk", "none")


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Ask nothing; examine what is there.")
@pass_session
def setup(session: Session, only_check: bool) -> None:
    """Make the settings, step by step; then examine browser, clock, sleep, memory, secrets and calendars."""
    if not session.path.exists():
        if only_check:
            raise WebinarsError(f"there are no settings at {session.path}; make them with: webinars setup")
        _make(session.path)
    service = session.service
    console.print(f"Settings: {session.path}\nFolder:   {service.settings.place}\n")
    with console.status("examining"):
        checks = list(_checks(service))
    made = table("", "", "")
    made.show_header = False
    for check in checks:
        todo = f"\n[dim]{escape(check.todo)}[/]" if check.todo and check.mark != "good" else ""
        made.add_row(MARKS[check.mark], check.what, escape(check.found) + todo)
    console.print(made, soft_wrap=False)
    bad = sum(check.mark == "bad" for check in checks)
    console.print(f"\n{bad} to be put right." if bad else "\nReady. Look first: webinars plan. Then: webinars up")
    raise SystemExit(1 if bad else 0)


# -- asking ------------------------------------------------------------------------------------------


def _make(path: Path) -> None:
    console.print("This makes the settings. All of it can be changed later, in a file.\n")
    name = click.prompt("Your name, as hosts are to see it")
    email = click.prompt("Your e-mail address, for their forms")
    zone = click.prompt("Time zone", default=_zone())
    lines = ["[me]", f"name = {_text(name)}", f"email = {_text(email)}", ""]
    lines = [f"timezone = {_text(zone)}", "", *lines]
    secret = None
    kind = click.prompt("Calendar", type=click.Choice(_KINDS), default="ical-url")
    if kind != "none":
        calendar, secret = _calendar(kind)
        lines += ["[[calendars]]", *(f"{key} = {value}" for key, value in calendar.items()), ""]
    text = "\n".join(lines)
    settings.read(tomllib.loads(text), str(path))  # says what is wrong before anything is written
    files.write(path, text.encode())
    if secret is not None:
        vault = Service(settings.load(path)).vault
        vault.set(*secret)
        console.print(f"Kept the secret {secret[0]!r} in {vault.kind}.")
    console.print(f"Written: {path}\n")


def _calendar(kind: str) -> tuple[dict[str, str], tuple[str, str] | None]:
    """The calendar's part of the settings, and the secret it needs, by name."""
    name = click.prompt("What to call this calendar", default={"brighttalk": "isc2"}.get(kind, "mine"))
    if kind == "ical-file":
        return {"name": _text(name), "kind": '"ical"', "path": _text(click.prompt("File"))}, None
    if kind == "brighttalk":
        channel = click.prompt("Number of the channel (in its address)", type=int, default=5385)
        return {"name": _text(name), "kind": '"brighttalk"', "channel": str(channel)}, None
    if kind == "google":
        file = click.prompt(
            "JSON file of a service account, or of an OAuth client (desktop)",
            type=click.Path(exists=True, path_type=Path),
        )
        address = click.prompt("Address of the calendar", default="primary")
        part = {
            "name": _text(name),
            "kind": '"google"',
            "calendar": _text(address),
            "credentials": f'"secret:{name}"',
        }
        return part, (name, str(file.read_text()))
    url = click.prompt("Its secret address in iCalendar format", hide_input=True)
    return {"name": _text(name), "kind": '"ical"', "url": f'"secret:{name}"'}, (name, url)


def _zone() -> str:
    """The machine's."""
    link = os.path.realpath("/etc/localtime")
    return link.partition("zoneinfo/")[2] or "UTC"


def _text(value: str) -> str:
    """A text in TOML; JSON's form is one of TOML's."""
    return json.dumps(value, ensure_ascii=False)


# -- examining ---------------------------------------------------------------------------------------


def _checks(service: Service) -> Iterator[Check]:
    chosen = service.settings
    yield asyncio.run(machine.browser(chosen))
    yield machine.clock()
    yield machine.sleep()
    yield machine.memory(chosen)
    yield machine.recording(chosen)
    yield Check("secrets", "good", f"kept in {service.vault.kind}")
    yield from _recipes(chosen)
    yield from _accounts(service)
    yield _notify(service)
    if not chosen.calendars:
        yield Check("calendars", "warning", "none yet", "add [[calendars]] to the settings")
    for calendar in chosen.calendars:
        yield _read(service, calendar.name)


def _recipes(chosen: Settings) -> Iterator[Check]:
    for path in chosen.recipes:
        try:
            yield Check("recipe", "good", recipe.load(Path(path)).name)
        except WebinarsError as error:
            yield Check("recipe", "bad", str(error))


def _accounts(service: Service) -> Iterator[Check]:
    for provider, account in service.settings.accounts.items():
        try:
            for value in account.values():
                service.vault.resolve(value)
            yield Check("account", "good", provider)
        except WebinarsError as error:
            yield Check("account", "bad", f"{provider}: {error}")


def _notify(service: Service) -> Check:
    urls = service.settings.notify.urls
    if not urls:
        return Check(
            "telling you", "warning", "nobody is told of log-ins that are needed", '[notify] urls = ["secret:…"]'
        )
    try:
        notify.check([service.vault.resolve(url) for url in urls])
    except WebinarsError as error:
        return Check("telling you", "bad", str(error))
    return Check("telling you", "good", f"{len(urls)} addresses")


def _read(service: Service, name: str) -> Check:
    what = f"calendar {name}"
    try:
        reading = service.source(name).read(window(service.now(), service.settings.times.of("ahead")))
    except WebinarsError as error:
        return Check(what, "bad", str(error))
    taken = sum(line.taken for line in make(reading.events, service.settings.rules))
    return Check(what, "good", f"{len(reading.events)} events, {taken} of them webinars to attend")
