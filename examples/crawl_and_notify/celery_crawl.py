"""Crawl a site and notify its readers, written for Celery: two queues, served by one worker or by two.

duly --as-celery -A celery_crawl worker -Q crawl_tasks,notify_tasks -c 2
DULY_AS_CELERY=1 python celery_crawl.py
"""

import re
import time
import urllib.request

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from kombu import Queue
from readers_site import site

app = Celery("celery_crawl", broker="redis://localhost/0", backend="redis://localhost/0")
app.conf.task_default_exchange = "tasks"
app.conf.task_default_exchange_type = "topic"
app.conf.task_queues = (
    Queue("crawl_tasks", routing_key="crawl.#"),
    Queue("notify_tasks", routing_key="notify.#"),
)
app.conf.task_routes = {
    "celery_crawl.crawl*": {"routing_key": "crawl.site"},
    "celery_crawl.notify": {"routing_key": "notify.push"},
}
READERS = ("ada", "grace")


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


@app.task(autoretry_for=(OSError,), retry_backoff=True, max_retries=3)
def crawl(url):
    """Find the posts of a site, and tell every reader of each; gives the ids of the notifications."""
    sent = []
    for path, title in re.findall(r'<a href="([^"]+)">([^<]+)</a>', fetch(url + "/")):
        assert title in fetch(url + path)
        sent += [notify.apply_async((reader, title), ignore_result=False).id for reader in READERS]
    return sent


@app.task(soft_time_limit=60)
def crawl_for_ever():
    """A site that never ends. It must not keep a reader's notification waiting."""
    try:
        while True:
            time.sleep(0.05)
    except SoftTimeLimitExceeded:
        return "gave up"


@app.task
def notify(reader, title):
    return f"{reader}: {title}"


def main():
    long = crawl_for_ever.delay()
    with site() as url:
        ids = crawl.delay(url).get(timeout=20)
    told = sorted(app.AsyncResult(id).get(timeout=20) for id in ids)
    print("\n".join(told))
    print("the long crawl has ended:", long.ready())
    long.revoke(terminate=True)


if __name__ == "__main__":
    main()
