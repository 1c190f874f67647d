"""The page in a real browser: it renders, searches by keyboard, runs no foreign script and asks nobody else."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page

from pgpipe.db import Database
from tests.sql.support import eventually
from tests.web.conftest import HOSTILE, serving, settled

CONTRAST = """
() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const texts = [...document.querySelectorAll('body *')].filter(e => !e.closest('svg') && e.checkVisibility()
      && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return texts.map(e => { const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
      return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.tagName, e.textContent.trim().slice(0, 30)]; })
      .filter(x => x[0] < 4.5);
}
"""
LABELS = ["started, UTC", "date", "mode", "state", "read", "inserted", "updated", "deleted", "left out", "took"]
RENEW = "document.dispatchEvent(new Event('visibilitychange')) && null"
SEARCH = "/?q=waterproof+jacket&entity=doc"


class Seen:
    """What a page does beside showing itself."""

    def __init__(self, page: Page) -> None:
        self.console: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab of its own."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_search_by_keyboard(tab: Page, page: str) -> None:
    """Tab, type, Enter: three columns; no complaint on the console, no request to anyone else."""
    seen = Seen(tab)
    tab.goto(page)
    for _ in range(12):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.name") == "q":
            break
    tab.keyboard.type("waterproof jacket")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".modes")

    assert [h.split()[0] for h in tab.locator(".mode h2").all_inner_texts()] == ["text", "vector", "hybrid"]
    assert tab.locator(".mode li").count() >= 3
    assert tab.locator("mark").count() > 0
    assert seen.console == []
    assert all(url.startswith(page + "/") for url in seen.requests)


def test_the_search_box_suggests(tab: Page, page: str, filled: Database) -> None:
    """Options appear while somebody types, also of a title that is markup, under the strict policy."""
    with filled.connect() as conn:
        conn.execute("insert into doc values (5, %s, '', 1)", (f"wxy{HOSTILE}",))
        conn.execute("select pgpipe.refresh_search('doc')")
    seen = Seen(tab)
    tab.goto(page)
    for typed, expected in (("water", "waterproof"), ("wxy", f"wxy{HOSTILE}")):
        tab.locator("input[name=q]").press_sequentially(typed)
        tab.wait_for_function(
            "wanted => [...document.querySelectorAll('#suggestions option')].some(each => each.value === wanted)",
            arg=expected,
        )
        tab.fill("input[name=q]", "")
    assert tab.evaluate("window.hacked") is None
    assert seen.console == []
    assert all(url.startswith(page + "/") for url in seen.requests)


def test_hostile_texts_run_nothing(tab: Page, page: str, filled: Database) -> None:
    """A row and a question full of script stay text that can be read."""
    with filled.connect() as conn:
        conn.execute("insert into doc values (5, %s, 'jacket', 1)", (HOSTILE,))
    seen = Seen(tab)

    tab.goto(page)
    for question in (f"jacket {HOSTILE}", "jacket"):
        tab.fill("input[name=q]", question)
        tab.keyboard.press("Enter")
        tab.wait_for_selector(".modes")
        assert tab.input_value("input[name=q]") == question
        assert tab.evaluate("window.hacked") is None
    tab.locator(".mode details").evaluate_all("all => all.forEach(e => e.open = true)")

    assert "<script>window.hacked=1</script>" in tab.locator(".modes").inner_text()
    assert tab.locator("script:not([src^='/static/']), img").count() == 0
    assert seen.console == []


def test_the_policy_stops_a_script_that_got_in(tab: Page, page: str) -> None:
    """The second line of defence: even a tag in the page itself runs nothing and fetches nothing."""
    tab.goto(page)

    with pytest.raises(Error):
        tab.add_script_tag(content="window.hacked = 1")
    assert tab.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_labels(browser: Browser, page: str, scheme: str) -> None:
    """Every text has a contrast of 4.5 (WCAG AA) in both schemes, every field a label, every plot a description."""
    context = browser.new_context(color_scheme=scheme)
    tab = context.new_page()
    tab.goto(page + SEARCH)

    assert tab.evaluate(CONTRAST) == []
    assert tab.evaluate("[...document.querySelectorAll('input, select')].filter(e => !e.labels.length).length") == 0
    assert tab.evaluate("[...document.querySelectorAll('svg')].filter(e => !e.ariaLabel).length") == 0
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(246, 247, 249)", "dark": "rgb(18, 22, 29)"}[scheme]
    context.close()


def test_phone_width(browser: Browser, page: str) -> None:
    """390 pixels: nothing sticks out sideways, and the modes stand one below the other."""
    context = browser.new_context(viewport={"width": 390, "height": 800})
    tab = context.new_page()
    for path in (SEARCH, "/api"):
        tab.goto(page + path)
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.goto(page + SEARCH)
    lefts = {round(box["x"]) for mode in tab.locator(".mode").all() if (box := mode.bounding_box())}
    assert len(lefts) == 1
    table = tab.locator("#loads .scroll")
    assert table.evaluate("e => e.scrollWidth == e.clientWidth")
    labels = "[...document.querySelectorAll('#loads td')].map(e => getComputedStyle(e, '::before').content)"
    assert tab.evaluate(labels) == [f'"{name}"' for name in LABELS]
    context.close()


def test_the_state_renews_itself(tab: Page, page: str, filled: Database) -> None:
    """Without a click: cards and loads follow the database, the question and its answers stay; an outage is said."""
    seen = Seen(tab)
    tab.goto(page + SEARCH)
    before = tab.inner_text(".modes")
    with filled.connect() as conn:
        conn.execute(
            "insert into pgpipe.load (entity, date, mode, finished_at) values ('doc', '2026-03-04', 'upsert', now())"
        )
    eventually(lambda: "2026-03-04" in (tab.evaluate(RENEW) or tab.inner_text("#loads")))

    assert (tab.inner_text(".modes"), tab.input_value("input[name=q]")) == (before, "waterproof jacket")
    assert seen.console == []
    tab.route("**/live", lambda route: route.abort())
    tab.evaluate(RENEW)
    tab.wait_for_selector("#away:not([hidden])")
    assert "2026-03-04" in tab.inner_text("#loads")
    tab.unroute("**/live")
    tab.evaluate(RENEW)
    tab.wait_for_selector("#away", state="hidden")


def test_an_empty_database_renders(tab: Page, database: Database) -> None:
    """Before anything was loaded, and without a complaint."""
    seen = Seen(tab)
    with serving(database) as url:
        tab.goto(url)
        shown = tab.inner_text("main")

    assert "Nothing is searchable yet" in shown
    assert seen.console == []


def test_the_page_while_the_model_loads(tab: Page, filled: Database) -> None:
    """It says so, and its link asks again."""
    with serving(filled) as url:
        tab.goto(url + SEARCH)
        settled(url)
        if tab.get_by_role("link", name="ask again").count():
            tab.get_by_role("link", name="ask again").click()
        tab.wait_for_selector(".mode li")

        assert tab.locator(".mode:has(li)").count() == 3
