"""`mmd check`: all that is wrong in one go, and the exit code that says who must act."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console

from mmd.config.model import Settings
from mmd.config.paths import Paths
from mmd.faces.check import Probes, check
from mmd.venues.binance.rest import SymbolRules
from mmd.words.errors import Exit, KeyRejected, MmdError, Refused, Unavailable
from mmd.words.market import MarketRules, Pair

PAPER = """\
mode: paper
rates: {USDT/TWD: {}}
pairs:
  BTC/TWD:
    binance: BTCUSDT
    quote: {amount: {min: 0.002, max: 0.01}}
"""
LIVE = PAPER.replace("paper", "live")
ENVIRON = {"ACE_API_KEY": "key-of-mine", "ACE_API_SECRET": "hunter2"}


def _rules(pair: Pair) -> MarketRules:
    return MarketRules(pair, 2, 1, Decimal(1), Decimal("0.001"), Decimal("0.001"), Decimal(5))


MARKETS = {pair: _rules(pair) for pair in (Pair("BTC", "TWD"), Pair("USDT", "TWD"))}


def _fail(error: MmdError) -> Callable[..., NoReturn]:
    def ask(*_: object) -> NoReturn:
        raise error

    return ask


def _symbol(_: Settings, symbol: str, status: str = "TRADING") -> SymbolRules:
    return SymbolRules(symbol, status, "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"))


def _offset(offset_ms: float) -> Callable[..., float]:
    return lambda *_: offset_ms


WELL = Probes(
    markets=lambda _: MARKETS,
    key_offset_ms=_offset(12),
    binance_offset_ms=_offset(-40),
    symbol=_symbol,
    stream=lambda _: None,
)
UNASKED = _fail(AssertionError("must not be asked"))  # type: ignore[arg-type]


@dataclasses.dataclass
class Desk:
    folder: Path

    def check(
        self,
        text: str,
        environ: dict[str, str] | None = None,
        home: Path | None = None,
        **probes: Callable[..., object],
    ) -> tuple[Exit, list[str]]:
        """The exit code, and the lines without the folder's name."""
        path = self.folder / "pairs.yaml"
        path.write_text(text)
        out = io.StringIO()
        code = check(
            path,
            Paths(home or self.folder / "var"),
            ENVIRON if environ is None else environ,
            Console(file=out, width=40),
            dataclasses.replace(WELL, **probes),  # type: ignore[arg-type]
        )
        return code, out.getvalue().replace(f"{self.folder}/", "").splitlines()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_paper_mode_asks_nobody(desk: Desk) -> None:
    names = [field.name for field in dataclasses.fields(Probes)]
    code, lines = desk.check(PAPER, {}, **dict.fromkeys(names, UNASKED))
    assert code is Exit.DONE
    assert lines == [
        "ok     run-time files: var",
        "ok     configuration: pairs.yaml: mode paper, pairs BTC/TWD",
        "ok     key: of the simulated venue",
        "ok     Binance REST: simulated",
        "ok     Binance streams: simulated",
        "ok     ACE: simulated",
    ]


def test_all_is_well_in_live_mode(desk: Desk) -> None:
    code, lines = desk.check(LIVE)
    assert code is Exit.DONE
    assert lines[3:] == [
        "ok     Binance REST: https://api.binance.com answers",
        "ok     clock: 0.040 s ahead of Binance",
        "ok     Binance streams: wss://stream.binance.com:9443",
        "ok     ACE: https://ace.io/polarisex answers, 2 markets",
        "ok     ACE accepts the key",
        "ok     clock: 0.012 s behind ACE",
    ]
    assert not any("hunter2" in line or "key-of-mine" in line for line in lines)


def test_every_problem_of_the_file_is_one_line(desk: Desk) -> None:
    text = PAPER.replace("min: 0.002", "min: -1").replace("rates", "rats")
    code, lines = desk.check(text)
    assert code is Exit.CONFIG
    assert lines == [
        "ok     run-time files: var",
        "error  pairs.yaml:2: unknown key 'rats'; did you mean 'rates'?",
        "error  pairs.yaml:6: pairs.BTC/TWD.quote.amount.min: found -1; must be greater than 0",
    ]


