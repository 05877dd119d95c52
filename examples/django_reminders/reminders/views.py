from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from reminders.models import Reminder
from reminders.tasks import send


@csrf_exempt  # so that curl can call it; a site for people keeps the protection
@require_POST
def remind(request: HttpRequest) -> HttpResponse:
    """Keep a reminder, and the job that sends it: both, or neither."""
    due = timezone.now() + timedelta(minutes=float(request.POST["minutes"]))
    with transaction.atomic():
        reminder = Reminder.objects.create(text=request.POST["text"], due=due)
        job = send.apply_async_on_commit((reminder.pk,), eta=due)
        if request.POST.get("fail"):
            raise RuntimeError("as asked: nothing of this request is kept")
    return JsonResponse({"reminder": reminder.pk, "job": job.id}, status=201)


def show(request: HttpRequest, pk: int) -> HttpResponse:
    reminder = get_object_or_404(Reminder, pk=pk)
    return JsonResponse({"text": reminder.text, "due": reminder.due, "sent": reminder.sent})
