"""mypy, strict, on programs that use duly: what must be accepted is, and what must be refused is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_calls_are_typed(tmp_path: Path) -> None:
    source = HERE / "calls.py"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--no-error-summary"]
    done = subprocess.run(
        [*command, "--config-file", "", str(source)], capture_output=True, text=True, timeout=110, check=False
    )
    refused = {int(line) for line in re.findall(r"calls\.py:(\d+): error:", done.stdout)}
    expected = {i for i, line in enumerate(source.read_text().splitlines(), 1) if line.endswith("# error")}
    assert refused == expected, done.stdout + done.stderr
