"""The program that watch replaces, on Celery with a Redis broker: a task that crawls, a task that pushes.

``bench.py`` runs it with one queue for both and with two. It does less than watch: it keeps no row of what it sent
and no journal, and its crawl is one GET.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

FCM = os.environ["BENCH_FCM"]
TWO = os.environ.get("BENCH_QUEUES") == "2"

app = Celery("bench_celery", broker=os.environ["BENCH_REDIS"])
app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True, worker_prefetch_multiplier=1)
if TWO:
    app.conf.task_routes = {"*.push": "notify", "*.crawl": "crawl"}
_kept: list[http.client.HTTPConnection] = []


@app.task
def crawl(url: str) -> None:
    urllib.request.urlopen(url, timeout=60).read()


@app.task
def push(post: int, person: int) -> None:
    key = f"p{post}"
    message: dict[str, Any] = {
        "token": f"phone-{person}",
        "notification": {"title": f"Flat {post}", "body": "Flats"},
        "data": {"url": f"https://flats.example/{post}", "post": key},
        "android": {"collapse_key": key, "priority": "high", "ttl": "86400s", "notification": {"tag": key}},
        "apns": {"headers": {"apns-collapse-id": key, "apns-priority": "10"}},
        "webpush": {"headers": {"Topic": key, "TTL": "86400", "Urgency": "high"}, "notification": {"tag": key}},
    }
    parts = urlsplit(FCM)
    if not _kept:
        _kept.append(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15))
    headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
    _kept[0].request("POST", "/v1/projects/watch-demo/messages:send", json.dumps({"message": message}), headers)
    answer = _kept[0].getresponse()
    answer.read()
    assert answer.status == 200, answer.status


def produce(posts: int, people: int, pause: float, urls: list[str]) -> dict[str, float]:
    """All the crawls, then a post each ``pause`` seconds; gives when each was found, by its key."""
    for url in urls:
        crawl.delay(url)
    found = {}
    for post in range(posts):
        time.sleep(pause)
        found[f"p{post}"] = time.time()
        for person in range(people):
            push.delay(post, person)
    return found


if __name__ == "__main__":
    print(json.dumps(produce(*json.loads(sys.argv[1]))))
