"""The dashboard in real Chromium: pages followed with the keyboard and the mouse, live, in every width and light."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from test_web_pages import PAGES, add_schedule, fill
from web_kit import a_worker, ended, failed, leave, put, take, wait_for

from duly.job import Filter, Kind, State
from duly.store.contract import Store

Visit = Callable[..., Page]


def everything(store: Store) -> dict[str, str]:
    return fill(store)


def violations(page: Page) -> list[str]:
    """What axe has to say against a page."""
    said = []
    for one in Axe().run(page).response["violations"]:
        nodes = [node["html"][:160] for node in one["nodes"][:2]]
        said.append(f"{page.url}: {one['id']} ({one['impact']}): {nodes}")
    return said


def test_every_page_is_accessible(store: Store, base: str, browser: Browser) -> None:
    ids = everything(store)
    found = []
    more = (f"/job?id={ids['failed']}", f"/job?id={ids['scheduled']}", "/schedule?name=nightly", "/login")
    bulk = "/jobs/bulk/all?verb=move&q=state:scheduled"
    for scheme, paths in (("light", (*PAGES, *more, bulk)), ("dark", ("/", "/future", "/jobs", *more[:2]))):
        context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        for path in paths:
            page.goto(base + path)
            found += violations(page)
        leave(context)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_screen(store: Store, visit: Visit, base: str, width: int) -> None:
    ids = everything(store)
    put(store, "a.very.long.name.of.a.task." * 4, (["x" * 300], {}), 60, queue="a-queue-with-a-long-name" * 3)
    page = visit("/", width=width)
    wide = []
    for path in (*PAGES, f"/job?id={ids['failed']}", "/schedule?name=nightly"):
        page.goto(base + path)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
    assert not wide


def test_on_a_phone_the_row_of_pages_shows_where_one_is(visit: Visit) -> None:
    page = visit("/audit", width=390)
    expect(page.locator("nav a[aria-current]")).to_be_in_viewport(ratio=0.9)


def test_pages_work_without_scripts(store: Store, visit: Visit, base: str) -> None:
    ids = everything(store)
    page = visit("/", script=False)
    page.get_by_role("link", name="Jobs").click()
    page.get_by_label("Filter", exact=True).fill("state:failed")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name=ids["failed"][-12:]).click()
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("status").first).to_contain_text("It will run again")
    assert store.results([ids["failed"]])[0].state == State.WAITING  # type: ignore[union-attr]


def test_now_is_live_until_it_is_switched_off(store: Store, visit: Visit) -> None:
    page = visit("/")
    expect(page.get_by_text("No queue has live jobs")).to_be_visible()
    put(store, queue="fresh")
    expect(page.get_by_role("link", name="fresh")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Live: on").click()
    expect(page.get_by_role("button", name="Live: off")).to_be_visible()
    other = visit("/")
    for queue in ("later", "last"):  # two pictures are made: nothing may be asked for while it is off
        put(store, queue=queue)
        expect(other.get_by_role("link", name=queue)).to_be_visible()
    assert asked == []
    expect(page.get_by_role("link", name="later")).to_have_count(0)
    page.keyboard.press("l")
    expect(page.get_by_role("link", name="later")).to_be_visible()


def test_a_queue_is_paused_and_goes_on(store: Store, visit: Visit) -> None:
    put(store, queue="mail")
    page = visit("/")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Queue mail is paused")).to_be_visible()
    assert "mail" in store.paused()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Queue mail goes on")).to_be_visible()
    assert store.paused() == {}


def test_the_filter_suggests_and_finds(store: Store, visit: Visit) -> None:
    worker = a_worker(store)
    failed(store, worker, 42)
    failed(store, worker, 43)
    page = visit("/jobs")
    page.keyboard.press("/")
    field = page.get_by_label("Filter", exact=True)
    expect(field).to_be_focused()
    field.press_sequentially("state:fa")
    expect(page.locator("#suggestions option").first).to_have_attribute("value", "state:failed")
    field.fill("state:failed args.user_id:42")
    field.press("Enter")
    expect(page.locator("#rows tr")).to_have_count(1)
    assert "args.user_id" in page.url, "the address has the filter"


def test_jobs_are_selected_and_cancelled(store: Store, visit: Visit) -> None:
    ids = [put(store, ahead=3600) for _ in range(4)]
    page = visit("/jobs")
    page.get_by_label("Select job").nth(0).check()
    page.get_by_label("Select job").nth(1).check()
    expect(page.locator("#selected-count")).to_have_text("2 selected")
    page.locator("#selected").get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("2 of 2 jobs will be cancelled")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("✓ done")).to_be_visible()
    assert sum(result.state == State.CANCELLED for result in store.results(ids) if result) == 2


def test_nothing_is_deleted_without_a_question(store: Store, visit: Visit) -> None:
    id = ended(store, a_worker(store))
    page = visit(f"/job?id={id}")
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile(r"/jobs$"))
    assert asked == ["Delete this job with its history?"]
    assert store.results([id]) == [None]


def test_a_running_job_shows_how_far_it_is(store: Store, visit: Visit) -> None:
    worker = a_worker(store)
    id = put(store)
    lease = take(store, worker)
    page = visit(f"/job?id={id}")
    store.save_progress(lease, b'{"done":3,"total":10,"note":"third page"}')
    expect(page.get_by_text("third page", exact=True)).to_be_visible()
    expect(page.locator(".progress")).to_contain_text("3/10")
    store.save_log(lease, b"fetched <page> 3")
    expect(page.get_by_text("fetched <page> 3")).to_be_visible()
    page.get_by_text("Log", exact=True).click()
    store.save_log(lease, b"fetched <page> 4")
    expect(page.get_by_text("fetched <page> 4")).to_have_count(1)
    expect(page.get_by_text("fetched <page> 4")).to_be_hidden()


def test_the_future_is_walked_with_the_keyboard_and_each_mark_leads_on(store: Store, visit: Visit) -> None:
    id = put(store, "attend", (["https://example.org"], {}), 600, queue="webinars")
    add_schedule(store)
    page = visit("/future")
    mark = page.locator("svg a[aria-label^='attend(']")
    expect(mark).to_have_count(1)
    before = page.url
    page.keyboard.press("-")
    expect(page).not_to_have_url(before)
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.goto(before)
    mark.click()
    expect(page.get_by_role("heading", name="attend")).to_be_visible()
    assert id in page.url
    page.go_back()
    page.get_by_role("row", name="attend").get_by_role("button", name="Run now").click()
    wait_for(lambda: store.jobs(Filter(ids=(id,))).jobs[0].due <= store.now())


def test_a_schedule_is_added_with_its_meaning_shown_while_typing(store: Store, visit: Visit) -> None:
    a_worker(store)
    page = visit("/schedule/edit")
    page.get_by_label("Name", exact=True).fill("weekly")
    page.get_by_label("Task", exact=True).fill("mail.send")
    page.get_by_label("Rule", exact=True).press_sequentially("0 9 * * mon")
    expect(page.get_by_text("at 09:00 on Monday")).to_be_visible()
    page.get_by_role("button", name="Store it").click()
    expect(page.get_by_role("heading", name="weekly")).to_be_visible()
    assert [one.name for one in store.schedules()] == ["weekly"]


def test_light_dark_and_zone_are_remembered(store: Store, visit: Visit, base: str) -> None:
    put(store, ahead=86_400)
    page = visit("/jobs")
    page.get_by_role("button", name="Light or dark").click()
    theme = page.locator("html").get_attribute("data-theme")
    assert theme in ("light", "dark")
    with page.expect_navigation():
        page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.goto(base + "/audit")
    page.goto(base + "/jobs")
    assert page.locator("html").get_attribute("data-theme") == theme
    expect(page.locator("time").first).to_have_attribute("title", re.compile("Europe/Berlin"))


def test_shortcuts_and_skip_link(visit: Visit) -> None:
    page = visit("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_role("heading", name="Tasks")).to_be_visible()


def test_an_id_is_copied_over_plain_http_too(store: Store, visit: Visit, base: str) -> None:
    id = put(store, ahead=3600)
    page = visit("/")
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.goto(f"{base}/job?id={id}")
    page.get_by_role("button", name="Copy id").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()


LABELS = """
window.labels = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  const { a, e } = this.getTransform(), width = this.measureText(text).width;
  const left = x - width * ({ center: 0.5, right: 1, end: 1 }[this.textAlign] ?? 0);
  window.labels.push({ text, left: a * left + e, right: a * (left + width) + e, room: this.canvas.width });
  return write.apply(this, arguments);
};
0
"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("values", [None, 0.02], ids=["empty", "full"])
def test_no_label_of_a_chart_is_cut_off(visit: Visit, width: int, values: float | None) -> None:
    """Not even of an hour that begins and ends at a tick, and when nothing has started in it."""
    page = visit("/", width=width)
    expect(page.locator(".chart canvas")).to_have_count(2)
    page.evaluate(LABELS)
    page.evaluate(
        """(value) => {
          for (const chart of document.querySelectorAll(".chart")) {
            const spec = JSON.parse(chart.dataset.chart);
            spec.x = Array.from({ length: 61 }, (_, minute) => 1800000000 + 60 * minute);
            for (const one of spec.series) one.values = spec.x.map(() => value);
            chart.dataset.chart = JSON.stringify(spec);
          }
          dispatchEvent(new Event("resize"));
        }""",
        values,
    )

    def drawn() -> list[dict[str, Any]] | None:
        labels: list[dict[str, Any]] = page.evaluate("window.labels")
        return labels if sum(label["text"] == "09:00" for label in labels) >= 2 else None

    labels = wait_for(drawn, 60)
    cut = [label for label in labels if label["left"] < 0 or label["right"] > label["room"]]
    assert cut == []
    assert any(label["text"] in ("10 ms", "20 ms", "100 ms") for label in labels)  # the scale of lateness


def test_charts_are_drawn_and_have_a_table(store: Store, visit: Visit) -> None:
    worker = a_worker(store)
    for kind in (Kind.SUCCEEDED, Kind.SUCCEEDED, Kind.FAILED):
        ended(store, worker, kind)
    page = visit("/")
    expect(page.locator(".chart canvas")).to_have_count(2)
    page.get_by_text("The two charts as a table").click()
    expect(page.locator("details table tbody tr")).to_have_count(1)
