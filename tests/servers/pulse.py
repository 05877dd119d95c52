"""A sound server of our own, without devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from tests.servers.process import Server


class PulseServer(Server):
    """PulseAudio on a socket in its folder; ``environment`` leads its clients there."""

    kind = "pulseaudio"
    package = "pulseaudio"

    def command(self) -> Sequence[str]:
        socket = f"module-native-protocol-unix auth-anonymous=1 socket={self.folder / 'socket'}"
        words = ["--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", f"--load={socket}"]
        return ["pulseaudio", "-n", *words, "--load=module-always-sink"]

    def environment(self) -> Mapping[str, str]:
        return {"PULSE_SERVER": f"unix:{self.folder / 'socket'}", "XDG_RUNTIME_DIR": str(self.folder)}

    def answers(self) -> bool:
        asked = ["pactl", "info"]
        environment = {**os.environ, **self.environment()}
        return subprocess.run(asked, env=environment, capture_output=True, check=False).returncode == 0
