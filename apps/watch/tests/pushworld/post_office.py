"""A mail server (aiosmtpd) that says no to whom it is told to, and keeps what it took."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from tests.servers.process import free_port


class PostOffice:
    """``answers``: what it says to a recipient instead of 250, and ``to_data`` to the mail itself."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.to_data: str = ""
        self.mails: list[EmailMessage] = []
        self.connections = 0
        port = free_port()
        self._controller = Controller(self, hostname="0.0.0.0", port=port, ready_timeout=30)
        self._controller.start()
        self.url = f"smtp://127.0.0.1:{port}"

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, host: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = host
        return responses

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.to_data:
            return self.to_data
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append(mail)  # type: ignore[arg-type]
        return "250 taken"

    def close(self) -> None:
        self._controller.stop()
