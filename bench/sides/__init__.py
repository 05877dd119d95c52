"""What differs between the libraries. Each module is a ``bench.kit.Side`` and is imported by the measuring
process and by the worker alike, with ``BENCH_FOLDER`` (marks, databases) in the environment."""
