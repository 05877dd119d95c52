"""What the README says is so, and the units are units."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command

from watch.cli.root import VERBS
from watch.environment import PREFIX, Environment

HERE = Path(__file__).parents[1]
README = (HERE / "README.md").read_text()


def test_the_settings_are_those_of_the_code() -> None:
    told = re.findall(r"^\| `(WATCH_\w+)` \|", README, re.MULTILINE)
    assert sorted(told) == sorted(PREFIX + name.upper() for name in Environment.__struct_fields__)


def test_every_verb_is_told() -> None:
    for verb in VERBS:
        assert re.search(rf"`watch {verb}\b", README), verb


def test_what_the_readme_leads_to_is_there() -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (HERE / link).exists(), link


@pytest.mark.usefixtures("migrated")
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_units(tmp_path: Path) -> None:
    """systemd's own check, with programs that are there."""
    for unit in (HERE / "systemd").glob("*.service"):
        text = re.sub(r"/opt/watch/bin/\S+", "/bin/true", unit.read_text())
        copy = tmp_path / unit.name.replace("@.", "@crawl.")
        copy.write_text(re.sub(r"^EnvironmentFile=.*\n", "", text, flags=re.MULTILINE))
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stdout + said.stderr) == (0, ""), unit.name
