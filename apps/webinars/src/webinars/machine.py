"""Whether this machine can do it: browser, clock, sleep, memory. Each check says what it found and what to do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Literal

import msgspec

from webinars.errors import WebinarsError
from webinars.settings import Settings

Mark = Literal["good", "warning", "bad"]

PER_BROWSER = 700 << 20
"""Bytes. A simple page with a player takes 330 to 530 MiB (README, Measured); hosts' own pages take more."""

_SLEEPS = ("sleep.target", "suspend.target")


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    mark: Mark
    found: str
    todo: str = ""


async def browser(settings: Settings) -> Check:
    """Start Chromium and let it draw something."""
    from webinars.attending import browser as chromium

    try:
        path = chromium.find(settings.browser)
        async with (
            chromium.launch(settings.browser) as launched,
            chromium.context(launched, settings.timezone, None) as context,
        ):
            page = await context.new_page()
            await page.set_content("<h1>hello</h1>")
            await page.screenshot()
            return Check("browser", "good", f"Chromium {launched.version} at {path}")
    except WebinarsError as error:
        return Check("browser", "bad", str(error), "apt-get install chromium")


def clock() -> Check:
    """Whether something keeps the clock: a webinar at 02:00 is at 02:00 of this machine's clock."""
    answer = _ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if answer == "yes":
        return Check("clock", "good", "kept in time over the network")
    if answer == "no":
        todo = "timedatectl set-ntp true, or install chrony"
        return Check("clock", "warning", "nothing keeps it in time", todo)
    return Check(
        "clock", "warning", "cannot be asked here (no timedatectl; a container?)", "see that its host keeps it"
    )


def sleep() -> Check:
    """Whether the machine may go to sleep. One that sleeps at the start is late, or misses it; that is reported."""
    try:
        states = Path("/sys/power/state").read_text().split()
    except OSError:
        states = []
    if not {"mem", "disk", "standby", "freeze"} & set(states):
        return Check("sleep", "good", "this machine cannot sleep")
    masked = [_ask("systemctl", "is-enabled", target).startswith("masked") for target in _SLEEPS]
    if all(masked):
        return Check("sleep", "good", "switched off")
    todo = f"on a server: systemctl mask {' '.join(_SLEEPS)} hibernate.target hybrid-sleep.target"
    return Check("sleep", "warning", "this machine may go to sleep, and then misses webinars", todo)


def memory(settings: Settings) -> Check:
    """Whether as many browsers as may be open at once fit."""
    free = _free()
    need = settings.browser.at_once * PER_BROWSER
    found = f"{free >> 20:,} MiB free; {settings.browser.at_once} webinars at once take about {need >> 20:,} MiB"
    if free and free < need:
        return Check("memory", "warning", found, "[browser] at_once = a smaller number")
    return Check("memory", "good", found)


def recording(settings: Settings) -> Check:
    allowed = settings.recording.allowed
    if not allowed:
        return Check("recording", "good", "off")
    if shutil.which("ffmpeg") is None:
        return Check(
            "recording", "bad", f"on for {', '.join(allowed)}, but there is no ffmpeg", "apt-get install ffmpeg"
        )
    if not _ask("pactl", "info"):
        found = f"on for {', '.join(allowed)}; the picture without its sound: no sound server answers to pactl"
        return Check("recording", "warning", found, "apt-get install pulseaudio pulseaudio-utils (README, Recording)")
    return Check("recording", "good", f"on for {', '.join(allowed)}; picture and sound")


def _free() -> int:
    """Bytes available; 0 if that cannot be known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)


def _ask(*command: str) -> str:
    """What a program answers; empty if there is none."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
