"""docs/calling.md does what it says: its blocks run in order, with a worker beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from miniworker import MiniWorker

PAGE = Path(__file__).parents[2] / "docs" / "calling.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DULY_STORE", f"sqlite:///{tmp_path}/jobs.db")
    text = PAGE.read_text()
    blocks = [(m.start(), m[1]) for m in re.finditer(r"^```python\n(.*?)^```", text, re.S | re.M)]
    assert len(blocks) >= 6
    page: dict[str, Any] = {"__name__": "shop"}
    worker = None
    try:
        for at, code in blocks:
            lines = "\n" * text.count("\n", 0, at) + "\n" + code  # so that a traceback has the page's line
            exec(compile(lines, str(PAGE), "exec"), page)
            if worker is None:
                worker = MiniWorker(page["app"], ("default", "mail"))
                worker.start()
    finally:
        if worker is not None:
            worker.stop()
        page["app"].close()
