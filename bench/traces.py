"""What OpenTelemetry costs a call and an attempt: microseconds of CPU, with it and without, in turns.

``.venv/bin/python -m bench.traces`` (two minutes). The task only marks its start, so this is the worst case: the
share of a task that does something is smaller. Each measurement has processes and an SQLite file of its own. Metrics
cost a worker nothing in any of them: the histograms are written with each batch, scraped or not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import kit
from duly import Duly

HOW = ("off", "no SDK", "1 in 100", "all")
"""Not instrumented; instrumented where no SDK is set up; with an SDK that samples so many and exports to nowhere."""

_SECONDS = 300
_BULK = 500


def instrument(app: Duly, how: str) -> None:
    """What the app of ``bench.sides.traced`` does as its module is imported."""
    if how == "off":
        return
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    from duly.contrib import otel

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    if how != "no SDK":
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(1.0 if how == "all" else 0.01)))
        provider.add_span_processor(BatchSpanProcessor(Nowhere()))
        trace.set_tracer_provider(provider)
    otel.instrument(app)


def once(how: str, n: int) -> dict[str, float]:
    """One measurement, in this process and a worker of its own."""
    with kit.fresh_folder() as folder:
        marks = kit.Marks.create(folder / "marks", n + 1)
        os.environ |= {
            "BENCH_FOLDER": str(folder), "BENCH_TRACES": how, "DULY_STORE": f"sqlite:///{folder}/jobs.duly.db",
        }  # fmt: skip
        return {"call": calls(n), "attempt": attempts(n, marks, folder)}


def calls(n: int) -> float:
    """µs of CPU that a call takes its caller; in bulks, where waiting for the disk has no part."""
    from bench.sides.traced import mark

    began = time.process_time()
    for start in range(0, n, _BULK):
        mark.enqueue_many([(i,) for i in range(start, start + _BULK)])
    return (time.process_time() - began) / n * 1e6


def attempts(n: int, marks: kit.Marks, folder: Path) -> float:
    """µs of CPU that an attempt takes the worker, from the first start to the last."""
    duly = str(Path(sys.executable).with_name("duly"))
    command = [duly, "-A", "bench.sides.traced", "worker", "-l", "WARNING", "-c", "1"]
    with kit.Spawned(command, folder, "worker") as worker:
        kit.wait_until(lambda: marks.missing(n) < n, _SECONDS, lambda: "no job has started", every=0.001)
        before, begun = used(worker), n - marks.missing(n)
        marks.wait(n, _SECONDS)
        return (used(worker) - before) / (n - begun) * 1e6


def used(worker: kit.Spawned) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in worker.tree())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000, help="how many in each measurement (default: 50,000)")
    parser.add_argument("--reps", type=int, default=5, help="repetitions (default: 5)")
    parser.add_argument("--once", choices=HOW, help=argparse.SUPPRESS)
    given = parser.parse_args()
    n = max(given.jobs // _BULK, 1) * _BULK
    if given.once:
        print(json.dumps(once(given.once, n)))
        return
    values: dict[str, dict[str, list[float]]] = {how: {"call": [], "attempt": []} for how in HOW}
    for _ in range(given.reps):
        for how in HOW:
            command = [sys.executable, "-m", "bench.traces", "--jobs", str(n), "--once", how]
            done = subprocess.run(command, cwd=kit.ROOT, stdout=subprocess.PIPE, text=True, check=True)
            for what, figure in json.loads(done.stdout.splitlines()[-1]).items():
                values[how][what].append(figure)
    show(values)


def show(values: dict[str, dict[str, list[float]]]) -> None:
    """Medians, and how much more than without. Both are of the worst case, a task that does nothing."""
    print(f"{'':10} {'call':>26} {'attempt':>26}   µs of CPU, median (min-max), and more than off")
    for how, figures in values.items():
        cells = []
        for what, found in figures.items():
            more = median(found) - median(values["off"][what])
            cells.append(f"{median(found):.1f} ({min(found):.1f}-{max(found):.1f}) {more:+.1f}")
        print(f"{how:10} {cells[0]:>26} {cells[1]:>26}", flush=True)


if __name__ == "__main__":
    main()
