"""Recording: frames of the page's screencast, and the sound of the browser's sink, to ffmpeg. Off unless a provider
is named in the settings.

Chromium gives a frame only when the page changes, so the rate follows the picture, at most ``frames`` a second; a
picture that stands still is written again each second, so that the sound beside it does not wait for the next one.
The file is fragmented MP4: what was written before a crash can be played.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from webinars.errors import WebinarsError

STILL = 1.0  # seconds after which a picture that stands still is written again


class RecorderMissing(WebinarsError):
    """There is no ffmpeg."""


class Recorder:
    """One recording.

    1. ``start`` begins it with a page; ``follow`` goes on with another page (after a reconnect).
    2. ``stop`` ends the file properly.
    """

    def __init__(self, path: Path, frames: int, sink: str | None = None) -> None:
        """``sink``: where the browser's sound goes; None: the picture alone."""
        self.path = path
        self.sound = sink is not None
        self._sink = sink
        self._gap = 1 / frames  # seconds between two frames, at least
        self._rate = frames
        self._ffmpeg: asyncio.subprocess.Process | None = None
        self._page: Page | None = None
        self._last = 0.0  # monotonic
        self._latest = b""
        self._repeating: asyncio.Task[None] | None = None

    async def start(self, page: Page) -> None:
        """Raises RecorderMissing."""
        program = shutil.which("ffmpeg")
        if program is None:
            raise RecorderMissing("no ffmpeg found, so nothing is recorded (Debian, Ubuntu: apt-get install ffmpeg)")
        os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._ffmpeg = await asyncio.create_subprocess_exec(
            program, "-loglevel", "error", "-y", "-f", "image2pipe", "-use_wallclock_as_timestamps", "1",
            "-probesize", "32", "-analyzeduration", "0", "-fpsprobesize", "0",  # one frame tells all
            "-thread_queue_size", "64", "-c:v", "mjpeg", "-i", "pipe:0", *self._sound(),
            "-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-r", str(self._rate),
            "-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-pix_fmt", "yuv420p",
            "-g", str(self._rate * 10), "-movflags", "+frag_keyframe+empty_moov", str(self.path),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._repeating = asyncio.create_task(self._repeat())
        await self.follow(page)

    def _sound(self) -> list[str]:
        """What ffmpeg is told of it; the recording ends with the picture."""
        if self._sink is None:
            return ["-an"]
        heard = ["-thread_queue_size", "1024", "-f", "pulse", "-i", f"{self._sink}.monitor"]
        return [*heard, "-c:a", "aac", "-b:a", "96k", "-shortest"]

    async def follow(self, page: Page) -> None:
        if page is self._page or self._ffmpeg is None:
            return
        self._page = page
        await page.screencast.start(on_frame=self._frame, quality=60)

    async def stop(self) -> None:
        """End the file. What ffmpeg has not written after ten seconds is given up."""
        if self._ffmpeg is None:
            return
        if self._repeating is not None:
            self._repeating.cancel()
        if self._page is not None and not self._page.is_closed():
            with contextlib.suppress(Exception):  # the page may be gone with its browser; the file is what matters
                await self._page.screencast.stop()
        pipe = self._ffmpeg.stdin
        assert pipe is not None
        if self._latest and not pipe.is_closing():
            pipe.write(self._latest)  # a picture that stood still is as long as it stood
        pipe.close()
        try:
            await asyncio.wait_for(self._ffmpeg.wait(), 10)
        except TimeoutError:
            self._ffmpeg.kill()
            await self._ffmpeg.wait()

    def _frame(self, frame: Any) -> None:
        """One JPEG of the page; dropped if it comes too soon."""
        self._latest = frame["data"]
        if time.monotonic() - self._last >= self._gap:
            self._write()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(STILL / 4)
            if self._latest and time.monotonic() - self._last >= STILL:
                self._write()

    def _write(self) -> None:
        """The latest frame; not if ffmpeg does not keep up."""
        pipe = self._ffmpeg.stdin if self._ffmpeg is not None else None
        if pipe is None or pipe.is_closing() or pipe.transport.get_write_buffer_size() > 8 << 20:
            return
        self._last = time.monotonic()
        pipe.write(self._latest)