def test_a_home_too_long_for_sockets_is_told_beside_the_rest(desk: Desk) -> None:
    code, lines = desk.check(PAPER, home=desk.folder / ("h" * 120))
    assert code is Exit.CONFIG
    assert "too long for the sockets" in lines[0]
    assert len(lines) == 6


def test_a_missing_key_does_not_hide_the_venue_s_state(desk: Desk) -> None:
    code, lines = desk.check(
        LIVE, {}, markets=_fail(Unavailable("no route")), key_offset_ms=UNASKED
    )
    assert code is Exit.CONFIG
    wrong = [line for line in lines if line.startswith("error")]
    assert len(wrong) == 2
    assert wrong[0].startswith("error  key: no key for mode live: set ACE_API_KEY")
    assert wrong[1] == "error  ACE: https://ace.io/polarisex: no route"


def test_unreachable_venues_end_with_4_and_are_all_told(desk: Desk) -> None:
    lost = _fail(Unavailable("no route"))
    code, lines = desk.check(LIVE, markets=lost, binance_offset_ms=lost, stream=lost)
    assert code is Exit.UNREACHABLE
    assert [line for line in lines if line.startswith("error")] == [
        "error  Binance REST: https://api.binance.com: no route",
        "error  Binance streams: wss://stream.binance.com:9443: no route",
        "error  ACE: https://ace.io/polarisex: no route",
    ]


def test_a_key_that_the_venue_rejects_ends_with_3(desk: Desk) -> None:
    code, lines = desk.check(LIVE, key_offset_ms=_fail(KeyRejected("status 10012")))
    assert code is Exit.CONFIG
    assert lines[-1] == "error  ACE, signed call: status 10012"


def test_a_wrong_clock_ends_with_3_and_the_remedy(desk: Desk) -> None:
    code, lines = desk.check(LIVE, key_offset_ms=_offset(1500))
    assert code is Exit.CONFIG
    assert lines[-1].startswith("error  clock: 1.500 s behind ACE; must be within 1 s: use")


def test_what_the_venue_does_not_have_or_take_is_told(desk: Desk) -> None:
    text = LIVE.replace("min: 0.002, max: 0.01", "min: 0.0019, max: 6")
    rules = dataclasses.replace(_rules(Pair("BTC", "TWD")), min_amount=Decimal("0.002"))
    code, lines = desk.check(text, markets=lambda _: {Pair("BTC", "TWD"): rules})
    assert code is Exit.CONFIG
    assert [line for line in lines if line.startswith("error")] == [
        "error  rates.USDT/TWD: ACE has no such market",
        "error  pairs.BTC/TWD.quote.amount.min: found 0.0019; must be at least 0.002 on ACE",
        "error  pairs.BTC/TWD.quote.amount.max: found 6; must be at most 5 on ACE",
    ]
    code, lines = desk.check(LIVE, markets=lambda _: {})
    assert "error  pairs.BTC/TWD: ACE has no such market" in lines


def test_the_worst_outcome_counts_whatever_comes_last(desk: Desk) -> None:
    lost = _fail(Unavailable("no route"))
    assert desk.check(LIVE, {}, markets=lost)[0] is Exit.CONFIG
    assert desk.check(LIVE, binance_offset_ms=lost, key_offset_ms=_offset(9e3))[0] is Exit.CONFIG


def test_a_symbol_that_binance_does_not_have_or_trade_is_told(desk: Desk) -> None:
    code, lines = desk.check(LIVE, symbol=_fail(Refused("Invalid symbol.", -1121)))
    assert code is Exit.CONFIG
    assert "error  pairs.BTC/TWD.binance: BTCUSDT: Binance has no such symbol" in lines
    code, lines = desk.check(LIVE, symbol=partial(_symbol, status="HALT"))
    assert code is Exit.CONFIG
    assert "error  pairs.BTC/TWD.binance: BTCUSDT: Binance does not trade it now: HALT" in lines
    code, lines = desk.check(LIVE, symbol=_fail(Unavailable("no route")))
    assert code is Exit.UNREACHABLE
    assert "error  pairs.BTC/TWD.binance: BTCUSDT: no route" in lines
