"""A real worker of an app in a folder, and waiting for what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import PATIENCE, eventually


def environment(folder: Path, **more: str) -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    return {**outside, "PYTHONPATH": str(folder), **more}


@contextmanager
def worker(folder: Path, *arguments: str, **env: str) -> Iterator[Path]:
    """``duly ARGUMENTS`` with "worker" among them, in ``folder``, from ready to its end; gives its log."""
    log = folder / "worker.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "duly", *arguments], cwd=folder, env=environment(folder, **env),
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        eventually(lambda: "Ready." in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(PATIENCE) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
