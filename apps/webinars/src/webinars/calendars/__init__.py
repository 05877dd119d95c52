"""Calendars: where events come from. ``source.py`` says what a source is; one module for each kind."""
