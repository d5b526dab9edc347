"""The status page in a real browser: light, dark, narrow, by keyboard, with 1,000 peers."""

import struct

import pytest
from browser import ENTER, TAB, Browser
from web_world import HOSTILE, NEIGHBOURS, PEERS, FleetInside, WebThread

pytestmark = pytest.mark.real("chromium", "chromedriver")

SHOWN = f"document.querySelectorAll('#peers tbody tr').length === {NEIGHBOURS}"
ALL = f"document.querySelectorAll('#all-peers tbody tr').length === {PEERS}"


@pytest.fixture(scope="module")
def browser():
    session = Browser()
    yield session
    session.close()


@pytest.fixture(scope="module")
def web():
    served = WebThread(FleetInside(details=True))
    yield served
    served.close()


@pytest.fixture
def page(browser, web):
    browser.look_like()
    browser.open(web.url)
    browser.until(SHOWN)
    yield browser
    assert browser.complaints() == []  # no error, nothing the policy had to refuse
    assert web.log == []


def text(page, selector):
    return page.run("return document.querySelector(arguments[0]).innerText", selector)


def colour(page, selector, which="color"):
    return page.run(
        "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]",
        selector,
        which,
    )


def luminance(css):
    parts = [int(part) / 255 for part in css[css.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_it_tells_what_there_is_to_tell(page):
    assert text(page, "#state") == "local path recovering"
    assert page.run("return document.title") == "codns 10.9.9.9:7353"
    tiles = text(page, "#tiles")
    for said in ("79.3 %", "from the cache", "recovering", "19 ms", "9 of 10", "3 d 5 h"):
        assert said in tiles
    assert "192.0.2.2#53" in text(page, "#servers")
    assert "Asked 12.4 k times: 9400 won" in text(page, "#peers-note")
    assert page.run("return document.querySelectorAll('#races li').length") == 12
    assert "won by 10.0.4.7:7353" in text(page, "#races li")
    for chart in ("#latency svg", "#answers svg"):
        label = page.run("return document.querySelector(arguments[0]).ariaLabel", chart)
        assert "p99 16 ms now" in label or "cache 78" in label
    assert page.run("return document.querySelectorAll('#latency polyline').length") == 2


def test_names_from_the_network_are_text(page):
    assert HOSTILE in text(page, "#races li b")
    assert page.run("return document.images.length") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_are_readable(page, dark):
    page.look_like(dark=dark)
    card = colour(page, "section", "backgroundColor")
    assert (luminance(card) < 0.1) is dark
    for selector in ("h2", "td", "th", ".note", ".good", ".bad", ".tiles span", ".reading"):
        assert contrast(colour(page, selector), card) >= 4.5, selector  # WCAG AA
    badge = colour(page, "#state", "backgroundColor")
    assert contrast(colour(page, "#state"), badge) >= 4.5


@pytest.mark.parametrize("wide", [320, 390, 768, 1200])
def test_no_width_scrolls_sideways(page, wide):
    page.look_like(wide=wide)
    page.run("document.getElementById('all').open = true")
    page.until(ALL)
    assert page.run("return document.documentElement.scrollWidth") <= wide
    picture = page.picture()
    assert struct.unpack(">II", picture[16:24])[0] in range(wide - 20, wide + 1)


def test_all_peers_are_sorted_and_found(page):
    page.run("document.getElementById('all').open = true")
    page.until(ALL)
    first = "return document.querySelector('#all-peers td').innerText"
    assert page.run(first) == "10.0.0.7:7353"
    page.run("document.querySelectorAll('#all-peers button')[0].click()")
    assert page.run(first) == "10.3.249.7:7353"
    sort = "return document.querySelector('#all-peers th').getAttribute('aria-sort')"
    assert page.run(sort) == "descending"
    page.run("document.querySelectorAll('#all-peers button')[2].click()")
    rows = "return [...document.querySelectorAll('#all-peers tbody tr')].map((r) => r.innerText)"
    assert "\u2013" in page.run(rows)[-1]  # no RTT known: last, however it is sorted
    page.run(
        "const f = document.getElementById('find'); f.value = 'down';"
        "f.dispatchEvent(new Event('input'))"
    )
    assert text(page, "#found") == "99 of 1000"
    assert all("down" in row for row in page.run(rows))


def test_it_can_be_used_by_keyboard(page):
    seen = []
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(12):
        page.press(TAB)
        focused = "const e = document.activeElement; return e.id || e.className || e.tagName"
        seen.append(page.run(focused))
        if seen[-1] == "all-summary":
            break
    assert seen[0] == "skip"
    assert seen[-1] == "all-summary"
    page.press(ENTER)
    page.until(ALL)
    page.press(TAB)
    assert page.run("return document.activeElement.id") == "find"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert page.run(outline) == "solid"


def test_it_says_so_when_the_daemon_is_ailing_or_gone(browser):
    web = WebThread(FleetInside(peers=20))
    browser.open(web.url)
    browser.until(SHOWN)
    assert text(browser, "#races-note") == "Names are hidden; http.details: true shows them."
    assert "www" not in text(browser, "#races")
    web.inside.problems.append("no slave is up")
    browser.until("document.getElementById('state').innerText === 'no slave is up'")
    web.close()
    browser.until("document.getElementById('state').innerText.startsWith('no answer')")
    assert browser.complaints()  # the browser's own words about a refused connection
