"""``upgrade``: rewrite a file of settings with the names of today."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import click

from duly.celery_settings import modern
from duly.cli.reach import Family
from duly.cli.session import NOT_DONE, Session, pass_session
from duly.cli.text import clean, plural
from duly.config import NAMES, exists


@click.group(cls=Family)
def upgrade() -> None:
    """Bring files up to date: settings."""


@upgrade.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--django", is_flag=True, help="Names as Django's settings have them: CELERY_...")
@click.option("--no-backup", is_flag=True, help="Keep no copy of the old file (FILE.orig).")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@pass_session
def settings(session: Session, file: Path, django: bool, no_backup: bool, dry_run: bool) -> None:
    """Rewrite FILE with the names settings have today.

    CELERYD_CONCURRENCY becomes worker_concurrency, or with --django CELERY_WORKER_CONCURRENCY. Values and all else
    stay as they are. Exit status 1 if the file cannot be read as Python.
    """
    try:
        source = file.read_text()
        tree = ast.parse(source, str(file))
    except OSError as error:
        raise click.BadParameter(f"{str(file)!r}: {error.strerror}", param_hint="'FILE'") from None
    except SyntaxError as error:
        session.err.print(f"Error: {clean(str(file))}:{error.lineno}: {clean(str(error.msg))}")
        session.leave(NOT_DONE)
    renamed = _renamed(tree, django)
    for old, new in renamed.items():
        session.print(f"{clean(old)} -> {new}")
    if renamed and not dry_run:
        if not no_backup:
            shutil.copy2(file, f"{file}.orig")
        file.write_text(_rewritten(source, tree, renamed))
    changed = plural(len(renamed), "name")
    backup = "" if no_backup or dry_run or not renamed else f"; the old file: {file}.orig"
    session.note(f"{changed} {'would change' if dry_run else 'changed'}{backup}")


def _renamed(tree: ast.Module, django: bool) -> dict[str, str]:
    """The names that are assigned in the file and are called otherwise today."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Store):
            continue
        setting = modern(node.id, NAMES)
        if not node.id.isupper() or not exists(setting):
            continue
        new = f"CELERY_{setting.upper()}" if django else setting
        if new != node.id:
            found[node.id] = new
    return found


def _rewritten(source: str, tree: ast.Module, renamed: dict[str, str]) -> str:
    """Every use of the names replaced, from the end, so that places stay right; ast counts bytes."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in renamed]
    for node in sorted(uses, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        line, at = lines[node.lineno - 1], node.col_offset
        lines[node.lineno - 1] = line[:at] + renamed[node.id].encode() + line[at + len(node.id.encode()) :]
    return b"".join(lines).decode()
