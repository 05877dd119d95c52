"""Web Push against a push service that checks the signature and opens what was sealed as a browser would."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pushworld.browsers import Browser, PushService
from pushworld.google import raw

from watch.errors import SettingsError
from watch.pushing.http import client
from watch.pushing.notice import Address, Notice, notice
from watch.pushing.vapid import Vapid
from watch.pushing.verdicts import Closed, Dead, Later, NotAccepted, Refused
from watch.pushing.webpush import WebPush


@pytest.fixture
def service() -> Iterator[PushService]:
    service = PushService()
    yield service
    service.close()


@pytest.fixture
def vapid(service: PushService, tmp_path: Path) -> Vapid:
    vapid = Vapid(tmp_path / "vapid.pem", "mailto:watch@example.org")
    service.owner = vapid.public
    return vapid


@pytest.fixture
def webpush(vapid: Vapid) -> Iterator[WebPush]:
    with client() as http:
        yield WebPush(vapid, http, private=True)


def address(browser: Browser) -> Address:
    return Address(browser.endpoint, browser.keys)


def post(key: str = "p7", body: str = "in Linden") -> Notice:
    return notice(key=key, title="Zwei Zimmer \N{HOUSE BUILDING}", body=body, url="https://x.example/7")


def test_the_browser_here_opens_the_example_of_the_rfc() -> None:
    """RFC 8291, appendix A: so the test's own decryption is right."""
    number = int.from_bytes(raw("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big")
    browser = Browser("", ec.derive_private_key(number, ec.SECP256R1()), raw("BTBZMqHH6r4Tts7J_aSIgg"))
    body = raw(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.open(body) == b"When I grow up, I want to be a watermelon"


def test_a_browser_shows_a_notice_once_though_it_was_sent_twice(webpush: WebPush, service: PushService) -> None:
    browser = service.subscribe("ada")
    assert webpush.send(address(browser), post()) == f"{service.url}/message/1"
    webpush.send(address(browser), post())
    webpush.send(address(browser), post(key="p8", body="x" * 5000))
    assert service.counts() == {("ada", "p7"): 2, ("ada", "p8"): 1}
    assert service.shown["ada"]["p7"] == {
        "title": "Zwei Zimmer \N{HOUSE BUILDING}", "body": "in Linden", "url": "https://x.example/7", "tag": "p7",
    }  # fmt: skip
    assert set(service.shown["ada"]) == {"p7", "p8"}


@pytest.mark.parametrize(
    ("status", "headers", "verdict", "after"),
    [
        (404, {}, Dead, None),
        (410, {}, Dead, None),
        (413, {}, Refused, None),
        (403, {}, Later, 900),
        (429, {"Retry-After": "30"}, Closed, 30),
        (503, {"Retry-After": "3"}, Closed, 3),
        (500, {}, Later, None),
    ],
)
def test_each_answer_has_its_meaning(
    webpush: WebPush,
    service: PushService,
    status: int,
    headers: dict[str, str],
    verdict: type[NotAccepted],
    after: float | None,
) -> None:
    browser = service.subscribe("ada")
    service.script["ada"].append((status, headers, b""))
    with pytest.raises(NotAccepted) as raised:
        webpush.send(address(browser), post())
    assert type(raised.value) is verdict
    assert getattr(raised.value, "after", None) == after


def test_a_subscription_made_with_another_key_says_so(webpush: WebPush, service: PushService) -> None:
    browser = service.subscribe("ada")
    service.owner = "another"
    with pytest.raises(Later, match="VAPID key is not that of the subscription"):
        webpush.send(address(browser), post())


@pytest.mark.parametrize("keys", [{}, {"p256dh": "AAAA", "auth": "AAAA"}, {"p256dh": "!", "auth": "é"}])
def test_keys_of_no_browser(webpush: WebPush, service: PushService, keys: dict[str, str]) -> None:
    with pytest.raises(Dead, match="not those of a browser"):
        webpush.send(Address(service.subscribe("ada").endpoint, keys), post())


def test_endpoints_are_https_unless_the_network_is_closed(vapid: Vapid, service: PushService) -> None:
    with client() as http, pytest.raises(Refused, match="begins with https"):
        WebPush(vapid, http).send(address(service.subscribe("ada")), post())


def test_the_key_is_made_once_and_is_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "vapid.pem"
    first = Vapid(path, "mailto:a@example.org").public
    assert Vapid(path, "mailto:a@example.org").public == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    path.write_text("no key")
    with pytest.raises(SettingsError, match="holds no private key"):
        Vapid(path, "mailto:a@example.org")
    with pytest.raises(SettingsError, match="can be kept there"):
        Vapid(tmp_path / "nowhere" / "vapid.pem", "mailto:a@example.org")


def test_the_signature_is_made_once_for_a_push_service(vapid: Vapid) -> None:
    assert vapid.header("https://a.example/1") == vapid.header("https://a.example/2")
    assert vapid.header("https://a.example/1") != vapid.header("https://b.example/1")
