"""E-mail, ntfy and apprise, and what is cut."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email.header import decode_header, make_header
from typing import Any

import pytest
from pushworld.post_office import PostOffice
from pushworld.serving import Answer, Serving, answer

from watch.errors import SettingsError
from watch.pushing.http import client
from watch.pushing.mail import Mail
from watch.pushing.notice import Address, Notice, cut, notice
from watch.pushing.ntfy import Ntfy
from watch.pushing.services import Services
from watch.pushing.verdicts import Closed, Dead, Later, NotAccepted, Refused

ADA = Address("ada@example.org")


@pytest.fixture
def office() -> Iterator[PostOffice]:
    office = PostOffice()
    yield office
    office.close()


@pytest.fixture
def mail(office: PostOffice) -> Iterator[Mail]:
    mail = Mail(office.url, "Watch <watch@example.org>")
    yield mail
    mail.close()


def post(**changes: Any) -> Notice:
    values: dict[str, Any] = {
        "key": "p7", "title": "Zwei Zimmer", "body": "in Linden", "url": "https://x.example/7",
        "unsubscribe": "https://watch.example/u/abc", "to": "3",
    }  # fmt: skip
    return notice(**{**values, **changes})


class TestMail:
    def test_a_mail_can_be_left_with_one_click(self, mail: Mail, office: PostOffice) -> None:
        assert mail.send(ADA, post()) == "<p7.3@example.org>"
        sent = office.mails[0]
        assert sent["Subject"] == "Zwei Zimmer"
        assert (sent["From"], sent["To"]) == ("Watch <watch@example.org>", "ada@example.org")
        assert sent["List-Unsubscribe"] == "<https://watch.example/u/abc>"
        assert sent["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert "https://x.example/7" in sent.get_content()

    def test_the_same_post_has_the_same_message_id(self, mail: Mail, office: PostOffice) -> None:
        assert mail.send(ADA, post()) == mail.send(ADA, post())
        assert office.connections == 1  # a thread keeps its connection

    def test_a_title_cannot_add_a_header(self, mail: Mail, office: PostOffice) -> None:
        mail.send(ADA, post(title="Hello\r\nBcc: eve@example.org"))
        assert office.mails[0]["Subject"] == "Hello Bcc: eve@example.org"
        assert office.mails[0]["Bcc"] is None

    @pytest.mark.parametrize(
        ("said", "verdict"),
        [
            ("550 5.1.1 no such user", Dead),
            ("553 no", Dead),
            ("550 5.7.1 we do not like you", Refused),
            ("552 5.2.2 mailbox full", Later),
            ("450 4.2.1 greylisted", Later),
        ],
    )
    def test_what_is_said_to_the_address(
        self, mail: Mail, office: PostOffice, said: str, verdict: type[NotAccepted]
    ) -> None:
        office.answers[ADA.value] = said
        with pytest.raises(NotAccepted) as raised:
            mail.send(ADA, post())
        assert type(raised.value) is verdict
        mail.send(Address("bob@example.org"), post())

    @pytest.mark.parametrize(
        ("said", "verdict"), [("554 spam", Refused), ("451 later", Later), ("421 too many", Closed)]
    )
    def test_what_is_said_to_the_mail(
        self, mail: Mail, office: PostOffice, said: str, verdict: type[NotAccepted]
    ) -> None:
        office.to_data = said
        with pytest.raises(NotAccepted) as raised:
            mail.send(ADA, post())
        assert type(raised.value) is verdict

    def test_no_server(self) -> None:
        with pytest.raises(Later, match="no answer from"):
            Mail("smtp://127.0.0.1:1", "watch@example.org").send(ADA, post())

    def test_a_password_goes_over_tls_or_nowhere(self, office: PostOffice) -> None:
        server = office.url.replace("//127.0.0.1", f"//me:secret@{socket.gethostname()}")
        with pytest.raises(Closed, match="offers no TLS"):
            Mail(server, "watch@example.org").send(ADA, post())

    @pytest.mark.parametrize("address", ["ada", "ada@example.org\nBcc: eve", "ada @example.org"])
    def test_what_is_no_address(self, mail: Mail, address: str) -> None:
        with pytest.raises(Refused, match="no e-mail address"):
            mail.send(Address(address), post())

    def test_wrong_settings(self) -> None:
        with pytest.raises(SettingsError, match="smtp://"):
            Mail("mail.example.org", "watch@example.org")
        with pytest.raises(SettingsError, match="expected an address"):
            Mail("smtp://mail.example.org", "watch")


class Topics(Serving):
    def __init__(self) -> None:
        super().__init__()
        self.said: Answer = answer(200, {"id": "abc"})
        self.posts: list[tuple[str, Any, bytes]] = []

    def post(self, path: str, headers: Any, body: bytes, port: int) -> Answer:
        self.posts.append((path, headers, body))
        return self.said


class TestNtfy:
    @pytest.fixture
    def topics(self) -> Iterator[Topics]:
        topics = Topics()
        yield topics
        topics.close()

    def test_a_notice_has_its_sequence(self, topics: Topics) -> None:
        with client() as http:
            address = Address(f"{topics.url}/watch-ada", {"token": "tk_1"})
            assert Ntfy(http).send(address, post(title="Zürich", url="https://x.example/ä")) == "abc"
        path, headers, body = topics.posts[0]
        assert (path, body) == ("/watch-ada", b"in Linden")
        assert str(make_header(decode_header(headers["Title"]))) == "Zürich"
        assert headers["Click"] == "https://x.example/%C3%A4"
        assert headers["X-Sequence-ID"] == "p7"
        assert headers["Authorization"] == "Bearer tk_1"

    @pytest.mark.parametrize(
        ("said", "verdict"),
        [
            (answer(429, {"code": 42901}), Closed),
            (answer(403, {}), Later),
            (answer(507, {}), Later),
            (answer(400, {}), Refused),
            ((200, {}, b"<html>"), Refused),
        ],
    )
    def test_each_answer_has_its_meaning(self, topics: Topics, said: Answer, verdict: type[NotAccepted]) -> None:
        topics.said = said
        with client() as http, pytest.raises(NotAccepted) as raised:
            Ntfy(http).send(Address(f"{topics.url}/t"), post())
        assert type(raised.value) is verdict

    @pytest.mark.parametrize("address", ["t", "ftp://x.example/t", "http://[x/t"])
    def test_what_is_no_address(self, address: str) -> None:
        with client() as http, pytest.raises(Refused):
            Ntfy(http).send(Address(address), post())


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # apprise imports it
class TestServices:
    def test_apprise_reaches_a_server(self) -> None:
        topics = Topics()
        host = topics.url.removeprefix("http://")
        assert Services().send(Address(f"json://{host}/hook"), post()) == ""
        topics.said = (500, {}, b"")
        with pytest.raises(Later, match="apprise could not send"):
            Services().send(Address(f"json://{host}/hook"), post())
        topics.close()

    def test_an_address_that_apprise_does_not_know(self) -> None:
        with pytest.raises(Refused, match=r"knows \(nonsense"):
            Services().send(Address("nonsense://x"), post())


@pytest.mark.parametrize(
    ("text", "size", "short"),
    [
        ("ab\n\x00 c", 10, "ab c"),
        ("äöü", 6, "äöü"),
        ("äöüß", 7, "äö…"),
        ("\N{HOUSE BUILDING}" * 3, 9, "\N{HOUSE BUILDING}…"),
    ],
)
def test_texts_are_cut_between_characters(text: str, size: int, short: str) -> None:
    assert cut(text, size) == short
    assert len(short.encode()) <= size
