"""What is derived from the models: the JSON schema and the reference of all keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mmd.config.base import Strict
from mmd.config.model import Settings
from mmd.config.reference import reference
from mmd.config.shape import model_in, schema

SHIPPED = Path(__file__).parents[2] / "conf" / "pairs.yaml"


def _models(model: type[Strict]) -> Iterator[type[Strict]]:
    yield model
    for field in model.model_fields.values():
        below = model_in(field.annotation)
        if below is not None:
            yield from _models(below)


def test_every_key_says_what_it_means() -> None:
    for model in _models(Settings):
        assert model.__doc__
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_every_required_key_has_an_example_that_is_right() -> None:
    """The loader puts examples in for missing values to judge the rest of a file."""
    for model in _models(Settings):
        required = {n: f for n, f in model.model_fields.items() if f.is_required()}
        examples = {name: (field.examples or [None])[0] for name, field in required.items()}
        if model is not Settings:
            model.model_validate(examples)
    Settings.model_validate({"rates": {"USDT/TWD": {}}, "pairs": examples_of_pairs()})


def examples_of_pairs() -> Any:
    examples = Settings.model_fields["pairs"].examples
    assert examples
    return examples[0]


def test_the_reference_names_every_key_with_unit_range_and_default() -> None:
    text = reference()
    for model in _models(Settings):
        for name in model.model_fields:
            assert f"`{name}`" in text
    assert "| `spread_bps` | bps | > 0, ≤ 5000 | `20` |" in text
    assert "| `mode` |  | `paper`, `testnet`, `live` | `paper` |" in text
    assert "| `refresh_s` | s | `min` and `max`, > 0, ≤ 86400 | `min 120, max 600` |" in text
    assert "| `binance` |  |  | **must be given** |" in text
    assert "### `pairs.<pair>.self_trade`" in text
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("|"))


def _resolve(part: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return _resolve(whole["$defs"][part["$ref"].rsplit("/", 1)[1]], whole)
    for option in part.get("anyOf", []):
        if "$ref" in option or option.get("type") == "object":
            return _resolve(option, whole)
    return part


def _unknown(value: object, part: dict[str, Any], whole: dict[str, Any], at: str) -> Iterator[str]:
    """Keys that the schema doesn't know or misses, and enumerated values outside of theirs."""
    part = _resolve(part, whole)
    if not isinstance(value, dict):
        if "enum" in part and value not in part["enum"]:
            yield at
        return
    properties = part.get("properties", {})
    patterns = list(part.get("patternProperties", {}).values())
    other = part.get("additionalProperties") or (patterns[0] if patterns else None)
    yield from (f"{at}.{key} missing" for key in part.get("required", []) if key not in value)
    for key, member in value.items():
        below = properties.get(key, other)
        if below is None:
            yield f"{at}.{key}"
        elif isinstance(below, dict):
            yield from _unknown(member, below, whole, f"{at}.{key}")


def test_the_schema_is_json_and_fits_the_shipped_file() -> None:
    whole = schema()
    json.dumps(whole)
    shipped = yaml.safe_load(SHIPPED.read_text())
    assert list(_unknown(shipped, whole, whole, "")) == []
    shipped["pairs"]["BTC/TWD"]["spred_bps"] = 1
    shipped["defaults"]["quote"]["depth"] = 7
    shipped["mode"] = "demo"
    del shipped["pairs"]["ETH/TWD"]["quote"]  # may come from the defaults
    assert sorted(_unknown(shipped, whole, whole, "")) == [
        ".defaults.quote.depth",
        ".mode",
        ".pairs.BTC/TWD.spred_bps",
    ]
