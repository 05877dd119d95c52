"""Doors to Celery's brokers: messages come in and become jobs, jobs go out as messages.

``envelope.py`` is a message as a broker carries it, ``wire.py`` what it says. Neither does any I/O.
"""
