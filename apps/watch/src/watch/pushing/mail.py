"""E-mail, by SMTP; each thread keeps its connection.

A server's no for ever to the recipient makes the address Dead, unless its reason (RFC 3463) is policy and so may be
us, not the address; "not now" is Later; no to our log-in or to the sender closes e-mail until somebody may have put
it right.

Mail has no keys: after a crash between the server's yes and our record it is sent again, with the same Message-ID,
by which most mailboxes drop the second one.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import threading
from email.message import EmailMessage
from email.utils import formataddr, localtime, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from watch.errors import SettingsError
from watch.pushing.http import PARKED_FOR
from watch.pushing.notice import Address, Notice
from watch.pushing.verdicts import Closed, Dead, Later, NotAccepted, Refused

_PATIENCE = 20.0  # seconds
_POLICY = re.compile(r"^5\.7\.")
_FULL = re.compile(r"^5\.2\.2|^5\.3\.")  # the mailbox or the server has no room: passes
_PORTS = {"smtp": 25, "smtps": 465}


class Mail:
    """One SMTP server: ``smtp://user:password@host:587`` (STARTTLS where offered) or ``smtps://`` (TLS at once).
    Raises SettingsError."""

    def __init__(self, server: str, sender: str) -> None:
        parts = urlsplit(server)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise SettingsError("the mail server is written as smtp://user:password@host:587 or smtps://...")
        if "@" not in parseaddr(sender)[1]:
            raise SettingsError(f"mail from {sender!r}: expected an address, Watch <watch@example.org>")
        self._tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender = sender
        self._mine = threading.local()

    def provider(self, address: Address) -> str:
        return "e-mail"

    def send(self, address: Address, notice: Notice) -> str:
        """The Message-ID. Raises NotAccepted."""
        mail = compose(self._sender, address.value, notice)
        try:
            server = self._connection()
            server.send_message(mail, parseaddr(self._sender)[1], [address.value])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _of_recipient(code, _text(said)) from None
        except smtplib.SMTPAuthenticationError as error:
            raise Closed(f"{self._host} refuses our log-in: {_text(error.smtp_error)}", PARKED_FOR) from None
        except smtplib.SMTPSenderRefused as error:
            raise _of_us(error.smtp_code, _text(error.smtp_error), "the sender") from None
        except smtplib.SMTPResponseException as error:
            raise _of_us(error.smtp_code, _text(error.smtp_error), "the mail") from None
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise Later(f"no answer from {self._host}: {type(error).__name__}") from None
        return str(mail["Message-ID"])

    def _connection(self) -> smtplib.SMTP:
        """The thread's own, if it still answers; else a new one."""
        server: smtplib.SMTP | None = getattr(self._mine, "server", None)
        if server is not None:
            try:
                if server.rset()[0] == 250:
                    return server
            except (smtplib.SMTPException, OSError):
                pass
            self.close()
        self._mine.server = self._connect()
        return self._mine.server  # type: ignore[no-any-return]

    def _connect(self) -> smtplib.SMTP:
        safe = ssl.create_default_context()
        if self._tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=_PATIENCE, context=safe)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_PATIENCE)
        try:
            self._log_in(server, safe)
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP, safe: ssl.SSLContext) -> None:
        server.ehlo_or_helo_if_needed()
        if not self._tls and server.has_extn("starttls"):
            server.starttls(context=safe)
        elif not self._tls and self._user and not _near(self._host):
            raise Closed(f"{self._host} offers no TLS: our password is not sent to it", PARKED_FOR)
        if self._user:
            server.login(self._user, self._password)

    def close(self) -> None:
        """The connection of this thread."""
        server: smtplib.SMTP | None = getattr(self._mine, "server", None)
        self._mine.server = None
        if server is not None:
            server.close()


def compose(sender: str, to: str, notice: Notice) -> EmailMessage:
    """The mail of a notice, with what mailboxes need to offer their own button for leaving (RFC 2369, RFC 8058)."""
    if not to.isascii() or not all(mark.isprintable() and mark != " " for mark in to) or "@" not in to:
        raise Refused(f"{to!r} is no e-mail address that this program can write to")
    mail = EmailMessage()
    mail["From"], mail["To"] = formataddr(parseaddr(sender)), to
    mail["Subject"] = notice.title
    mail["Date"] = localtime()
    mail["Message-ID"] = f"<{notice.key}.{notice.to or 'all'}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    lines = [notice.body, notice.url]
    if notice.unsubscribe:
        mail["List-Unsubscribe"] = f"<{notice.unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        lines.append(f"-- \nNo more of these: {notice.unsubscribe}")
    mail.set_content("\n\n".join(line for line in lines if line) + "\n")
    return mail


def _of_recipient(code: int, said: str) -> NotAccepted:
    text = f"the mail server answered {code} to the address: {said}"
    if code < 500 or code == 552 or _FULL.match(said):
        return Later(text)
    return Refused(text) if _POLICY.match(said) else Dead(text)


def _of_us(code: int, said: str, what: str) -> NotAccepted:
    """421 and 4xx: the server wants less of us, or later."""
    text = f"the mail server answered {code} to {what}: {said}"
    if code == 421:
        return Closed(text, 60.0)
    if 400 <= code < 500:
        return Later(text)
    return Closed(text, PARKED_FOR) if what == "the sender" else Refused(text)


def _text(said: object) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return " ".join(text.split())[:200]


def _near(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
