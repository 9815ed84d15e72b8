"""Two plain plots as SVG: a line with error bars, and a heat map. No dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_FONT = 'font-family="system-ui, sans-serif" font-size="12" fill="#222"'
_LEFT, _TOP, _RIGHT, _BOTTOM = 90, 50, 20, 55
_LOW, _MIDDLE, _HIGH = (178, 24, 43), (247, 247, 247), (33, 102, 172)
"""Colours of a loss, of nothing, and of a profit; told apart by the colour-blind too."""


def line_plot(title: str, axis: str, points: Sequence[tuple[str, float, float]]) -> str:
    """Values with their errors over the labels of one axis, evenly spaced."""
    width, height = 560, 320
    lows = [value - error for _, value, error in points]
    highs = [value + error for _, value, error in points]
    low, high = min(*lows, 0.0), max(*highs, 0.0)
    scale = (height - _TOP - _BOTTOM) / ((high - low) or 1.0)

    def y(value: float) -> float:
        return height - _BOTTOM - (value - low) * scale

    step = (width - _LEFT - _RIGHT) / len(points)
    xs = [_LEFT + step * (index + 0.5) for index in range(len(points))]
    body = [_text(_LEFT, 24, title, "start", bold=True)]
    for tick in (low, (low + high) / 2, high):
        body.append(_line(_LEFT, y(tick), width - _RIGHT, y(tick), "#ddd"))
        body.append(_text(_LEFT - 8, y(tick) + 4, f"{tick:,.0f}", "end"))
    body.append(_line(_LEFT, y(0), width - _RIGHT, y(0), "#888"))
    path = " ".join(f"{x:.1f},{y(value):.1f}" for x, (_, value, _) in zip(xs, points, strict=True))
    body.append(f'<polyline points="{path}" fill="none" stroke="#2166ac" stroke-width="2"/>')
    for x, (label, value, error) in zip(xs, points, strict=True):
        body.append(_line(x, y(value - error), x, y(value + error), "#2166ac"))
        body.append(f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="4" fill="#2166ac"/>')
        body.append(_text(x, height - _BOTTOM + 18, label, "middle"))
    body.append(_text((_LEFT + width) / 2, height - 12, axis, "middle"))
    return _svg(width, height, body)


def heat_map(
    title: str,
    across: str,
    columns: Sequence[str],
    down: str,
    rows: Sequence[str],
    cells: Sequence[Sequence[float]],
) -> str:
    """A coloured square with its value for each column of each row."""
    wide, high = 84, 34
    left = max(_LEFT, 20 + 7 * max(map(len, rows)))
    width = left + wide * len(columns) + _RIGHT
    height = _TOP + 20 + high * len(rows) + _BOTTOM
    most = max((abs(value) for row in cells for value in row), default=0.0) or 1.0
    body = [_text(12, 24, title, "start", bold=True), _text(12, _TOP + 10, down, "start")]
    for index, label in enumerate(rows):
        top = _TOP + 20 + high * index
        body.append(_text(left - 8, top + high / 2 + 4, label, "end"))
        for number, value in enumerate(cells[index]):
            x = left + wide * number
            colour = _colour(value / most)
            body.append(
                f'<rect x="{x}" y="{top}" width="{wide - 2}" height="{high - 2}" fill="{colour}"/>'
            )
            ink = "#fff" if abs(value) / most > 0.65 else "#222"
            body.append(
                _text(x + wide / 2, top + high / 2 + 4, f"{value:+,.0f}", "middle", ink=ink)
            )
    bottom = _TOP + 20 + high * len(rows)
    for number, label in enumerate(columns):
        body.append(_text(left + wide * (number + 0.5), bottom + 18, label, "middle"))
    body.append(_text(left + wide * len(columns) / 2, height - 12, across, "middle"))
    return _svg(width, height, body)


def _colour(share: float) -> str:
    """From loss (-1) over nothing to profit (1)."""
    end = _HIGH if share > 0 else _LOW
    mixed = (
        round(middle + (far - middle) * abs(share))
        for middle, far in zip(_MIDDLE, end, strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _text(
    x: float, y: float, text: str, anchor: str, *, bold: bool = False, ink: str | None = None
) -> str:
    font = _FONT.replace("#222", ink) if ink else _FONT
    weight = ' font-weight="bold"' if bold else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {where} {font}{weight}>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'


def _svg(width: int, height: int, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">'
    )
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([head, background, *body, "</svg>", ""])
