"""Steps and signs that many sites share, in words of their pages. The browser asks for English, so these are English.

Not here, on purpose: answers to polls, quizzes and "are you still there?" (they ask for a person), and anything about
CAPTCHAs but noticing them.
"""

from __future__ import annotations

from webinars.attending.provider import Screen, Sign, Step


def button(words: str) -> str:
    """A selector of a button by its whole words (a regular expression, upper and lower case alike)."""
    return _role("button", words)


def link(words: str) -> str:
    """The same of a link."""
    return _role("link", words)


def _role(role: str, words: str) -> str:
    """An apostrophe would begin a quotation in Playwright's selectors, so any sign will do in its place."""
    return f"role={role}[name=/^\\s*({words.replace(chr(39), '.')})\\s*$/i] >> visible=true"


def field(*attributes: str) -> str:
    """A selector of a visible text field by parts of its attributes."""
    kinds = "input:not([type=hidden]):not([type=checkbox]):not([type=radio]):not([type=submit])"
    options = [f'{kinds}[{name}*="{part}" i]' for part in attributes for name in ("name", "id", "autocomplete")]
    return f"css={', '.join(options)} >> visible=true"


COOKIES = (
    Step(
        name="accept cookies",
        see="css=#onetrust-accept-btn-handler, #CybotCookiebotDialogBodyLevelButtonLevelOptinAllowAll, "
        "#truste-consent-button, .cc-allow >> visible=true",
        times=3,
    ),
    Step(
        name="accept cookies",
        see=button("(accept|allow)( all)?( cookies)?|i (agree|accept)|agree( and (continue|proceed))?|got it"),
        times=4,
    ),
)
"""Necessary cookies only would be better where it is offered; sites word it in too many ways to know."""

REGISTER = (
    Step(name="first name", see=field("first", "fname", "given"), do="fill", value="{first_name}", times=3),
    Step(name="last name", see=field("last", "lname", "surname", "family"), do="fill", value="{last_name}", times=3),
    Step(
        name="e-mail",
        see='css=input[type=email], input[name*="email" i], input[id*="email" i] >> visible=true',
        do="fill",
        value="{email}",
        times=3,
    ),
    Step(name="name", see=field("display", "fullname", "full_name", "your-name"), do="fill", value="{name}", times=3),
    Step(name="company", see=field("company", "organi"), do="fill", value="{company}", times=3),
    Step(name="job title", see=field("job", "title"), do="fill", value="{job_title}", times=3),
    Step(name="phone", see=field("phone"), do="fill", value="{phone}", times=3),
    Step(
        name="country", see='css=select[name*="country" i] >> visible=true', do="choose", value="{country}", times=3
    ),
    Step(
        name="register",
        see=button("(register|sign up|attend|reserve my (seat|spot)|save my (seat|spot)|submit)( now)?"),
        times=3,
    ),
)

LOG_IN = (
    Step(
        name="user name",
        see='css=form:has(input[type=password]) input:is([type=email], [type=text], [autocomplete="username"]) '
        ">> visible=true",
        do="fill",
        value="{username}",
        times=2,
    ),
    Step(name="password", see="css=input[type=password] >> visible=true", do="fill", value="{password}", times=2),
    Step(name="log in", see=button("(log|sign) ?in|continue|submit"), times=2),
)

ENTER = (
    Step(name="join", see=button("(join|enter|watch|view|attend)( the)?( webinar| webcast| event| session| meeting)?"
                                 "( now| live)?"), times=4),
    Step(name="join", see=link("(join|enter|watch|attend)( the)?( webinar| webcast| event| session)?( now| live)?"),
         times=2),
    Step(name="play", see=button("play( video)?"), times=4),
)  # fmt: skip

RECONNECT = (
    Step(name="reconnect", see=button("re-?join|re-?connect|try again|retry|reload"), times=20, when="disconnected"),
)

_THING = r"(webinar|webcast|event|session|meeting|presentation|broadcast)"


def says(screen: Screen, *patterns: str) -> Sign:
    """A screen known by its words: any of these regular expressions."""
    return Sign(screen=screen, text="|".join(patterns))


SIGNS = (
    Sign(
        screen=Screen.CAPTCHA,
        see='css=iframe[src*="recaptcha/api2/bframe"], iframe[src*="hcaptcha.com"], '
        'iframe[src*="challenges.cloudflare"], .g-recaptcha:not([data-size="invisible"]), .h-captcha >> visible=true',
    ),
    says(Screen.CAPTCHA, r"(verify|confirm|prove) (that )?you('re| are) (a )?(human|not a robot)"),
    says(Screen.REMOVED, r"you (have been|were) removed"),
    says(
        Screen.DENIED,
        r"(host|organi[sz]er|someone).{0,30} (denied|declined|rejected)",
        r"you (are|were) not allowed to join",
    ),
    says(
        Screen.DISCONNECTED,
        r"you('ve| have) been disconnected",
        r"connection (was|has been) lost",
        r"lost (the |your )?connection",
    ),
    says(
        Screen.ENDED,
        rf"\b(this|the|your) {_THING} (has|is) (now )?(ended|over|finished|concluded)",
        rf"thank(s| you) for (attending|joining|watching)( (this|the|our) {_THING})?",
    ),
    says(
        Screen.NOT_FOUND,
        r"page (was )?not found",
        rf"{_THING} (was |is |id is )?(not (found|valid)|invalid)",
        rf"{_THING} (does not|doesn't) exist",
    ),
    says(Screen.ASKED, r"are you still (there|here|watching)", r"confirm (that )?you are (present|still)"),
    Sign(screen=Screen.LOGIN, see="css=input[type=password] >> visible=true"),
    says(Screen.LOGIN, rf"(log|sign) in to (join|watch|view|continue|attend)( (this|the) {_THING})?"),
    says(
        Screen.WAITING,
        rf"{_THING}.{{0,60}}(will|is about to) (begin|start)",
        r"starts? (in|soon)",
        r"(waiting|wait) for the (host|organi[sz]er|presenter)",
        r"host.{0,40}will let you in",
        r"has not (yet )?started",
        r"waiting room",
        r"you are (now )?registered",
        r"registration (is )?(confirmed|complete)",
    ),
)
