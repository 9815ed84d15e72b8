"""The quoter and the ledger of a pair, with all that changes them noted in its journal; and
checkpoints of both.

What one step does within itself is not noted: it follows from the step.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Coroutine
from decimal import Decimal
from random import Random
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from mmd.cells.layouts import BookState
from mmd.config.model import QuoteSettings
from mmd.decide.ledger import Entry, Event, Ledger
from mmd.decide.plan import Action
from mmd.decide.quoter import NO_INPUTS, Inputs, Quoter
from mmd.decide.reference import AgeLimits
from mmd.records.journal import Journal
from mmd.records.journal_rows import Decision
from mmd.venues.ace.aio import AsyncAceClient
from mmd.venues.ace.protocol import Call
from mmd.words.errors import ConfigError, MmdError
from mmd.words.market import MarketRules, NewOrder, Order

T = TypeVar("T")


class RecordedQuoter(Quoter):
    """A quoter that notes every decision, every draw and every change of parameters."""

    _is_within = False
    """A step is under way."""

    def __init__(
        self,
        journal: Journal,
        settings: QuoteSettings,
        rules: MarketRules,
        limits: AgeLimits,
        random: Random,
    ) -> None:
        self._journal = journal
        self._is_within = True
        super().__init__(settings, rules, limits, random)
        self._is_within = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (Quoter, _fields(self, Quoter))

    def use(self, settings: QuoteSettings, limits: AgeLimits) -> None:
        if not self._is_within:
            text = settings.model_dump_json()
            self._journal.note("use", text, limits.price_ns, limits.rate_ns)
        super().use(settings, limits)

    def expiry_ns(self, now_ns: int) -> int:
        if not self._is_within:
            self._journal.note("draw")
        return super().expiry_ns(now_ns)

    def decide(
        self,
        book: BookState,
        rate: BookState | None,
        ledger: Ledger,
        now_ns: int,
        dirty: bool,
        stop_reason: str | None = None,
        inputs: Inputs = NO_INPUTS,
    ) -> list[Action]:
        self._is_within = True
        try:
            actions = super().decide(book, rate, ledger, now_ns, dirty, stop_reason, inputs)
        finally:
            self._is_within = False
        self._journal.decided(Decision(book, rate, now_ns, dirty, stop_reason, inputs), actions)
        return actions


class RecordedLedger(Ledger):
    """A ledger that notes every event."""

    _is_within = False
    """A step is under way."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (Ledger, _fields(self, Ledger))

    def want(self, order: NewOrder, level: int, now_ns: int, expires_ns: int) -> Entry:
        self._journal.note("want", order, level, now_ns, expires_ns)
        return super().want(order, level, now_ns, expires_ns)

    def adopt(self, order: Order, now_ns: int, expires_ns: int) -> Entry:
        self._journal.note("adopt", order, now_ns, expires_ns)
        return super().adopt(order, now_ns, expires_ns)

    def apply(self, client_id: str, event: Event, now_ns: int) -> Entry | None:
        if not self._is_within:
            self._journal.note("event", client_id, event, now_ns)
        return super().apply(client_id, event, now_ns)

    def book_fill(self, client_id: str, filled: Decimal, now_ns: int) -> Entry | None:
        entry = self.find(client_id)
        if entry is None or filled <= entry.filled:
            return entry  # old news
        self._journal.note("fill", client_id, filled, now_ns)
        self._is_within = True
        try:
            return super().book_fill(client_id, filled, now_ns)
        finally:
            self._is_within = False


class RecordedClient(AsyncAceClient):
    """A client that notes every call and what it ended with."""

    def __init__(self, client: AsyncAceClient, journal: Journal) -> None:
        self.endpoint, self.clock = client.endpoint, client.clock
        self._client, self._journal = client, journal

    async def close(self) -> None:
        await self._client.close()

    def call(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        return self._note(self._journal.asked(call), self._client.call(call))

    async def _note(self, number: int, awaited: Coroutine[Any, Any, T]) -> T:
        try:
            answer = await awaited
        except MmdError as error:
            self._journal.answered(number, error)
            raise
        self._journal.answered(number, answer)
        return answer


def checkpoint(quoter: Quoter, ledger: Ledger) -> bytes:
    """The state of both, to go on from."""
    return pickle.dumps((quoter, ledger), protocol=5)


def restore(state: bytes) -> tuple[Quoter, Ledger]:
    """The quoter and the ledger of a checkpoint of this very version of mmd.

    Only mmd's own types and plain data come out, nothing else is called. Raises ConfigError.
    """
    try:
        quoter, ledger = _Unpickler(io.BytesIO(state)).load()
    except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"the checkpoint is of another version, or damaged: {error}") from error
    return quoter, ledger


_PLAIN = {
    "builtins": {"set", "frozenset", "object"},
    "collections": {"deque", "OrderedDict"},
    "copyreg": {"_reconstructor"},
    "decimal": {"Decimal"},
    "random": {"Random"},
    "zoneinfo": {"ZoneInfo"},
}
_OURS = ("mmd.cells.layouts", "mmd.config.", "mmd.decide.", "mmd.words.")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, "_revive"):
            return _revive
        if (module, name) == ("builtins", "getattr"):
            return _zones_alone
        if module.startswith(_OURS):
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        elif name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")


def _zones_alone(owner: object, name: str) -> object:
    """What a time zone is brought back with: `ZoneInfo._unpickle`, no other attribute."""
    if owner is ZoneInfo and name == "_unpickle":
        return getattr(ZoneInfo, name)
    raise pickle.UnpicklingError(f"{owner!r}.{name} has no place in a checkpoint")


def _fields(state: object, cls: type) -> dict[str, Any]:
    names: tuple[str, ...] = cls.__slots__  # type: ignore[attr-defined]
    return {name: getattr(state, name) for name in names}


def _revive(cls: type[T], fields: dict[str, Any]) -> T:
    state = cls.__new__(cls)
    for name, value in fields.items():
        setattr(state, name, value)
    return state
