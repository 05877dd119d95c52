"""The Makefile: what it says of itself, and what it says without a Python that will do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Under ``make test`` make's own variables are set, and it would talk about directories.
ENV = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=60, check=False)


def test_make_alone_lists_what_there_is() -> None:
    listed = set(re.findall(r"^  make (\w+)", make().stdout, re.MULTILINE))
    assert listed == {"help", "setup", "demo", "test", "check", "bench", "clean"}


def test_without_a_new_enough_python_it_says_what_to_do(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = make("setup", "PYTHON=", folder=tmp_path)
    assert done.returncode != 0
    assert "duly needs Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_check_and_test_and_stops_at_a_failure(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    makefile = "check:\n\t@echo checking; exit $(STATUS)\ntest:\n\t@echo testing\n"
    (tmp_path / "Makefile").write_text("STATUS ?= 0\n" + makefile)
    run = [str(tmp_path / ".ci" / "run")]
    well = subprocess.run(run, env=ENV, capture_output=True, text=True, timeout=60, check=False)
    assert (well.returncode, well.stdout.split()[-1]) == (0, "testing")
    (tmp_path / "Makefile").write_text("STATUS = 1\n" + makefile)
    badly = subprocess.run(run, env=ENV, capture_output=True, text=True, timeout=60, check=False)
    assert badly.returncode != 0
    assert "testing" not in badly.stdout
