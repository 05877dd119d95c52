"""The command line: ``webinars``."""

from webinars.cli.root import main

__all__ = ["main"]
