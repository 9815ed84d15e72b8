"""All keys as Markdown, made from the models. Run: `python -m mmd.config.reference`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic.fields import FieldInfo

from mmd.config.base import PAIR_PATTERN, AmountRange, SecondsRange, Strict
from mmd.config.model import Settings
from mmd.config.shape import is_mapping, model_in, schema

_UNITS = {
    "_bps": "bps",
    "_per_s": "per s",
    "_per_hour": "per hour",
    "_per_day": "per day",
    "_ms": "ms",
    "_s": "s",
    "_mb": "MB",
    "_days": "days",
    "_pct": "%",
}
_BOUNDS = {"exclusiveMinimum": "> {}", "minimum": "≥ {}", "exclusiveMaximum": "< {}",
           "maximum": "≤ {}"}  # fmt: skip
_RANGES = (AmountRange, SecondsRange)
_HEAD = """| key | unit | range | default | meaning |
|---|---|---|---|---|
"""


_LAYERS = """
`defaults` holds values for every pair, with the same keys as a pair; `profiles` holds named sets
of such values, for pairs that say `profile: NAME`. A pair's own value counts first, then its
profile's, then the default.
"""


_TITLE = """# Configuration

Every key of `conf/pairs.yaml`. Names end in their unit; 100 bps are 1 %. `bin/mmd check` says what
is wrong with a file, and `bin/mmd check --schema` gives editors a JSON schema of it.

"""


def reference() -> str:
    """Markdown: one table for each group of settings, in the order of the file."""
    definitions = schema()["$defs"] | {Settings.__name__: schema()}
    tables = "\n".join(
        f"### {title}\n\n{_prose(model.__doc__)}\n\n{_HEAD}{_rows(model, definitions)}\n"
        for title, model in _groups(Settings, "")
    )
    return _TITLE + tables + _LAYERS


def _groups(model: type[Strict], path: str) -> Iterator[tuple[str, type[Strict]]]:
    """Every group of settings with its heading, from the top of the file down."""
    yield (f"`{path}`" if path else "Top of the file"), model
    for name, field in model.model_fields.items():
        below = model_in(field.annotation)
        if below is None or below in _RANGES:
            continue
        entry = f"{name}.<pair>" if is_mapping(field) else name
        yield from _groups(below, f"{path}.{entry}" if path else entry)


def _rows(model: type[Strict], definitions: dict[str, Any]) -> str:
    properties = definitions[model.__name__]["properties"]
    rows = []
    for name, field in model.model_fields.items():
        allowed = _range(properties[name], field, definitions)
        cells = (f"`{name}`", _unit(name), allowed, _default(field), _prose(field.description))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _unit(name: str) -> str:
    if name in ("amount", "volume_threshold"):
        return "base currency"
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")


def _range(property_: dict[str, Any], field: FieldInfo, definitions: dict[str, Any]) -> str:
    group = model_in(field.annotation)
    if group in _RANGES:
        least = definitions[group.__name__]["properties"]["min"]
        return f"`min` and `max`, {_range(least, group.model_fields['min'], definitions)}"
    if group is not None or is_mapping(field):
        return "group of keys"
    options = property_.get("anyOf", [property_])
    found = [_option(option, definitions) for option in options if option.get("type") != "null"]
    return " or ".join(filter(None, dict.fromkeys(found)))


def _option(option: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in option:
        option = definitions[option["$ref"].rsplit("/", 1)[1]]
    if "enum" in option:
        return ", ".join(f"`{_text(value)}`" for value in option["enum"] if value is not None)
    if option.get("pattern") == PAIR_PATTERN:
        return "a pair"
    if option.get("type") == "boolean":
        return "`true`, `false`"
    bounds = [form.format(_text(option[key])) for key, form in _BOUNDS.items() if key in option]
    return ", ".join(bounds)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**must be given**"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "not given"
    if isinstance(value, Strict):
        given = [f"{key} {_text(member)}" for key, member in value if key in value.model_fields_set]
        return f"`{', '.join(given)}`" if given else "see below"
    if isinstance(value, dict):
        return ", ".join(f"`{key} {_text(member)}`" for key, member in value.items()) or "none"
    return f"`{_text(value)}`"


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _prose(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


if __name__ == "__main__":
    sys.stdout.write(reference())
