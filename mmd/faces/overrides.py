"""Single settings of pairs, changed on the command line: `quote.spread_bps=15`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from mmd.config.model import PairSettings, Settings
from mmd.words.errors import ConfigError
from mmd.words.market import Pair

Changes = Mapping[str, str]
"""Key below a pair, with points between its parts → value as it would stand in the file."""


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Reads `key=value`. Raises ConfigError for anything else."""
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not (sign and key.strip() and value.strip()):
            raise ConfigError(f"{text!r} is no setting; write it as quote.spread_bps=15")
        found[key.strip()] = value.strip()
    return found


def changed(settings: Settings, pairs: Iterable[Pair], changes: Changes) -> Settings:
    """The settings with these changes in these pairs. Raises ConfigError for what can't be."""
    if not changes:
        return settings
    fresh = {pair: _changed_pair(settings.pairs[pair], changes) for pair in pairs}
    return settings.model_copy(update={"pairs": {**settings.pairs, **fresh}})


def _changed_pair(chosen: PairSettings, changes: Changes) -> PairSettings:
    tree = json.loads(chosen.model_dump_json())
    for key, value in changes.items():
        _put(tree, key, value)
    try:
        return PairSettings.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise ConfigError(
            *(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
        ) from None


def _put(tree: dict[str, Any], key: str, value: str) -> None:
    *groups, name = key.split(".")
    below: Any = tree
    for group in groups:
        below = below.get(group) if isinstance(below, dict) else None
    if not isinstance(below, dict) or name not in below:
        known = ", ".join(below) if isinstance(below, dict) else "nothing"
        raise ConfigError(f"no setting {key!r} of a pair; known there: {known}")
    below[name] = _value(value)


def _value(text: str) -> object:
    """Numbers stay text, as in the file; lists and groups are read as YAML."""
    if text in ("null", "none", "~"):
        return None
    if text[0] not in "[{":
        return text
    try:
        return yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"can't read {text!r}: {error}") from None
