"""``systemd``: write the unit of a worker, of a ticker or of the dashboard.

The unit runs the Python and the app that this command line has, in this working directory, so that what was tried by
hand is what the service does.
"""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from duly.cli.root import Verb
from duly.cli.session import NO_APP, Session, pass_session
from duly.config import censor

KINDS = ("worker", "beat", "dashboard")

_UNIT = """\
# {file}
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
{service}
User={user}{group}
WorkingDirectory={folder}
{environment}ExecStart={command}
Restart=on-failure
RestartSec=2
{state}
# What it may not do. Tasks that need more (to start containers, say) need lines taken out.
NoNewPrivileges=yes
ProtectSystem=full
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectClock=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""

_SERVICE = {
    # The supervisor is told to stop and the programs of tasks are not; and it says that it lives from the loop that
    # watches the executors.
    "worker": """\
Type=notify
NotifyAccess=main
WatchdogSec=30
KillMode=mixed
TimeoutStopSec={stop_timeout}""",
    "beat": """\
Type=notify
NotifyAccess=main
WatchdogSec=60""",
    "dashboard": """\
Type=exec""",
}
_SAYS = {
    "worker": "duly worker {name} of {app}",
    "beat": "duly beat of {app}",
    "dashboard": "duly dashboard of {app}",
}


@click.command(cls=Verb)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("words", nargs=-1, metavar="[-- OPTIONS]...")
@click.option("-n", "--name", metavar="NAME", help="Of the service: NAME-worker.service. [the app's]")
@click.option("--user", metavar="USER", help="Who runs it. [you]")
@click.option("--group", metavar="GROUP", help="Its group. [the user's own]")
@click.option("--stop-timeout", default="15min", metavar="SPAN", help="For what runs when it is stopped. [15min]")
@click.option("-o", "--output", metavar="DIR", help="Write the file there instead of printing it.")
@pass_session
def systemd(
    session: Session, /, kind: str, words: tuple[str, ...], name: str | None, user: str | None, output: str | None,
    **given: Any,
) -> None:  # fmt: skip
    """Write the systemd unit of a worker, of a beat or of the dashboard.

    It runs the app of -A with this Python in this directory. OPTIONS are those of the verb:
    duly -A shop systemd worker -- -Q crawl -c 4
    """
    if session.app_spec is None:
        raise click.UsageError(NO_APP)
    if not re.fullmatch(r"\w+", given["stop_timeout"]):
        raise click.BadParameter(
            f"{given['stop_timeout']!r}: expected 90s, 15min or infinity", param_hint="'--stop-timeout'"
        )
    service = re.sub(r"[^\w.-]", "-", name or session.app.name)
    file = f"{service}-{kind}.service"
    text = _text(session, kind, file, service, words, user or getpass.getuser(), given)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(Path(output) / file, text)
        session.print(str(Path(output) / file))
    _advise(session, output, file, service)


def _text(
    session: Session, kind: str, file: str, service: str, words: tuple[str, ...], user: str, given: dict[str, Any]
) -> str:
    url = session.store_url or os.environ.get("DULY_STORE")
    return _UNIT.format(
        file=f"/etc/systemd/system/{file}",
        description=_SAYS[kind].format(name=service, app=_quoted(session.app.name)),
        service=_SERVICE[kind].format(stop_timeout=given["stop_timeout"]),
        user=user,
        group=f"\nGroup={given['group']}" if given["group"] else "",
        folder=_quoted(os.getcwd()),
        environment=_environment(url, service),
        command=" ".join(_quoted(word) for word in _command(session, kind, service, words)),
        state=_state(url or session.app.store_url),
    )


def _command(session: Session, kind: str, service: str, words: tuple[str, ...]) -> list[str]:
    command = [sys.executable, "-m", "duly", "-A", str(session.app_spec)]
    command += ["--as-celery"] if os.environ.get("DULY_AS_CELERY") else []
    command += ["--config", session.config] if session.config is not None else []
    named = any(re.match(r"-n|--hostname|--name", word) for word in words)
    return [*command, kind, *(["-n", service] if kind == "worker" and not named else []), *words]


def _state(url: str) -> str:
    """A store below /var/lib is in a folder that systemd makes for the user."""
    folder = os.path.dirname(unquote(urlsplit(url).path.removeprefix("/")))
    below = re.fullmatch(r"/var/lib/([^/]+)(/.*)?", folder) if url.startswith("sqlite:") else None
    return f"StateDirectory={below[1]}\n" if below else ""


def _quoted(word: str) -> str:
    """As systemd reads it: percent signs and dollars doubled, in quotes if there are spaces or quotes in it."""
    text = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[^\s\"'\\]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None


def _environment(url: str | None, service: str) -> str:
    """The store for the unit; a password does not belong into a file that everybody may read."""
    if not url:
        return ""
    if _has_password(url):
        return f"EnvironmentFile={_secrets(service)}\n"
    return f"Environment={_quoted(f'DULY_STORE={url}')}\n"


def _has_password(url: str | None) -> bool:
    return url is not None and censor("store", url) != url


def _secrets(service: str) -> str:
    return f"/etc/duly/{service}.env"


def _advise(session: Session, output: str | None, file: str, service: str) -> None:
    """What is left to do."""
    url = session.store_url or os.environ.get("DULY_STORE")
    if _has_password(url):
        session.note(f"The store's URL has a password: write DULY_STORE=URL into {_secrets(service)}, for root only.")
    if not url and session.app.store_url.startswith("sqlite:"):
        session.note(f"Its store: {session.app.store_url}; --store or DULY_STORE says another.")
    if output is None:
        session.note("To install: the same with -o /etc/systemd/system (as root), then")
    session.note(f"systemctl daemon-reload && systemctl enable --now {file.removesuffix('.service')}")
