"""Running as a service without a service manager: ``-D``, ``--pidfile``, ``--uid``, ``--gid`` and ``--umask``.

1. :meth:`Background.begin`, before anything is opened: umask, folders for the files, the fork, then the other user.
2. The pid file is taken; it is locked as long as the process lives.
3. :meth:`Background.ready` tells the command that started it, which waits for that and leaves with 0. If the process
   ends before, that command shows what was logged and leaves with 1.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from duly.cli.pidfile import PidFile
from duly.cli.session import Session
from duly.cli.text import clean_lines, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_READY = b"ready"
_SHOWN = 20  # lines of the log shown when the start failed


def background_options(verb: F) -> F:
    """The options of everything that runs for long."""
    for option in (
        click.option("--umask", metavar="OCTAL", callback=_umask, help="Of files it makes, e.g. 027."),
        click.option("--gid", metavar="GROUP", help="Run as this group, by name or number (as root)."),
        click.option("--uid", metavar="USER", help="Run as this user, by name or number (as root)."),
        click.option("--pidfile", metavar="FILE", help="Hold this file, with the process's number in it."),
        click.option("-D", "--detach", is_flag=True, help="Go into the background, and say when it is ready."),
        click.option("-f", "--logfile", metavar="FILE", help="Log there instead of to standard error."),
    ):
        verb = option(verb)
    return verb


def _umask(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        mask = int(value, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= 0o777:
        raise click.BadParameter(f"{value!r} is no umask: expected an octal number, like 027", ctx, param)
    return mask


def level(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value.upper() not in LEVELS:
        hint = did_you_mean(value.upper(), LEVELS) or "."
        raise click.BadParameter(f"no level {value!r}{hint} Known: {', '.join(LEVELS)}", ctx, param)
    return value.upper()


class Background:
    """The circumstances of one long-running command."""

    def __init__(
        self,
        session: Session,
        *,
        detach: bool,
        logfile: str | None,
        pidfile: str | None,
        uid: str | None,
        gid: str | None,
        umask: int | None,
    ) -> None:
        if detach and logfile is None:
            raise click.UsageError("with -D, say where the log goes: -f FILE")
        self._session = session
        self._detach = detach
        self._logfile = os.path.abspath(logfile) if logfile else None
        self._pidfile = os.path.abspath(pidfile) if pidfile else None
        self._uid, self._gid = _identity(uid, gid)
        self._umask = umask
        self._told = -1  # where the command that waits is told

    @contextlib.contextmanager
    def begin(self) -> Iterator[None]:
        """Be in the circumstances that were asked for; in the process that stays."""
        if self._umask is not None:
            os.umask(self._umask)
        for path in (self._logfile, self._pidfile):
            if path is not None:
                _make_folder(os.path.dirname(path), self._uid, self._gid)
        if self._detach:
            self._told = self._go()
        _become(self._uid, self._gid)
        with PidFile(self._pidfile) if self._pidfile else contextlib.nullcontext():
            yield

    def ready(self) -> None:
        """Tell the command that waits, if there is one."""
        if self._told >= 0:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._told, _READY)
            os.close(self._told)
            self._told = -1

    def _go(self) -> int:
        """Fork; the parent waits, tells and leaves, the child goes on alone."""
        assert self._logfile is not None
        seen = os.path.getsize(self._logfile) if os.path.exists(self._logfile) else 0
        sys.stdout.flush()
        sys.stderr.flush()
        hears, tells = os.pipe()
        child = os.fork()
        if child:
            os.close(tells)
            self._session.leave(self._wait(child, hears, seen))
        os.close(hears)
        os.setsid()
        _redirect(self._logfile, self._uid, self._gid)
        return tells

    def _wait(self, child: int, hears: int, seen: int) -> int:
        """The exit status of the command that started it."""
        if os.read(hears, 16) == _READY:
            self._session.note(f"Process {child} runs in the background; its log: {self._logfile}")
            return 0
        os.waitpid(child, 0)
        assert self._logfile is not None
        with open(self._logfile, "rb") as log:
            log.seek(seen)
            lines = clean_lines(log.read().decode(errors="backslashreplace"))
        for line in lines[-_SHOWN:]:
            click.echo(line, err=True)
        click.echo(f"Error: it did not start; its log: {self._logfile}", err=True)
        return 1


def _redirect(logfile: str, uid: int | None, gid: int | None) -> None:
    """Standard input from nowhere, output and errors to the end of the log."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(logfile, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if uid is not None or gid is not None:
        os.fchown(log, -1 if uid is None else uid, -1 if gid is None else gid)
    for source, target in ((nowhere, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    for each in (nowhere, log):
        if each > 2:
            os.close(each)


def _make_folder(path: str, uid: int | None, gid: int | None) -> None:
    if os.path.isdir(path):
        return
    try:
        os.makedirs(path)
        if uid is not None or gid is not None:
            os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid)
    except OSError as error:
        raise click.ClickException(f"folder {path}: {error.strerror}") from None


# -- another user --------------------------------------------------------------------------------


def _identity(uid: str | None, gid: str | None) -> tuple[int | None, int | None]:
    """The numbers of user and group; a user's own group unless one is named."""
    user = None if uid is None else _user(uid)
    group = None if gid is None else _group(gid)
    if user is not None and group is None:
        try:
            group = pwd.getpwuid(user).pw_gid
        except KeyError:
            raise click.UsageError(
                f"--uid {uid}: the system knows no such user, so name a group with --gid"
            ) from None
    if (user not in (None, os.geteuid()) or group not in (None, os.getegid())) and os.geteuid() != 0:
        raise click.UsageError("only root may run something as another user or group (--uid, --gid)")
    return user, group


def _user(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        hint = did_you_mean(name, (each.pw_name for each in pwd.getpwall()))
        raise click.BadParameter(f"no user {name!r}{hint}", param_hint="'--uid'") from None


def _group(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        hint = did_you_mean(name, (each.gr_name for each in grp.getgrall()))
        raise click.BadParameter(f"no group {name!r}{hint}", param_hint="'--gid'") from None


def _become(uid: int | None, gid: int | None) -> None:
    """Give up what this process may do, for good: groups first, while it still may."""
    if os.geteuid() != 0:
        return
    if gid is not None:
        os.setgid(gid)
        os.setgroups([gid])
    if uid is None:
        return
    try:
        user = pwd.getpwuid(uid)
    except KeyError:  # a number without a name: no groups but the one that was named
        os.setgroups([gid] if gid is not None else [])
    else:
        os.initgroups(user.pw_name, gid if gid is not None else user.pw_gid)
        os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    os.setuid(uid)
