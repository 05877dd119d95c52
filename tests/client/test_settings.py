"""Settings, where the store is, and finding the app."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from duly import ConfigError, Duly
from duly.clock import MICROS
from duly.config import NAMES, Settings, store_url
from duly.store.contract import WAKE_AHEAD


def test_defaults_and_both_ways_in() -> None:
    conf = Settings(worker_lease=5)
    assert conf.worker_lease == conf["worker_lease"] == 5
    conf["result_expires"] = timedelta(hours=1)
    assert conf.result_expires == 3600
    conf.update({"task_default_queue": "q"}, timezone="Asia/Tokyo")
    assert (conf.task_default_queue, conf.timezone) == ("q", "Asia/Tokyo")
    del conf["task_default_queue"]
    assert conf.task_default_queue == "default"
    assert set(conf) == set(NAMES)
    assert len(dict(conf)) == len(NAMES)


def test_a_worker_looks_as_often_as_callers_rely_on() -> None:
    """They wake nobody for what is due further ahead, so it would be late."""
    assert Settings(worker_poll_interval=WAKE_AHEAD / MICROS).worker_poll_interval == 2.0
    with pytest.raises(ConfigError, match="to 2"):
        Settings(worker_poll_interval=WAKE_AHEAD / MICROS + 0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("worker_lease", 0), ("worker_lease", "10"), ("worker_lease", True), ("worker_lease", float("nan")),
        ("task_default_priority", 10), ("task_always_eager", 1), ("timezone", "Mars/Base"), ("timezone", 3),
        ("worker_pool", "solo"),
        ("worker_pool", "gevent"), ("task_default_queue", ""), ("worker_concurrency", 0), ("task_max_retries", -1),
        ("task_time_limit", 0), ("store", ""),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(name: str, value: Any) -> None:
    conf = Settings()
    with pytest.raises(ConfigError, match=name):
        conf[name] = value
    with pytest.raises(ConfigError, match=name):
        Duly("x", **{name: value})
    assert conf.changed == {}


def test_unknown_names_are_refused() -> None:
    conf = Settings()
    for wrong in (
        lambda: conf.update(worker_leese=1),
        lambda: setattr(conf, "worker_leese", 1),
        lambda: conf.worker_leese,
        lambda: conf.__delitem__("worker_leese"),
        lambda: Settings(worker_leese=1),
    ):
        with pytest.raises(ConfigError, match="did you mean 'worker_lease'"):
            wrong()
    with pytest.raises(KeyError):
        conf["worker_leese"]
    assert "worker_leese" not in conf
    with pytest.raises(ConfigError, match="needs a name"):
        Duly("")


def test_which_store_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "my proj" / "tasks.py"
    module.parent.mkdir()
    module.touch()
    conf, environ = Settings(), {"DULY_STORE": "sqlite:///env.db"}
    assert store_url(conf, "shop", str(module), {}) == f"sqlite:///{tmp_path}/my%20proj/shop.duly.db"
    assert store_url(conf, "shop", str(module), environ) == "sqlite:///env.db"
    conf.store = "sqlite:///code.db"
    assert store_url(conf, "shop", str(module), environ) == "sqlite:///code.db"
    monkeypatch.chdir(tmp_path)
    assert store_url(Settings(), "a/b", None, {}) == f"sqlite:///{tmp_path}/a_b.duly.db"
    installed = tmp_path / "site-packages" / "shop.py"
    installed.parent.mkdir()
    installed.touch()
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert store_url(Settings(), "shop", str(installed), state) == f"sqlite:///{tmp_path}/state/duly/shop.duly.db"


def python(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


LOAD = """
import sys
from duly.errors import ConfigError
from duly.loading import load_app
try:
    app = load_app(sys.argv[1] if len(sys.argv) > 1 else SPEC)
    print(app.name, app.store_url)
except ConfigError as exc:
    print("ConfigError:", exc)
"""


def load(folder: Path, spec: str) -> str:
    return python(folder, f"SPEC = {spec!r}{LOAD}").strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "tasks.py": "from duly import Duly\napp = Duly('tasks')\n",
        "named.py": "from duly import Duly\nqueue = Duly('named')\nother = 3\n",
        "two.py": "from duly import Duly\none = Duly('one')\nother = Duly('other')\n",
        "none.py": "",
        "broken.py": "from duly import Duly\napp = Duly('b')\n\ndef f():\n    raise ValueError('mine')\nf()\n",
        "missing.py": "import not_there_at_all\n",
        "typo.py": "from duly import Duly\napp = Duly('t', worker_leese=3)\n",
        "proj/__init__.py": "",
        "proj/tasks.py": "from duly import Duly\ndeep = Duly('deep')\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "name", "place"),
    [
        ("tasks", "tasks", "tasks.duly.db"), ("tasks.py", "tasks", "tasks.duly.db"),
        ("tasks:app", "tasks", "tasks.duly.db"),
        ("named", "named", "named.duly.db"), ("two:other", "other", "other.duly.db"),
        ("proj", "deep", "proj/deep.duly.db"), ("proj.tasks:deep", "deep", "proj/deep.duly.db"),
    ],
)  # fmt: skip
def test_apps_are_found(project: Path, spec: str, name: str, place: str) -> None:
    assert load(project, spec) == f"{name} sqlite:///{project}/{place}"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("task", ["no module 'task'", "/task.py", "did you mean 'tasks'"]),
        ("proj.task", ["no module 'proj.task'", "did you mean 'tasks'"]),
        ("tasks.deep", ["is a module, not a package"]),
        ("two", ["more than one app", "two:one, two:other"]),
        ("none", ["has no Duly app"]),
        ("tasks:ap", ["has no 'ap'", "did you mean 'app'"]),
        ("named:other", ["is not a Duly app but int"]),
        ("tasks:", ["expected module or module:attribute"]),
        ("broken", ["cannot be imported", "ValueError: mine", "line 6, in <module>", "line 5, in f"]),
        ("missing", ["cannot be imported", "No module named 'not_there_at_all'", "missing.py"]),
        ("typo", ["did you mean 'worker_lease'"]),
    ],
)
def test_what_is_not_found_is_said(project: Path, spec: str, words: list[str]) -> None:
    output = load(project, spec)
    assert output.startswith("ConfigError:")
    for word in words:
        assert word in output
    assert "importlib" not in output
    assert "duly/loading.py" not in output


def test_the_interactive_prompt_uses_the_working_directory(tmp_path: Path) -> None:
    output = python(tmp_path, "import duly; print(duly.Duly('x').store_url)")
    assert output.strip() == f"sqlite:///{tmp_path}/x.duly.db"


def test_the_core_imports_nothing_for_screens(tmp_path: Path) -> None:
    loaded = python(
        tmp_path, "import duly, sys; print(*[m for m in ('rich', 'click', 'psutil') if m in sys.modules])"
    )
    assert loaded.strip() == ""


def test_public_names() -> None:
    import duly

    assert duly.__all__ == sorted(duly.__all__, key=str)
    assert all(hasattr(duly, name) for name in duly.__all__)
