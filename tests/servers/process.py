"""A server of our own: a process on a free loopback port, with a folder for its data and its log.

A subclass says how its server is started (``command``) and when it is ready (``answers``); here is what all have
in common. A server keeps its port and its data over ``restart`` and ``kill``, as a real one does, so a test may take
it away and bring it back. Whatever goes wrong at the start is an error that shows the end of the log: a test that
needs a server fails loudly where there is none.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class ServerFailed(RuntimeError):
    """A server did not start, or did not stop; the message has the end of its log."""


class Server:
    """One server.

    1. Made with a folder of its own; nothing runs yet, but its port is chosen.
    2. ``start`` (or ``with``) runs it and returns when it answers.
    3. ``pause``, ``resume``, ``kill`` and ``restart`` do to it what happens to servers.
    4. ``stop`` (or the end of ``with``) ends it and everything it started.
    """

    kind = "server"  # for messages
    package = ""  # the Debian package that has it
    patience = 30.0  # seconds it may take to start or to stop
    stop_signal = signal.SIGTERM
    account: str | None = None  # who runs it when we are root, for servers that refuse root

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    # -- what a kind says ------------------------------------------------------------------------

    def command(self) -> Sequence[str]:
        """What to run."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What it needs beyond our own environment."""
        return {}

    def prepare(self) -> None:
        """Whatever has to be there before each start."""

    def answers(self) -> bool:
        """Whether it serves."""
        return port_is_open(self.port)

    # -- its life --------------------------------------------------------------------------------

    def start(self) -> Self:
        """Raises ServerFailed."""
        self.prepare()
        command = [found_program(self.command()[0], self.kind, self.package), *self.command()[1:]]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.identity(),
            )
        try:
            self._wait(self.answers, "did not answer", must_live=True)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it as an administrator would."""
        if self.process is None or self.process.poll() is not None:
            return
        self._signal(signal.SIGCONT)
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"{self.kind} did not stop within {self.patience:g} s\n{self.log_tail()}") from None
        self._signal(signal.SIGKILL)  # children that outlived it

    def kill(self) -> None:
        """End it as a power cut would: with everything it started."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait(self.patience)

    def restart(self) -> None:
        """Stop it, and start it again on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay, nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- about it --------------------------------------------------------------------------------

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.kind}.log"

    def log_tail(self, lines: int = 30) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"

    def identity(self) -> dict[str, str | int]:
        """``Popen`` arguments that give up being root, and the folder with it, for servers that refuse root."""
        if self.account is None or os.geteuid() != 0:
            return {}
        user = pwd.getpwnam(self.account)
        for path in [self.folder, *self.folder.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid)
        open_parents(self.folder)
        return {"user": user.pw_uid, "group": user.pw_gid}

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def _wait(self, what: Callable[[], bool], otherwise: str, must_live: bool = False) -> None:
        end = time.monotonic() + self.patience
        while not what():
            if must_live and self.process is not None and self.process.poll() is not None:
                raise ServerFailed(f"{self.kind} ended with {self.process.returncode} at once\n{self.log_tail()}")
            if time.monotonic() > end:
                raise ServerFailed(f"{self.kind} {otherwise} within {self.patience:g} s\n{self.log_tail()}")
            time.sleep(0.01)


def free_port() -> int:
    """A loopback port that nobody uses now, and that the system gives to nobody's outgoing connection later.

    A server that restarts comes back to its port; one from the range of outgoing connections (what binding to
    port 0 gives) may by then be some client's. Chosen at random, so that processes side by side choose apart.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    outside = [*range(10_000, first), *range(last + 1, 65_536)]
    while True:
        port = secrets.choice(outside)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def port_is_open(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def found_program(name: str, kind: str, package: str) -> str:
    """The path of a program, also where Debian keeps those that are in nobody's PATH. Raises ServerFailed."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/rabbitmq/bin"])
    places += "".join(
        f"{os.pathsep}{path}" for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    found = shutil.which(name, path=places)
    if found is None:
        raise ServerFailed(f"{kind}: there is no {name} here; make servers installs it (Debian package {package})")
    return found


def open_parents(folder: Path) -> None:
    """Let another account pass through the folders above (pytest makes its own for us alone)."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if mode & 0o001 == 0 and parent.stat().st_uid == os.geteuid():
            parent.chmod(mode | 0o011)
