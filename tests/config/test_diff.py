"""What a reload is told of two configurations."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mmd.config.diff import Changes, Diff, diff
from mmd.config.model import Settings
from mmd.words.market import Pair
from tests.config.samples import settings_of

BTC, ETH, LTC = (Pair(base, "TWD") for base in ("BTC", "ETH", "LTC"))
USDT, USDC = Pair("USDT", "TWD"), Pair("USDC", "TWD")
OLD: dict[str, Any] = {
    "rates": {"USDT/TWD": {}, "USDC/TWD": {}},
    "pairs": {
        "BTC/TWD": {"binance": "BTCUSDT", "quote": {"amount": {"min": 1, "max": 2}}},
        "ETH/TWD": {"binance": "ETHUSDT", "quote": {"amount": {"min": 1, "max": 2}}},
    },
}


def _diff(**changes: Any) -> Diff:
    """What changes when dotted keys get other values; None removes one."""
    new = copy.deepcopy(OLD)
    for name, value in changes.items():
        *groups, key = name.split("__")
        group = new
        for step in groups:
            group = group.setdefault(step, {})
        if value is None:
            del group[key]
        else:
            group[key] = value
    return diff(Settings.model_validate(OLD), Settings.model_validate(new))


def test_nothing_changed_is_an_empty_diff() -> None:
    found = _diff()
    assert not found
    assert found == Diff(Changes(), (), Changes(), Changes(), (), ())


def test_the_same_number_written_otherwise_is_no_change() -> None:
    assert not _diff(**{"pairs__BTC/TWD__quote__spread_bps": "20.00"})


def test_a_parameter_concerns_its_pair_alone() -> None:
    found = _diff(**{"pairs__BTC/TWD__quote__spread_bps": 25})
    assert found.pairs == Changes(changed=(BTC,))
    assert found.rebooked == ()
    assert found.feeds == found.rates == Changes()
    assert found.lines == ("pairs.BTC/TWD.quote.spread_bps: 20 → 25",)
    assert found.restart == ()


def test_another_depth_changes_the_book_of_pair_and_feed() -> None:
    found = _diff(**{"pairs__ETH/TWD__quote__depth": 5})
    assert found.rebooked == (ETH,)
    assert found.pairs == Changes()
    assert found.feeds == Changes(changed=("ETHUSDT",))


def test_another_rate_and_symbol_change_the_books() -> None:
    found = _diff(**{"pairs__BTC/TWD__rate": "USDC/TWD", "pairs__BTC/TWD__binance": "BTCUSDC"})
    assert found.rebooked == (BTC,)
    assert found.feeds == Changes(added=("BTCUSDC",), removed=("BTCUSDT",))
    assert found.lines == (
        "pairs.BTC/TWD.binance: BTCUSDT → BTCUSDC",
        "pairs.BTC/TWD.rate: auto → USDC/TWD",
    )


def test_naming_the_rate_that_was_automatic_changes_no_book() -> None:
    found = _diff(**{"pairs__BTC/TWD__rate": "USDT/TWD"})
    assert found.rebooked == ()
    assert found.pairs == Changes(changed=(BTC,))


def test_pairs_and_rates_come_and_go_with_their_feeds() -> None:
    ltc = {"binance": "LTCUSDT", "quote": {"amount": {"min": 1, "max": 2}}}
    found = _diff(
        **{
            "pairs__ETH/TWD": None,
            "pairs__LTC/TWD": ltc,
            "rates__USDC/TWD": None,
            "rates__USDT/TWD__poll_s": 2,
        }
    )
    assert found.pairs == Changes(added=(LTC,), removed=(ETH,))
    assert found.feeds == Changes(added=("LTCUSDT",), removed=("ETHUSDT",))
    assert found.rates == Changes(removed=(USDC,), changed=(USDT,))
    assert found.lines == (
        "rates.USDC/TWD: removed",
        "rates.USDT/TWD.poll_s: 3 → 2",
        "pairs.LTC/TWD: added",
        "pairs.ETH/TWD: removed",
    )


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("mode", "live", "mode: paper → live"),
        ("time_zone", "UTC", "time_zone: Asia/Taipei → UTC"),
        ("ace__burst", 5, "ace.burst: 20 → 5"),
        ("ace__base_url", "https://x.example", "ace.base_url: none → https://x.example"),
        ("ace__batch__max_orders", 5, "ace.batch.max_orders: 20 → 5"),
        ("paper__balances", {"TWD": 100}, "paper.balances.TWD: 100000000 → 100"),
        ("supervision__backoff_s", {"min": 1, "max": 10}, "supervision.backoff_s.min: 0.25 → 1"),
        ("logs__keep_days", 3, "logs.keep_days: 30 → 3"),
    ],
)
def test_what_is_read_at_start_only_needs_a_full_restart(key: str, value: Any, line: str) -> None:
    found = _diff(**{key: value})
    assert line in found.restart
    assert found.restart == found.lines
    assert not found.pairs.changed


def test_a_group_that_came_is_shown_whole() -> None:
    found = _diff(**{"pairs__BTC/TWD__self_trade__amount": {"min": "0.1", "max": "0.2"}})
    assert found.lines == ("pairs.BTC/TWD.self_trade.amount: none → min 0.1, max 0.2",)


def test_a_reload_is_enough_for_alerts_and_the_page() -> None:
    found = diff(settings_of(), settings_of(alerts={"group_s": 9}, web={"enabled": True}))
    assert found.lines == ("alerts.group_s: 3 → 9", "web.enabled: false → true")
    assert found.restart == ()
