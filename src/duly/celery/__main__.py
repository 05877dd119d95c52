"""``python -m celery -A proj worker`` (or any verb), and ``python -m duly.celery program.py``.

Both have Celery's names resolved here, in this process and all that it starts.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import NoReturn

from duly.celery.resolving import VARIABLE, install
from duly.cli import main as command_line


def main(words: list[str]) -> NoReturn:
    """A program if a file is named first, else a command line of duly's."""
    os.environ[VARIABLE] = "1"
    install()
    if not words or not words[0].endswith(".py"):
        command_line(words)
    sys.argv = words
    sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
    runpy.run_path(words[0], run_name="__main__")
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
