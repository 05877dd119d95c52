"""The command line: ``duly -A tasks worker``, ``duly jobs``, ``duly cancel ID``.

A verb's module is imported when the verb is used, so that ``duly --help`` needs no app, no store and
no time. What goes wrong ends in one line on stderr and a status of its own (docs/cli.md), never in a
traceback, unless duly itself is at fault.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from duly.cli.root import Root
from duly.cli.session import Session
from duly.errors import ConfigError, DulyError, StoreError

USAGE = 2
STORE_FAILED = 74
INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (``sys.argv`` if none is given) and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(run(args))


def run(args: Sequence[str] | None, name: str = "duly") -> int:
    """One command line from its words to its exit status. ``name``: of the command in its help."""
    session = Session()
    try:
        status = _run(session, args, name)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would try it again
        return 1
    finally:
        _close(session)
    return status


def _run(session: Session, args: Sequence[str] | None, name: str) -> int:
    words = list(sys.argv[1:] if args is None else args)
    try:
        _check_words(words)
        status = Root().main(words, prog_name=name, obj=session, standalone_mode=False)
    except click.Abort as abort:
        if abort.__cause__ is None:  # at a question, whose line is not ended yet
            click.echo(err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ConfigError as error:
        return _say(error, USAGE)
    except StoreError as error:
        return _say(error, STORE_FAILED)
    except DulyError as error:
        return _say(error, 1)
    return status if isinstance(status, int) else 0


def _check_words(words: Sequence[str]) -> None:
    """Refuse bytes that are no UTF-8: no id, name or value in a store can be one."""
    for word in words:
        if not word.isascii() and any("\ud800" <= char <= "\udfff" for char in word):
            raise click.UsageError(f"{word!r} is not UTF-8")


def _say(error: DulyError, status: int) -> int:
    from duly.cli.text import clean_lines

    click.echo("Error: " + "\n".join(clean_lines(str(error))), err=True)
    return status


def _close(session: Session) -> None:
    try:
        session.close()
    except StoreError as error:
        _say(error, STORE_FAILED)
