"""``config``: the settings of an app, and what is wrong in a file of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
import msgspec
from rich.text import Text

from duly.celery_settings import reason
from duly.cli.reach import Family
from duly.cli.session import NOT_DONE, Session, pass_session
from duly.cli.table import Column, lay_out
from duly.cli.text import clean, clean_lines, plural
from duly.config import Settings, censor
from duly.configuring import Remark, remarks, source_of

_STYLES = {"set": "", "no effect": "dim", "not a setting": "dim", "wrong": "bold red"}


@click.group(cls=Family, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: name, value, source.")
@click.pass_context
def config(ctx: click.Context, as_json: bool) -> None:
    """Show the settings of an app, or check a file of them. Without a verb: show."""
    if ctx.invoked_subcommand is None:
        _show(ctx.ensure_object(Session), as_json, only_set=False)


@config.command()
@click.option("--set", "only_set", is_flag=True, help="Only what is not the default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: name, value, source.")
@pass_session
def show(session: Session, only_set: bool, as_json: bool) -> None:
    """Show every setting, its value and where it comes from. Passwords are not shown."""
    _show(session, as_json, only_set)


def _show(session: Session, as_json: bool, only_set: bool) -> None:
    rows = [row for row in settings(session) if not only_set or row[2] != "default"]
    if as_json:
        for name, value, source in rows:
            session.json({"name": name, "value": value, "source": source})
        return
    columns = [Column("SETTING"), Column("VALUE", least=20), Column("FROM", least=12, from_left=True)]
    for name, value, source in rows:
        style = "dim" if source == "default" else ""
        for column, cell in zip(columns, (name, clean(str(value)), clean(source)), strict=True):
            column.cells.append(Text(cell, style))
    session.print(*lay_out(columns, session.width))
    if no_effect := [name for name, _, source in rows if source.endswith(NO_EFFECT)]:
        session.note(f"{plural(len(no_effect), 'setting')} of Celery's without effect; duly config check says why.")


NO_EFFECT = "no effect here"


def settings(session: Session) -> list[tuple[str, Any, str]]:
    """(name, value, source) of every setting, in the order they are written down."""
    app = session.app
    rows = []
    for name, value in app.conf.items():
        source = "default" if name not in app.conf.changed else app.conf.sources.get(name, "app")
        if reason(name) is not None:
            source = f"{app.conf.sources.get(name, 'app')}, {NO_EFFECT}"
        if name == "beat_schedule":
            value = {each: repr(entry) for each, entry in value.items()}
        if name == "store":
            value, source = app.store_url, _store_source(session, source)
        rows.append((name, _plain(censor(name, value)), source))
    return rows


def _plain(value: Any) -> Any:
    """Proxies of dicts as dicts, Queues and the like as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _store_source(session: Session, source: str) -> str:
    if session.store_url is not None:
        return "--store"
    return "DULY_STORE" if source == "default" and os.environ.get("DULY_STORE") else source


@config.command()
@click.argument("module", required=False)
@click.option("--namespace", metavar="NAME", help="Only names that begin with it, e.g. CELERY for Django settings.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: written, setting, kind, text.")
@pass_session
def check(session: Session, module: str | None, namespace: str | None, as_json: bool) -> None:
    """Say what becomes of each name in a file of settings.

    Without MODULE: of the app's settings. MODULE is what config_from_object takes: celeryconfig,
    proj.config:Production, a file. Exit status 1 if something is wrong.
    """
    if module is None:
        found = [Remark(name, name, "no effect", reason(name) or "") for name in session.app.conf.noted]
        found += [Remark(name, name, "set", "") for name in session.app.conf.changed]
    else:
        source, label = source_of(module)
        found = list(remarks(Settings(), source, label, namespace))
    for remark in found:
        if as_json:
            session.json(msgspec.structs.asdict(remark))
        else:
            session.print(*_lines(remark))
    wrong = sum(remark.kind == "wrong" for remark in found)
    session.note(_summary(found, wrong))
    if wrong:
        session.leave(NOT_DONE)


def _lines(remark: Remark) -> list[Text]:
    renamed = f" = {remark.setting}" if remark.kind != "wrong" and remark.setting != remark.written else ""
    first, *rest = clean_lines(remark.text) or [""]
    head = Text(f"{'ok' if remark.kind == 'set' else remark.kind:<14} {clean(remark.written)}{clean(renamed)}")
    head.stylize(_STYLES[remark.kind])
    told = [Text(f"{'':<15}{line}") for line in [first, *rest] if line and remark.kind != "not a setting"]
    return [head, *told]


def _summary(found: list[Remark], wrong: int) -> str:
    taken = sum(remark.kind == "set" for remark in found)
    without = sum(remark.kind == "no effect" for remark in found)
    return f"{plural(taken, 'setting')} taken, {without} without effect here, {wrong} wrong."
