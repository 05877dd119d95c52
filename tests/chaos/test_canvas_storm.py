"""No step of a canvas is dropped or doubled, whatever is killed. DULY_CHAOS_SECONDS and DULY_CHAOS_SEED as for
``test_chaos.py``."""

from __future__ import annotations

import os

import pytest
from canvas_storm import Storm
from chaos_places import PLACES

SECONDS = float(os.environ.get("DULY_CHAOS_SECONDS", "6"))
SEED = int(os.environ.get("DULY_CHAOS_SEED", "5"))


@pytest.mark.timeout(SECONDS * 3 + 150)
@pytest.mark.parametrize("kind", PLACES)
def test_canvases_in_a_storm(reports: list[str], kind: str) -> None:
    run = Storm(SEED, kind)
    wrong = ["it did not come to its end"]
    try:
        run.play(SECONDS)
        wrong, line = run.verdict()
        assert not wrong, "\n".join([f"{kind}, seed {SEED}, folder {run.folder}: {line}", *wrong])
        assert run.kills > 5, line
        reports.append(f"canvases on {kind}, seed {SEED}, {SECONDS:g} s: {line}")
    finally:
        run.close(bool(wrong))
