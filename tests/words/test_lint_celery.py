"""``duly lint-celery``: what it points at in sample projects, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from duly.lint import Finding, judge, read


def found(folder: Path, **files: str) -> list[Finding]:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return judge(read(folder))


def brief(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(str(each.place), each.rule, each.severity) for each in findings]


SAFE = """
from celery import Celery
app = Celery("proj", broker="redis://localhost")
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_time_limit=600, task_soft_time_limit=500)
app.conf.broker_transport_options = {"visibility_timeout": 7200}

@app.task(bind=True, default_retry_delay=60)
def add(self, x, y):
    self.retry(countdown=30)
"""


def test_nothing_is_said_of_a_safe_project(tmp_path: Path) -> None:
    assert found(tmp_path, proj=SAFE) == []


REDIS = """from celery import Celery
app = Celery("proj", broker="redis://localhost:6379/0")

@app.task(acks_late=True)
def crawl(url):
    again.apply_async((url,), countdown=60 * 60 * 2)
    again.apply_async((url,), eta=tomorrow())
    again.apply_async((url,), countdown=120)
    again.apply_async((url,), countdown=5)

@app.task(acks_late=True, reject_on_worker_lost=True, time_limit=7200, serializer="pickle")
def again(url):
    crawl.retry(countdown=delay())
"""


def test_a_project_on_redis(tmp_path: Path) -> None:
    findings = found(tmp_path, proj=REDIS)
    assert brief(findings) == [
        ("proj.py:2", "timeout", "warning"),
        ("proj.py:2", "visibility", "warning"),
        ("proj.py:5", "ack", "warning"),
        ("proj.py:6", "eta", "error"),
        ("proj.py:7", "eta", "warning"),
        ("proj.py:8", "eta", "warning"),
        ("proj.py:12", "pickle", "error"),
        ("proj.py:12", "visibility", "error"),
        ("proj.py:13", "eta", "warning"),
    ]
    by_line = {each.place.line: each for each in findings}
    assert "countdown=7200) is more than 3600 s ahead: the broker's visibility timeout" in by_line[6].text
    assert "acks_late without reject_on_worker_lost" in by_line[5].text
    assert (
        "may run for 7200 s and acknowledges late, but visibility_timeout is 3600 s, the default" in by_line[12].text
    )
    assert all("duly" in each.do for each in findings if each.rule != "timeout")


DJANGO = """CELERY_BROKER_URL = "amqp://"
CELERY_TASK_SERIALIZER = "pickle"
CELERY_ACCEPT_CONTENT = ["pickle"]
"""

BLOG = """from celery import shared_task

@shared_task
def remind(): ...

@shared_task(default_retry_delay=3600)
def late(): ...
"""


def test_settings_of_django_and_old_names(tmp_path: Path) -> None:
    findings = found(
        tmp_path,
        site__settings=DJANGO,
        site__celery="from celery import Celery\napp = Celery('site')\n",
        blog__tasks=BLOG,
        blog__views="from .tasks import remind\nfrom datetime import timedelta\nremind.apply_async(countdown=2400)\n",
        old__celeryconfig="CELERYD_TASK_TIME_LIMIT = 10\nCELERYD_TASK_SOFT_TIME_LIMIT = 20\n",
    )
    assert brief(findings) == [
        ("blog/tasks.py:7", "eta", "error"),
        ("blog/views.py:3", "eta", "error"),
        ("old/celeryconfig.py:2", "timeout", "error"),
        ("site/celery.py:2", "ack", "warning"),
        ("site/settings.py:2", "pickle", "error"),
        ("site/settings.py:3", "pickle", "error"),
    ]
    assert "RabbitMQ's consumer_timeout" in findings[1].text
    assert "remind, late" in findings[3].text


def test_a_visibility_timeout_that_is_too_long_is_no_answer(tmp_path: Path) -> None:
    text = SAFE.replace("7200", "3 * 24 * 3600")
    [finding] = found(tmp_path, proj=text)
    assert (finding.rule, finding.place.line) == ("visibility", 5)
    assert "comes back only after that" in finding.text


def test_acks_late_for_all_without_the_other(tmp_path: Path) -> None:
    [finding] = found(tmp_path, proj=SAFE.replace("task_reject_on_worker_lost=True, ", ""))
    assert (finding.rule, finding.place.line) == ("ack", 4)


@pytest.mark.parametrize(
    "text",
    [
        "from celery import Celery\nclass CeleryConfig:\n    task_serializer = 'pickle'\n",
        "from celery import Celery\napp.conf['accept_content'] = ['application/x-python-serialize']\n\n",
        "from celery import Celery\napp.conf.update({'task_serializer':\n'pickle'})\n",
        "from celery import Task\nclass Job(Task):\n    serializer = 'pickle'\n",
        "import celery\n\napp.config_from_object({'result_serializer': 'pickle'})\n",
    ],
)
def test_wherever_pickle_is_said(tmp_path: Path, text: str) -> None:
    findings = found(tmp_path, proj=text)
    assert "pickle" in {each.rule for each in findings}, findings


def test_what_cannot_be_read_and_what_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    findings = found(
        tmp_path,
        broken="def f(:\n",
        env__lib=REDIS,
        node_modules__x=REDIS,
        ours="from duly import Duly\n" + REDIS[27:],
    )
    assert [(each.rule, str(each.place)) for each in findings] == [("unread", "broken.py:1")]


def test_the_verb(tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text(REDIS)

    def lint(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "duly", "lint-celery", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)

    done = lint()
    assert done.returncode == 1
    assert "proj.py:6: eta error\n    apply_async(countdown=7200)" in done.stdout
    assert done.stderr == "1 file, 2 tasks, 1 setting: 3 errors, 6 warnings.\n"
    assert max(map(len, done.stdout.splitlines())) <= 100
    as_json = [json.loads(line) for line in lint("proj.py", "--json").stdout.splitlines()]
    assert as_json[3]["file"] == "proj.py"
    assert (as_json[3]["line"], as_json[3]["rule"], as_json[3]["severity"]) == (6, "eta", "error")
    (tmp_path / "proj.py").write_text(SAFE)
    assert (lint().returncode, lint().stdout) == (0, "")
    assert lint().stderr.endswith("nothing unsafe found.\n")
    (tmp_path / "proj.py").write_text("x = 1\n")
    assert lint().stderr.endswith("no Celery in them.\n")
    (tmp_path / "empty").mkdir()
    assert (lint("empty").returncode, "no Python file" in lint("empty").stderr) == (2, True)
    assert lint("nowhere").returncode == 2
