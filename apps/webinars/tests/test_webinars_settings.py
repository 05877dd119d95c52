"""Settings, secrets and recipes: what is wrong with them is said by name and value, and secrets stay private."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from webinars.attending import recipe
from webinars.errors import SecretMissing, SettingsError
from webinars.instants import span, span_text
from webinars.settings import Settings, load
from webinars.vault import Vault

ME = '[me]\nname = "Ada"\nemail = "a@example.org"\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "missing required field `me`"),
        ("[me", r"webinars\.toml: "),
        (ME + "[times]\nleed = '2m'", "no setting `leed`.*did you mean 'lead'"),
        (ME + "[times]\nlead = '2 minutes'", "lead = '2 minutes' is no span of time"),
        (ME + "[times]\nevery = '5s'", "each minute at most"),
        ("timezone = 'Europe/Berln'\n" + ME, "did you mean 'Europe/Berlin'"),
        (ME + "[[calendars]]\nname = 'a'\nkind = 'ical'", "either a path or an url"),
        (ME + "[[calendars]]\nname = 'a'\nkind = 'google'\ncredentials = 'x.json'", 'credentials = "secret:NAME"'),
        (ME + "[[calendars]]\nname = 'a'\nkind = 'brighttalk'", "channel's number"),
        (ME + "[[calendars]]\nname = 'A b'\nkind = 'ical'\npath = 'x'", "small letters"),
        (
            ME
            + "[[calendars]]\nname = 'a'\nkind = 'ical'\npath = 'x'\n" * 1
            + "[[calendars]]\nname = 'a'\nkind = 'ical'\npath = 'y'",
            "two calendars are called 'a'",
        ),
        (ME + "[[rules.take]]\ncalendar = 'b'\n", "names the calendar 'b'"),
        (ME + "[[rules.take]]\ntitle = '('\n", "no regular expression"),
        (ME + "[accounts.zoom]\nusername = 'a'\npassword = 'hunter2'", "webinars secret set"),
        (ME + "[browser]\nat_once = 0", "1 to 32 browsers"),
        (ME + "[recording]\nframes = 60", "1 to 25"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "webinars.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=complaint) as error:
        load(path)
    assert "hunter2" not in str(error.value)


def test_no_settings_at_all(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="webinars setup"):
        load(tmp_path / "none.toml")


def test_recipes_are_relative_to_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "webinars.toml"
    path.write_text('recipes = ["acme.toml"]\n' + ME)
    assert load(path).recipes == (str(tmp_path / "acme.toml"),)


def test_the_folder_of_a_service_is_systemds(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/webinars")
    assert settings(folder=None).place == Path("/var/lib/webinars")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("2m", 120), ("1h30m", 5400), ("14d", 1_209_600), ("1.5h", 5400)]
)
def test_spans(text: str, seconds: int) -> None:
    assert span(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "2", "m", "2m ", "-2m", "2m3"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(ValueError, match="no span"):
        span(text)


def test_spans_for_people() -> None:
    assert [span_text(span(text)) for text in ("43s", "5m", "65m", "50h")] == [
        "43 s",
        "5 min",
        "1 h 05 min",
        "2 d 2 h",
    ]


# -- secrets -----------------------------------------------------------------------------------------


def test_secrets_are_kept_in_a_file_of_mode_600(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "place" / "secrets.json")
    vault.set("mine", "https://calendar.example/private-1")
    assert vault.resolve("secret:mine") == "https://calendar.example/private-1"
    assert vault.resolve("plain") == "plain"
    assert (tmp_path / "place" / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "place").stat().st_mode & 0o777 == 0o700
    assert vault.forget("mine")
    assert not vault.forget("mine")
    with pytest.raises(SecretMissing, match="webinars secret set mine"):
        vault.get("mine")


def test_a_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets.json")
    vault.set("a", "b")
    os.chmod(tmp_path / "secrets.json", 0o640)
    with pytest.raises(SettingsError, match=r"mode 640.*chmod 600"):
        vault.get("a")


# -- recipes -----------------------------------------------------------------------------------------

RECIPE = """
name = "acme"
hosts = ["webinar.acme.example"]
[[steps]]
name = "enter"
see = "css=#enter"
[[steps]]
name = "seat"
see = "css=#seat"
do = "fill"
value = "{first_name} {last_name}"
[[signs]]
screen = "ended"
text = "the show is over"
"""


def test_a_recipe_comes_before_what_is_built_in(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(RECIPE)
    mine = recipe.choose("https://eu.webinar.acme.example/1", [str(path)])
    assert mine.name == "acme"
    assert [step.name for step in mine.steps[:2]] == ["enter", "seat"]
    assert len(mine.steps) > 10
    assert recipe.choose("https://zoom.us/w/1", [str(path)]).name == "zoom"
    assert recipe.choose("https://else.example/", [str(path)]).name == "generic"
    path.write_text("extend = false\n" + RECIPE)
    assert len(recipe.choose("https://webinar.acme.example/1", [str(path)]).steps) == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("{first_name}", "{frist_name}"), r"nobody knows \{frist_name\}"),
        (('screen = "ended"', 'screen = "over"'), "over"),
        (('text = "the show', 'text = "(the show'), "missing \\)"),
        (('hosts = ["webinar.acme.example"]', "hosts = []"), "would fit nothing"),
        (('see = "css=#enter"', 'sea = "css=#enter"'), "sea"),
        (('text = "the show is over"', ""), "needs one of: see, text, url"),
        (('value = "{first_name} {last_name}"', ""), "fill needs a value"),
    ],
)
def test_a_recipe_that_is_wrong(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(RECIPE.replace(*change))
    with pytest.raises(SettingsError, match=complaint):
        recipe.load(path)


def test_built_in_providers_know_their_doors() -> None:
    from webinars.attending.providers import Zoom

    assert Zoom().address("https://us02web.zoom.us/w/8?pwd=x&tk=y") == "https://us02web.zoom.us/wc/join/8?pwd=x&tk=y"
    assert Zoom().address("https://zoom.us/webinar/register/WN_1") == "https://zoom.us/webinar/register/WN_1"
    for link, name in {
        "https://www.brighttalk.com/webcast/1/2": "brighttalk",
        "https://teams.microsoft.com/l/meetup-join/1": "teams",
        "https://acme.webex.com/acme/j.php?MTID=1": "webex",
        "https://attendee.gotowebinar.com/register/1": "goto",
        "https://meet.google.com/abc-defg-hij": "meet",
        "https://zoom.us.evil.example/j/1": "generic",
    }.items():
        assert recipe.choose(link, []).name == name
