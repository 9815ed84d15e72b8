"""Takes the pictures of the documents: `python -m tests.web.pictures [MINUTES]`.

A whole mmd trades on paper for some minutes; then Binance falls silent for one pair, and a kill
switch is thrown. Terminal and page are taken each time, wide and narrow, dark and light.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time

import requests
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME, TerminalTheme

from mmd.config.paths import Paths
from mmd.config.risk import KillLevel
from mmd.decide.killswitch import Thrown
from mmd.faces.glance import Glances
from mmd.faces.site import Site
from mmd.faces.status_view import render
from mmd.records import killed
from tests.e2e.conftest import ROOT, House, housed
from tests.web.browser import Page, browser

IMAGES = ROOT / "docs" / "images"
WIDE, PHONE = 1440, 390
_PHONE_HEIGHT = 1240
_COLUMNS = {"wide": 130, "narrow": 46}
_THEMES: dict[str, TerminalTheme] = {"dark": SVG_EXPORT_THEME, "light": DEFAULT_TERMINAL_THEME}


class Photographer:
    """Takes terminal and page of one mmd."""

    def __init__(self, house: House, page: Page) -> None:
        self._page = page
        self._address = (house.home / "run" / "web.address").read_text().strip()
        paths = Paths(house.home, ROOT)
        self._glances = Glances(Site(paths, house.config, house.environ), many=True)

    def take(self, name: str, wide: str, phone: str) -> None:
        """All of one moment; `wide` and `phone` are `dark` or `light`."""
        for _ in range(12):
            self._glances.look()
            time.sleep(0.5)
        self._terminal(f"terminal-{name}", "wide", wide)
        self._terminal(f"terminal-{name}-narrow", "narrow", phone)
        self._view(f"page-{name}-{WIDE}", WIDE, wide)
        self._view(f"page-{name}-{PHONE}", PHONE, phone)

    def _view(self, name: str, width: int, theme: str) -> None:
        page, is_phone = self._page, width == PHONE
        page.faults.clear()
        page.dark(theme == "dark")
        page.open(self._address, width, _PHONE_HEIGHT if is_phone else 900, 1.5 if is_phone else 1)
        page.wait("document.querySelectorAll('#ladder tr').length > 10")
        page.wait("chart.points.length > 5")
        time.sleep(3)
        page.picture(IMAGES / f"{name}.png", whole=not is_phone)
        assert page.faults == []

    def _terminal(self, name: str, width: str, theme: str) -> None:
        columns = _COLUMNS[width]
        console = Console(record=True, width=columns, file=io.StringIO())
        console.print(render(*self._glances.look(), columns))
        svg = console.export_svg(title="mmd status --watch", theme=_THEMES[theme])
        with tempfile.NamedTemporaryFile("w", suffix=".html") as file:
            file.write("<meta name=viewport content='width=device-width'>")
            file.write(f"<body style='margin:0;width:max-content'>{svg}</body>")
            file.flush()
            page = self._page
            page.open(f"file://{file.name}", 1600, 900)
            page.wait("document.querySelector('svg')")
            page.ask(f"document.querySelector('svg').style.width = '{columns * 9}px'")
            box = page.ask(
                "(({width, height}) => [width, height])"
                "(document.querySelector('svg').getBoundingClientRect())"
            )
            page.size(int(box[0]), int(box[1]), 1.25)
            page.picture(IMAGES / f"{name}.png")


def _binance(house: House, fault: dict[str, object]) -> None:
    port = house.world()["binance_port"]
    requests.post(f"http://127.0.0.1:{port}/sim/faults", json=fault, timeout=5).raise_for_status()


def main(minutes: float) -> None:
    with housed() as house, browser() as page:
        house.configure(web={"enabled": True, "port": 0})
        house.ok("start")
        photographer = Photographer(house, page)
        time.sleep(60 * minutes)
        photographer.take("paper", "light", "dark")
        _binance(house, {"fault": "refuse", "status": 503, "for_s": 45})
        _binance(house, {"fault": "drop", "symbol": "BTCUSDT"})
        time.sleep(15)
        photographer.take("stalled", "dark", "light")
        time.sleep(30)
        latch = killed.latch_of(house.home / "records", "eth_twd")
        reason = "lost 1040 TWD from the peak; 1000 are allowed"
        killed.throw(latch, Thrown(KillLevel.PAUSE, reason), 0)
        time.sleep(5)
        photographer.take("killed", "light", "dark")
        house.ok("stop")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5)
