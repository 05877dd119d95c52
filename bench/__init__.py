"""Benchmarks: duly beside its peers, measured in one run on one machine.

Each module but ``kit`` and ``sides`` is a program: ``python -m bench.drain --help``; ``python -m bench.all``
runs them all. ``kit`` says how a measurement is made, ``sides`` holds what differs between the libraries.
"""
