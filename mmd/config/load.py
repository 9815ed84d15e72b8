"""Reads conf/pairs.yaml: all that is wrong with it at once, each with its line and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mmd.config.base import NO_FAULTS, Fault, Strict, parse_pair
from mmd.config.model import PairSettings, Settings
from mmd.config.shape import FILE_KEYS, PAIR_KEYS, example, known_keys
from mmd.config.tree import Value, merge, read
from mmd.words.errors import ConfigError

Loc = tuple[str, ...]
_REPAIRS = 4
"""Most passes that a file with errors takes: wrong values out, examples in, level by level."""
_GROUP = "must be a group of keys"
_MUST = {
    "missing": "must be given",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of sensible size",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "decimal_parsing": "must be a number",
    "decimal_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "model_type": _GROUP,
    "model_attributes_type": _GROUP,
    "dict_type": _GROUP,
    "too_short": "must name at least one",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
}


def load(path: Path) -> Settings:
    """The settings in a file, with `defaults` and `profiles` merged into the pairs.

    Raises ConfigError with one line for each thing that is wrong.
    """
    return _Loader(path).load()


class _Loader:
    def __init__(self, path: Path) -> None:
        self._file = path
        self._problems: list[tuple[int, str]] = []
        self._wrong: set[Loc] = set()
        """Where something is wrong already; what rests on it is not judged."""

    def load(self) -> Settings:
        tree = self._merged(read(self._file))
        settings = self._checked(tree)
        if settings is not None:
            self._report_faults(settings, tree)
        if self._problems or settings is None:
            raise ConfigError(*self._lines())
        return settings

    def _lines(self) -> list[str]:
        """The problems from top to bottom, each once though several pairs may share its cause."""
        ordered = sorted(dict.fromkeys(self._problems), key=lambda problem: problem[0])
        return [f"{self._file}:{line}: {text}" for line, text in ordered]

    # defaults and profiles

    def _merged(self, root: Value) -> Value:
        """The tree that the models describe: pairs complete, their names in standard form."""
        items = _items(root)
        defaults = items.pop("defaults", None)
        profiles = items.pop("profiles", None)
        self._check_layers(defaults, profiles)
        for section in ("rates", "pairs"):
            if section in items:
                items[section] = self._with_standard_names(items[section])
        if "pairs" in items:
            pairs = items["pairs"]
            complete = {
                name: self._complete(pair, defaults, profiles)
                for name, pair in _items(pairs).items()
            }
            items["pairs"] = pairs.with_items(complete) if complete else pairs
        return root.with_items(items)

    def _check_layers(self, defaults: Value | None, profiles: Value | None) -> None:
        """Finds wrong keys and values in defaults and profiles, used or not."""
        named = [profiles] if profiles else []
        layers = [defaults, *_items(profiles).values()] if profiles else [defaults]
        for group in [*named, *layers]:
            if group is not None and not isinstance(group.data, dict | None):
                self._report(group, f"found {group.text}; {_GROUP}")
        for layer in layers:
            if layer is None or not isinstance(layer.data, dict):
                continue
            try:
                PairSettings.model_validate(layer.plain(), context=NO_FAULTS)
            except ValidationError as error:
                for detail in _unknown_first(error):
                    if detail["type"] != "missing":
                        self._report_detail(detail, layer, ("pairs", "*"))

    def _with_standard_names(self, section: Value) -> Value:
        """`btc_twd` and BTC/TWD are one pair, so it must not be given twice."""
        items: dict[str, Value] = {}
        for key, value in _items(section).items():
            try:
                name = str(parse_pair(key))
            except ValueError:
                name = key
            if name in items:
                self._report(value, f"duplicate of {items[name].name} on line {items[name].line}")
            else:
                items[name] = value
        return section.with_items(items) if items else section

    def _complete(self, pair: Value, defaults: Value | None, profiles: Value | None) -> Value:
        """A pair laid over its profile, laid over the defaults."""
        profile = pair.get("profile")
        if profile is not None:
            pair = pair.with_items({k: v for k, v in _items(pair).items() if k != "profile"})
        layers = [defaults, self._profile(profile, profiles), pair]
        whole, *rest = [layer for layer in layers if layer is not None and _is_group(layer)] or [
            pair
        ]
        for layer in rest:
            whole = merge(whole, layer)
        return whole if _is_group(pair) else pair

    def _profile(self, chosen: Value | None, profiles: Value | None) -> Value | None:
        if chosen is None:
            return None
        known = _items(profiles) if profiles else {}
        name = chosen.data if isinstance(chosen.data, str) else ""
        if name not in known:
            names = ", ".join(known) or "none is configured"
            self._report(chosen, f"found {chosen.text}; must be one of the profiles: {names}")
        return known.get(name)

    # the models' own checks

    def _checked(self, tree: Value) -> Settings | None:
        """The settings, with what is wrong repaired so far that the rest can be judged."""
        plain: Any = tree.plain()
        for _ in range(_REPAIRS):
            try:
                return Settings.model_validate(plain, context=NO_FAULTS)
            except ValidationError as error:
                for detail in _unknown_first(error):
                    self._report_detail(detail, tree)
                    _repair(plain, detail["loc"], detail["type"] == "missing")
        return None

    def _report_detail(self, detail: dict[str, Any], tree: Value, above: Loc = ()) -> None:
        """Reports what pydantic found, unless it follows from what was reported already."""
        loc = tuple(str(key) for key in detail["loc"])
        place = (*above, *loc)
        if self._is_touched(place):
            return
        self._wrong.add(place)
        is_key = loc[-1:] == ("[key]",)
        loc = loc[:-1] if is_key else loc
        if detail["type"] == "extra_forbidden":
            self._report_unknown(tree, loc, place)
        elif is_key:
            self._report(tree.walk(loc)[-1], f"found {loc[-1]!r}; {_must(detail)}")
        elif detail["type"] == "missing":
            self._report_at(tree, loc, f"must be given, such as {_written(example(place))}")
        else:
            self._report_at(tree, loc, _must(detail))

    def _report_unknown(self, tree: Value, loc: Loc, place: Loc) -> None:
        value = tree.walk(loc)[-1]
        parent, key = place[:-1], place[-1]
        known = known_keys(parent)
        if not parent:
            known = [*known, *FILE_KEYS]
        elif value.path[:-2] == ("pairs",):
            known = [*known, *PAIR_KEYS]
        nearest = difflib.get_close_matches(key, known, n=1)
        if nearest:
            self._wrong.add((*parent, nearest[0]))
            hint = f"did you mean {nearest[0]!r}?"
        else:
            hint = f"known here: {', '.join(known)}"
        name = f"{'.'.join(value.path[:-1])}: " if value.path[1:] else ""
        self._problems.append((value.line, f"{name}unknown key {key!r}; {hint}"))

    def _report_faults(self, settings: Settings, tree: Value) -> None:
        for loc, fault in _faults(settings):
            if any(self._is_touched((*loc, *keys)) for keys in (fault.at, *fault.given)):
                continue
            self._report_at(tree, (*loc, *fault.at), fault.must)

    def _report_at(self, tree: Value, loc: Loc, must: str) -> None:
        """Says what was found at a place, or that nothing was, on the line of the group above."""
        way = tree.walk(loc)
        if len(way) > len(loc):
            return self._report(way[-1], f"found {way[-1].text}; {must}")
        own = [value for value in way if value.path[:1] == loc[:1]] or [tree]
        return self._problems.append((own[-1].line, f"{'.'.join(loc)}: not given; {must}"))

    def _is_touched(self, place: Loc) -> bool:
        return any(place[: len(wrong)] == wrong[: len(place)] for wrong in self._wrong)

    def _report(self, value: Value, problem: str) -> None:
        self._problems.append((value.line, f"{value.name}: {problem}"))


def _unknown_first(error: ValidationError) -> list[dict[str, Any]]:
    """A misspelt key explains why the right one is missing, so it is told first."""
    details = [dict(detail) for detail in error.errors(include_url=False, include_input=False)]
    return sorted(details, key=lambda detail: detail["type"] != "extra_forbidden")


def _must(detail: dict[str, Any]) -> str:
    """What would be right, in our words where pydantic's are not for traders."""
    context = detail.get("ctx", {})
    form = _MUST.get(detail["type"])
    return form.format(**context) if form else str(detail["msg"])


