"""The providers that are known, each a small class.

Ids and words are those of public documentation and of public programs (meeting bots) as of 2026; they were tried
against pages of our own that behave so, not against the hosts themselves. When a host changes its pages, this is the
file to change; a recipe of yours comes before all of these.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from webinars.attending.common import COOKIES, ENTER, LOG_IN, RECONNECT, REGISTER, SIGNS, button, field, link, says
from webinars.attending.provider import Provider, Screen, Sign, Step

_LEAVE = 'css=[aria-label*="Leave" i]:is(button, [role=button]) >> visible=true'
_NO_DEVICES = Step(
    name="without microphone and camera",
    see=button("continue without (audio|microphone|audio or video|microphone and camera).*|join without .*|"
               "use without .*|dismiss|not now"),
    times=4,
)  # fmt: skip


_FROM_BROWSER = "(from|in|on)( my| your| the)? (web )?browser"


class Generic(Provider):
    """Any page with a player: forms, a button, and a <video>."""

    steps = (*COOKIES, *LOG_IN, *REGISTER, *ENTER, *RECONNECT)
    signs = SIGNS

    def fits(self, link: str) -> bool:
        return True


class BrightTalk(Provider):
    """A watch page for people who are logged in; before the start it counts down in the player's place."""

    name = "brighttalk"
    steps = (
        *COOKIES,
        *LOG_IN,
        Step(name="attend", see=button("attend( now)?|register|watch now|join live"), times=3),
        *REGISTER,
        Step(name="play", see=button("play|play webinar|watch"), times=4),
        *RECONNECT,
    )
    signs = (
        says(Screen.WAITING, r"(live|starts) in \d|upcoming webinar|you('re| are) registered"),
        *SIGNS,
    )


class Zoom(Provider):
    """Zoom's web client; the page for a link offers the program first, and the web client only when asked."""

    name = "zoom"
    player = False
    steps = (
        *COOKIES,
        Step(name="terms", see=button("i agree"), times=2),
        Step(name="from the browser", see=link("join from your browser"), times=2),
        Step(name="from the browser", see=button("join from your browser"), times=2),
        Step(name="launch", see=button("launch meeting"), times=1),
        Step(name="name", see="css=#input-for-name, #inputname >> visible=true", do="fill", value="{name}", times=3),
        Step(name="e-mail", see="css=#input-for-email, #inputemail >> visible=true", do="fill", value="{email}",
        times=3), Step(name="passcode", see="css=#input-for-pwd, #inputpasscode >> visible=true", do="fill",
        value="{passcode}", times=2),
        *REGISTER,
        _NO_DEVICES,
        Step(name="join", see=button("join|join webinar|join meeting"), times=3),
        Step(name="recording consent", see=button("got it"), times=4, when="inside"),
        *RECONNECT,
    )  # fmt: skip
    signs = (
        says(Screen.ENDED, r"this (meeting|webinar) has been ended by (the )?host|the host has ended"),
        says(Screen.DENIED, r"the host has another meeting in progress|you cannot (re)?join"),
        Sign(
            screen=Screen.NOT_FOUND,
            text=r"this (meeting|webinar) (link|id) is (invalid|not valid)|error code: ?3,?001",
        ),
        says(Screen.LOGIN, r"sign in to join|authorized attendees only"),
        says(Screen.WAITING, r"please wait, the (meeting|webinar) host|will begin when the host"),
        Sign(screen=Screen.INSIDE, see=_LEAVE),
        *SIGNS,
    )

    def address(self, link: str) -> str:
        """The web client's page: /j/123?pwd=x is /wc/join/123?pwd=x; registration and vanity pages stay."""
        parts = urlsplit(link)
        match = re.fullmatch(r"/(?:j|w|s)/(\d+)", parts.path)
        return parts._replace(path=f"/wc/join/{match[1]}").geturl() if match else link


