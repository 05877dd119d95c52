"""The JSON API: fuzzed from its own description, and what it gives and does; /metrics as Prometheus reads it."""

from __future__ import annotations

import re

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from test_web_pages import fill
from web_kit import Client, a_worker, ended, put, serving, settle, take

from duly.job import Filter, Kind, State
from duly.store.contract import Store
from duly.web.access import Access
from duly.web.openapi import OPERATIONS, PREFIX

EXAMPLES = 12  # of each operation


def test_the_api_holds_what_its_description_says(store: Store, base: str) -> None:
    """Generated requests, right and wrong: no server error, no status and no answer that is not described."""
    fill(store)
    schema = schemathesis.openapi.from_url(f"{base}{PREFIX}/openapi.json")
    checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
    seen = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            try:
                strategy = operation.as_strategy(generation_mode=mode)
            except Exception:  # nothing about it can be wrong
                continue
            seen += _fuzz(strategy, base, checks)
    assert seen > len(OPERATIONS) * EXAMPLES // 2


def _fuzz(strategy, base, checks) -> int:  # type: ignore[no-untyped-def]
    from hypothesis import given
    from hypothesis.errors import Unsatisfiable

    count = 0

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate], derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def run(case) -> None:  # type: ignore[no-untyped-def]
        nonlocal count
        count += 1
        case.call_and_validate(base_url=f"{base}{PREFIX}", checks=checks)

    try:
        run()
    except Unsatisfiable:
        return 0
    return count


def test_every_operation_is_described_and_answers(store: Store, client: Client) -> None:
    ids = fill(store)
    described = client.get(f"{PREFIX}/openapi.json").json
    assert set(described["paths"]) == {one.path for one in OPERATIONS}
    for one in OPERATIONS:
        if one.takes is None:
            answer = client.get(f"{PREFIX}{one.path}" + (f"?id={ids['failed']}" if one.path == "/job" else ""))
            assert answer.status == 200, one.path


def test_jobs_by_filter_and_one_with_its_history(store: Store, client: Client) -> None:
    ids = fill(store)
    found = client.get(f"{PREFIX}/jobs?q=state:failed").json
    assert [job["id"] for job in found["jobs"]] == [ids["failed"]]
    detail = client.get(f"{PREFIX}/job?id={ids['failed']}").json
    assert detail["why"].startswith("It failed")
    assert detail["attempts"][0]["error"]["type"] == "ValueError"
    assert detail["kwargs"] == {"user_id": 1}
    assert client.get(f"{PREFIX}/jobs?q=stat:x").json == {"error": "there is no 'stat'; did you mean 'state'?"}


def test_actions_are_done_and_in_the_trail(store: Store, client: Client) -> None:
    ids = [put(store, ahead=3600) for _ in range(2)]
    done = client.post_json(f"{PREFIX}/jobs/actions", {"verb": "cancel", "ids": [*ids, "none"]}).json
    assert done == {"verdicts": {ids[0]: "prevented", ids[1]: "prevented", "none": "unknown"}, "changed": 2}
    assert client.post_json(f"{PREFIX}/queues/actions", {"queue": "mail", "paused": True}).json["ok"]
    assert "mail" in store.paused()
    assert [line.verb for line in store.actions()] == ["pause", "cancel"]
    assert store.jobs(Filter(ids=tuple(ids))).jobs[0].state == State.CANCELLED


def test_the_api_is_behind_the_same_permissions(store: Store) -> None:
    with serving(store, access=Access(token="a" * 20, read_token="b" * 20)) as base:
        client = Client(base, headers={})
        for one in OPERATIONS:
            path = PREFIX + one.path
            if one.takes is None:
                assert client.get(path).status == 401
                assert client.get(path, Authorization=f"Bearer {'b' * 20}").status in (200, 400)
            else:
                assert client.post_json(path, {}).status == 401
                assert client.post_json(path, {}, Authorization=f"Bearer {'b' * 20}").status == 403
                assert client.post_json(path, {}, Authorization=f"Bearer {'a' * 20}").status == 400
        assert client.get("/metrics").status == 401


def test_a_page_of_another_site_cannot_post_to_it(store: Store, client: Client) -> None:
    body = {"queue": "mail", "paused": True}
    assert client.post_json(f"{PREFIX}/queues/actions", body, Sec_Fetch_Site="cross-site").status == 403
    form = client._ask("POST", f"{PREFIX}/queues/actions", '{"queue":"mail","paused":true}', {})
    assert form.status == 415, "what a form of another site can send is no JSON"
    assert store.paused() == {}


def test_scale_counts_what_is_due_soon(store: Store, client: Client) -> None:
    put(store, queue="mail")
    put(store, queue="mail", ahead=30)
    put(store, queue="mail", ahead=3600)
    assert client.get(f"{PREFIX}/scale?queue=mail").json == {"due": 2}
    assert client.get(f"{PREFIX}/scale?queue=mail&within=7200").json == {"due": 3}
    assert client.get(f"{PREFIX}/scale?queue=none").json == {"due": 0}


# -- metrics -----------------------------------------------------------------------------------------

SAMPLE = re.compile(r'(?P<name>[a-z_]+)\{(?P<labels>(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\} (?P<value>\S+)')


def samples(text: str) -> dict[str, float]:
    """The samples of a page, by name and labels; fails on a line that is none."""
    found = {}
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        key = f"{match['name']}{{{match['labels']}}}"
        assert key not in found, key
        found[key] = float(match["value"])
    return found


def test_metrics_count_what_ends_and_only_grow(store: Store, client: Client) -> None:
    worker = a_worker(store)
    client.get("/metrics")
    for took in (0.05, 2.0):
        ended(store, worker, took=took, queue="mail", task="mail.send")
    ended(store, worker, Kind.FAILED, queue="mail", task="mail.send", error=b'{"type":"E","message":"x"}')
    first = samples(client.get("/metrics").text)
    labels = 'queue="mail",task="mail.send"'
    assert first[f'duly_jobs_finished_total{{{labels},outcome="succeeded"}}'] == 2
    assert first[f'duly_jobs_finished_total{{{labels},outcome="failed"}}'] == 1
    assert first[f"duly_job_duration_seconds_count{{{labels}}}"] == 3
    assert 3 < first[f"duly_job_duration_seconds_sum{{{labels}}}"] < 4
    assert first[f'duly_job_duration_seconds_bucket{{{labels},le="+Inf"}}'] == 3
    buckets = [value for key, value in first.items() if key.startswith("duly_job_duration_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert first['duly_job_lateness_seconds_count{queue="mail"}'] == 3
    ended(store, worker, queue="mail", task="mail.send")
    second = samples(client.get("/metrics").text)
    assert second[f'duly_jobs_finished_total{{{labels},outcome="succeeded"}}'] == 3


def test_metrics_of_queues_workers_and_odd_names(store: Store, client: Client) -> None:
    odd = 'a"b\\c\nd'
    put(store, queue=odd, ahead=-5)
    worker = a_worker(store)
    put(store)
    lease = take(store, worker)
    found = samples(client.get("/metrics").text)
    name = 'queue="a\\"b\\\\c\\nd"'
    assert found[f'duly_queue_jobs{{{name},state="ready"}}'] == 1
    assert found[f"duly_queue_oldest_due_seconds{{{name}}}"] >= 5
    assert found['duly_worker_slots{worker="w1@box",state="busy"}'] == 1
    settle(store, worker, lease)
