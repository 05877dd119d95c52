"""Tables that fit the terminal: columns that matter least go first, long cells are cut.

Not rich's own table: this one drops columns, cuts dotted names from the left, leaves no spaces at the
ends of lines, and costs a listing no import of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GAP = 2


@dataclass
class Column:
    """One column. ``least`` is the width it may shrink to; None: it never shrinks. ``wish`` is what it
    should have before others are shown that could be left out."""

    head: str
    least: int | None = None
    wish: int = 0
    rank: int = 0  # 0 stays; of the others the highest goes first when there is no room
    from_left: bool = False  # cut at the left end
    right: bool = False  # align right
    cells: list[Text] = field(default_factory=list)

    def natural(self) -> int:
        return max([cell_len(self.head), *(cell.cell_len for cell in self.cells)])

    def smallest(self) -> int:
        return self.natural() if self.least is None else min(self.least, self.natural())

    def wished(self) -> int:
        return max(self.smallest(), min(self.wish, self.natural()))


def lay_out(columns: list[Column], width: int | None) -> list[Text]:
    """The table's lines, head first, none wider than ``width`` columns if that can be done."""
    columns = _that_fit([column for column in columns if any(cell.plain for cell in column.cells)], width)
    widths = _widths(columns, width)
    head = _line([Text(column.head, style="bold") for column in columns], columns, widths)
    rows = zip(*(column.cells for column in columns), strict=True)
    return [head, *(_line(list(row), columns, widths) for row in rows)]


def _that_fit(columns: list[Column], width: int | None) -> list[Column]:
    """``columns`` without those for which there is no room."""
    kept = list(columns)
    while width is not None and sum(c.wished() for c in kept) + GAP * (len(kept) - 1) > width:
        optional = [column for column in kept if column.rank]
        if not optional:
            break
        kept.remove(max(optional, key=lambda column: column.rank))
    return kept


def _widths(columns: list[Column], width: int | None) -> list[int]:
    """Natural widths, shrunk a character at a time where most can be spared."""
    widths = [column.natural() for column in columns]
    floors = [column.smallest() for column in columns]
    spare = 0 if width is None else sum(widths) + GAP * (len(widths) - 1) - width
    while spare > 0:
        most = max(range(len(widths)), key=lambda i: widths[i] - floors[i])
        if widths[most] == floors[most]:
            break
        step = min(spare, max(1, (widths[most] - floors[most]) // 4))
        widths[most] -= step
        spare -= step
    return widths


def _line(cells: list[Text], columns: list[Column], widths: list[int]) -> Text:
    line = Text()
    for cell, column, width in zip(cells, columns, widths, strict=True):
        cell = cut(cell, width, column.from_left)
        pad = " " * (width - cell.cell_len)
        line.append(pad if column.right else "").append_text(cell).append("" if column.right else pad)
        line.append(" " * GAP)
    line.rstrip()
    return line


def cut(cell: Text, width: int, from_left: bool = False) -> Text:
    """``cell`` in at most ``width`` terminal columns, an ellipsis where something is missing."""
    if cell.cell_len <= width:
        return cell
    if not from_left:
        cell = cell.copy()
        cell.truncate(width, overflow="ellipsis")
        return cell
    kept = cell.plain
    while cell_len(kept) > width - 1:
        kept = kept[1:]
    return Text(set_cell_size("…" + kept, width), style=cell.style)
