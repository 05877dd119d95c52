"""Names for jobs and schedules in Django's world: permissions, admin log, content types. No tables, no queries.

The jobs are in duly's store; ``Job.objects`` is always empty, so that ``dumpdata`` and their kin find nothing.
"""

from __future__ import annotations

from typing import Any

from django.db import models


class Elsewhere(models.Manager):
    """Nothing of it is in Django's database."""

    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class Job(models.Model):
    """A job, by its id."""

    id = models.TextField(primary_key=True)
    objects = Elsewhere()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return str(self.id)


class Schedule(models.Model):
    """A schedule, by its name."""

    name = models.TextField(primary_key=True)
    objects = Elsewhere()

    class Meta:
        managed = False
        base_manager_name = "objects"

    def __str__(self) -> str:
        return str(self.name)
