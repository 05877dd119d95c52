"""Copies: processes that a task forked off and that came back from the task, like their parent."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

from duly.failure import theirs


def leave_copy(exc: BaseException | None) -> NoReturn:
    """End this process, which a task forked off: as a program ends whose main function returned or raised."""
    status = 0
    try:
        if isinstance(exc, SystemExit):
            status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        elif exc is not None:
            status = 1
            traceback.print_exception(type(exc), exc, theirs(exc.__traceback__))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status & 0xFF)
