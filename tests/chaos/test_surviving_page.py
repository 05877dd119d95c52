"""docs/surviving.md names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "surviving.md").read_text()
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("src/duly/testing/conformance/*.py")]
    there = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 30
    assert named <= there, sorted(named - there)
    files_named = set(re.findall(r"`(test_\w+\.py)`", page))
    assert files_named <= {file.name for file in files}
