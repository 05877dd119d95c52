"""Who may look and who may change; what comes from elsewhere; what a browser is told."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from web_kit import Client, put, serving

from duly import Duly
from duly.errors import ConfigError
from duly.store.contract import Store
from duly.web import Viewer, dashboard
from duly.web.access import MAX_FAILURES, Access, User, hash_password, read_users
from duly.web.app import ROUTES
from duly.web.server import Where, access_of, check

TOKEN, READ = "a-token-of-some-length", "read-token-of-some-length"


def an_access(**more: object) -> Access:
    users = {
        "ann": User("ann", "change", hash_password("correct horse")),
        "rob": User("rob", "read", hash_password("battery staple")),
    }
    return Access(users=users, token=TOKEN, read_token=READ, **more)  # type: ignore[arg-type]


def test_everything_but_a_few_addresses_needs_a_login(store: Store) -> None:
    with serving(store, access=an_access()) as base:
        client = Client(base)
        for route in ROUTES:
            path = route.path.replace("{name}", "x")
            method = "POST" if "POST" in (route.methods or ()) else "GET"
            answer = client._ask(method, path, "", {"Accept": "application/json"})
            if path in ("/login", "/healthz", "/readyz", "/static/x"):
                assert answer.status != 401, path
            else:
                assert answer.status == 401, f"{method} {path}"


def test_a_page_leads_to_the_login_and_back(store: Store) -> None:
    with serving(store, access=an_access()) as base:
        client = Client(base)
        answer = client.get("/jobs?q=state:failed")
        assert answer.status == 303
        assert answer.headers["location"] == "/login?next=/jobs%3Fq%3Dstate%3Afailed".replace("/jobs", "%2Fjobs")
        wrong = client.post("/login", {"user": "ann", "password": "nonsense", "next": "/jobs"})
        assert (wrong.status, "not right" in wrong.text) == (401, True)
        right = client.post("/login", {"user": "ann", "password": "correct horse", "next": "/jobs?q=state:failed"})
        assert right.status == 200
        assert "Log out ann" in right.text
        assert client.post("/logout").status == 200  # the login form again
        assert client.get("/").status == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_to_our_own_pages_only(store: Store, target: str) -> None:
    with serving(store, access=an_access()) as base:
        client = Client(base)
        body = f"csrf={client.token()}&user=ann&password=correct+horse&next={target}"
        answer = client._ask("POST", "/login", body, {"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.headers["location"] == "/"


def test_wrong_logins_have_to_wait(store: Store) -> None:
    access = an_access()
    for _ in range(MAX_FAILURES):
        assert access.login("ann", "nonsense", "10.0.0.1") is None
    assert access.must_wait("10.0.0.1")
    assert access.login("ann", "correct horse", "10.0.0.1") is None
    assert access.login("ann", "correct horse", "10.0.0.2") == Viewer("ann", True)


@pytest.mark.parametrize(
    ("headers", "viewer"),
    [
        ({"authorization": f"Bearer {TOKEN}"}, Viewer("token", True)),
        ({"authorization": f"Bearer {READ}"}, Viewer("read token", False)),
        ({"authorization": "Bearer nonsense"}, None),
        ({"authorization": "Basic " + base64.b64encode(b"rob:battery staple").decode()}, Viewer("rob", False)),
        ({"authorization": "Basic " + base64.b64encode(b"rob:correct horse").decode()}, None),
        ({"authorization": "Basic nonsense"}, None),
        ({}, None),
    ],
)
def test_programs_log_in_with_each_request(headers: dict[str, str], viewer: Viewer | None) -> None:
    assert an_access().viewer(headers, None) == viewer


def test_a_session_ends_when_its_user_or_token_is_gone() -> None:
    access = an_access()
    session = access.session(Viewer("ann", True))
    token_session = access.session(Viewer("token", True))
    assert access.viewer({}, session) == Viewer("ann", True)
    assert access.viewer({}, token_session) == Viewer("token", True)
    assert access.viewer({}, session[:-1] + ("0" if session[-1] != "0" else "1")) is None
    later = Access(users={}, token="another-token-altogether", secret=access.secret)
    assert later.viewer({}, session) is None
    assert later.viewer({}, token_session) is None
    assert Access(users=access.users).viewer({}, session) is None, "another secret"


def test_who_may_only_look_cannot_change_anything(store: Store) -> None:
    id = put(store, ahead=3600)
    with serving(store, access=an_access()) as base:
        client = Client(base)
        client.post("/login", {"user": "rob", "password": "battery staple"})
        page = client.get(f"/job?id={id}")
        assert page.status == 200
        assert "Run again with edits" not in page.text
        for route in ROUTES:
            if "POST" in (route.methods or ()) and route.path not in ("/login", "/logout"):
                answer = client._ask("POST", route.path, f"csrf={client.token()}&id={id}&verb=cancel", {})
                assert answer.status == 403, route.path
    [result] = store.results([id])
    assert result is not None
    assert result.state_name(store.now()) == "scheduled"
    assert store.actions() == []


def test_read_only_holds_for_everybody() -> None:
    assert an_access(read_only=True).viewer({"authorization": f"Bearer {TOKEN}"}, None) == Viewer("token", False)
    assert Access(read_only=True).viewer({}, None) == Viewer("anybody", False)


# -- from elsewhere ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused(store: Store, client: Client, headers: dict[str, str]) -> None:
    id = put(store, ahead=3600)
    answer = client.post("/job/act", {"id": id, "verb": "cancel"}, **headers)
    assert answer.status == 403
    assert store.actions() == []


def test_a_form_without_our_token_is_refused(store: Store, client: Client) -> None:
    id = put(store, ahead=3600)
    client.token()  # which also gives a seat
    for token in ("", "csrf=0123"):
        answer = client._ask("POST", "/job/act", f"{token}&id={id}&verb=cancel", {})
        assert answer.status == 403
    mine, other = client.token(), Client(client.base)
    other.token()
    assert other._ask("POST", "/job/act", f"csrf={mine}&id={id}&verb=cancel", {}).status == 403
    assert client._ask("POST", "/job/act", f"csrf={mine}&id={id}&verb=cancel", {}).status == 303


def test_a_name_that_points_here_is_not_answered(client: Client) -> None:
    assert client.get("/", Host="evil.example").status == 421
    assert client.get("/", Host="localhost:1").status == 200


@pytest.mark.parametrize("host", ["localhost/login?", "x@localhost/static/#", "localhost:1/healthz?"])
def test_a_name_with_a_path_in_it_opens_no_door(store: Store, host: str) -> None:
    with serving(store, access=an_access()) as base:
        for path in ("/api/v1/jobs", "/metrics", "/login/../jobs", "//login/../jobs"):
            assert Client(base, headers={}).get(path, Host=host).status in (401, 404), path


def test_browsers_are_told_what_a_page_may_do(client: Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|javascript:", answer.text)


def test_what_is_posted_has_a_limit(client: Client) -> None:
    answer = client._ask("POST", "/job/act", "x=" + "y" * (2 << 20), {})
    assert answer.status == 413


# -- where it listens, and whom it asks --------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "box.example.org"])
def test_elsewhere_it_refuses_to_listen_without_asking_who(host: str) -> None:
    with pytest.raises(ConfigError, match="nobody would be asked"):
        check(Where(host, 8555, Access()))
    check(Where(host, 8555, an_access()))
    with pytest.raises(ConfigError, match="could send that header"):
        check(Where(host, 8555, Access(user_header="x-user"), ("box",)))


def test_on_loopback_nobody_has_to_be_asked() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        check(Where(host, 8555, Access()))


def test_a_proxy_says_who_looks(store: Store) -> None:
    with pytest.raises(ConfigError, match="--allow-host"):
        check(Where("127.0.0.1", 8555, Access(user_header="x-user")))
    with serving(store, access=Access(user_header="x-user")) as base:
        client = Client(base)
        assert client.get("/").status == 401 or client.get("/").status == 303
        assert client.get("/", X_User="eve").status == 200


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ann", "name:role:hash"),
        ("ann:boss:scrypt$00$00", "change or read"),
        ("ann:read:hunter2", "the hash of ann is none"),
    ],
)
def test_a_users_file_that_is_wrong_is_told_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"users:2: .*{complaint}"):
        read_users(f"# who may look\n{text}\n", "users")


def test_weak_tokens_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        access_of(None, None, False, {"DULY_DASHBOARD_TOKEN": "short"})
    empty = tmp_path / "users"
    empty.write_text("\n")
    with pytest.raises(ConfigError, match="names nobody"):
        access_of(str(empty), None, False, {})
    with pytest.raises(ConfigError, match="No such file"):
        access_of(str(tmp_path / "none"), None, False, {})


def test_it_can_be_mounted_where_the_host_says_who_looks(store: Store, tmp_path: Path) -> None:
    app = Duly("mounted", store=store.url)

    def who(request: HTTPConnection) -> Viewer | None:
        name = request.headers.get("x-me")
        return Viewer(name, name == "ann") if name else None

    host = Starlette(routes=[Mount("/ops/queue", dashboard(app, authorize=who))])
    id = put(store, ahead=3600)
    with serving(store, site=host) as base:
        client = Client(base)
        assert client.get("/ops/queue/").status == 403
        page = client.get("/ops/queue/jobs", X_Me="bob")
        assert page.status == 200
        assert 'href="/ops/queue/job?id=' in page.text
        assert set(re.findall(r'(?:href|src|action)="(/[^"]{0,10})', page.text)) == {"/ops/queue/"} or all(
            found.startswith("/ops/queue") for found in re.findall(r'(?:href|src|action)="(/[^"]*)', page.text)
        )
        token = re.search(r'data-csrf="(\w+)"', page.text)
        assert token
        body = f"csrf={token[1]}&id={id}&verb=cancel"
        assert client._ask("POST", "/ops/queue/job/act", body, {"X-Me": "bob"}).status == 403
        done = client._ask("POST", "/ops/queue/job/act", body, {"X-Me": "ann"})
        assert (done.status, done.headers["location"]) == (303, f"/ops/queue/job?id={id}")
    assert [(line.who, line.verb) for line in store.actions()] == [("ann", "cancel")]
    app.close()