def _repair(plain: Any, loc: tuple[int | str, ...], missing: bool) -> None:
    """Takes a wrong value out, or puts an example in where one must be."""
    keys = [str(key) for key in loc if key != "[key]"]
    group = plain
    for key in keys[:-1]:
        if group.get(key) is None:
            group[key] = {}
        group = group[key]
    if missing or (keys == ["pairs"]):
        group[keys[-1]] = example(tuple(keys))
    else:
        group.pop(keys[-1], None)


def _faults(group: object, loc: Loc = ()) -> Iterator[tuple[Loc, Fault]]:
    """The faults of a model and of all models in it."""
    if isinstance(group, Strict):
        for fault in group.faults():
            yield loc, fault
    for name, member in _members(group):
        yield from _faults(member, (*loc, name))


def _members(group: object) -> Iterable[tuple[str, object]]:
    if isinstance(group, BaseModel):
        return iter(group)
    if isinstance(group, dict):
        return ((str(key), member) for key, member in group.items())
    return ()


def _items(value: Value) -> dict[str, Value]:
    return dict(value.data) if isinstance(value.data, dict) else {}


def _is_group(value: Value) -> bool:
    return value.data is None or isinstance(value.data, dict)


def _written(value: object) -> str:
    """An example as it would stand in the file."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_written(member)}' for key, member in value.items())}}}"
    return str(value)
