"""An app that is wrong is refused when it is loaded, with the file and the line of the code to be changed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from duly import ConfigError
from duly.loading import load_app

_names = (f"loaded_{n}" for n in itertools.count())


def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, attribute: str = "") -> tuple[str, str]:
    """The module's name, and what is said when its app is loaded."""
    name = next(_names)
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError) as told:
        load_app(name + attribute)
    return name, str(told.value)


HEAD = "from duly import Duly\nfrom duly.schedules import crontab\napp = Duly('app')\n"


@pytest.mark.parametrize(
    ("code", "line", "wanted"),
    [
        ("app.conf.worker_concurency = 2\n", 4, "did you mean 'worker_concurrency'"),
        ("def late():\n    return crontab(minute=70)\nlate()\n", 5, "70"),
        ("@app.task(acks_late=True)\ndef add(): ...\n", 4, "not needed here"),
    ],
)
def test_the_line_of_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, line: int, wanted: str
) -> None:
    name, said = refusal(tmp_path, monkeypatch, HEAD + code)
    assert said.startswith(f"{name}.py:{line}: ")
    assert wanted in said


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("app.conf.beat_schedule = {'n': {'task': 'x', 'schedul': 5}}", "did you mean 'schedule'"),
        ("app.conf.task_soft_time_limit = 5\n@app.task(time_limit=1)\ndef add(): ...", "is never reached"),
    ],
)
def test_what_is_wrong_only_as_a_whole_is_found_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, wanted: str
) -> None:
    name, said = refusal(tmp_path, monkeypatch, HEAD + code)
    assert wanted in said
    assert f"{name}.py" in said


def test_a_name_that_the_module_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = refusal(tmp_path, monkeypatch, HEAD, ":nope")
    assert said.endswith("has no 'nope'; it has: app")


def test_a_store_named_from_outside_holds_although_the_app_used_its_own_while_it_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "early_bird.py").write_text(
        "from duly import Duly\napp = Duly('early_bird')\napp.now()\n"
        "app.conf.beat_schedule = {'x': {'task': 'early_bird.f', 'schedule': 5}}\n"
        "@app.task\ndef f(): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    app = load_app("early_bird", f"sqlite:///{tmp_path}/other.db")
    assert app.send_task("early_bird.f").state == "queued"
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "early_bird.duly.db").exists()
    app.close()
