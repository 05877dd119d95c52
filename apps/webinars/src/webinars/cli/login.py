"""``login``: a person logs in once, so that a machine need not know how."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import click
import msgspec
from rich.markup import escape

from webinars import files, links
from webinars.calendars.google_auth import Login
from webinars.cli.root import Session, console, pass_session
from webinars.errors import WebinarsError
from webinars.service import Service
from webinars.settings import Calendar

PORT = 8028
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nDone. You may close this page.\n"


@click.command()
@click.argument("name")
@click.option("--paste", is_flag=True, help="The browser is on another machine: paste where it was sent.")
@pass_session
def login(session: Session, name: str, paste: bool) -> None:
    """Log in for NAME: a Google calendar of the settings, or a provider (brighttalk, zoom, ...) or recipe."""
    service = session.service
    for calendar in service.settings.calendars:
        if calendar.name == name and calendar.kind == "google":
            _google(service, calendar, paste)
            return
    profile = service.settings.browser.profiles.get(name)
    if profile is None:
        raise WebinarsError(
            f"{name!r} is no Google calendar of the settings, and has no profile there; for a provider write, for "
            f'example: [browser.profiles] {name} = "{name}"'
        )
    asyncio.run(_provider(service, name))


def _google(service: Service, calendar: Calendar, paste: bool) -> None:
    """The calendar's secret holds the app's client; from then on what the person allowed."""
    secret = (calendar.credentials or "").removeprefix("secret:")
    attempt = Login(service.vault.get(secret), f"http://127.0.0.1:{PORT}/")
    console.print("Open this page in a browser and allow reading the calendar:\n")
    console.print(attempt.url)
    if paste:
        console.print("\nThe browser is then sent to an address that does not open. That is right; copy it.")
        went_to = click.prompt("Address")
    else:
        console.print("\nWaiting for the browser (on another machine? use --paste) ...")
        went_to = _wait()
    service.vault.set(secret, attempt.finish(went_to))
    console.print(f"Done: {escape(calendar.name)} can be read.")


def _wait() -> str:
    """The address that the browser is sent to: the first request on loopback that has an answer in it."""
    with socket.create_server(("127.0.0.1", PORT)) as server:
        server.settimeout(600)
        while True:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                raise WebinarsError("nobody came within ten minutes; begin anew") from None
            with connection:
                connection.settimeout(10)
                line = connection.recv(8192).split(b"\r\n", 1)[0].decode("latin-1")
                connection.sendall(_PAGE)
            path = line.split(" ")[1] if line.startswith("GET ") else ""
            if "state=" in urlsplit(path).query:
                return f"http://127.0.0.1:{PORT}{path}"


async def _provider(service: Service, name: str) -> None:
    """A window in which the person logs in; what it remembers is kept as the profile."""
    from webinars.attending import browser
    from webinars.attending.attend import profile_of

    domain = links.HOSTS.get(name, (name,))[0]
    settings = msgspec.structs.replace(service.settings.browser, visible=True)
    path = profile_of(service.settings, name)
    assert path is not None, "the caller has looked"
    async with (
        browser.launch(settings) as launched,
        browser.context(launched, service.settings.timezone, path) as context,
    ):
        page = await context.new_page()
        await page.goto(f"https://{domain}/")
        await asyncio.to_thread(
            click.prompt, "Log in in the window; then press Enter here", default="", show_default=False
        )
        files.write(path, msgspec.json.encode(await context.storage_state()))
    console.print(f"Kept in {path} (mode 600).")
