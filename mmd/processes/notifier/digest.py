"""Many alerts, few messages: groups, counts repeats, keeps the pace. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mmd.records.alerts import Alert, Kind

_MOST_LINES = 20
Key = tuple[Kind, str]


@dataclass(frozen=True)
class Pace:
    """How often people want to hear from us. In seconds."""

    group_s: float
    pause_s: float
    repeat_s: float


@dataclass(frozen=True)
class Message:
    """What is sent at once."""

    title: str
    lines: tuple[str, ...]
    alerts: tuple[Alert, ...]
    left_out: int = 0
    """Further lines that the message has no room for."""

    @property
    def body(self) -> str:
        more = (f"… and {self.left_out} more",) if self.left_out else ()
        return "\n".join((*self.lines, *more))


@dataclass
class _Line:
    alert: Alert
    count: int = 1


@dataclass
class Digest:
    """What one address is still to be told."""

    pace: Pace
    name: str
    """Stands in the title, to tell this mmd from others."""
    _lines: list[_Line] = field(default_factory=list)
    _told: dict[Key, float] = field(default_factory=dict)
    """Troubles that were told, and when; those without an end since."""
    _since_s: float = 0.0
    _sent_s: float = float("-inf")

    def take(self, alerts: Iterable[Alert], now_s: float) -> None:
        for alert in alerts:
            if not self._lines:
                self._since_s = now_s
            self._take(alert, now_s)

    def _take(self, alert: Alert, now_s: float) -> None:
        same = next((line for line in self._lines if line.alert.key == alert.key), None)
        if alert.is_recovery:
            if same is None and alert.key not in self._told:
                return  # nobody heard of the trouble
            self._lines.append(_Line(alert))
        elif same is not None and not same.alert.is_recovery:
            same.count += 1
        elif not alert.kind.lasts or self._is_forgotten(alert, now_s):
            self._lines.append(_Line(alert))

    def _is_forgotten(self, alert: Alert, now_s: float) -> bool:
        told_s = self._told.get(alert.key)
        return told_s is None or now_s - told_s >= self.pace.repeat_s

    def due_s(self) -> float | None:
        """When the next message goes out; None when there is none."""
        if not self._lines:
            return None
        return max(self._since_s + self.pace.group_s, self._sent_s + self.pace.pause_s)

    def message(self) -> Message | None:
        """Everything that waits, the newest lines last."""
        if not self._lines:
            return None
        shown = self._lines[-_MOST_LINES:]
        return Message(
            self._title(),
            tuple(map(_text, shown)),
            tuple(line.alert for line in self._lines),
            len(self._lines) - len(shown),
        )

    def sent(self, message: Message, now_s: float) -> None:
        """The message has arrived."""
        self._sent_s = self._since_s = now_s
        self._lines = self._lines[len(message.alerts) :]
        for alert in message.alerts:
            if alert.is_recovery:
                self._told.pop(alert.key, None)
            elif alert.kind.lasts:
                self._told[alert.key] = now_s

    def told(self, alerts: Iterable[Alert], now_s: float) -> None:
        """What an earlier life told, as troubles that are still open."""
        for alert in alerts:
            self._told[alert.key] = now_s

    def _title(self) -> str:
        over = sum(line.alert.is_recovery for line in self._lines)
        new = len(self._lines) - over
        if len(self._lines) == 1:
            alert = self._lines[0].alert
            return f"{self.name}: {alert.kind.value}{' is over' if over else ''}"
        parts = [f"{new} new"] if new else []
        parts += [f"{over} over"] if over else []
        return f"{self.name}: {', '.join(parts)}"


def _text(line: _Line) -> str:
    alert = line.alert
    sign = "✔" if alert.is_recovery else "✖" if alert.kind.lasts else "•"
    over = " is over" if alert.is_recovery else ""
    times = f" ({line.count} times)" if line.count > 1 else ""
    return f"{sign} {alert.kind.value}{over}: {alert.subject}: {alert.text}{times}"
