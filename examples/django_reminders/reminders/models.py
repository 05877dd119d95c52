from django.db import models


class Reminder(models.Model):
    """Something to be told at a time, once."""

    text = models.CharField(max_length=200)
    due = models.DateTimeField()
    sent = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.text
