"""What must always be true, asked of the venue's record, our records and our status.

Each function returns complete sentences about what is wrong; no sentence, no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from chaos.chronicle import Chronicle, FillRow, Story
from chaos.watch import Absence
from mmd.records.replay import lines_of
from mmd.words.market import OwnTrade

SEQUENCE_DIGITS = 5
"""The last digits of a customOrderId count the orders of one run."""


def orders_sent_twice(chronicle: Chronicle) -> list[str]:
    """No customOrderId is sent, or accepted, more than once."""
    sent = [f"{i} was sent {n} times" for i, n in chronicle.sendings.items() if n > 1]
    made = [
        f"{client_id} became {len(numbers)} orders: {', '.join(numbers)}"
        for client_id, numbers in chronicle.order_nos.items()
        if len(numbers) > 1
    ]
    return sent + made


def own_meetings(report: Mapping[str, Any], chronicle: Chronicle) -> list[str]:
    """Our own bid meets our own ask in intended self-trades only."""
    wrong = []
    for what, rows in (
        ("were matched", report["self_matches"]),
        ("crossed", report["crossed_own_quotes"]),
    ):
        for row in rows:
            if not is_self_trade(*(chronicle.stories[number] for number in row["order_nos"])):
                wrong.append(f"our own orders {' and '.join(row['order_nos'])} {what}")
    return wrong


def is_self_trade(one: Story, other: Story) -> bool:
    """Whether two orders were made to meet: drawn up together, at one price, of one size. Two
    quotes never are: they lie at least a spread apart."""
    first, second = sorted((one.client_id, other.client_id))
    together = first[:-SEQUENCE_DIGITS] == second[:-SEQUENCE_DIGITS] and (
        int(second[-SEQUENCE_DIGITS:], 36) - int(first[-SEQUENCE_DIGITS:], 36) == 1
    )
    alike = (one.price, one.amount) == (other.price, other.amount)
    return together and alike and one.side is not other.side


def orphans(
    chronicle: Chronicle, absences: Iterable[Absence], limit_s: float, now_ms: int
) -> list[str]:
    """No order rests for longer than the limit while no living process answers for it."""
    wrong = []
    for absence in absences:
        for story in chronicle.stories.values():
            alone_s = alone_ms(story, absence, now_ms) / 1000
            if alone_s > limit_s:
                wrong.append(
                    f"order {story.order_no} of {story.pair} rested for {alone_s:.1f} s while "
                    f"nobody answered for it, from {absence.start_ms} on"
                )
    return wrong


def alone_ms(story: Story, absence: Absence, now_ms: int) -> int:
    """How far into its owner's absence an order rested."""
    end_ms = now_ms if absence.end_ms is None else absence.end_ms
    if story.pair != absence.pair or not story.rests_between(absence.start_ms, end_ms):
        return 0
    last_ms = end_ms if story.closed_ms is None else min(story.closed_ms, end_ms)
    return last_ms - absence.start_ms


def quotes_without_price(
    chronicle: Chronicle, blind: Iterable[tuple[int, int]], limit_s: float
) -> list[str]:
    """No quote rests on a price older than its limit."""
    wrong = []
    for start_ms, end_ms in blind:
        late_ms = start_ms + int(limit_s * 1000)
        left = [s for s in chronicle.stories.values() if s.rests_between(late_ms, end_ms)]
        if left:
            wrong.append(
                f"{len(left)} quotes ({left[0].order_no} …) rested {limit_s:.1f} s after the last "
                f"price came, at {start_ms}"
            )
    return wrong


def fills_differ(chronicle: Chronicle, recorded: Sequence[OwnTrade]) -> list[str]:
    """Every fill is recorded exactly once, as it was."""
    ours: dict[tuple[int, str], FillRow] = {}
    wrong = []
    for t in recorded:
        key = (t.trade_no, t.order_no)
        if key in ours:
            wrong.append(f"fill {key} is recorded twice")
        ours[key] = FillRow(
            t.trade_no,
            t.order_no,
            t.client_id,
            str(t.pair),
            t.side,
            t.price,
            t.amount,
            t.fee,
            t.is_self,
        )
    theirs = chronicle.fills
    wrong += [f"fill {key} is not recorded" for key in theirs.keys() - ours.keys()]
    wrong += [f"fill {key} never happened" for key in ours.keys() - theirs.keys()]
    wrong += [
        f"fill {key} is recorded as {ours[key]}, but was {theirs[key]}"
        for key in ours.keys() & theirs.keys()
        if ours[key] != theirs[key]
    ]
    return wrong


def orders_differ(chronicle: Chronicle, pair: str, explained: Mapping[str, Any]) -> list[str]:
    """The living worker knows of every order that rests, and of no other."""
    theirs = {story.order_no for story in chronicle.open_orders(pair)}
    ours = {
        order["number"]
        for side in explained["sides"]
        for order in (*(level.get("order") for level in side["levels"]), *side["others"])
        if order and order["state"] not in ("wanted", "sent", "unknown")
    }
    wrong = [f"order {number} rests, but {pair} does not know it" for number in theirs - ours]
    return wrong + [f"{pair} believes in order {number}" for number in ours - theirs]


def figures_differ(chronicle: Chronicle, pair: str, row: Mapping[str, Any]) -> list[str]:
    """The status shows what the venue has. Self-trades are no fills to it."""
    rows = [fill for fill in chronicle.fills.values() if fill.pair == pair]
    fills = [fill for fill in rows if not fill.is_self]
    theirs = {
        "open_orders": len(chronicle.open_orders(pair)),
        "fills": len(fills),
        "position": float(chronicle.position(pair)),
    }
    return [
        f"{pair}: status shows {name} {row[name]}, the venue has {value}"
        for name, value in theirs.items()
        if abs(Decimal(str(row[name])) - Decimal(str(value))) > Decimal("1e-9")
    ]


def too_absent(presence: Mapping[str, float], least: float) -> list[str]:
    """Every pair had orders on both sides for at least this part of the time."""
    return [
        f"{pair} quoted both sides for {share:.0%} of the time only"
        for pair, share in presence.items()
        if share < least
    ]


def secrets_shown(home: Path, secrets: Iterable[str], said: Iterable[str] = ()) -> list[str]:
    """No file below the home, its name included, and nothing that mmd said holds a secret."""
    wanted = {secret: secret.encode() for secret in secrets}
    wrong = [f"{text[:40]!r} … shows a secret" for text in said if any(s in text for s in wanted)]
    for path in sorted(home.rglob("*")):
        if path.is_file():
            content = str(path).encode() + b"\n" + _content(path)
            wrong += [f"{path} shows a secret" for raw in wanted.values() if raw in content]
    return wrong


def _content(path: Path) -> bytes:
    """A file's bytes; journals are unpacked, however torn their end is."""
    if path.suffix != ".gz":
        return path.read_bytes()
    return b"\n".join(lines_of(path))
