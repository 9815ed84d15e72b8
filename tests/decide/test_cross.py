"""A price from two books of Binance: the right sides, and both books must be trusted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from mmd.cells.layouts import BookState, BookStatus
from mmd.config.quoting import ReferenceKind
from mmd.decide.ledger import Ledger
from mmd.decide.plan import Cancel
from mmd.decide.quoter import Inputs, Quoter
from mmd.decide.reference import Leg, NoReference, Reference, reference_of
from mmd.words.market import Side
from mmd.words.source import Source
from tests.decide.samples import LIMITS, S, book, make_quoter, moved, prices, run

ETH, BTC, ETHBTC = book(2_600.0, 2_610.0), book(60_000.0, 60_100.0), book(0.0433, 0.0434)
QUOTIENT, PRODUCT = Leg(BTC, divides=True), Leg(BTC, divides=False)


def test_a_quotient_takes_the_divisors_other_side() -> None:
    found = reference_of(ETH, None, 1, LIMITS, leg=QUOTIENT)
    assert isinstance(found, Reference)
    # To sell ETH for BTC: ETH at its bid, then BTC at its ask.
    assert found.bid == Decimal(2600) / Decimal(60100)
    assert found.ask == Decimal(2610) / Decimal(60000)


def test_a_product_takes_the_same_side_of_all_and_the_rate_too() -> None:
    found = reference_of(ETHBTC, book(32.0, 32.1), 1, LIMITS, leg=PRODUCT)
    assert isinstance(found, Reference)
    assert found.bid == Decimal("0.0433") * 60_000 * 32
    assert found.ask == Decimal("0.0434") * 60_100 * Decimal("32.1")
    assert (found.rate_bid, found.rate_ask) == (Decimal(32), Decimal("32.1"))


@pytest.mark.parametrize("leg", [QUOTIENT, PRODUCT])
def test_the_cross_of_micro_prices_has_no_spread(leg: Leg) -> None:
    found = reference_of(ETH, None, 1, LIMITS, ReferenceKind.MICRO, leg)
    assert isinstance(found, Reference)
    other = Decimal(60_050)
    assert found.bid == found.ask == (2605 / other if leg.divides else 2605 * other)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (BTC._replace(last_frame_ns=-4 * S), "Binance's second book is 4.0 s old"),
        (BTC._replace(status=BookStatus.DISCONNECTED), "Binance's second book is disconnected"),
        (BTC._replace(ask_price=59_000.0), "Binance's second book is crossed"),
        (BTC._replace(bid_price=0.0), "Binance's second book is crossed or empty"),
    ],
)
def test_nothing_is_quoted_on_a_second_book_that_does_not_hold(broken: BookState, why: str) -> None:
    for leg in (Leg(broken, divides=True), Leg(broken, divides=False)):
        found = reference_of(ETH, None, 0, LIMITS, leg=leg)
        assert isinstance(found, NoReference)
        assert found.reason.startswith(why)


def decide(quoter: Quoter, ledger: Ledger, now_ns: int, leg: BookState) -> list[object]:
    """One decision on a price that only the second book moves."""
    inputs = Inputs(leg=Leg(leg._replace(last_frame_ns=now_ns), divides=False))
    return list(run(quoter, ledger, now_ns, book(1.0, 1.001), inputs=inputs))


def test_a_move_of_the_second_book_moves_the_quotes() -> None:
    quoter, ledger = make_quoter(jitter_bps=0, widen={"volatility_factor": 0}), Ledger()
    decide(quoter, ledger, S, BTC)
    before = prices(ledger, Side.BUY)[0]
    decide(quoter, ledger, 2 * S, moved(BTC, 50))
    assert float(prices(ledger, Side.BUY)[0] / before) == pytest.approx(1.005, abs=2e-4)
    assert quoter.market.volatility.bps(2 * S) > 0


def test_a_jump_of_the_second_book_pulls_the_quotes_until_it_holds() -> None:
    quoter, ledger = make_quoter(max_jump_bps=100), Ledger()
    decide(quoter, ledger, S, BTC)
    decide(quoter, ledger, S + 1, moved(BTC, 200))
    assert not ledger.entries
    assert quoter.note.startswith("the reference jumped by")
    decide(quoter, ledger, 2 * S + 1, moved(BTC, 200))
    assert len(ledger.entries) == 6


def test_a_sweep_of_the_divisor_endangers_the_other_side() -> None:
    """BTC falls, so ETH in BTC rises: it is our asks that somebody could gain by."""
    quoter, ledger = make_quoter(jitter_bps=0, sweep_bps=20), Ledger()
    eth, btc = book(60_000.0, 60_001.0), book(1.0, 1.001)
    before = btc._replace(last_trade_id=1, last_trade_price=1.0)
    run(quoter, ledger, S, eth, inputs=Inputs(leg=Leg(before._replace(last_frame_ns=S), True)))
    swept = before._replace(last_trade_id=2, last_trade_price=0.99, last_frame_ns=S + 1)
    fresh = eth._replace(last_frame_ns=S + 1)
    rate = book(32.0, 32.01, S)
    actions = quoter.decide(
        fresh, rate, ledger, S + 1, dirty=False, inputs=Inputs(leg=Leg(swept, divides=True))
    )
    cancelled = [action.entry.side for action in actions if isinstance(action, Cancel)]
    assert cancelled
    assert set(cancelled) == {Side.SELL}
    assert isinstance(actions[0], Cancel)


def test_the_older_book_makes_the_spread_wider() -> None:
    quoter = make_quoter(widen={"age_bps_per_s": 10, "volatility_factor": 0})
    leg = Leg(BTC._replace(last_frame_ns=0), divides=False)
    quoter.market.look(ETHBTC._replace(last_frame_ns=2 * S), None, 2 * S, leg)
    assert quoter.market.widening(2 * S) == (0, 20)


def test_a_source_is_written_as_it_is_read() -> None:
    for text in ("BTCUSDT", "ETHBTC * BTCUSDT", "ETHUSDT / BTCUSDT"):
        assert str(Source.parse(text)) == text
    assert Source.parse("ETHUSDT/BTCUSDT") == Source("ETHUSDT", "BTCUSDT", divides=True)
    for text in ("", "btcusdt", "BTC", "ETHUSDT BTCUSDT", "BTCUSDT / BTCUSDT", "A*B*C"):
        with pytest.raises(ValueError, match="no source of prices"):
            Source.parse(text)


def test_a_source_has_a_middle_when_all_its_symbols_have() -> None:
    known = {"ETHUSDT": Decimal(3000), "BTCUSDT": Decimal(60_000), "ETHBTC": Decimal("0.05")}
    assert Source.parse("BTCUSDT").middle(known.get) == 60_000
    assert Source.parse("ETHUSDT / BTCUSDT").middle(known.get) == Decimal("0.05")
    assert Source.parse("ETHBTC * BTCUSDT").middle(known.get) == 3000
    assert Source.parse("ETHBTC * BTCUSDC").middle(known.get) is None
    assert Source.parse("XRPUSDT / BTCUSDT").middle(known.get) is None
