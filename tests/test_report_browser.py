"""Reports in a real browser: drawn, pointed at, filtered, linked to, and unharmed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import CHROMIUM, Browser
from tests.reported import HOSTILE, clean_run, hostile_run, report_of
from ttscale.report.command import make_view
from ttscale.text import visible

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

CARDS = "[...document.querySelectorAll('#viewer-problem .sample')]"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.renew()
    yield chromium
    assert not chromium.said, "the page complains"
    assert all(url.startswith(("file:", "about:", "data:", "blob:")) for url in chromium.asked)


@pytest.fixture(scope="module")
def report() -> Path:
    return report_of(clean_run())


def choose(browser: Browser, control: str, value: str) -> None:
    event = "input" if control == "viewer-query" else "change"
    browser.value(
        f"(() => {{ const it = document.getElementById('{control}'); it.value = {value!r};"
        f" it.dispatchEvent(new Event('{event}')); }})()"
    )


def test_figures_are_drawn_and_say_what_is_under_the_pointer(
    browser: Browser, report: Path
) -> None:
    browser.open(report)
    assert browser.value("scrollY") == 0
    sizes = browser.value(
        "[...document.querySelectorAll('figure:not([hidden]) svg')].map(s => s.clientHeight)"
    )
    assert len(sizes) > 8 and min(sizes) > 50
    place = browser.value(
        "(() => { const figure = document.querySelector('figure:not([hidden])');"
        " figure.scrollIntoView();"
        " const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();"
        " const spots = JSON.parse(document.getElementById('figures').textContent);"
        " const [x, y, , text] = spots[figure.dataset.name].spots.at(-1);"
        " return [box.left + x * box.width / svg.viewBox.baseVal.width,"
        " box.top + y * box.height / svg.viewBox.baseVal.height, text]; })()"
    )
    browser.point(*place[:2])
    assert browser.value("document.getElementById('tip').textContent") == place[2]
    assert browser.value("document.getElementById('tip').hidden") is False
    browser.point(2, 2)
    assert browser.value("document.getElementById('tip').hidden") is True


def test_units_are_chosen_and_series_hidden(browser: Browser, report: Path) -> None:
    browser.open(report)
    shown = "[...document.querySelectorAll('[id^=accuracy-]')].filter(f => f.tagName === 'FIGURE' && !f.hidden).map(f => f.id)"  # noqa: E501
    assert browser.value(shown) == ["accuracy-tokens"]
    browser.value("document.querySelector('[data-shows=accuracy-samples]').click()")
    assert browser.value(shown) == ["accuracy-samples"]
    figure = "document.getElementById('accuracy-samples')"
    press = f"{figure}.querySelector('[data-key=\"0\"]').dispatchEvent(new Event('click'))"
    hidden = f"[...{figure}.querySelectorAll('[data-series=\"0\"]')].map(s => getComputedStyle(s).display)"  # noqa: E501
    browser.value(press)
    assert set(browser.value(hidden)) == {"none"}
    browser.value(press)
    assert "none" not in browser.value(hidden)


def test_samples_are_filtered_searched_and_linked(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.wait(lambda: browser.value(f"{CARDS}.length") > 0)
    n_all = browser.value(f"{CARDS}.length")
    counts = {}
    for what in ("right", "wrong"):
        choose(browser, "viewer-what", what)
        browser.wait(
            lambda what=what: browser.value(
                f"{CARDS}.every(c => c.classList.contains('{what}')) && {CARDS}.length > 0"
            )
        )
        counts[what] = browser.value(f"{CARDS}.length")
    assert 0 < counts["wrong"] <= n_all
    choose(browser, "viewer-what", "all")
    choose(browser, "viewer-query", "Answer: ")
    browser.wait(
        lambda: browser.value("document.querySelectorAll('#viewer-problem mark').length") > 0
    )
    assert browser.value("document.querySelector('#viewer-problem mark').textContent") == "Answer: "
    choose(browser, "viewer-query", "nothing says this")
    browser.wait(
        lambda: browser.value("document.getElementById('viewer-found').textContent").startswith(
            "0 of 12"
        )
    )

    browser.open(report, "#p=5&s=3")
    browser.wait(lambda: browser.value("document.querySelectorAll('.sample.target').length") == 1)
    assert browser.value("document.querySelector('#viewer-problem h3').textContent").startswith(
        "Problem 5"
    )
    assert browser.value("document.querySelector('.sample.target a').textContent") == "#3"
    top = browser.value("document.querySelector('.sample.target').getBoundingClientRect().top")
    assert 0 <= top < 700


def test_trees_show_what_was_pruned(browser: Browser, report: Path) -> None:
    browser.open(report)
    views = "[...document.querySelectorAll('#viewer-problem .views button')]"
    browser.wait(lambda: browser.value(f"{views}.length") > 0)
    browser.value(f"{views}.find(b => b.textContent.startsWith('tree of beam_search')).click()")
    flags = browser.value(f"{CARDS}.map(c => c.querySelector('.meta').textContent)")
    assert any("pruned" in flag for flag in flags) and any("score" in flag for flag in flags)
    assert flags[0].startswith("#0prompt")
    chosen = browser.value(f"{CARDS}.filter(c => c.classList.contains('chosen')).length")
    assert 2 <= chosen < len(flags)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, report: Path, width: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
    browser.open(report)
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_dark_colours_follow_the_reader(browser: Browser, report: Path) -> None:
    browser.open(report)
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('figure svg text')).fill]"  # noqa: E501
    light = browser.value(colours)
    browser.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "dark"}])  # fmt: skip
    dark = browser.value(colours)
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(22, 24, 28)"
    assert dark[1] != light[1]
    browser.value("document.getElementById('theme').click()")
    assert browser.value(colours) == light


def test_hostile_texts_harm_no_reader(browser: Browser) -> None:
    for page in (report_of(hostile_run()), make_view(hostile_run(), None)):
        browser.open(page)
        browser.wait(lambda: browser.value(f"{CARDS}.length") > 0)
        shown = ""
        for button in range(
            browser.value("document.querySelectorAll('#viewer-problems button').length")
        ):
            browser.value(f"document.querySelectorAll('#viewer-problems button')[{button}].click()")
            shown += browser.value("document.getElementById('viewer-problem').textContent")
        for text in HOSTILE[:-1]:
            assert visible(text) in shown
        assert browser.value("typeof window.harmed") == "undefined"
        assert (
            browser.value(
                "document.querySelectorAll('img, script:not([type]):not(:last-of-type)').length"
            )
            == 0
        )
