"""Jobs and schedules in Django's admin, for sites that have it."""

from __future__ import annotations

from django.contrib import admin

from duly.contrib.django.job_admin import JobAdmin
from duly.contrib.django.models import Job, Schedule
from duly.contrib.django.schedule_admin import ScheduleAdmin

admin.site.register(Job, JobAdmin)
admin.site.register(Schedule, ScheduleAdmin)
