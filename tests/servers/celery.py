"""A real Celery: programs written for it, run in an environment that has it (``make test`` makes one, ``.celery``).

``DULY_CELERY_PYTHON`` names another Python to use, with another release of Celery.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.process import ServerFailed

_ROOT = Path(__file__).resolve().parents[2]


def celery_python() -> str:
    """A Python that has celery[redis,msgpack,yaml] and flower. Raises ServerFailed."""
    python = os.path.abspath(os.environ.get("DULY_CELERY_PYTHON") or _ROOT / ".celery" / "bin" / "python")
    if not os.path.exists(python):
        raise ServerFailed(f"there is no Python with Celery at {python}; make .celery/.stamp installs one")
    return python


def celery_version() -> tuple[int, int]:
    """Of the Celery in that Python."""
    code = "import celery; print(*celery.VERSION[:2])"
    said = subprocess.run([celery_python(), "-c", code], capture_output=True, text=True, check=True).stdout
    major, minor = said.split()
    return int(major), int(minor)


class CeleryProgram:
    """A Celery project in a folder: one module, ``proj``, whose text is given, with the app in ``app``.

    1. ``run`` runs a client's code, ``command`` a command of ``celery -A proj``, both to their end.
    2. ``start`` starts such a command that stays (a worker, Flower).
    3. ``close``, or the end of ``with``, ends those with everything they started.
    """

    def __init__(self, folder: Path, text: str, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proj.py").write_text(text)
        self.folder = folder
        self.environment = {**os.environ, "PYTHONWARNINGS": "ignore", "C_FORCE_ROOT": "1", **(environment or {})}
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, code: str, patience: float = 60.0, stdin: str = "") -> str:
        """What the code printed; it finds all of ``proj`` imported. Raises AssertionError if it ended in error."""
        done = self._finish(["-c", f"from proj import *\n{code}"], patience, stdin)
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout

    def command(self, *words: str, patience: float = 60.0) -> subprocess.CompletedProcess[str]:
        """``celery -A proj`` and these words."""
        return self._finish(["-m", "celery", "-A", "proj", *words], patience)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """``celery -A proj`` and these words, in the background; what it says is in ``log``."""
        with open(self.log_path, "ab") as log:
            process = subprocess.Popen(
                [celery_python(), "-m", "celery", "-A", "proj", *words],
                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._running.append(process)
        return process

    @property
    def log_path(self) -> Path:
        return self.folder / "celery.log"

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.read_text(errors="replace")
        return ""

    def close(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _finish(self, words: list[str], patience: float, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [celery_python(), *words],
            cwd=self.folder, env=self.environment, input=stdin, capture_output=True, text=True,
            timeout=patience, check=False,
        )  # fmt: skip
