"""Where a browser's sound goes that is to be recorded: a sink of its own at the machine's sound server.

The server is PulseAudio, or PipeWire with its PulseAudio service; ``pactl`` speaks with it. Nobody hears the sink,
and no other browser plays into it. Where there is no server, there is no sound, and the picture is recorded alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE = 10.0  # seconds that the sound server may take to answer


@asynccontextmanager
async def sink(of: str) -> AsyncIterator[str | None]:
    """The name of a sink that is there until the end of the block; None where there is no sound server.

    ``of``: the webinar; a sink of it that a killed process left behind is taken away first.
    """
    name = f"webinars_{hashlib.sha256(of.encode()).hexdigest()[:12]}"
    for module in await _modules(name):
        await _pactl("unload-module", module)
    made = await _pactl("load-module", "module-null-sink", f"sink_name={name}")
    try:
        yield name if made else None
    finally:
        if made:
            await _pactl("unload-module", made)


async def _modules(name: str) -> list[str]:
    """The numbers of the server's modules that are sinks of this name."""
    lines = [line.split("\t") for line in (await _pactl("list", "short", "modules")).splitlines()]
    return [line[0] for line in lines if f"sink_name={name}" in line[2:]]


async def _pactl(*words: str) -> str:
    """What ``pactl`` says; nothing if it is not there, or the server is not."""
    try:
        process = await asyncio.create_subprocess_exec(
            "pactl", *words,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return said.decode().strip() if process.returncode == 0 else ""
