"""A dry run: open the door, look, and say what would be done. Nothing is clicked, filled in or submitted."""

from __future__ import annotations

from playwright.async_api import Error as PlaywrightError

from webinars.attending import browser, eyes
from webinars.attending.attend import Home, profile_of
from webinars.attending.provider import Screen
from webinars.attending.recipe import choose
from webinars.attending.stay import reason
from webinars.ledger import Planned

_SETTLE = 3_000  # milliseconds that a page has for putting itself together


async def rehearse(home: Home, planned: Planned) -> list[str]:
    """What is seen, in lines for people. Raises WebinarsError if there is no browser."""
    settings = home.settings
    provider = choose(planned.link, settings.recipes)
    told = [f"provider: {provider.name}"]
    async with (
        browser.launch(settings.browser) as launched,
        browser.context(launched, settings.timezone, profile_of(settings, provider.name)) as context,
    ):
        page = await context.new_page()
        try:
            response = await page.goto(provider.address(planned.link), wait_until="domcontentloaded")
        except PlaywrightError as error:
            return [*told, f"the page does not open: {reason(error)}"]
        await page.wait_for_timeout(_SETTLE)
        told.append(
            f"the site answered {response.status if response else '(nothing)'}; title: {await page.title()!r}"
        )
        sight = await eyes.look(page)
        sign = await eyes.screen(page, sight, provider, tuple(Screen))
        told.append(f"screen: {sign.screen.value} ({sign})" if sign else "screen: no sign that is known")
        steps = [step for step in provider.steps if step.when == "way" and await eyes.applies(page, step)]
        told += [f"step there: {step.name} ({step.do})" for step in steps] or ["no step that is known applies"]
        told.append(f"players: {len(sight.videos)}")
        shot = home.ledger.folder(planned) / "dry-run.jpg"
        await page.screenshot(type="jpeg", quality=60, path=shot)
        shot.chmod(0o600)
        told.append(f"picture: {shot}")
    return told
