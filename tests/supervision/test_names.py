"""Names of children as people write them."""

from __future__ import annotations

import pytest

from mmd.supervision.names import UnknownName, resolve

NAMES = ("feeds:btcusdt", "rates:usdt_twd", "pairs:btc_twd", "pairs:usdt_twd", "jobs:account")


@pytest.mark.parametrize(
    "text", ["btc_twd", "BTC/TWD", "btc/twd", "pairs:btc_twd", "pairs:BTC/TWD"]
)
def test_a_pair_is_known_by_all_its_names(text: str) -> None:
    assert resolve(text, NAMES) == ["pairs:btc_twd"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("btcusdt", "feeds:btcusdt"), ("BTCUSDT", "feeds:btcusdt"), ("account", "jobs:account")],
)
def test_other_children_go_by_their_bare_name_too(text: str, name: str) -> None:
    assert resolve(text, NAMES) == [name]


def test_a_bare_name_means_the_pair_first() -> None:
    assert resolve("usdt_twd", NAMES) == ["pairs:usdt_twd"]
    assert resolve("rates:usdt_twd", NAMES) == ["rates:usdt_twd"]


@pytest.mark.parametrize("text", ["pairs:*", "pairs:"])
def test_a_group_means_all_its_members(text: str) -> None:
    assert resolve(text, NAMES) == ["pairs:btc_twd", "pairs:usdt_twd"]


@pytest.mark.parametrize("text", ["*", "all"])
def test_all_means_all(text: str) -> None:
    assert resolve(text, NAMES) == list(NAMES)


@pytest.mark.parametrize("text", ["", "doge_twd", "pairs:doge_twd", "shops:*", "btc", ":", "btc_*"])
def test_an_unknown_name_is_refused_and_the_known_ones_are_told(text: str) -> None:
    with pytest.raises(UnknownName, match="pairs:btc_twd"):
        resolve(text, NAMES)


def test_an_ambiguous_name_is_refused() -> None:
    with pytest.raises(UnknownName, match="feeds:x or jobs:x"):
        resolve("x", ["feeds:x", "jobs:x"])
