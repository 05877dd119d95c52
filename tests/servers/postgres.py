"""PostgreSQL of our own, and PgBouncer before it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import psycopg
from tests.servers.process import Server, found_program

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "autovacuum_naptime": "10s",
}


class PostgresServer(Server):
    """A cluster in a folder of its own, with a superuser ``postgres`` that needs no password.

    ``template``: a cluster that was never started, to copy instead of running initdb (see :func:`new_cluster`).
    """

    kind = "postgres"
    package = "postgresql"
    account = "postgres"
    patience = 60.0
    stop_signal = signal.SIGINT  # fast shutdown: open sessions are ended

    def __init__(self, folder: Path, template: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self.settings = {**_SETTINGS, **(settings or {})}
        self._template = template

    def command(self) -> Sequence[str]:
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return ["postgres", "-D", str(self.data), "-p", str(self.port), *options]

    def prepare(self) -> None:
        if not self.data.exists():
            if self._template is not None:
                shutil.copytree(self._template, self.data, symlinks=True)
            else:
                new_cluster(self.data)
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # of one that was killed

    def answers(self) -> bool:
        ready = found_program("pg_isready", self.kind, self.package)
        asked = subprocess.run([ready, "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
        return asked.returncode == 0

    def url(self, database: str = "postgres", **options: str) -> str:
        """A store's URL."""
        return store_url(self.port, database, options)

    def conninfo(self, database: str = "postgres") -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"

    def create_database(self, name: str) -> str:
        """Make an empty database; gives its name."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return name

    def _signal(self, number: signal.Signals) -> None:
        """Each of its processes makes a session of its own, so they are found as its children."""
        if self.process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(self.process.pid)
            for process in [postmaster, *postmaster.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


class PgBouncer(Server):
    """A pool before a server, in transaction mode."""

    kind = "pgbouncer"
    package = "pgbouncer"
    account = "postgres"

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        super().__init__(folder)
        self._server = server

    def command(self) -> Sequence[str]:
        return ["pgbouncer", str(self.folder / "pgbouncer.ini")]

    def prepare(self) -> None:
        (self.folder / "users.txt").write_text('"postgres" ""\n')
        (self.folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={self._server.port} user=postgres\n"
            "[pgbouncer]\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\n"
            "unix_socket_dir =\n"
            "auth_type = any\n"
            f"auth_file = {self.folder / 'users.txt'}\n"
            "pool_mode = transaction\n"
            "default_pool_size = 4\n"
            "max_client_conn = 200\n"
        )

    def url(self, database: str = "postgres", **options: str) -> str:
        return store_url(self.port, database, options)


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder for servers that another account runs. Not one of pytest's: each pytest that starts shuts the door of
    those of all others."""
    with tempfile.TemporaryDirectory(prefix="duly-servers-") as folder:
        yield Path(folder)


def store_url(port: int, database: str, options: Mapping[str, str]) -> str:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"postgresql://postgres@127.0.0.1:{port}/{database}" + (f"?{query}" if query else "")


def new_cluster(data: Path) -> Path:
    """Run initdb, as the account that PostgreSQL wants to be run by; gives the folder."""
    program = found_program("initdb", PostgresServer.kind, PostgresServer.package)
    data.parent.mkdir(parents=True, exist_ok=True)
    identity = PostgresServer(data.parent).identity()
    subprocess.run(
        [program, "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
         "--no-instructions"],
        check=True, stdout=subprocess.DEVNULL, cwd=data.parent, env={**os.environ, "HOME": str(data.parent)},
        **identity,
    )  # fmt: skip
    return data
