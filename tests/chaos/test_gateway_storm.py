"""Gateways while all around them breaks; see ``gateway_storm.py``."""

from __future__ import annotations

import os

import pytest
from gateway_storm import Storm

SECONDS = float(os.environ.get("DULY_CHAOS_SECONDS", "15"))
SEED = int(os.environ.get("DULY_CHAOS_SEED", "5"))


@pytest.mark.timeout(SECONDS * 3 + 180)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of a client cut off, pika's
def test_gateways_lose_and_double_nothing(reports: list[str]) -> None:
    storm = Storm(SEED)
    kept = True
    try:
        storm.play(SECONDS)
        report = storm.check()
        kept = bool(report.problems)
        text = report.text(f"gateways, seed {SEED}, {SECONDS:g} s" + (f", folder {storm.folder}" if kept else ""))
        assert not report.problems, text
        assert report.counts["jobs: succeeded"] > 100, text
        reports.append(f"{text}\n  done to them: {storm.deeds}")
    finally:
        storm.close(kept)
