"""Everything at once. ``DULY_CHAOS_SECONDS`` and ``DULY_CHAOS_SEED`` choose how long and which.

The fixed seed of the ordinary run makes it do the same to the same kinds of process each time; that it hits them at
other moments cannot be helped, and is welcome. A run that fails names its seed, and its folder stays.
"""

from __future__ import annotations

import os

import pytest
from chaos_places import PLACES
from chaos_run import PATIENCE, Run

SECONDS = float(os.environ.get("DULY_CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("DULY_CHAOS_SEED", "5"))


@pytest.mark.timeout(SECONDS + PATIENCE + 180)
@pytest.mark.parametrize("kind", PLACES)
def test_chaos(reports: list[str], kind: str) -> None:
    run = Run(SEED, kind)
    kept = True
    try:
        run.play(SECONDS)
        report = run.check()
        kept = bool(report.problems)
        text = report.text(f"{kind}, seed {SEED}, {SECONDS:g} s" + (f", folder {run.folder}" if kept else ""))
        assert not report.problems, text
        reports.append(text)
    finally:
        run.close(kept)
