"""Crawl a site and notify its readers: two queues, and one worker that keeps a slot for notifications.

duly -A duly_crawl worker -c 2
python duly_crawl.py
"""

from __future__ import annotations

import re
import time
import urllib.request

from readers_site import site

from duly import Duly, SoftTimeLimitExceeded

app = Duly("duly_crawl")
app.conf.worker_queues = {"crawl": 1, "notify": 4}
app.conf.worker_reserve = {"notify": 1}
READERS = ("ada", "grace")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@app.task(queue="crawl", autoretry_for=(OSError,), retry_backoff=True, max_retries=3)
def crawl(url: str) -> list[str]:
    """Find the posts of a site, and tell every reader of each, once; gives the ids of the notifications."""
    sent = []
    for path, title in re.findall(r'<a href="([^"]+)">([^<]+)</a>', fetch(url + "/")):
        assert title in fetch(url + path)
        for reader in READERS:  # a crawl that is run again meets the ids of the first run
            sent.append(notify.apply_async((reader, title), task_id=f"{url}{path} {reader}").id)
    return sent


@app.task(queue="crawl", soft_time_limit=60, max_concurrency=1)
def crawl_for_ever() -> str:
    """A site that never ends. It must not keep a reader's notification waiting."""
    try:
        while True:
            time.sleep(0.05)
    except SoftTimeLimitExceeded:
        return "gave up"


@app.task(queue="notify", priority=5)
def notify(reader: str, title: str) -> str:
    return f"{reader}: {title}"


def main() -> None:
    with site() as url:
        ids = crawl.delay(url).get(timeout=20)
    long = crawl_for_ever.delay()
    told = sorted(app.AsyncResult(id).get(timeout=20) for id in ids)
    print("\n".join(told))
    print("the long crawl has ended:", long.ready())
    long.cancel(terminate=True)


if __name__ == "__main__":
    main()
