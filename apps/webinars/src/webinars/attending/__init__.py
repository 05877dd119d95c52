"""Attending: a browser that goes to a webinar and stays. Page in, verdict out; queues and calendars are not known
here."""
