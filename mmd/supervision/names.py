"""Names of children: `pairs:btc_twd`, and what people may write instead."""

from __future__ import annotations

from collections.abc import Iterable

from mmd.words.errors import Exit, MmdError
from mmd.words.market import Pair

PAIRS = "pairs"


class UnknownName(MmdError):
    """No child has that name."""

    exit_code = Exit.USAGE


def group_of(name: str) -> str:
    """`pairs` of `pairs:btc_twd`."""
    return name.partition(":")[0]


def member_of(name: str) -> str:
    """`btc_twd` of `pairs:btc_twd`."""
    return name.partition(":")[2]


def resolve(text: str, names: Iterable[str]) -> list[str]:
    """The children that `text` means: `btc_twd`, `BTC/TWD`, `pairs:btc_twd`, `pairs:*`, `*`.

    A bare name means the pair, if there is one. Raises UnknownName when nothing fits, or when
    several things do.
    """
    known = list(names)
    if text in ("*", "all"):
        return known
    if text in known:
        return [text]
    group, colon, member = text.partition(":")
    if colon and member in ("", "*"):
        return _some([name for name in known if group_of(name) == group], text, known)
    slug = _slug(member if colon else text)
    if colon:
        return _some([name for name in known if name == f"{group}:{slug}"], text, known)
    if f"{PAIRS}:{slug}" in known:
        return [f"{PAIRS}:{slug}"]
    found = _some([name for name in known if member_of(name) == slug], text, known)
    if len(found) > 1:
        raise UnknownName(f"{text!r} may mean {' or '.join(found)}")
    return found


def _slug(text: str) -> str:
    try:
        return Pair.parse(text).slug
    except ValueError:
        return text.lower()


def _some(found: list[str], text: str, known: list[str]) -> list[str]:
    if not found:
        raise UnknownName(f"there is no {text!r}; there are: {', '.join(known) or 'none'}")
    return found
