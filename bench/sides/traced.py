"""The app of ``bench.traces``: a task that only marks its start, instrumented as ``BENCH_TRACES`` says."""

from __future__ import annotations

import os
from pathlib import Path

from bench.kit import Marks
from bench.traces import instrument
from duly import Duly

MARKS = Marks(Path(os.environ["BENCH_FOLDER"]) / "marks")

app = Duly("traced")


@app.task(ignore_result=True)
def mark(i: int) -> None:
    MARKS.start(i)


instrument(app, os.environ["BENCH_TRACES"])
