"""The sound of what is recorded: a real Chromium that plays a tone, into a sound server of our own."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers.pulse import PulseServer

from webinars import machine
from webinars.attending import browser, sound
from webinars.attending.recorder import Recorder
from webinars.settings import Browser, Settings

TONE = """<h1>440 Hz</h1><script>
const sound = new AudioContext(), tone = sound.createOscillator();
tone.frequency.value = 440; tone.connect(sound.destination); tone.start();
</script>"""
PLAYED = 2.0  # seconds


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    with PulseServer(tmp_path / "pulse") as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def pactl(*words: str) -> str:
    return subprocess.run(["pactl", *words], capture_output=True, text=True, check=True).stdout


async def heard() -> None:
    """Once ffmpeg listens, which it does while the page is open, and not at the end."""
    while not pactl("list", "short", "source-outputs"):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)


def ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_the_sound_is_recorded_beside_a_picture_that_stands_still(pulse: PulseServer, tmp_path: Path) -> None:
    file = tmp_path / "recording.mp4"

    async def visit() -> None:
        async with sound.sink("a webinar") as sink, browser.launch(Browser(), sink) as launched:
            assert sink
            async with browser.context(launched, "UTC", None) as context:
                page = await context.new_page()
                await page.set_content(TONE)
                recorder = Recorder(file, 2, sink)
                await recorder.start(page)
                await heard()
                await asyncio.sleep(PLAYED)  # what is recorded has a length
                await recorder.stop()

    asyncio.run(asyncio.wait_for(visit(), 120))
    streams = ask(
        "ffprobe", "-v", "error", "-show_entries", "stream=codec_name,duration", "-of", "csv=p=0", str(file)
    )
    assert re.findall(r"h264|aac", streams) == ["h264", "aac"]
    assert all(float(length) >= PLAYED / 4 for length in re.findall(r"\d+\.\d+", streams)), streams
    loudness = ask("ffmpeg", "-i", str(file), "-af", "volumedetect", "-vn", "-f", "null", "-")
    assert float(re.findall(r"mean_volume: (-?[\d.]+) dB", loudness)[0]) > -20
    assert "webinars_" not in pactl("list", "short", "sinks")


def test_a_sink_that_a_killed_process_left_is_taken_away(pulse: PulseServer) -> None:
    async def leave() -> None:
        left = sound.sink("one")
        await left.__aenter__()
        async with sound.sink("other") as other, sound.sink("one") as again:
            assert sorted(re.findall(r"\twebinars_\w+", pactl("list", "short", "sinks"))) == sorted(
                [f"\t{other}", f"\t{again}"]
            )

    asyncio.run(leave())


def test_without_a_server_there_is_no_sound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    async def none() -> str | None:
        async with sound.sink("a webinar") as sink:
            return sink

    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path / 'nothing'}")
    assert asyncio.run(none()) is None
    check = machine.recording(settings(recording={"allowed": ["zoom"]}))
    assert (check.mark, "without its sound" in check.found) == ("warning", True)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asyncio.run(none()) is None


def test_setup_says_that_there_is_sound(pulse: PulseServer, settings: Callable[..., Settings]) -> None:
    check = machine.recording(settings(recording={"allowed": ["zoom"]}))
    assert (check.mark, check.found) == ("good", "on for zoom; picture and sound")
