"""The shipped conf/pairs.yaml offers all parameters of quoting and self-trading, with a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from mmd.config.load import load
from mmd.config.model import QuoteSettings, SelfTradeSettings

FILE = Path(__file__).parents[2] / "conf" / "pairs.yaml"
OFFER = re.compile(r"^( *)# ( *[a-z_]+:(?: .*)?)$", re.MULTILINE)
OF_PAIRS = {"amount", "volume_threshold"}
"""What has no value for all pairs."""


def parts() -> tuple[str, str, str]:
    """What stands before, in and after the values for all pairs of these two groups."""
    text = FILE.read_text()
    begin = text.index("\ndefaults:")
    end = text.index("\n  # The last look at each order", begin)
    return text[:begin], text[begin:end], text[end:]


def whole() -> str:
    """The file with all offers taken."""
    before, defaults, after = parts()
    return before + OFFER.sub(r"\1\2", defaults) + after


def keys(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of a group and of those below it; ranges are one."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        is_group = isinstance(kind, type) and issubclass(kind, BaseModel)
        if is_group and not name.endswith("_s") and name != "amount":
            assert isinstance(kind, type)
            yield from keys(kind, (*at, name))
        else:
            yield (*at, name)


def value_at(tree: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True


@pytest.mark.parametrize(
    ("group", "model"), [("quote", QuoteSettings), ("self_trade", SelfTradeSettings)]
)
def test_every_parameter_is_offered(group: str, model: type[BaseModel]) -> None:
    tree = yaml.safe_load(whole())
    pair = tree["pairs"]["BTC/TWD"][group]
    missing = [
        ".".join(path)
        for path in keys(model)
        if not value_at(tree["defaults"][group], path)
        and not (path[0] in OF_PAIRS and value_at(pair, path))
    ]
    assert missing == []


def test_all_offers_can_be_taken_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text(whole())
    settings = load(path)
    quote = next(iter(settings.pairs.values())).quote
    assert quote.session.hours == ("09:00-23:30",)
    assert quote.after_fill.ping_pong


def test_every_offer_says_what_it_means() -> None:
    silent = [
        line.strip()
        for line in OFFER.sub(r"\1\2", parts()[1]).splitlines()
        if re.match(r" *[a-z_]+: [^#]+$", line) and not re.match(r" *(min|max|enabled):", line)
    ]
    assert silent == []
