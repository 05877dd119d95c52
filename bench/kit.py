"""What every benchmark shares: marks made inside tasks, processes, statistics and tables.

How a program runs
    1. It goes through its sides repetition by repetition (duly, Celery, huey; duly, Celery, huey; ...), so that
       a drift of the machine meets each of them alike.
    2. Each measurement is a process of its own (``--once SIDE``) with a fresh folder, store and Redis server;
       it ends whatever it started and prints one JSON object on its last line.
    3. The table shows medians with (min-max); everything measured goes to ``bench/results/NAME.json``.

Folders are made under ``.bench/run`` in the repository, never in ``/tmp``, which is often memory: a commit
that costs nothing would flatter whoever commits most.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import psutil

from bench.servers import PLACEMENTS, place_ourselves, placement, start_server
from bench.sides import KINDS, Kind
from bench.tables import Column, Values, percentile, print_table, progress, rate, save

__all__ = [
    "Column",
    "Marks",
    "Program",
    "Run",
    "Side",
    "Spawned",
    "Values",
    "main",
    "percentile",
    "rate",
    "wait_until",
]

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / ".bench" / "run"


class Side(Protocol):
    """What a library has to be able to do to be measured; a module of ``bench.sides``."""

    EXECUTORS_FOR_DUE: int  # how many it needs to start due jobs as punctually as it can

    def worker(self, executors: int) -> list[str]:
        """The command line of its worker."""

    def send(self, i: int) -> object:
        """Enqueue ``mark(i)``; returns when the library says that it is enqueued."""

    def send_many(self, first: int, n: int) -> None:
        """Enqueue ``mark(first)`` ... the fastest way the library has."""

    def send_due(self, i: int, when: float) -> None:
        """Enqueue ``mark(i)`` for the instant ``when``, seconds since 1970."""

    def send_far(self, n: int) -> None:
        """Enqueue n jobs due in a day, the fastest way the library has."""

    def send_squares(self, n: int) -> Sequence[Any]:
        """Enqueue ``square(0)`` ...; gives what :meth:`read` needs."""

    def read(self, handles: Sequence[Any]) -> list[int]:
        """Every result, waiting for it if need be."""

    def send_hold(self, i: int, seconds: float) -> None:
        """Enqueue a job that marks its start and then sleeps."""


# -- marks --------------------------------------------------------------------------------------------


class Marks:
    """Time stamps and run counts of jobs, in a file mapped into every process: a mark costs about 200 ns.

    Job ``i`` has eight bytes with the instant of its first start (ns since 1970) and one byte with how
    often it started.
    """

    def __init__(self, path: Path) -> None:
        with open(path, "r+b") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0))
        self.n = len(data) // 9
        self._starts = data[: 8 * self.n].cast("q")
        self._counts = data[8 * self.n :]

    @classmethod
    def create(cls, path: Path, n: int) -> Marks:
        path.write_bytes(bytes(9 * n))
        return cls(path)

    def clear(self) -> None:
        """Forget every start."""
        self._starts.cast("B")[:] = bytes(8 * self.n)
        self._counts[:] = bytes(self.n)

    def start(self, i: int) -> None:
        """Called by job ``i`` when it starts."""
        if not self._starts[i]:
            self._starts[i] = time.time_ns()
        self._counts[i] += 1

    def began(self) -> bool:
        """Whether the last slot is marked: what programs use for the first start of all."""
        return bool(self._starts[self.n - 1])

    def forget(self, i: int) -> None:
        """Forget the start of job ``i``."""
        self._starts[i] = self._counts[i] = 0

    def missing(self, n: int) -> int:
        """How many of the jobs 0 ... n-1 have not started."""
        return self._counts[:n].tobytes().count(0)

    def duplicates(self, n: int) -> int:
        """How many starts there were beyond the first, of the jobs 0 ... n-1."""
        return sum(self._counts[:n]) - (n - self.missing(n))

    def starts(self, n: int) -> list[int]:
        return list(self._starts[:n])

    def wait(self, n: int, seconds: float) -> None:
        """Until the jobs 0 ... n-1 have started."""
        wait_until(lambda: not self.missing(n), seconds, lambda: f"{self.missing(n)} of {n} jobs never started")

    def wait_for(self, i: int, seconds: float) -> int:
        """Until job ``i`` has started; gives the instant."""
        wait_until(lambda: bool(self._counts[i]), seconds, lambda: f"job {i} never started", every=0.001)
        return self._starts[i]


def wait_until(
    condition: Callable[[], bool], seconds: float, complaint: Callable[[], str], every: float = 0.02
) -> None:
    """Look every so often until it holds; raises TimeoutError with the complaint."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{complaint()} within {seconds:g} s")
        time.sleep(every)


# -- processes ----------------------------------------------------------------------------------------


class Spawned:
    """A process with whatever it starts, ended at the end of the ``with`` in any case."""

    def __init__(self, argv: Sequence[str], folder: Path, name: str) -> None:
        self.argv = list(argv)
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.pid = self.process.pid

    def __enter__(self) -> Spawned:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end()
        if kind is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            print(f"--- the end of {self.log.name}: {' '.join(self.argv)}\n{tail}", file=sys.stderr)

    def tree(self) -> list[psutil.Process]:
        """The process and everything below it."""
        try:
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self, patience: float = 5.0) -> None:
        """TERM, then KILL to whatever is left of the tree."""
        tree = self.tree()
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def memory(self) -> tuple[float, float]:
        """RSS and PSS of the tree in MB: pages shared by its processes count once each, or shared out."""
        rss = pss = 0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                info = process.memory_full_info()
                rss += info.rss
                pss += info.pss
        return rss / 1e6, pss / 1e6


