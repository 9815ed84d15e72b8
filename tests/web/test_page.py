"""The page in a real browser: what it shows, how it commands, at what width."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmd.processes.sight import Sight
from mmd.records.alerts import Kind, Spool
from tests.web.browser import CHROMIUM, Page, browser
from tests.web.conftest import TOKEN, Site, record, running, seen

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(chromium: Page) -> Iterator[Page]:
    chromium.faults.clear()
    yield chromium
    chromium.call("Network.clearBrowserCookies")
    chromium.open("about:blank")


def _text(page: Page, selector: str) -> str:
    return str(page.ask(f"document.querySelector({selector!r}).innerText"))


def _open(page: Page, site: Site, path: str = "/", width: int = 1440, height: int = 900) -> None:
    page.open(site.url + path, width, height)
    page.wait("document.querySelector('.pair')")


def test_it_shows_pairs_prices_processes_and_events(tmp_path: Path, page: Page) -> None:
    record(tmp_path)
    Spool.of_home(tmp_path).put(Kind.STALL, "pairs:eth_twd", "no heartbeat for 1.2 s")
    with running(tmp_path) as site:
        _open(page, site)
        page.wait("document.querySelectorAll('#ladder tr').length >= 3")
        pairs = _text(page, "#pairs")
        for shown in ("BTC/TWD", "quoting", "1,966,000.5", "1,976,000.5", "-0.0123", "1,235"):
            assert shown in pairs
        assert "20.3 bps" in pairs, "how far our bid is from the reference's"
        assert "61,000" in _text(page, "#books")
        processes = _text(page, "#processes")
        assert "pairs:btc_twd" in processes
        assert "43" in processes, "megabytes"
        assert "stall pairs:eth_twd" in _text(page, "#events")
        assert "TWD" in _text(page, "#balances")
        ladder = _text(page, "#ladder")
        assert "1,976,000" in ladder
        assert "0.005" in ladder
        assert ladder.index("1,976,000") < ladder.index("reference") < ladder.index("1,966,000")
        assert page.faults == []


def test_the_chart_draws_the_band_our_quotes_and_fills(tmp_path: Path, page: Page) -> None:
    record(tmp_path)
    with running(tmp_path) as site:
        _open(page, site, "/#btc_twd")
        page.wait("chart.points.length >= 2 && chart.fills.length === 2")
        colours = page.ask(
            """(() => {
              chart.draw();
              const { width, height } = chart.canvas;
              const data = chart.canvas.getContext("2d").getImageData(0, 0, width, height).data;
              const near = (name) => {
                const hex = chart.colour(name).slice(1, 7);
                const [r, g, b] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
                let count = 0;
                for (let i = 0; i < data.length; i += 4) {
                  const far = Math.abs(data[i] - r) + Math.abs(data[i + 1] - g)
                    + Math.abs(data[i + 2] - b);
                  if (far < 24 && data[i + 3] > 200) count += 1;
                }
                return count;
              };
              return { bid: near("bid"), ask: near("ask"), reference: near("reference") };
            })()"""
        )
        assert colours["bid"] > 100
        assert colours["ask"] > 100
        assert page.faults == []


def test_numbers_follow_the_cells(site: Site, page: Page) -> None:
    _open(page, site)
    sight = seen()
    quotes = sight.quotes["btc_twd"]._replace(best_bid=1_967_123.4, pnl=-55.0)
    site.sight = lambda: replace(seen(), quotes={**sight.quotes, "btc_twd": quotes})
    page.wait("document.querySelector('#pairs').innerText.includes('1,967,123.4')")
    page.wait("document.querySelector('#pairs').innerText.includes('-55')")


def test_a_stalled_feed_is_seen_at_once(site: Site, page: Page) -> None:
    _open(page, site)
    site.sight = stalled
    page.wait("document.querySelector('#books').innerText.includes('disconnected')")
    page.wait("document.querySelector('#pairs').innerText.includes('not quoting')")
    assert "Binance's book is disconnected" in _text(page, "#pairs")
    assert page.ask("document.title") == "(3) mmd"


def stalled() -> Sight:
    """Nothing comes from Binance any more."""
    sight = seen()
    book = sight.books["btcusdt"]._replace(status=2)
    note = b"Binance's book is disconnected"
    quotes = {
        name: quotes._replace(
            best_bid=0.0, best_ask=0.0, reference_bid=0.0, reference_ask=0.0, open_orders=0,
            price_age_ms=4000, note=note,
        )
        for name, quotes in sight.quotes.items()
    }  # fmt: skip
    return replace(sight, books={**sight.books, "btcusdt": book}, quotes=quotes)


def test_commands_are_asked_back_and_carried_out(site: Site, page: Page) -> None:
    _open(page, site)
    page.ask("document.querySelector('#commands [data-do=pause]').click()")
    page.wait("document.querySelector('#confirm').open")
    assert "pairs:btc_twd" in _text(page, "#question")
    page.ask("document.querySelector('#confirm [value=no]').click()")
    page.wait("!document.querySelector('#confirm').open")
    time.sleep(0.2)
    assert site.commands == []
    page.ask("document.querySelector('#commands [data-do=pause]').click()")
    page.ask("document.querySelector('#confirm [value=yes]').click()")
    page.wait("!document.querySelector('#toast').hidden")
    assert site.commands == [("pause", "pairs:btc_twd")]
    assert "pause done" in _text(page, "#toast")
    page.ask("document.querySelector('#processes [data-name=\"feeds:btcusdt\"]').click()")
    page.ask("document.querySelector('#confirm [value=yes]').click()")
    until_s = time.monotonic() + 5
    while ("restart", "feeds:btcusdt") not in site.commands:
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_what_is_clicked_stays_in_place_while_numbers_change(site: Site, page: Page) -> None:
    _open(page, site)
    page.ask("window.kept = document.querySelector('#commands [data-do=pause]')")
    page.ask("window.first = now.t")
    page.wait("now.t > window.first + 500")
    assert page.ask("window.kept.isConnected") is True


def test_another_pair_is_shown_when_chosen(site: Site, page: Page) -> None:
    _open(page, site)
    page.ask("document.querySelector('[data-slug=eth_twd]').click()")
    page.wait("document.querySelector('#detail-title').innerText === 'ETH/TWD'")
    page.wait("chart.points.length >= 1")
    assert page.ask("location.hash") == "#eth_twd"


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1440])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, page: Page, width: int) -> None:
    record(tmp_path)
    with running(tmp_path) as site:
        _open(page, site, width=width, height=844)
        page.wait("document.querySelectorAll('#ladder tr').length >= 3")
        assert page.ask("document.documentElement.scrollWidth") <= width
        wide = """[...document.querySelectorAll("main *")].filter((each) => !each.closest(".scroll")
          && each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
          .map((each) => each.outerHTML.slice(0, 80))"""
        assert page.ask(wide) == []


def test_it_says_when_news_stay_away(site: Site, page: Page) -> None:
    _open(page, site)
    assert page.ask("document.querySelector('#lost').hidden") is True
    page.ask("source.close(); heard = Date.now() - 6000")
    page.wait("!document.querySelector('#lost').hidden")


def test_dark_and_light_differ_and_can_be_chosen(site: Site, page: Page) -> None:
    _open(page, site)
    colour = "getComputedStyle(document.body).backgroundColor"
    page.dark(True)
    dark = page.ask(colour)
    page.dark(False)
    light = page.ask(colour)
    assert dark != light
    page.ask("document.querySelector('#theme').click()")
    assert page.ask(colour) == dark
    page.ask("document.querySelector('#theme').click(); document.querySelector('#theme').click()")


def test_the_token_is_asked_for_and_opens(guarded: Site, page: Page) -> None:
    page.open(guarded.url + "/")
    page.wait("document.querySelector('#token')")
    page.ask("document.querySelector('#token').value = 'wrong'")
    page.ask("document.querySelector('#login').requestSubmit()")
    page.wait("document.querySelector('#fault').innerText")
    page.ask(f"document.querySelector('#token').value = {TOKEN!r}")
    page.ask("document.querySelector('#login').requestSubmit()")
    page.wait("document.querySelector('.pair')")
    assert TOKEN not in str(page.ask("document.cookie + location.href + document.body.outerHTML"))


def test_the_page_can_not_be_framed(site: Site, page: Page) -> None:
    _open(page, site)
    page.ask(
        """(() => {
          const frame = document.createElement("iframe");
          frame.src = "/";
          document.body.append(frame);
        })()"""
    )
    until_s = time.monotonic() + 5
    while not any("frame" in fault.lower() for fault in page.faults):
        page.ask("1")
        assert time.monotonic() < until_s
        time.sleep(0.05)
