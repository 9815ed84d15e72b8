"""Is it well? How each part is, in a word, and what is wrong. Pure.

The terminal and the page say the same words in the same colours.
"""

from __future__ import annotations

from typing import NamedTuple

from mmd.cells.layouts import BookState, BookStatus, QuoteState
from mmd.processes.sight import UP, Process, Sight
from mmd.words.market import Pair

_KILLED = "kill switch"
"""What a pair's note, or its process's text, begins with while its switch is thrown."""
_STARTS_S = 5.0
"""Starting is no trouble for so long."""
_GOOD = frozenset({"quoting", "live", *UP})
_DIM = frozenset({"stopped"})
_WARN = frozenset({"paused", "one side", "starting", "stopping", "backing off", "empty"})


class Trouble(NamedTuple):
    """Something that is not as it should be."""

    subject: str
    text: str
    tone: str
    """`bad`, or `warn` for what somebody wanted or what passes by itself."""


def tone(word: str) -> str:
    """How a word is coloured: `good`, `warn`, `bad`, or `dim`."""
    if word in _GOOD:
        return "good"
    if word in _DIM:
        return "dim"
    return "warn" if word in _WARN else "bad"


def pair_word(process: Process, quotes: QuoteState) -> str:
    """How a pair is."""
    if quotes.note_text.startswith(_KILLED) or _KILLED in process.text:
        return "killed"
    if process.state not in UP and not (process.state == "starting" and quotes.best_bid):
        return process.state.replace("_", " ")
    if quotes.paused:
        return "paused"
    sides = bool(quotes.best_bid) + bool(quotes.best_ask)
    return ("not quoting", "one side", "quoting")[sides]


def book_word(process: Process, book: BookState) -> str:
    """How a feed or a rate is."""
    if process.state not in UP:
        return process.state.replace("_", " ")
    return "live" if book.is_valid else BookStatus(book.status).name.lower().replace("_", " ")


def shown_name(process: Process) -> str:
    """A process's name as people write it: BTC/TWD, BTCUSDT, notifier."""
    if process.group in ("pairs", "rates"):
        return str(Pair.parse(process.member))
    return process.member.upper() if process.group == "feeds" else process.member


def troubles(sight: Sight) -> list[Trouble]:
    """What is wrong now, the gravest first."""
    if sight.parent_state != "running":
        return [Trouble("mmd", f"is {sight.parent_state}", "bad")]
    found = [trouble for process in sight.processes if (trouble := _trouble(sight, process))]
    return sorted(found, key=lambda trouble: trouble.tone)


def _trouble(sight: Sight, process: Process) -> Trouble | None:
    word, text = process.state.replace("_", " "), process.text
    if process.group == "pairs":
        quotes = sight.quotes_of(process)
        word = pair_word(process, quotes)
        text = quotes.note_text or ("" if process.state in UP else text)
    elif process.group in ("feeds", "rates"):
        word = book_word(process, sight.book_of(process))
        text = "" if process.state in UP else text
    if word == "starting" and sight.wall_s - process.since_s < _STARTS_S:
        return None
    shade = tone(word)
    if shade == "good" or (shade == "dim" and process.group not in ("pairs", "feeds", "rates")):
        return None
    told = word if not text or text == word else text if word == "killed" else f"{word}: {text}"
    return Trouble(shown_name(process), told, "bad" if shade == "bad" else "warn")
