"""mypy, strict, on programs that use duly: what must be accepted is, and what must be refused is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs share what mypy knows of duly."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("name", ["calls", "classes", "celery_words"])
def test_what_is_right_is_accepted_and_what_is_wrong_refused(cache: Path, name: str) -> None:
    source = HERE / f"{name}.py"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "--no-error-summary"]
    done = subprocess.run(
        [*command, "--config-file", "", str(source)], capture_output=True, text=True, timeout=110, check=False
    )
    refused = {int(line) for line in re.findall(rf"{name}\.py:(\d+): error:", done.stdout)}
    expected = {i for i, line in enumerate(source.read_text().splitlines(), 1) if line.endswith("# error")}
    assert refused == expected, done.stdout + done.stderr
