"""The admin's pages of jobs and schedules, on a real server, as users of three kinds see them."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from django_kit import Office, Site

from duly import store as stores
from duly.ids import new_id
from duly.job import Filter, Job, Kind, Outcome, WorkerInfo
from duly.store.contract import Store

USERS = """
from django.contrib.auth.models import Permission, User
User.objects.create_superuser("boss", password="boss")
for name, codes in {"looker": ["view_job", "view_schedule"], "guest": [], "helper": ["view_job", "change_job",
                    "view_schedule", "change_schedule"]}.items():
    user = User.objects.create_user(name, password=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="duly", codename__in=codes))
"""


@pytest.fixture(scope="module")
def shop(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("admin")
    shutil.copy(migrated, folder)
    office = Office(folder)
    office.run(code=USERS)
    office.run("duly", "call", "probe.tasks.look", "--countdown", "1h")  # makes the store
    yield office
    office.close()


@pytest.fixture(scope="module")
def site(shop: Office) -> Site:
    return shop.server()


@pytest.fixture(scope="module")
def boss(site: Site) -> Site:
    return site.log_in("boss")


@pytest.fixture
def store(shop: Office) -> Iterator[Store]:
    opened = stores.open(f"sqlite:///{shop.folder}/office.duly.db")
    opened.cancel(Filter(states=("scheduled", "queued")))
    opened.forget([job.id for job in opened.jobs(Filter(), limit=1000).jobs])
    yield opened
    opened.close()


def a_job(store: Store, args: object = ([], {}), ahead: float = 3600.0, **fields: object) -> str:
    wanted = {"id": new_id(), "task": "probe.tasks.look", "due": store.now() + int(ahead * 1e6)} | fields
    job = Job(**wanted, args=msgspec.json.encode(args))  # type: ignore[arg-type]
    store.enqueue([job])
    return job.id


def end(store: Store, kind: Kind, **fields: bytes) -> None:
    """Reserve what is due, and end it so."""
    worker = store.register(WorkerInfo(name="w", host="box", pid=1, started=store.now()), 60_000_000)
    now = store.now()
    leases = store.exchange(worker, 0, [], 10, ("default",)).leases
    store.exchange(worker, 0, [Outcome(lease, kind, now - 9_000, now, **fields) for lease in leases], 0, ())  # type: ignore[arg-type]


def ids_on(text: str) -> list[str]:
    return re.findall(r'name="_selected_action" value="([^"]+)"', text)


def state(store: Store, id: str) -> str:
    return store.jobs(Filter(ids=(id,))).jobs[0].state_name(store.now())


# -- jobs ------------------------------------------------------------------------------------------


def test_the_list_goes_by_pages_and_skips_nothing(boss: Site, store: Store) -> None:
    assert "There are no jobs." in boss.page("/admin/duly/job/")[1]
    made = [a_job(store) for _ in range(230)]
    seen: list[str] = []
    path: str | None = "/admin/duly/job/"
    while path:
        status, text = boss.page(path)
        assert status == 200
        seen += ids_on(text)
        found = re.search(r'href="([^"]+)" rel="next"', text)
        path = found and "/admin/duly/job/" + html.unescape(found[1])
    assert seen == made[::-1]


def test_the_list_is_narrowed(boss: Site, store: Store) -> None:
    mail = a_job(store, queue="mail", key="k1", task="other.task")
    due = a_job(store, ahead=-1)
    for query, expected in {
        "": [due, mail], "?state=queued": [due], "?queue=mail": [mail], "?task=other.*": [mail], "?key=k1": [mail],
        f"?id={due}": [due], "?order=due": [due, mail], "?state=failed": [], "?state=nonsense": [due, mail],
        "?after=nonsense": [due, mail],
    }.items():  # fmt: skip
        status, text = boss.page(f"/admin/duly/job/{query}")
        assert (status, ids_on(text)) == (200, expected), query
    assert "nonsense is not one of the available choices" in boss.page("/admin/duly/job/?state=nonsense")[1]
    assert "No job is like that." in boss.page("/admin/duly/job/?state=failed")[1]


def test_the_page_of_a_job_shows_all_and_escapes_it(boss: Site, store: Store) -> None:
    strange = a_job(
        store, id="a/b?<i>&é", args=(["<script>alert(1)</script>", 12345678901234567890], {"x": 1}), ahead=-1
    )
    error = {"type": "ValueError", "message": "<b>no</b>", "traceback": "Traceback <here>\n"}
    end(store, Kind.FAILED, error=msgspec.json.encode(error), log=b"tail <of> log")
    path = re.search(r'<th scope="row"><a href="([^"]+)"', boss.page("/admin/duly/job/")[1])
    assert path
    status, text = boss.page(path[1])
    assert status == 200
    assert "<script>alert" not in text
    assert "<b>no" not in text
    for said in (strange, "failed", "12345678901234567890", "Traceback <here>", "tail <of> log", "It failed"):
        assert said in html.unescape(text)


def test_what_a_task_declares_sensitive_is_not_shown(boss: Site, store: Store) -> None:
    a_job(store, args=(["ann", "hunter2"], {"password": "swordfish"}), options=b'{"sensitive":["password",1]}')
    listed = boss.page("/admin/duly/job/")[1]
    path = re.search(r'<th scope="row"><a href="([^"]+)"', listed)
    assert path
    for text in (listed, boss.page(path[1])[1]):
        assert "hunter2" not in text
        assert "swordfish" not in text
        assert "•••" in html.unescape(text)


def test_an_unknown_job(boss: Site, store: Store) -> None:
    status, text = boss.page("/admin/duly/job/nobody/change/")
    assert status == 404
    assert "No job nobody" in text


def test_jobs_are_cancelled_run_again_and_run_now(boss: Site, store: Store) -> None:
    first, second = a_job(store), a_job(store)
    path = f"/admin/duly/job/{first}/change/"
    assert "Run now: 1 due now" in boss.page(path, action="now")[1]
    assert state(store, first) == "queued"
    text = boss.page("/admin/duly/job/", action="cancel", _selected_action=[first, second, "gone"])[1]
    assert "Cancel: 2 cancelled" in text
    assert "Cancel: 1 unknown" in text
    assert state(store, second) == "cancelled"
    assert "Run now: 1 too late" in boss.page(path, action="now")[1]
    assert "Run again: 1 run again" in boss.page(path, action="retry")[1]
    assert "No action was chosen" in boss.page(path, action="nonsense")[1]
    assert "no job was chosen" in boss.page("/admin/duly/job/", action="cancel")[1]
    trail = [(action.who, action.verb, action.what) for action in store.actions(limit=4)]
    assert trail == [
        ("boss", *line) for line in (("Run again", first), ("Cancel", second), ("Cancel", first), ("Run now", first))
    ]
    assert boss.page(f"/admin/duly/job/{first}/history/")[1].count("<td>boss</td>") == 3


# -- who may -----------------------------------------------------------------------------------------


def test_who_may_look_and_who_may_act(site: Site, store: Store) -> None:
    id = a_job(store)
    store_pages = ["/admin/duly/job/", f"/admin/duly/job/{id}/change/", "/admin/duly/schedule/",
                   "/admin/duly/schedule/forget/change/"]  # fmt: skip
    guest, looker, helper = (site.log_in(name) for name in ("guest", "looker", "helper"))
    assert "/admin/duly/" not in guest.page("/admin/")[1]
    for path in store_pages[:3]:
        assert guest.page(path)[0] == 403
        status, text = looker.page(path)
        assert status == 200
        assert 'name="action"' not in text
        assert looker.page(path, action="cancel", _selected_action=[id])[0] == 403
    assert state(store, id) == "scheduled"
    assert helper.page(store_pages[1], action="cancel")[0] == 200
    assert state(store, id) == "cancelled"
    for path in ("/admin/duly/schedule/add/", "/admin/duly/job/add/", f"/admin/duly/job/{id}/delete/"):
        assert helper.page(path)[0] == 403


def test_a_form_from_elsewhere_is_refused(boss: Site, store: Store) -> None:
    id = a_job(store)
    boss.jar.set_cookie(next(cookie for cookie in boss.jar if cookie.name == "csrftoken"))
    assert boss.opener.open(boss.url + "/admin/duly/job/").status == 200
    with pytest.raises(OSError, match="403"):
        boss.opener.open(boss.url + f"/admin/duly/job/{id}/change/", b"action=cancel")
    assert state(store, id) == "scheduled"


# -- schedules -----------------------------------------------------------------------------------------

FIELDS = {
    "name": "a/b ä", "rule": "0 9 * * mon", "tz": "Europe/Paris", "task": "probe.tasks.look",
    "args": "[]", "kwargs": "{}", "queue": "", "priority": "", "catch_up": "all", "overlap": "skip",
    "deadline": "14d1s", "jitter": "", "expires": "10m",
}  # fmt: skip


def test_a_schedule_is_added_edited_paused_run_and_removed(boss: Site, store: Store) -> None:
    text = boss.page("/admin/duly/schedule/add/", **FIELDS)[1]
    assert "Added: " in text
    one = store.schedules(["a/b ä"])[0]
    assert (one.catch_up, one.overlap, one.deadline, one.expires_after) == (
        "all",
        "skip",
        1_209_601_000_000,
        600_000_000,
    )
    found = re.search(r'<th scope="row"><a href="([^"]+)"', text)
    assert found
    path = found[1]
    status, text = boss.page(path)
    assert status == 200
    assert "+0100" in text or "+0200" in text
    assert 'value="0 9 * * mon"' in text
    assert 'value="1209601"' in text
    assert "Changed: " in boss.page(path, **FIELDS | {"rule": "every 10m", "priority": "7"})[1]
    assert store.schedules(["a/b ä"])[0].priority == 7

    assert "Pause: 1 done" in boss.page(path, action="pause")[1]
    assert store.schedules(["a/b ä"])[0].paused
    assert "Resume: 1 done" in boss.page(path, action="resume")[1]
    text = boss.page(path, action="run")[1]
    assert "Run now: 1 done" in text
    assert store.occurrences("a/b ä")[0].job in text
    assert "Remove: 1 done" in boss.page("/admin/duly/schedule/", action="remove", _selected_action=["a/b ä"])[1]
    assert not store.schedules(["a/b ä"])
    assert boss.page(path)[0] == 404


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("rule", "0 9 * * mno", "mon"),
        ("rule", "every soon", "not a length of time"),
        ("rule", '{"kind": "crom"}', "did you mean"),
        ("tz", "Europe/Pars", "Europe/Paris"),
        ("task", "probe.tasks.loook", "did you mean 'probe.tasks.look'?"),
        ("args", "[1]", "look"),
        ("args", "4 4", "valid JSON"),
        ("deadline", "later", "not a length of time"),
        ("name", "", "required"),
    ],
)
def test_a_wrong_field_is_told_and_nothing_is_stored(
    boss: Site, store: Store, field: str, value: str, said: str
) -> None:
    status, text = boss.page("/admin/duly/schedule/add/", **FIELDS | {field: value})
    assert status == 200
    assert said in html.unescape(text)
    assert "errornote" in text
    assert not store.schedules(["a/b ä"])


def test_a_schedule_of_the_code_is_changed_in_the_code(shop: Office, boss: Site, store: Store) -> None:
    shop.worker("-c", "1").end()
    text = boss.page("/admin/duly/schedule/reminders.tasks.forget_sent/change/")[1]
    assert "Declared by the code of app probe_settings" in text
    assert 'name="rule"' not in text
    path = "/admin/duly/schedule/"
    text = boss.page(path, action="remove", _selected_action=["reminders.tasks.forget_sent"])[1]
    assert "declare" in text
    assert store.schedules(["reminders.tasks.forget_sent"])


# -- when there is no store ----------------------------------------------------------------------------


def test_a_store_that_does_not_answer_is_a_page(shop: Office, tmp_path: Path) -> None:
    shutil.copy(shop.folder / "office.sqlite3", tmp_path)
    (tmp_path / "office.duly.db").write_bytes(b"no database at all" * 100)
    office = Office(tmp_path)
    try:
        client = office.server().log_in("boss")
        for path in ("job", "job/x/change", "schedule"):
            status, text = client.page(f"/admin/duly/{path}/")
            assert status == 503
            assert "The store does not answer" in text
            assert "office.duly.db" in text
    finally:
        office.close()
