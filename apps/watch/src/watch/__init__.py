"""watch: crawls sites, and tells people of what is new there.

A Django project on duly: each site is crawled by a job at its times, each new post is stored once, and each of its
subscribers is told by a job of their own, once in effect, whatever crashes.
"""

from __future__ import annotations

__version__ = "0.1.0"
