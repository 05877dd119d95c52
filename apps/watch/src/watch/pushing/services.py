"""Everything else that apprise can reach (chats, SMS gateways, desktops): the extra ``apprise``.

apprise says yes or no and nothing more, so each no is tried again; and it knows no keys, so after a crash in the one
moment between its yes and our record a person may see a notice twice.
"""

from __future__ import annotations

from typing import Any

from watch.errors import SettingsError
from watch.pushing.notice import Address, Notice
from watch.pushing.verdicts import Later, Refused


class Services:
    """Sends through apprise. Raises SettingsError if it is not installed."""

    def __init__(self) -> None:
        try:
            import apprise
        except ImportError:
            raise SettingsError(
                "targets of the kind apprise need it installed: pip install 'duly-watch[apprise]'"
            ) from None
        self._apprise: Any = apprise

    def provider(self, address: Address) -> str:
        return f"apprise {address.value.partition(':')[0]}"

    def send(self, address: Address, notice: Notice) -> str:
        """Always "": apprise knows no ids. Raises NotAccepted."""
        teller = self._apprise.Apprise()
        if not teller.add(address.value):
            raise Refused(f"this is no address that apprise knows ({address.value.partition(':')[0]}:...)")
        if not teller.notify(title=notice.title, body=f"{notice.body}\n{notice.url}".strip()):
            raise Later("apprise could not send it; the worker's log may say why")
        return ""
