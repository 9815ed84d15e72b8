"""YAML as a tree whose every value knows where it stands and how it was written.

Scalars stay text: `0.1` must become Decimal('0.1') and not pass through a float, `yes` must not
become 1. The models give texts their types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from mmd.words.errors import ConfigError

_NULL = "tag:yaml.org,2002:null"
_SHOWN = 60
_DEEPEST = 20


@dataclass(frozen=True)
class Value:
    """A value of the file. Mappings and lists hold values again."""

    data: dict[str, Value] | list[Value] | str | None
    line: int
    """Line of the scalar, or of the key that a mapping or list belongs to."""
    path: tuple[str, ...]
    """Keys from the top of the file."""
    text: str
    """As written, for messages."""

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def get(self, key: str) -> Value | None:
        return self.data.get(key) if isinstance(self.data, dict) else None

    def walk(self, path: tuple[str, ...]) -> list[Value]:
        """The values on the way to `path`, this one first, as far as there are any."""
        way = [self]
        for key in path:
            below = way[-1].get(key)
            if below is None:
                break
            way.append(below)
        return way

    def plain(self) -> object:
        """Dicts, lists, texts and None."""
        if isinstance(self.data, dict):
            return {key: value.plain() for key, value in self.data.items()}
        if isinstance(self.data, list):
            return [value.plain() for value in self.data]
        return self.data

    def with_items(self, items: dict[str, Value]) -> Value:
        return replace(self, data=items)


def merge(low: Value, high: Value) -> Value:
    """`high` laid over `low`, key by key; an empty `high` changes nothing."""
    if high.data is None and isinstance(low.data, dict):
        return low
    if not (isinstance(low.data, dict) and isinstance(high.data, dict)):
        return high
    items = dict(low.data)
    for key, value in high.data.items():
        items[key] = merge(items[key], value) if key in items else value
    return high.with_items(items)


def read(path: Path) -> Value:
    """The file's tree. Raises ConfigError when it isn't a YAML mapping with unique keys."""
    text = _text(path)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise ConfigError(f"{place}: {_syntax(error.problem or str(error.context))}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{path}:{line}: has a character that YAML forbids") from None
    except (ValueError, OverflowError):
        raise ConfigError(f"{path}: has a number or escape that YAML can't read") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _NULL):
        raise ConfigError(f"{path}: is empty; must hold settings, at least pairs")
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: must hold keys with values")
    builder = _Builder(text, path)
    tree = builder.value(node, (), node.start_mark.line + 1)
    if builder.problems:
        raise ConfigError(*builder.problems)
    return tree


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    except ValueError:
        raise ConfigError(f"{str(path)!r}: is no possible file name") from None


def _syntax(problem: str) -> str:
    if "'\\t'" in problem:
        return "has a tab; indent with spaces"
    return f"is not YAML: {problem}"


class _Builder:
    """Turns YAML's nodes into values, collecting what YAML itself lets pass."""

    def __init__(self, text: str, file: Path) -> None:
        self._text = text
        self._file = file
        self._seen: set[int] = set()
        self.problems: list[str] = []

    def value(self, node: yaml.Node, path: tuple[str, ...], line: int) -> Value:
        if id(node) in self._seen:
            self._report(node, path, "aliases (*) can't be used; use defaults or profiles")
            return Value(None, line, path, "")
        if len(path) > _DEEPEST:
            self._report(node, path[:1], "is nested too deeply")
            return Value(None, line, path, "")
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return Value(self._items(node, path), line, path, "a group of keys")
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.value(item, (*path, str(index)), item.start_mark.line + 1)
                for index, item in enumerate(node.value)
            ]
            return Value(items, line, path, "a list")
        data = None if node.tag == _NULL else str(node.value)
        return Value(data, node.start_mark.line + 1, path, self._written(node))

    def _items(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Value]:
        items: dict[str, Value] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, path, "has a key that is not plain text")
                continue
            key = str(key_node.value)
            if key in items:
                self._report(
                    key_node, (*path, key), f"duplicate key; first on line {items[key].line}"
                )
                continue
            items[key] = self.value(value_node, (*path, key), line)
        return items

    def _written(self, node: yaml.Node) -> str:
        written = self._text[node.start_mark.index : node.end_mark.index]
        shown = " ".join(re.sub(r"//[^/@\s]*@", "//***@", written).split())
        if len(shown) > _SHOWN:
            shown = shown[: _SHOWN - 1] + "…"
        return shown or "nothing"

    def _report(self, node: yaml.Node, path: tuple[str, ...], problem: str) -> None:
        name = f" {'.'.join(path)}:" if path else ""
        self.problems.append(f"{self._file}:{node.start_mark.line + 1}:{name} {problem}")
