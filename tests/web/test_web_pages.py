"""What the pages say of a store: with nothing in it, with something of everything, and with what others wrote."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from urllib.parse import quote_plus as quoted

import msgspec
import pytest
from web_kit import HOUR, SECOND, Client, a_worker, ended, failed, put, serving, settle, take, wait_for

from duly import Duly, chord
from duly.job import Filter, Job, Kind, Options, Outcome, Schedule, State
from duly.messages import Action
from duly.scheduler import put as put_schedule
from duly.scheduler import stored_rule
from duly.schedules import cron, every
from duly.store import open as open_store
from duly.store.contract import Store
from duly.web.bulk import STALE
from duly.web.show import coded

PAGES = (
    "/", "/future", "/future?span=1y", "/jobs", "/jobs?q=state:failed", "/failures", "/tasks", "/tasks?range=1h",
    "/tasks?range=1w&order=failing", "/task?name=mail.send", "/schedules", "/schedule/edit", "/punctuality", "/audit",
)  # fmt: skip


def add_schedule(store: Store, name: str = "nightly", rule: object = None, **fields: object) -> None:
    made = cron("0 3 * * *", tz="Europe/Berlin") if rule is None else rule
    put_schedule(store, Schedule(name=name, rule=stored_rule(made), task="mail.send", **fields))  # type: ignore[arg-type]


def fill(store: Store) -> dict[str, str]:
    """A job in each state, a schedule, a pause; the ids by state."""
    worker = a_worker(store)
    ids = {
        "succeeded": ended(store, worker, result=b'{"n":12345678901234567890}', log=b"a line of the log"),
        "failed": failed(store, worker),
        "uncertain": ended(store, worker, Kind.UNCERTAIN, error=b'{"type":"WorkerLost","message":"killed"}'),
        "scheduled": put(store, "mail.send", (["ann"], {}), 3600, queue="mail"),
        "queued": put(store, queue="default"),
        "running": put(store, queue="running"),
        "retrying": put(store, queue="again"),
        "cancelled": put(store, queue="gone", ahead=60),
    }
    take(store, worker, "running")
    settle(store, worker, take(store, worker, "again"), Kind.RETRY, due=store.now() + HOUR)
    store.cancel(Filter(ids=(ids["cancelled"],)))
    add_schedule(store)
    store.pause("mail")
    return ids


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_an_empty_store(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 200
    assert "<h1" in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_a_store_with_everything(store: Store, client: Client, path: str) -> None:
    fill(store)
    assert client.get(path).status == 200


@pytest.mark.parametrize("state", [state.name.lower() for state in State if state != State.WAITING])
def test_the_list_and_the_page_of_a_job_in_each_state(store: Store, client: Client, state: str) -> None:
    ids = fill(store)
    found = client.get(f"/jobs?q=state:{state}").text
    assert re.findall(r'name="id" value="([^"]+)"', found) == [ids[state]]
    page = client.get(f"/job?id={ids[state]}")
    assert page.status == 200
    assert f"s-{state}" in page.text


def test_numbers_are_shown_as_they_are_stored(store: Store, client: Client) -> None:
    worker = a_worker(store)
    id = ended(
        store, worker, args=([12345678901234567890, 0.1], {"n": 1e-7}), result=b"123456789012345678901234567890"
    )
    page = client.get(f"/job?id={id}").text
    for number in ("12345678901234567890", "0.1", "123456789012345678901234567890"):
        assert number in page


NASTY = "<script>alert(1)</script>\u202e\x1b[2J&\"'"


def test_what_tasks_print_is_shown_and_never_obeyed(store: Store, client: Client) -> None:
    worker = a_worker(store)
    error = msgspec.json.encode({"type": NASTY, "message": NASTY, "traceback": NASTY, "module": NASTY})
    id = ended(
        store, worker, Kind.FAILED, task=NASTY, args=([NASTY], {NASTY: NASTY}), error=error, log=NASTY.encode(),
        key=NASTY, id=NASTY, queue="q",
    )  # fmt: skip
    put(store, NASTY, ([NASTY], {}), 1800, queue=NASTY)
    add_schedule(store, NASTY, every(600), queue=NASTY)
    for path in (
        *PAGES,
        "/job?id=" + quoted(id),
        "/jobs?q=" + quoted(NASTY),
        "/task?name=" + quoted(NASTY),
    ):
        text = client.get(path).text
        assert "<script>alert" not in text, path
        assert "\u202e" not in text, path
        assert "\x1b" not in text, path


@pytest.mark.parametrize("id", ["a/b", "..", "a.b", "x?y#z", "with space", "%2e%2e", "é", "a&b=c", "+"])
def test_ids_and_names_of_any_shape_have_a_page(store: Store, client: Client, id: str) -> None:
    put(store, id, ahead=3600, id=id, queue=id)
    [address] = set(re.findall(r'href="(/job\?id=[^"]+)"', client.get("/jobs").text))
    page = client.get(address.replace("&amp;", "&"))
    assert page.status == 200
    assert client.post("/job/act", {"id": id, "verb": "cancel"}).status == 200
    [result] = store.results([id])
    assert result is not None
    assert result.state == State.CANCELLED


def test_jobs_stored_in_the_same_instant_are_all_on_some_page(store: Store, client: Client) -> None:
    due = store.now() + HOUR
    store.enqueue([Job(id=f"j{n:03}", task="t", due=due) for n in range(130)])
    for order in ("newest", "due"):
        seen: list[str] = []
        path = f"/jobs?order={order}"
        while path:
            text = client.get(path).text
            seen += re.findall(r'name="id" value="([^"]+)"', text)
            more = re.search(r'id="more".*?href="([^"]+)"', text, re.DOTALL)
            path = more[1].replace("&amp;", "&") if more else ""
        assert sorted(seen) == [f"j{n:03}" for n in range(130)]


def test_waiting_jobs_come_by_due_the_next_first(store: Store, client: Client) -> None:
    later, sooner = put(store, ahead=7200), put(store, ahead=3600)
    text = client.get("/jobs?q=state:scheduled").text
    assert text.index(sooner) < text.index(later)


def test_a_job_that_is_put_off_never_waits_less_than_nothing(store: Store, client: Client) -> None:
    worker = a_worker(store)
    put(store)
    settle(store, worker, take(store, worker), Kind.RETRY, due=store.now() + HOUR)
    for path in ("/", "/jobs", "/future"):
        assert not re.search(r">\s*-\d", client.get(path).text), path


def test_a_query_that_is_wrong_is_told_and_kept(client: Client) -> None:
    answer = client.get("/jobs?q=stat:failed")
    assert answer.status == 400
    assert "did you mean &#39;state&#39;" in answer.text
    assert 'value="stat:failed"' in answer.text


@pytest.mark.parametrize(
    "path",
    ["/job?id=none", "/job", "/schedule?name=none", "/audit/action?id=77", "/audit/action?id=x", "/nowhere", "/task",
     "/future?span=1c", "/future?from=x", "/tasks?range=9", "/tasks?order=x", "/punctuality?target=x",
     "/punctuality?goal=101", "/jobs/bulk?verb=explode", "/future?from=99999999999999999999"],
)  # fmt: skip
def test_an_address_that_is_wrong_is_told(client: Client, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status < 500
    assert 'role="alert"' in answer.text


def test_a_store_that_is_gone_is_told(tmp_path: Path) -> None:
    missing = open_store(f"sqlite:///{tmp_path}/none/store.db", create=False)
    with serving(missing) as base:
        client = Client(base)
        assert client.get("/healthz").text == "ok\n"
        assert client.get("/readyz").status == 503
        answer = client.get("/jobs")
        assert answer.status == 503
        assert "does not answer" in answer.text


@pytest.mark.parametrize("queue", ["a,b", 'q"uote', "back\\slash", "st*r", "q/<b>'a.c", "two words"])
def test_each_queue_leads_to_its_jobs(store: Store, client: Client, queue: str) -> None:
    for name in (queue, "a", "b", "star"):
        put(store, queue=name, ahead=60)
    links = re.findall(r'href="(/jobs\?q=queue[^"]*)"', client.get("/").text)
    found = [client.get(html.unescape(one)).text for one in links]
    assert [page.count('name="id"') for page in found] == [1, 1, 1, 1]


def test_a_schedule_comes_on_the_clocks_it_is_written_for(store: Store, client: Client) -> None:
    add_schedule(store)
    page = client.get("/schedule?name=nightly").text
    coming = page[page.index("on the clocks of Europe/Berlin") :]
    assert len(re.findall(r"[ >]03:00(?::00)? · in ", coming)) == 5


def test_many_queues_without_a_worker_do_not_push_the_page_away(store: Store, client: Client) -> None:
    for n in range(9):
        put(store, queue=f"queue-{n}", ahead=-1)
    page = client.get("/").text
    assert page.count("No live worker serves queue") == 5
    assert "and 1 job of it is due" in page
    assert "The same holds for 4 more queues" in page


# -- what is not shown -------------------------------------------------------------------------------


def test_sensitive_arguments_are_nowhere(store: Store, tmp_path: Path) -> None:
    app = Duly("secrets", store=store.url)

    @app.task(name="log_in", sensitive=("password",))
    def log_in(user: str, password: str) -> None: ...

    by_name = log_in.apply_async(("ann",), {"password": "hunter2"}, countdown=3600).id
    by_position = log_in.apply_async(("ann", "hunter2"), countdown=3600).id
    [job] = store.jobs(Filter(ids=(by_name,))).jobs
    assert msgspec.json.decode(job.options or b"{}", type=Options).sensitive == ("password", 1)
    with serving(store, app) as base:
        client = Client(base)
        for path in (*PAGES, f"/job?id={by_name}", f"/job?id={by_position}", "/future.ics"):
            assert "hunter2" not in client.get(path).text, path
        assert "•••" in client.get(f"/job?id={by_name}").text
        assert by_name not in client.get("/jobs?q=hunter2").text
        # edited: what was hidden stays as it is
        client.post("/job/move", {"id": by_position, "args": '[["bob", "•••"], {}]'})
    [job] = store.jobs(Filter(ids=(by_position,))).jobs
    assert job.args == b'[["bob","hunter2"],{}]'
    app.close()


# -- bulk ------------------------------------------------------------------------------------------


def test_all_that_match_are_changed_in_the_background(store: Store, client: Client) -> None:
    worker = a_worker(store)
    bad = [failed(store, worker, n) for n in range(7)]
    other = failed(store, worker, task="tasks.add")
    shown = client.get("/jobs/bulk/all?verb=retry&q=state:failed+task:mail.*").text
    assert "<strong>7</strong> of 7" in shown.replace("\n", "")
    page = client.post("/jobs/bulk", {"verb": "retry", "q": "state:failed task:mail.*", "expected": "7"})
    assert page.status == 200
    wait_for(lambda: store.actions()[0].state == "done")
    [line] = store.actions()
    assert (line.verb, line.done, line.seen, line.who) == ("retry", 7, 7, "anybody")
    assert {result.state for result in store.results(bad) if result} == {State.WAITING}
    assert [result.state for result in store.results([other]) if result] == [State.FAILED]
    assert "7 jobs run again" in client.get("/audit").text


def test_a_selection_is_changed_and_what_cannot_be_is_left(store: Store, client: Client) -> None:
    ids = [put(store, ahead=3600) for _ in range(3)]
    done = ended(store, a_worker(store))
    fields = [("verb", "move"), ("queue", "slow"), *(("id", id) for id in [*ids, done])]
    client.post("/jobs/bulk", fields)
    wait_for(lambda: store.actions()[0].state == "done")
    assert [job.queue for job in store.jobs(Filter(ids=tuple(ids))).jobs] == ["slow"] * 3
    assert store.actions()[0].done == 3
    assert "queue=slow" in store.actions()[0].detail


def test_jobs_stored_after_it_was_confirmed_are_left(store: Store, client: Client) -> None:
    put(store, ahead=3600)
    before = store.now()
    wait_for(lambda: store.now() > before)
    late = put(store, ahead=3600)
    client.post("/jobs/bulk", {"verb": "cancel", "q": "state:scheduled", "until": str(before)})
    wait_for(lambda: store.actions()[0].state == "done")
    assert store.actions()[0].done == 1
    assert [result.state for result in store.results([late]) if result] == [State.WAITING]


def test_a_bulk_action_whose_dashboard_died_is_shown_as_interrupted(store: Store, client: Client) -> None:
    at = store.now() - STALE - SECOND
    id = store.record_action(
        Action(at=at, who="ann", verb="retry", what="jobs x", total=9, done=4, state="running", updated=at)
    )
    assert "interrupted" in client.get(f"/audit/action?id={id}").text
    assert "interrupted" in client.get("/audit").text


# -- one job -----------------------------------------------------------------------------------------


def test_each_action_does_what_it_says_and_is_in_the_trail(store: Store, client: Client) -> None:
    worker = a_worker(store)
    cancelled, moved, now = (put(store, ahead=3600) for _ in range(3))
    again, forgotten = failed(store, worker), ended(store, worker)
    running = put(store, queue="running")
    take(store, worker, "running")
    assert "Cancelled before it started" in client.post("/job/act", {"id": cancelled, "verb": "cancel"}).text
    assert "asked to stop" in client.post("/job/act", {"id": running, "verb": "cancel"}).text
    assert "run again" in client.post("/job/act", {"id": again, "verb": "retry"}).text
    assert "Deleted" in client.post("/job/act", {"id": forgotten, "verb": "forget"}).text
    client.post("/job/act", {"id": now, "verb": "now"})
    client.post("/job/move", {"id": moved, "due": "+2h", "queue": "slow", "priority": "7", "args": "[[1],{}]"})
    jobs = {job.id: job for job in store.jobs(Filter()).jobs}
    assert jobs[cancelled].state == State.CANCELLED
    assert jobs[running].cancelling
    assert jobs[again].state == State.WAITING
    assert forgotten not in jobs
    assert jobs[now].due <= store.now()
    assert (jobs[moved].queue, jobs[moved].priority, jobs[moved].args) == ("slow", 7, b"[[1],{}]")
    assert abs(jobs[moved].due - store.now() - 2 * HOUR) < 10 * SECOND
    assert {line.verb for line in store.actions()} == {"cancel", "retry", "forget", "now", "move"}
    assert "Too late" in client.post("/job/act", {"id": cancelled, "verb": "cancel"}).text


def test_run_again_with_edits_makes_a_new_job_at_its_time(store: Store, client: Client) -> None:
    old = failed(store, a_worker(store))
    client.post(
        "/job/again", {"id": old, "args": '[["good@example.org"],{"user_id":12345678901234567890}]', "due": "+1h"}
    )
    new = next(job for job in store.jobs(Filter()).jobs if job.id != old)
    assert new.args == b'[["good@example.org"],{"user_id":12345678901234567890}]'
    assert (new.task, new.state) == ("mail.send", State.WAITING)
    assert abs(new.due - store.now() - HOUR) < 10 * SECOND, "the time that was typed counts"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"args": "nonsense"}, "expected [[positional], {named}]"),
        ({"args": "[1]"}, "expected [[positional], {named}]"),
        ({"due": "soonish"}, "not a time"),
        ({"priority": "11"}, "expected 0 to 9"),
        ({}, "nothing to change"),
    ],
)
def test_an_edit_that_is_wrong_is_told_and_changes_nothing(
    store: Store, client: Client, fields: dict[str, str], complaint: str
) -> None:
    id = put(store, ahead=3600)
    before = store.jobs(Filter(ids=(id,))).jobs
    answer = client.post("/job/move", {"id": id, **fields})
    assert answer.status == 400
    assert complaint in answer.text.replace("&#39;", "'")
    assert store.jobs(Filter(ids=(id,))).jobs == before


def test_arguments_are_checked_where_the_app_is_known(store: Store) -> None:
    app = Duly("checked", store=store.url)

    @app.task(name="double")
    def double(n: int) -> int:
        return 2 * n

    id = double.apply_async((1,), countdown=3600).id
    with serving(store, app) as base:
        client = Client(base)
        wrong = client.post("/job/move", {"id": id, "args": '[["x"],{}]'})
        assert wrong.status == 400
        assert "do not fit task double" in wrong.text
        assert "[[&#34;x&#34;],{}]" in wrong.text, "what was typed is still there"
        assert client.post("/job/move", {"id": id, "args": "[[21],{}]"}).status == 200
    [job] = store.jobs(Filter(ids=(id,))).jobs
    assert job.args == b"[[21],{}]"
    app.close()


# -- schedules ---------------------------------------------------------------------------------------


def test_a_schedule_is_added_changed_paused_run_and_removed(store: Store, client: Client) -> None:
    form = {
        "name": "a/b", "task": "mail.send", "kind": "cron", "value": "0 9 * * mon", "tz": "Europe/Paris",
        "args": '["ann"]', "kwargs": "{}", "queue": "mail", "catch_up": "none", "overlap": "skip",
    }  # fmt: skip
    assert "at 09:00 on Monday" in client.post("/schedule/save", form).text
    [one] = store.schedules()
    assert (one.args, one.queue, one.catch_up, one.overlap) == (b'[["ann"],{}]', "mail", "none", "skip")
    edit = client.get("/schedule/edit?name=a%2Fb").text
    assert 'value="0 9 * * mon"' in edit
    assert "every 15 minutes" in client.post("/schedule/save", form | {"kind": "every", "value": "15m"}).text
    act = {"name": "a/b", "verb": "pause"}
    client.post("/schedule/act", act)
    assert store.schedules()[0].paused
    assert "paused" in client.get("/schedules").text
    client.post("/schedule/act", act | {"verb": "resume"})
    assert not store.schedules()[0].paused
    client.post("/schedule/act", act | {"verb": "run"})
    assert any(job.due <= store.now() for job in store.jobs(Filter(task="mail.send")).jobs)
    client.post("/schedule/act", act | {"verb": "remove"})
    assert store.schedules() == []
    assert {line.verb.split()[0] for line in store.actions()} == {"store", "pause", "resume", "run", "remove"}


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("cron", "0 9 * * mon", "at 09:00 on Monday"),
        ("crontab", "0 9 * * mon", "at 09:00 on Monday"),
        ("every", "90", "every 1 minute and 30 seconds"),
        ("rrule", "FREQ=MONTHLY;BYDAY=-1FR", "every month on the last Friday"),
        ("solar", "sunset 48.86 2.35", "at sunset"),
        ("cron", "0 9 31 4 *", 'class="warn"'),
        ("cron", "", "is empty"),
        ("every", "soon", "not a length of time"),
        ("solar", "sunset", "expected an event"),
    ],
)
def test_a_rule_is_explained_while_it_is_typed(client: Client, kind: str, value: str, words: str) -> None:
    answer = client.get(f"/schedule/preview?kind={kind}&value={quoted(value)}&start=2026-01-30+17:00&tz=Europe/Paris")
    assert answer.status == 200
    assert words in answer.text


def test_a_huge_or_hostile_rule_does_not_hold_up_the_page(client: Client) -> None:
    for rule in ("FREQ=SECONDLY;INTERVAL=1", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;COUNT=999999999"):
        began = time.monotonic()
        client.get(f"/schedule/preview?kind=rrule&value={quoted(rule)}&start=2020-01-01&tz=UTC")
        assert time.monotonic() - began < 10


def test_a_paused_schedule_is_told_from_others(store: Store, client: Client) -> None:
    add_schedule(store, "on")
    add_schedule(store, "off")
    store.pause_schedule("off")
    text = client.get("/schedules").text
    assert text.count(">paused<") == 1


# -- punctuality, tasks, failures --------------------------------------------------------------------


def test_punctuality_by_queue_against_a_target(store: Store, client: Client) -> None:
    worker = a_worker(store)
    for late in (0, 0, 0, 30):
        put(store, ahead=-late - 1, queue="own")
        lease = take(store, worker, "own")
        now = store.now()
        store.exchange(worker, 0, [Outcome(lease, Kind.SUCCEEDED, lease.due + late * SECOND, now)], 0, ())
    loose = client.get("/punctuality?target=1s&goal=70&days=1").text
    assert "75 %" in loose
    assert 'class="good"' in loose
    assert 'class="bad"' in client.get("/punctuality?target=1s&goal=99&days=1").text
    assert "100 %" in client.get("/punctuality?target=60s&goal=99&days=1").text


def test_failures_are_grouped_by_what_they_have_in_common(store: Store, client: Client) -> None:
    worker = a_worker(store)
    for n in range(5):
        failed(store, worker, n)
    failed(store, worker, task="tasks.add")
    text = client.get("/failures").text
    assert "6 failed or uncertain jobs in 2 groups" in text
    mark = re.search(r"fingerprint%3A(\w{12})", text)
    assert mark
    assert len(re.findall(r'name="id" value=', client.get(f"/jobs?q=state:failed+fingerprint:{mark[1]}").text)) == 5


def test_tasks_by_what_they_cost(store: Store, client: Client) -> None:
    worker = a_worker(store)
    for took in (0.1, 0.1, 5.0):
        ended(store, worker, took=took)
    failed(store, worker)
    for order in ("runs", "failing", "slowest", "late", "name"):
        text = client.get(f"/tasks?order={order}").text
        assert "tasks.add" in text
    assert client.get("/tasks?order=failing").text.index("mail.send") < client.get("/tasks?order=failing").text.index(
        "tasks.add<"
    )
    page = client.get("/task?name=tasks.add&range=1h").text
    assert "<b>3</b><span>runs" in page


def test_a_job_of_a_canvas_shows_its_neighbours(store: Store) -> None:
    app = Duly("woven", store=store.url)

    @app.task(name="fetch")
    def fetch(n: int) -> int:
        return n

    @app.task(name="collect")
    def collect(numbers: list[int]) -> int:
        return sum(numbers)

    chord([fetch.s(n) for n in range(3)], collect.s()).apply_async(countdown=3600)
    jobs = store.jobs(Filter()).jobs
    first = next(job for job in jobs if job.task == "fetch")
    last = next(job for job in jobs if job.task == "collect")
    with serving(store, app) as base:
        client = Client(base)
        for one in (first, last):
            [drawn] = re.findall(r'<svg class="graph".*?</svg>', client.get(f"/job?id={one.id}").text, re.DOTALL)
            assert {job.id for job in jobs} == set(re.findall(r'href="/job\?id=([^"]+)"', drawn))
            assert drawn.count('class="this"') == 1
        assert "s-held" in client.get(f"/job?id={last.id}").text
        assert last.id in client.get("/jobs?q=state:held").text
    app.close()


@pytest.mark.parametrize("raw", [b"not json", b"\xff\xfe", b'{"a": 1}', b"[1]"])
def test_arguments_that_are_none_are_shown_and_can_be_mended(store: Store, client: Client, raw: bytes) -> None:
    secret = msgspec.json.encode(Options(sensitive=("password",)))
    job = Job(id="odd", task="t", due=store.now() + HOUR, args=raw, options=secret)
    store.enqueue([job, Job(id="plain", task="t", due=store.now() + HOUR, args=raw)])
    for path in ("/jobs", "/future", "/job?id=odd", "/job?id=plain", "/api/v1/jobs", "/api/v1/job?id=plain"):
        assert client.get(path).status == 200, path
    assert client.post("/job/move", {"id": "odd", "args": "[[1],{}]"}).status == 200
    assert store.jobs(Filter(ids=("odd",))).jobs[0].args == b"[[1],{}]"


def test_numbers_in_addresses_that_are_none_harm_nothing(store: Store, client: Client) -> None:
    put(store, ahead=3600)
    assert client.get("/jobs?looked=x").status == 200
    assert client.post("/jobs/bulk", {"verb": "cancel", "q": "", "expected": "x", "until": "y"}).status == 200


def test_a_command_in_a_sentence_is_set_as_one() -> None:
    assert coded("run `duly up` <now>") == "run <code>duly up</code> &lt;now&gt;"
    assert coded("a ` alone <b>") == "a ` alone &lt;b&gt;"
    assert coded("`<b>`") == "<code>&lt;b&gt;</code>"
