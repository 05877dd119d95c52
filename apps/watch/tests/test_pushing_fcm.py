"""FCM against a Google of our own that checks signature, claims and every field."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import httpx2
import pytest
from pushworld.google import Google, error, google_error

from watch.errors import SettingsError
from watch.pushing.fcm import Fcm, message
from watch.pushing.google_token import ServiceAccount
from watch.pushing.http import client
from watch.pushing.notice import Address, Notice, notice
from watch.pushing.verdicts import Closed, Dead, Later, NotAccepted, Refused

PHONE = Address("d7Fq:APA91b-token")
INSTALLATION = Address("cBWQx1yTQk2fZ0vJ3mN4pL")


@pytest.fixture
def google() -> Iterator[Google]:
    google = Google()
    google.devices = {PHONE.value, INSTALLATION.value}
    yield google
    google.close()


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with client() as http:
        yield http


@pytest.fixture
def fcm(google: Google, http: httpx2.Client, tmp_path: Path) -> Fcm:
    return Fcm(ServiceAccount(google.key_file(tmp_path), http), http, google.url)


def post(**changes: str) -> Notice:
    return notice(**{"key": "p7", "title": "Two rooms", "body": "in Linden", "url": "https://x.example/7", **changes})


def test_a_notice_reaches_tokens_and_installations(fcm: Fcm, google: Google) -> None:
    assert fcm.send(PHONE, post()) == "projects/watch-demo/messages/1"
    fcm.send(INSTALLATION, post())
    shown = google.shown[PHONE.value]["p7"]
    assert shown["notification"] == {"title": "Two rooms", "body": "in Linden"}
    assert shown["data"]["url"] == "https://x.example/7"
    assert google.shown[INSTALLATION.value]["p7"]["fid"] == INSTALLATION.value
    assert len(google.tokens) == 1  # an access token is kept


def test_a_second_one_under_the_same_key_shows_nothing_more(fcm: Fcm, google: Google) -> None:
    fcm.send(PHONE, post())
    fcm.send(PHONE, post())
    fcm.send(PHONE, post(key="p8"))
    assert google.counts() == {(PHONE.value, "p7"): 2, (PHONE.value, "p8"): 1}
    assert set(google.shown[PHONE.value]) == {"p7", "p8"}


def test_the_longest_texts_fit(fcm: Fcm) -> None:
    worst = post(title="\u20ac" * 3000, body='"\\\u20ac' * 3000)
    assert len(worst.body.encode()) <= 1200
    assert len(json.dumps({"message": message(PHONE, worst)}, ensure_ascii=False)) < 4096
    fcm.send(PHONE, worst)


def test_a_link_that_is_not_https_is_no_link_of_a_browser(fcm: Fcm, google: Google) -> None:
    fcm.send(PHONE, post(url="http://x.example/7"))
    assert "fcm_options" not in google.shown[PHONE.value]["p7"]["webpush"]


QUOTA_OF_DEVICE = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"subject": "device:d7Fq", "description": "Device message rate exceeded"}],
}
ANSWERS = [
    (error("UNREGISTERED", 404), Dead, None),
    (error("INVALID_ARGUMENT", 400, "The registration token is not a valid FCM registration token"), Dead, None),
    (error("INVALID_ARGUMENT", 400, "Android message is too big"), Refused, None),
    (google_error(400, "INVALID_ARGUMENT", "Invalid value at 'message.token'"), Refused, None),
    (error("SENDER_ID_MISMATCH", 403), Later, 900),
    (error("THIRD_PARTY_AUTH_ERROR", 401), Later, 900),
    (error("QUOTA_EXCEEDED", 429), Closed, 60),
    (error("QUOTA_EXCEEDED", 429, after="17"), Closed, 17),
    (error("QUOTA_EXCEEDED", 429, **QUOTA_OF_DEVICE), Later, 60),
    (error("UNAVAILABLE", 503, after="5"), Closed, 5),
    (error("UNAVAILABLE", 503), Later, None),
    (error("INTERNAL", 500), Later, None),
    (google_error(403, "PERMISSION_DENIED", "API has not been used"), Closed, 300),
    (google_error(404, "NOT_FOUND", "Project not found"), Closed, 300),
    ((502, {"Content-Type": "text/html"}, b"<h1>Bad gateway"), Later, None),
    ((429, {}, b""), Closed, 60),
    ((400, {"Content-Type": "application/json"}, b"[]"), Refused, None),
]


@pytest.mark.parametrize(("said", "verdict", "after"), ANSWERS)
def test_each_answer_has_its_meaning(
    fcm: Fcm, google: Google, said: tuple[int, dict[str, str], bytes], verdict: type[NotAccepted], after: float | None
) -> None:
    google.script[PHONE.value].append(said)
    with pytest.raises(NotAccepted) as raised:
        fcm.send(PHONE, post())
    assert type(raised.value) is verdict
    assert getattr(raised.value, "after", None) == after
    fcm.send(PHONE, post())


def test_a_date_in_retry_after(fcm: Fcm, google: Google) -> None:
    google.script[PHONE.value].append(error("QUOTA_EXCEEDED", 429, after=formatdate(time.time() + 90, usegmt=True)))
    with pytest.raises(Closed) as raised:
        fcm.send(PHONE, post())
    assert 80 < raised.value.after <= 90


def test_an_access_token_that_was_taken_back_is_replaced(fcm: Fcm, google: Google) -> None:
    fcm.send(PHONE, post())
    google.tokens = dict.fromkeys(google.tokens, 0.0)
    fcm.send(PHONE, post(key="p8"))
    assert len(google.tokens) == 2


def test_no_access_closes_the_provider(fcm: Fcm, google: Google) -> None:
    google.account_ok = False
    with pytest.raises(Closed, match="account not found"):
        fcm.send(PHONE, post())


def test_a_google_that_is_not_there(google: Google, http: httpx2.Client, tmp_path: Path) -> None:
    fcm = Fcm(ServiceAccount(google.key_file(tmp_path), http), http, "http://127.0.0.1:1")
    with pytest.raises(Later, match=r"no answer from 127\.0\.0\.1") as raised:
        fcm.send(PHONE, post())
    assert not isinstance(raised.value, Closed)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JSON"),
        ('{"type": "authorized_user"}', "no key of a service account"),
        ('{"type": "service_account", "project_id": "p"}', "not complete"),
    ],
)
def test_a_file_that_is_no_key(tmp_path: Path, http: httpx2.Client, content: str, said: str) -> None:
    path = tmp_path / "key.json"
    with pytest.raises(SettingsError, match="cannot be read"):
        ServiceAccount(path, http)
    path.write_text(content)
    with pytest.raises(SettingsError, match=said):
        ServiceAccount(path, http)
