"""Settings to start from in tests."""

from __future__ import annotations

from typing import Any

from mmd.config.model import Settings

BTC_TWD = {"binance": "BTCUSDT", "quote": {"amount": {"min": "0.002", "max": "0.01"}}}


def settings_of(**changes: Any) -> Settings:
    """One pair, one rate, paper mode; top-level keys can be changed."""
    return Settings.model_validate(
        {"rates": {"USDT/TWD": {}}, "pairs": {"BTC/TWD": BTC_TWD}, **changes}
    )
