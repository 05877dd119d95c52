"""Tables on the terminal."""

from __future__ import annotations

from rich.table import Table


def table(*columns: str) -> Table:
    """An empty table without lines; the last column takes what room there is."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, overflow="fold", ratio=1 if number == len(columns) - 1 else None)
    return made


MARKS = {"good": "[green]✓[/]", "warning": "[yellow]![/]", "bad": "[red]✗[/]"}
OUTCOMES = {"attended": "[green]attended[/]", "attended in part": "[yellow]in part[/]", "missed": "[red]missed[/]"}
