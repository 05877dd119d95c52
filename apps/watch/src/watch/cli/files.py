"""``export`` and ``import``: sites and subscribers as files."""

from __future__ import annotations

from pathlib import Path

import click

from watch import exchange
from watch.cli.root import console
from watch.errors import WatchError


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(file: Path) -> None:
    """Write sites, subscribers, targets and subscriptions to FILE.json; or feeds only, to FILE.opml.

    Posts and deliveries are not in it. Addresses of subscribers are: the file is made readable for you only.
    """
    text = exchange.opml() if _is_opml(file) else exchange.dump()
    try:
        file.touch(mode=0o600)
        file.write_text(text)
    except OSError as error:
        raise WatchError(f"{file} cannot be written: {error.strerror}") from None
    console.print(f"Written to {file}.", markup=False)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def import_(file: Path) -> None:
    """Take in FILE.json (of watch export) or FILE.opml (of any feed reader): all of it, or nothing if it is wrong.

    A site of the same address, and a subscriber of the same token or target, is changed; others are added.
    """
    text = file.read_bytes()
    taken = exchange.load_opml(text, file.name) if _is_opml(file) else exchange.load(text, file.name)
    console.print(str(taken), markup=False)


def _is_opml(file: Path) -> bool:
    if file.suffix not in (".json", ".opml"):
        raise WatchError(f"{file}: expected a name that ends in .json or .opml")
    return file.suffix == ".opml"
