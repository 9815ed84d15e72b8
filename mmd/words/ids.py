"""customOrderId: whose order it is, readable from the order itself.

Form: `mmd1` + instance (6) + pair (6) + run (8) + sequence (5) = 29 of ACE's 32 characters,
all lower-case base 36. Instance: made once per `var/`, so it tells two mmd on one account apart.
Run: milliseconds since 2024 of the worker's start, so that no two lives repeat an id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from mmd.words.market import Pair

TAG = "mmd1"
INSTANCE_LENGTH = 6
_PAIR_LENGTH, _RUN_LENGTH, _SEQUENCE_LENGTH = 6, 8, 5
_LENGTH = len(TAG) + INSTANCE_LENGTH + _PAIR_LENGTH + _RUN_LENGTH + _SEQUENCE_LENGTH
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_EPOCH_2024_MS = 1_704_067_200_000


class Owner(Enum):
    """Whose order a customOrderId belongs to."""

    OURS = "ours"
    OTHER_MMD = "another mmd"
    FOREIGN = "foreign"


def base36(number: int, length: int) -> str:
    """`number` in `length` base 36 digits. Raises OverflowError when it does not fit."""
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    if number:
        raise OverflowError("the number needs more digits")
    return digits


def owner_of(client_id: str, instance: str) -> Owner:
    """Whose order this is, seen from the mmd with the given instance number."""
    if len(client_id) != _LENGTH or not client_id.startswith(TAG):
        return Owner.FOREIGN
    if client_id.startswith(TAG + instance):
        return Owner.OURS
    return Owner.OTHER_MMD


@dataclass(slots=True)
class ClientIds:
    """Hands out the customOrderIds of one run of one worker."""

    instance: str
    pair: Pair
    run_ms: int
    """Wall time of the worker's start, in ms since 1970."""
    next_sequence: int = 0
    run_prefix: str = field(init=False)
    """What all ids of this run begin with; other runs' ids don't."""
    _shared: tuple[int, str] = field(init=False, default=(-1, ""))
    """All but the last digit of the newest id: 36 ids have it in common."""

    def __post_init__(self) -> None:
        pair = hashlib.sha256(str(self.pair).encode()).digest()
        pair_code = base36(int.from_bytes(pair[:8], "big") % 36**_PAIR_LENGTH, _PAIR_LENGTH)
        run = base36(self.run_ms - _EPOCH_2024_MS, _RUN_LENGTH)
        self.run_prefix = f"{TAG}{self.instance}{pair_code}{run}"

    def make(self) -> str:
        """A customOrderId never handed out before."""
        high, low = divmod(self.next_sequence, 36)
        if high != self._shared[0]:
            self._shared = (high, self.run_prefix + base36(high, _SEQUENCE_LENGTH - 1))
        self.next_sequence += 1
        return self._shared[1] + _DIGITS[low]
