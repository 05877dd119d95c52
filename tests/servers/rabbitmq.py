"""RabbitMQ of our own: a node whose ports, data, cookie and epmd are nobody else's."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from tests.servers.process import Server, found_program, free_port

_PROGRAMS = "/usr/lib/rabbitmq/bin/"  # those in PATH want to be another user
_QUIET = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"  # schedulers that wait asleep: we share two cores with it


class RabbitServer(Server):
    """One node, with a user guest/guest.

    ``settings``: of the application ``rabbit`` in Erlang's own words, by name: ``{"consumer_timeout": "3000"}``.
    """

    kind = "rabbitmq-server"
    package = "rabbitmq-server"
    patience = 90.0  # on a busy machine

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.settings = {"disk_free_limit": "1000000", **(settings or {})}
        self._dist, self._epmd = free_port(), free_port()
        self._numbers = itertools.count()

    def command(self) -> Sequence[str]:
        return [f"{_PROGRAMS}rabbitmq-server"]

    def environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder),  # where the cookie is
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"duly{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _QUIET,
        }

    def prepare(self) -> None:
        rabbit = ", ".join(f"{{{name}, {value}}}" for name, value in self.settings.items())
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{rabbit}]}}].\n")
        (self.folder / "plugins").write_text("[].\n")

    def answers(self) -> bool:
        """Whether it speaks AMQP: not while it starts."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as client:
            client.sendall(b"AMQP\x00\x00\x09\x01")
            return len(client.recv(8)) == 8
        return False

    def stop(self) -> None:
        super().stop()
        self._stop_epmd()

    def kill(self) -> None:
        super().kill()
        self._stop_epmd()

    def url(self, vhost: str = "/", scheme: str = "amqp") -> str:
        return f"{scheme}://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def new_vhost(self) -> str:
        """The URL of a fresh virtual host, where nobody else's queues are. Takes a second: an Erlang has to start."""
        name = f"test{next(self._numbers)}"
        self.ask(f'rabbit_vhost:add(<<"{name}">>, <<"tests">>), '
                 f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
                 '<<".*">>, <<".*">>, <<".*">>, <<"tests">>).')  # fmt: skip
        return self.url(name)

    def ask(self, erlang: str) -> str:
        """Evaluate an expression in the node; what it gave, as text."""
        return self.control("eval", erlang)

    @contextlib.contextmanager
    def alarm(self, what: str) -> Iterator[None]:
        """Low on "memory" or on "disk": nothing that is published is read."""
        verb, low, usual = {
            "memory": ("set_vm_memory_high_watermark", "0.000001", "0.4"),
            "disk": ("set_disk_free_limit", "1000000000000000", "1000000"),
        }[what]
        self.control(verb, low)
        try:
            yield
        finally:
            self.control(verb, usual)

    def queues(self, vhost: str = "/") -> dict[str, dict[str, int]]:
        """For each queue how many messages are ready, and how many unacknowledged."""
        said = self.control(
            "-q",
            "list_queues",
            "-p",
            vhost,
            "--formatter",
            "json",
            "name",
            "messages_ready",
            "messages_unacknowledged",
        )
        return {
            each["name"]: {"ready": each["messages_ready"], "unacknowledged": each["messages_unacknowledged"]}
            for each in json.loads(said)
        }

    def control(self, *words: str) -> str:
        """``rabbitmqctl``."""
        program = found_program(f"{_PROGRAMS}rabbitmqctl", self.kind, self.package)
        done = subprocess.run(
            [program, "-n", self.environment()["RABBITMQ_NODENAME"], *words],
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _stop_epmd(self) -> None:
        """It was started with the node, in a session of its own, and stays when the node ends."""
        epmd = found_program("epmd", self.kind, self.package)
        subprocess.run([epmd, "-port", str(self._epmd), "-kill"], capture_output=True, check=False)
