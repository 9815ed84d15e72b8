"""The present ladder as data: why each level lies where it does, and what becomes of its order.

Made from the last decision by the very functions that plan, so it can't tell another story.
Amounts and prices are texts as the venue reads them; all else is numbers.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from mmd.decide.ladder import SideTerms, WantedQuote
from mmd.decide.ledger import SELF_TRADE_LEVEL, Entry, Ledger
from mmd.decide.plan import SidePlan, SideRules, plan_side
from mmd.decide.quoter import Quoter
from mmd.decide.reference import BPS, Reference
from mmd.words.market import Side

_NAMES = {Side.BUY: "bid", Side.SELL: "ask"}


def picture(quoter: Quoter, ledger: Ledger, now_ns: int) -> dict[str, Any]:
    """All there is to know of the present ladder."""
    reference = quoter.reference
    return {
        "pair": str(quoter.rules.pair),
        "at_ns": now_ns,
        "note": quoter.note,
        "decided_s_ago": _seconds(now_ns - quoter.decided_ns),
        "reference": _reference(quoter, reference) if reference else None,
        "volatility_bps": round(quoter.market.volatility.bps(now_ns), 2),
        "lean": float(quoter.lean),
        "sides": [_side(quoter, side, ledger, now_ns) for side in Side],
    }


def _reference(quoter: Quoter, reference: Reference) -> dict[str, Any]:
    return {
        "kind": quoter.settings.reference.value,
        "bid": _text(reference.bid),
        "ask": _text(reference.ask),
        "rate_bid": _text(reference.rate_bid),
        "rate_ask": _text(reference.rate_ask),
    }


def _side(quoter: Quoter, side: Side, ledger: Ledger, now_ns: int) -> dict[str, Any]:
    live = [entry for entry in ledger.live(side) if entry.level != SELF_TRADE_LEVEL]
    if quoter.reference is None:
        others = [_other(entry, quoter.note, now_ns) for entry in live]
        return {"side": _NAMES[side], "waits": "", "levels": [], "others": others}
    terms = next(terms for terms in quoter.terms if terms.side is side)
    rules = quoter.side_rules[side]
    quotes = [quote for quote in quoter.ladder.quotes if quote.side is side]
    done = plan_side(quotes, ledger, side, rules, now_ns)
    levels = [_level(quoter, quote, terms, done, now_ns) for quote in quotes]
    levels += [
        {"level": gap.level, "state": "left out", "why": gap.reason}
        for gap in quoter.ladder.left_out
        if gap.side is side
    ]
    levels.sort(key=lambda level: level["level"])
    return {
        "side": _NAMES[side],
        "waits": rules.waits,
        "levels": levels,
        "others": _others(live, done, now_ns),
    }


def _level(
    quoter: Quoter, quote: WantedQuote, terms: SideTerms, done: SidePlan, now_ns: int
) -> dict[str, Any]:
    state, why, order = _fate(quote, quoter.side_rules[quote.side], done)
    parts = {name: bps for name, bps in quoter.parts(quote, terms) if bps}
    total = _distance_bps(quote.price, terms)
    parts["grid"] = total - sum(parts.values(), Decimal(0))
    return {
        "level": quote.level,
        "state": state,
        "why": why,
        "price": _text(quote.price),
        "amount": _text(quote.amount),
        "distance_bps": _bps(total),
        "parts_bps": {name: _bps(bps) for name, bps in parts.items()},
        "order": _order(order, now_ns) if order else None,
    }


def _fate(quote: WantedQuote, rules: SideRules, done: SidePlan) -> tuple[str, str, Entry | None]:
    """What becomes of a quote: kept, moved or missing; why; and the order that it is about."""
    for kept, entry in done.kept:
        if kept is quote:
            off = abs(entry.price - quote.price) / quote.price / BPS
            within = rules.keep.within(quote) / quote.price / BPS
            why = f"{off:.2f} bps off, within {within:f}"
            return "kept", why if entry.state.rests else f"{why}; {entry.state.value}", entry
    leaving = [cancel for cancel in done.cancels if cancel.entry.level == quote.level]
    held = next((why for wanted, why in done.held if wanted is quote), "")
    if leaving:
        why = f"its order is cancelled: {leaving[0].reason}"
        return "moved", f"{why}; {held}" if held else why, leaving[0].entry
    return "missing", held or "to be placed next", None


def _others(live: list[Entry], done: SidePlan, now_ns: int) -> list[dict[str, Any]]:
    """Orders that serve no level."""
    kept = {entry.order.client_id for _, entry in done.kept}
    why = {cancel.entry.order.client_id: f"to go: {cancel.reason}" for cancel in done.cancels}
    why |= {entry.order.client_id: "hangs: its opposite was filled" for entry in done.hanging}
    why |= {entry.order.client_id: "spare: in case the price comes back" for entry in done.spares}
    return [
        _other(entry, why.get(entry.order.client_id, entry.state.value), now_ns)
        for entry in live
        if entry.order.client_id not in kept
    ]


def _other(entry: Entry, why: str, now_ns: int) -> dict[str, Any]:
    return {"why": why, **_order(entry, now_ns)}


def _order(entry: Entry, now_ns: int) -> dict[str, Any]:
    return {
        "number": entry.order_no or entry.order.client_id,
        "state": entry.state.value,
        "level": entry.level,
        "price": _text(entry.price),
        "remaining": _text(entry.remaining),
        "replaced_in_s": _seconds(entry.expires_ns - now_ns),
    }


def _distance_bps(price: Decimal, terms: SideTerms) -> Decimal:
    off = terms.reference - price if terms.side is Side.BUY else price - terms.reference
    return off / terms.reference / BPS


def _text(number: Decimal) -> str:
    """Without an exponent and without idle zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _bps(number: Decimal) -> float:
    return round(float(number), 3)


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 2)