class Teams(Provider):
    name = "teams"
    player = False
    steps = (
        *COOKIES,
        Step(name="on this browser", see="css=[data-tid=joinOnWeb] >> visible=true", times=2),
        Step(name="on this browser", see=button("continue on this browser|join on the web instead"), times=2),
        _NO_DEVICES,
        Step(name="name", see='css=[data-tid="prejoin-display-name-input"] >> visible=true', do="fill",
        value="{name}", times=3),
        *REGISTER,
        Step(name="join", see="css=#prejoin-join-button >> visible=true", times=3),
        Step(name="join", see=button("join now|join event|join webinar"), times=3),
        *RECONNECT,
    )  # fmt: skip
    signs = (
        says(Screen.WAITING, r"someone (will|should) let you in|we've let people in the meeting know"),
        says(Screen.DENIED, r"your request to join was declined|sorry, but you were denied"),
        says(Screen.REMOVED, r"you've been removed from (this|the) meeting"),
        says(Screen.ENDED, r"the (meeting|event) has ended|this event (has )?ended"),
        Sign(screen=Screen.INSIDE, see='css=#hangup-button, [data-tid="hangup-main-btn"] >> visible=true'),
        Sign(screen=Screen.INSIDE, see=_LEAVE),
        *SIGNS,
    )


class Webex(Provider):
    """Its client is in a frame of the page; frames are looked into anyway."""

    name = "webex"
    player = False
    steps = (
        *COOKIES,
        Step(name="from the browser", times=2,
             see="css=#push_download_join_by_browser, #broadcom-center-right >> visible=true"),
        Step(name="from the browser", see=button("join from (this|your) browser"), times=2),
        Step(name="name", see=field("your-name", "displayname", "guest"), do="fill", value="{name}", times=3),
        *REGISTER,
        _NO_DEVICES,
        Step(name="passcode", see=field("eventpassword", "meetingpassword"), do="fill", value="{passcode}", times=2),
        Step(name="join", see=button("join (webinar|meeting|event|as a guest)|next|join now"), times=4),
        *RECONNECT,
    )  # fmt: skip
    signs = (
        says(Screen.WAITING, r"(meeting|webinar) hasn't started|you're in the lobby|let you in"),
        Sign(screen=Screen.INSIDE, see='css=[data-test="call-end"], [data-doi*="LEAVE" i] >> visible=true'),
        Sign(screen=Screen.INSIDE, see=_LEAVE),
        *SIGNS,
    )


class GoTo(Provider):
    """GoTo Webinar: a join link of one's own after registration; its page offers the program and the browser."""

    name = "goto"
    player = False
    steps = (
        *COOKIES,
        *REGISTER,
        Step(name="from the browser", see=button(f"join {_FROM_BROWSER}|continue in browser"), times=2),
        Step(name="from the browser", see=link(f"join {_FROM_BROWSER}|join webinar"), times=2),
        _NO_DEVICES,
        Step(name="join", see=button("join( webinar)?|i'm ready|continue"), times=3),
        *RECONNECT,
    )  # fmt: skip
    signs = (
        says(Screen.WAITING, r"webinar is scheduled|waiting for the organizer|you're early"),
        Sign(screen=Screen.INSIDE, see=_LEAVE),
        *SIGNS,
    )


class Meet(Provider):
    name = "meet"
    player = False
    steps = (
        *COOKIES,
        _NO_DEVICES,
        Step(name="without devices", see=button("continue without microphone and camera"), times=3),
        Step(
            name="name", see='css=input[aria-label="Your name"] >> visible=true', do="fill", value="{name}", times=3
        ),
        Step(name="join", see=button("ask to join|join now"), times=3),
        *RECONNECT,
    )
    signs = (
        says(Screen.WAITING, r"asking to (be let in|join)|you'll join .{0,40} when someone lets you in"),
        Sign(
            screen=Screen.DENIED,
            text=r"you can't join this (video )?call|your request to join was denied|no one responded",
        ),
        says(Screen.REMOVED, r"you've been removed from the meeting"),
        Sign(screen=Screen.LOGIN, url=r"^https://accounts\.google\.com/"),
        Sign(screen=Screen.INSIDE, see='css=[aria-label="Leave call"] >> visible=true'),
        *SIGNS,
    )


KNOWN: tuple[Provider, ...] = (BrightTalk(), Zoom(), Teams(), Webex(), GoTo(), Meet(), Generic())
"""The first that fits counts."""
