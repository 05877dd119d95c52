"""The demo's own judgement: it has to say no when something is wrong. (That it says yes is ``make demo``.)"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from duly.job import Attempt

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "stdlib_census"
DUE = 1_000_000  # microseconds UTC


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("DULY_STORE", f"sqlite:///{tmp_path}/census.duly.db")
    import report
    import tasks

    yield {"report": report, "tasks": tasks}
    for name in ("report", "tasks"):
        sys.modules.pop(name, None)


@pytest.fixture
def report(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["report"]


@pytest.fixture
def tasks(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["tasks"]


def attempt(number: int, outcome: str, started: int) -> Attempt:
    return Attempt(
        attempt=number, outcome=outcome, worker=None, slot=0, started=started, finished=None, error=None, log=None
    )


@pytest.fixture
def good(report: ModuleType):  # type: ignore[no-untyped-def]
    """Findings of two files, one of them lost once, and one appointment: all is well."""
    facts = {"digest": "d", "bytes": 1, "tokens": 3, "names": 1, "longest": ["f", 2]}
    once = [attempt(1, "succeeded", DUE)]
    twice = [attempt(1, "lost", DUE), attempt(2, "succeeded", DUE + 500_000)]
    return report.Findings(
        files=[report.Outcome(facts, "succeeded", once), report.Outcome(facts, "succeeded", twice)],
        expected=[facts, facts],
        appointments=[(DUE, report.Outcome(DUE * 1000 + 2_000_000, "succeeded", once))],
        effects={"a": 1, "b": 1, "c": 1},
        killed=DUE + 100_000,
        seconds=1.0,
    )


def test_all_is_well(report: ModuleType, good, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert report.print_report(good) == 0
    printed = capsys.readouterr().out
    assert "0.40 s from SIGKILL" in printed
    assert "p50 2.0 ms" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda good: {"expected": [good.files[0].value, {"digest": "other"}]}, "every result is that of"),
        (lambda good: {"files": [replace(good.files[0], value=None), good.files[1]]}, "every file has its result"),
        (lambda good: {"effects": {"a": 2, "b": 1, "c": 1}}, "exactly one effect"),
        (lambda good: {"effects": {"a": 0, "b": 1, "c": 1}}, "exactly one effect"),
        (lambda good: {"appointments": [(DUE, replace(good.files[0], value=None))]}, "every appointment was kept"),
        (lambda good: {"appointments": [(DUE, replace(good.files[0], value=DUE * 1000 - 1))]}, "kept early"),
        (lambda good: {"files": [good.files[0], good.files[0]]}, "the dead worker held"),
    ],
)
def test_what_is_wrong_is_said(  # type: ignore[no-untyped-def]
    report: ModuleType, good, change, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.print_report(replace(good, **change(good))) == 1
    assert any(line.startswith("   NO") and complaint in line for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "content",
    [b"def broken(:\n", b"\xff\xfe\x00", b"# coding: nonsense\n", b"x = '\n", b"a\x00b\n", b"(" * 5000],
    ids=["syntax", "bytes", "coding", "token", "null", "depth"],
)
def test_a_file_that_does_not_parse_is_a_result(tasks: ModuleType, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(content)
    assert tasks.facts(str(path))["problem"].startswith("does not parse: ")


def test_facts_of_a_file(tasks: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "good.py"
    path.write_text("def short(): pass\n\nasync def long(a):\n    if a:\n        return a\n")
    found = tasks.facts(str(path))
    assert found["longest"] == ["long", 3]
    assert found["names"] == 3  # short, long, a
    assert len(found["digest"]) == 64
