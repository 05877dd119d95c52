"""The command line: ``watch``."""

from watch.cli.root import main

__all__ = ["main"]
