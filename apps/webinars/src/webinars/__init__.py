"""webinars: attends the webinars of a calendar that its user cannot stay up for.

An application of duly: every hour it reads the calendars, keeps one job for each webinar (``app.sync``), and at its
time a browser goes there, stays to the end, and a report says truthfully what a machine saw.
"""

from __future__ import annotations

__version__ = "0.1.0"
