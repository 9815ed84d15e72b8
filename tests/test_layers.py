"""Imports go down only: a module imports from its own row or from lower layers, never from a
sibling row, and there is no circle. Imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"words"},
    {"config", "cells"},
    {"decide", "venues.binance", "venues.ace"},
    {"records"},
    {"processes"},
    {"supervision"},
    {"faces"},
]
LAYER_OF = {row: number for number, rows in enumerate(LAYERS) for row in rows}
BESIDE = "sim"
FREE = {"mmd", "mmd.__main__", "mmd.venues"}


def modules() -> dict[str, Path]:
    found = {}
    for path in (ROOT / "mmd").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports_of(path: Path) -> Iterator[str]:
    """Every module of ours that the file names in an import, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("mmd"))
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if (node.module or "").split(".")[0] == "mmd":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in MODULES else str(node.module)


def row_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[1:3]) if parts[1] == "venues" else parts[1]


def test_every_module_has_its_row() -> None:
    rows = {row_of(module) for module in MODULES if module not in FREE}
    assert rows == {*LAYER_OF, BESIDE}


def test_imports_go_down_only() -> None:
    wrong = []
    for module, path in MODULES.items():
        if module in FREE:
            continue
        row = row_of(module)
        for imported in imports_of(path):
            if imported in FREE:
                continue
            other = row_of(imported)
            if other == row:
                continue
            if other == BESIDE:
                allowed = row == "faces"
            else:
                allowed = row == BESIDE or LAYER_OF[other] < LAYER_OF[row]
            if not allowed:
                wrong.append(f"{module} ({row}) imports {imported} ({other})")
    assert wrong == []


def test_the_simulators_know_nothing_of_processes_and_faces() -> None:
    highest = LAYER_OF["venues.ace"]
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if module.startswith("mmd.sim")
        for imported in imports_of(path)
        if imported not in FREE
        and row_of(imported) != BESIDE
        and LAYER_OF[row_of(imported)] > highest
    ]
    assert wrong == []


def test_there_is_no_circle() -> None:
    graph = {module: set(imports_of(path)) - {module} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join([*above, module])
        if module in done:
            return
        for imported in sorted(graph.get(module, ())):
            visit(imported, (*above, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_no_module_is_too_long_to_take_in_at_one_sitting() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: length for module, length in lengths.items() if length > 500} == {}
