"""``duly lint-celery``: what in a Celery project loses, doubles or delays jobs, found by reading its source.

Nothing of the project is imported or run. ``facts.py`` reads tasks, calls and settings out of its syntax trees;
``rules.py`` judges them together, because what is safe depends on the broker and on what is set elsewhere.
"""

from duly.lint.facts import Facts, Place, read
from duly.lint.rules import Finding, judge

__all__ = ["Facts", "Finding", "Place", "judge", "read"]