# -- one measurement ----------------------------------------------------------------------------------


@dataclass
class Run:
    """One measurement of one side, in its own process and folder."""

    side_name: str
    folder: Path
    scale: float
    _ends: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def size(self, n: int) -> int:
        """How many jobs: ``n``, scaled by ``--scale``."""
        return max(20, int(n * self.scale))

    def open(self, n: int) -> tuple[Side, Marks]:
        """The side, with nothing enqueued, and marks for n jobs and a few for trying out."""
        os.environ["BENCH_SIDE"] = self.side_name
        os.environ["BENCH_FOLDER"] = str(self.folder)
        os.environ["DULY_STORE"] = f"sqlite:///{self.folder}/jobs.duly.db"
        marks = Marks.create(self.folder / "marks", n + 32)
        kind = KINDS[self.side_name]
        if kind.server:
            url = start_server(kind.server, self.folder, self._ends)
            if kind.library == "duly":
                os.environ["DULY_STORE"] = url
        side = cast(Side, importlib.import_module(f"bench.sides.{kind.module}"))
        if hasattr(side, "prepare"):
            side.prepare()
        if hasattr(side, "finish"):
            self._ends.callback(side.finish)
        return side, marks

    def worker(self, side: Side, executors: int = 1) -> Spawned:
        return self._ends.enter_context(Spawned(side.worker(executors), self.folder, "worker"))

    def scheduler(self, side: Side) -> None:
        """The second process that some need for due jobs."""
        if hasattr(side, "scheduler_command"):
            self._ends.enter_context(Spawned(side.scheduler_command(), self.folder, "scheduler"))

    def warm_up(self, side: Side, marks: Marks) -> None:
        """Until the worker is up and has run a few jobs one by one, from the end of the marks."""
        for i in range(marks.n - 20, marks.n):
            side.send(i)
            marks.wait_for(i, 60)

    def close(self) -> None:
        self._ends.close()


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    RUN.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=RUN))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- programs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """One benchmark."""

    name: str
    title: str
    text: str  # what is measured, and with which settings
    columns: tuple[Column, ...]
    sides: tuple[str, ...]
    measure: Callable[[Run], dict[str, float]]


def main(program: Program) -> None:
    """The command line of one program."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{program.name}", description=program.text)
    add_options(parser, program.sides)
    parser.add_argument("--once", choices=program.sides, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["BENCH_PLACEMENT"] = options.placement
    if options.once:
        once(program, options.once, options.scale)
    else:
        run(program, options.sides, options.reps, options.scale)


def add_options(parser: argparse.ArgumentParser, sides: Sequence[str]) -> None:
    parser.add_argument(
        "--sides", type=lambda text: text.split(","), help=f"which, by comma (default: {','.join(sides)})"
    )
    parser.add_argument("--reps", type=int, default=3, help="repetitions (default: 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many jobs (default: 1)")
    parser.add_argument(
        "--placement",
        choices=PLACEMENTS,
        default=placement(),
        help="a server and all that speak to it: on the same core, the server on another, or as the kernel likes "
        "(default)",
    )


def once(program: Program, side: str, scale: float) -> None:
    """One measurement in this process; the figures as JSON on the last line."""
    place_ourselves()
    with fresh_folder() as folder:
        measurement = Run(side, folder, scale)
        try:
            figures = program.measure(measurement)
        finally:
            measurement.close()
    print(json.dumps(figures))


def run(program: Program, sides: Sequence[str] | None, reps: int, scale: float) -> Values:
    """Every side and repetition; prints the table and writes the JSON file."""
    wanted = [side for side in program.sides if (not sides or side in sides) and available(side)]
    print(f"\n{program.title}", flush=True)
    values: Values = {side: {} for side in wanted}
    for rep in range(reps):
        for side in wanted:
            progress(f"  {side}, {rep + 1} of {reps} ...")
            for key, value in measure_in_child(program, side, scale).items():
                values[side].setdefault(key, []).append(value)
    progress("")
    print_table(program.columns, values)
    save(program.name, program.text, values, reps, scale, placement())
    return values


def measure_in_child(program: Program, side: str, scale: float) -> dict[str, float]:
    program_line = ["-m", f"bench.{program.name}", "--once", side, "--scale", str(scale), "--placement", placement()]
    command = [python_of(KINDS[side]), *program_line]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"measuring {side} failed: {' '.join(command)}")
    return cast("dict[str, float]", json.loads(done.stdout.splitlines()[-1]))


def python_of(kind: Kind) -> str:
    """The interpreter that has the side's library: of this environment, unless it needs one of its own."""
    own = ROOT / kind.folder / "bin" / "python"
    return str(own) if kind.folder != ".bench" else sys.executable


def available(side: str) -> bool:
    """Whether the side can run here; says so if not."""
    kind = KINDS[side]
    there = (
        subprocess.run([python_of(kind), "-c", f"import {kind.library}"], cwd=ROOT, capture_output=True, check=False)
        if Path(python_of(kind)).exists()
        else None
    )
    if there is None or there.returncode:
        print(f"  {side} left out: {kind.library} is not installed in {kind.folder} (make bench sets it up)")
        return False
    return True
