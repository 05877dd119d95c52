"""What one command line has in common: app, store, zone, and where its words go.

Everything is made when first asked for, because most verbs need only some of it: ``duly jobs --store …``
imports no app, and ``duly --help`` neither app nor store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rich.console import Console
    from rich.text import Text

    from duly.app import Duly
    from duly.config import Settings
    from duly.overrides import Overrides
    from duly.store.contract import Store

NO_STORE = """no store given. Say which one in one of three ways:
  duly -A tasks ...                        the store of the app in tasks.py
  duly --store sqlite:////path/duly.db ... its URL
  DULY_STORE=sqlite:////path/duly.db       the same in the environment"""

NO_APP = "no app given. Say which one with -A: duly -A tasks ... (the app in tasks.py), or -A package.module:app"

NOT_DONE = 1
NO_WORKER = 69
NOT_YET = 75


class NobodyAnswers(click.ClickException):
    """A question where there is no terminal."""

    exit_code = 2


class Session:
    """One command line.

    1. The options before the verb and those after it are written into its fields.
    2. The verb asks for what it needs: ``store``, ``app``, ``zone``, ``out``.
    3. ``close`` lets go of the store.
    """

    def __init__(self) -> None:
        self.app_spec: str | None = None
        self.store_url: str | None = None
        self.timezone: str | None = None
        self.may_create = False  # the verb makes a store where there is none; set before ``store`` is asked for
        self.no_color = False
        self.quiet = False
        self.config: str | None = None  # a module of settings
        self.settings: list[str] = []  # "worker.concurrency=4"
        self.include: list[str] = []  # more modules of tasks

    @cached_property
    def app(self) -> Duly:
        """The app named by -A. Raises ConfigError, also when it cannot be imported."""
        from duly.loading import load_app

        if self.app_spec is None:
            raise click.UsageError(NO_APP)
        return load_app(self.app_spec, self.store_url, self.overrides)

    @property
    def conf(self) -> Settings:
        """The app's settings; without an app, what --config and this command line say. Raises ConfigError."""
        from duly.config import Settings
        from duly.configuring import Configurable

        if self.app_spec is not None:
            return self.app.conf
        settings = Configurable()
        settings.conf = Settings()
        if self.config is not None:
            if os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())
            settings.config_from_object(self.config)
        settings.config_from_cmdline(self.settings)
        return settings.conf

    @property
    def overrides(self) -> Overrides:
        """What this command line says of the app."""
        from duly.overrides import Overrides

        return Overrides(config=self.config, settings=tuple(self.settings), include=tuple(self.include))

    @cached_property
    def store(self) -> Store:
        """--store, or the app's, or DULY_STORE. Raises StoreError, also if there is none and the verb only looks at
        stores or changes what is there; ConfigError."""
        from duly.store import open as open_store

        url = self.store_url
        if url is None and self.app_spec is not None:
            if self.may_create:
                return self.app.store
            return open_store(self.app.store_url, clock=self.app.clock, create=False)
        url = url or os.environ.get("DULY_STORE")
        if not url:
            raise click.UsageError(NO_STORE)
        return open_store(url, create=self.may_create)

    @cached_property
    def zone(self) -> ZoneInfo:
        """--tz, or the app's, or UTC: where times without an offset are read and times are shown."""
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

        from duly.cli.text import did_you_mean

        if self.timezone is None:
            return self.app.zone if self.app_spec is not None else ZoneInfo("UTC")
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = did_you_mean(self.timezone, available_timezones()) or "; try Europe/Berlin or UTC"
            raise click.BadParameter(f"no time zone {self.timezone!r}{hint}", param_hint="'--tz'") from None

    @cached_property
    def out(self) -> Console:
        return self._console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        return self._console(sys.stderr)

    def _console(self, stream: Any) -> Console:
        from rich.console import Console

        plain = self.no_color or bool(os.environ.get("NO_COLOR"))
        return Console(
            file=stream, color_system=None if plain else "auto", highlight=False, markup=False, emoji=False
        )

    @property
    def width(self) -> int | None:
        """The columns to fit into; None, no limit, when nobody looks (a pipe or a file)."""
        if self.out.is_terminal or os.environ.get("COLUMNS"):
            return self.out.width
        return None

    def print(self, *lines: Text | str) -> None:
        """Write lines as they are; what is longer than the terminal, the terminal wraps."""
        for line in lines:
            self.out.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """A word beside the output, on stderr: hints, summaries of what was done. Not with --quiet."""
        if not self.quiet:
            self.err.print(text, style="dim", soft_wrap=True)

    def progress(self, text: str) -> None:
        """A line on stderr that the next one replaces, for people who look on; nothing when nobody does."""
        if self.err.is_terminal and not self.quiet:
            self.err.print(f"\r\033[K{text}", end="", highlight=False, markup=False)

    def json(self, value: object) -> None:
        """One value as one line of JSON; what has no JSON form (an object among the settings) as its text."""
        import msgspec

        from duly.cli.text import safe_json

        def plain(other: object) -> object:
            return dict(other) if isinstance(other, Mapping) else str(other)

        click.echo(safe_json(msgspec.json.encode(value, enc_hook=plain)))

    def instant(self, text: str, option: str) -> int:
        """A time a person wrote, or a usage error that names the option."""
        from duly.cli import times

        return self._parse(option, lambda: times.parse_instant(text, self.store.now(), self.zone))

    def span(self, text: str, option: str) -> int:
        """A length of time a person wrote, in µs, or a usage error that names the option."""
        from duly.cli import times

        return self._parse(option, lambda: times.parse_span(text))

    def _parse(self, option: str, parse: Callable[[], int]) -> int:
        from duly.cli import times

        try:
            return parse()
        except times.BadTime as error:
            raise click.BadParameter(str(error), param_hint=f"'{option}'") from None

    def confirm(self, question: str, yes: bool, option: str = "--yes") -> None:
        """Go on, or leave: status 1 when the answer is no, a usage error when nobody can answer."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise NobodyAnswers(f"{question} Nobody can answer here (no terminal); add {option} to go on.")
        if not click.confirm(question, err=True):
            self.note("Nothing was changed.")
            self.leave(NOT_DONE)

    def leave(self, status: int) -> NoReturn:
        raise click.exceptions.Exit(status)

    def close(self) -> None:
        if "app" in self.__dict__:
            self.app.close()
        if "store" in self.__dict__:
            self.store.close()


pass_session = click.make_pass_decorator(Session)
