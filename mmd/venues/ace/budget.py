"""How many requests we may send: one token bucket for each API key, shared by all processes.

The bucket is a small file that every process maps. Its state is changed under an `fcntl.lockf`,
for a few microseconds. A process frozen in them would hold the lock for ever, so nobody waits
longer than 20 ms: then cancels that keep us from harm go on from a small bucket of the process's
own, and everything else is refused.

Bounds, over any time t and all processes: what is granted below HARM_CANCEL is at most
burst + rate * t, and all together at most 2 * burst + rate * t, since harm cancels may take the
bucket down to -burst. While the lock is stuck, each process may grant itself burst + rate * t harm
cancels more.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Self

_TOKEN = 10**12
"""Units in a token: fine enough that a nanosecond of a milli-token a second is a whole number."""
_LOCK_WAIT_NS = 20_000_000
_LOCK_NAP_S = 0.0005
_STUCK_NS = 1_000_000_000
"""For so long after a vain wait, the lock is tried once and not waited for."""
_LONGEST_SLOW_DOWN_S = 60.0
_SIZE = 32
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Priority(IntEnum):
    """What a request is for. Each leaves to its betters a part of the burst, unless a full bucket
    would not do for it then."""

    HARM_CANCEL = 0
    """Cancels an order that can hurt us: its price is stale, wrong, or nobody's."""
    TOUCH = 1
    """Orders and cancels at the best prices."""
    FAR = 2
    """Orders and cancels further away."""
    POLL = 3
    """Looking at what is."""


_RESERVE_PERCENT = {
    Priority.HARM_CANCEL: -100,
    Priority.TOUCH: 0,
    Priority.FAR: 20,
    Priority.POLL: 40,
}


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """Which budget a process opens. Opened after the fork, since a lock belongs to a process."""

    folder: Path
    rate_per_s: Decimal | None
    """Requests a second; None: no limit."""
    burst: int
    """Requests that may be sent at once after a quiet time."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The state of a token bucket. Amounts in units of 1e-12 token, times monotonic."""

    level: int
    updated_ns: int
    blocked_until_ns: int

    def at(self, now_ns: int, rate: int, burst: int) -> Bucket:
        """The bucket at a later time. `rate` in units per ns, `burst` in units."""
        elapsed_ns = max(0, now_ns - self.updated_ns)
        level = min(burst, self.level + elapsed_ns * rate)
        return Bucket(level, max(now_ns, self.updated_ns), self.blocked_until_ns)

    def take(self, priority: Priority, now_ns: int, cost: int, burst: int) -> Bucket | None:
        """The bucket with `cost` taken out; None when that class must not take it now."""
        reserve = min(burst * _RESERVE_PERCENT[priority] // 100, max(0, burst - cost))
        blocked = now_ns < self.blocked_until_ns and priority is not Priority.HARM_CANCEL
        if blocked or self.level - cost < reserve:
            return None
        return Bucket(self.level - cost, self.updated_ns, self.blocked_until_ns)


class Budget:
    """One process's hand on the bucket of a key. Make one in each process, after the fork."""

    def __init__(self, spec: BudgetSpec, api_key: str) -> None:
        self._burst = spec.burst * _TOKEN
        self._rate: int | None = None
        if spec.rate_per_s is not None:
            self._rate = max(1, int(spec.rate_per_s * _TOKEN / 10**9))
        self._own = Bucket(self._burst, 0, 0)
        self._stuck_until_ns = 0
        spec.folder.mkdir(parents=True, exist_ok=True)
        name = sha256(api_key.encode()).hexdigest()[:16]
        self._shared = _SharedBucket(spec.folder / f"budget-{name}", self._burst)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._shared.close()

    def try_take(self, priority: Priority, now_ns: int, n: int = 1) -> bool:
        """Whether `n` requests of that class may be sent now; if so they are counted. More than a
        burst at once are never granted, harm cancels aside."""
        return self._take_each([(priority, n * _TOKEN)], now_ns) == 1

    def grant(self, priorities: Sequence[Priority], now_ns: int) -> int:
        """How many of several requests, in their order, may be sent now; they are counted. Asking
        for all of them at once takes the lock once."""
        return self._take_each([(priority, _TOKEN) for priority in priorities], now_ns)

    def _take_each(self, wants: Sequence[tuple[Priority, int]], now_ns: int) -> int:
        """Takes one cost after the other, until one is not granted; how many were."""
        if self._rate is None or not wants:
            return len(wants)
        granted = 0
        with self._shared.locked(self._patience_ns()) as held:
            if held:
                bucket = self._shared.read().at(now_ns, self._rate, self._burst)
                for priority, cost in wants:
                    taken = bucket.take(priority, now_ns, cost, self._burst)
                    if taken is None:
                        break
                    bucket, granted = taken, granted + 1
                self._shared.write(bucket)
                return granted
        self._stuck_until_ns = time.monotonic_ns() + _STUCK_NS
        for priority, cost in wants:
            if priority is not Priority.HARM_CANCEL or not self._take_own(now_ns, cost):
                break
            granted += 1
        return granted

    def slow_down(self, retry_after_s: float, now_ns: int) -> None:
        """The venue asked us to slow down: nothing but harm cancels for so long, and no burst
        after it. All processes heed it."""
        pause_ns = int(min(retry_after_s, _LONGEST_SLOW_DOWN_S) * 1e9)
        with self._shared.locked(self._patience_ns()) as held:
            if held:
                bucket = self._shared.read()
                until_ns = max(bucket.blocked_until_ns, now_ns + pause_ns)
                self._shared.write(Bucket(min(bucket.level, 0), bucket.updated_ns, until_ns))

    def _take_own(self, now_ns: int, cost: int) -> bool:
        """Takes from the bucket of this process alone, which has no debt and no reserve."""
        assert self._rate is not None
        bucket = self._own.at(now_ns, self._rate, self._burst)
        self._own = bucket.take(Priority.TOUCH, now_ns, cost, self._burst) or bucket
        return self._own is not bucket

    def _patience_ns(self) -> int:
        return 0 if time.monotonic_ns() < self._stuck_until_ns else _LOCK_WAIT_NS


def left(spec: BudgetSpec, now_ns: int) -> int | None:
    """How many requests could be sent at once now, for who merely looks: takes no lock, and where
    several keys have been in use, looks at the one used last. None: no limit, or none is in use."""
    if spec.rate_per_s is None:
        return None
    found = [_glance(path) for path in spec.folder.glob("budget-*")]
    buckets = [bucket for bucket in found if bucket is not None]
    if not buckets:
        return None
    newest = max(buckets, key=lambda bucket: bucket.updated_ns)
    rate = int(spec.rate_per_s * _TOKEN / 10**9)
    return max(0, newest.at(now_ns, rate, spec.burst * _TOKEN).level // _TOKEN)


def _glance(path: Path) -> Bucket | None:
    """The bucket in a file; None when it was not used since the machine started."""
    words = path.read_bytes()
    if len(words) != _SIZE:
        return None
    boot, updated_ns, level, blocked_until_ns = struct.unpack("=4q", words)
    return Bucket(level, updated_ns, blocked_until_ns) if boot == _boot_number() else None


class _SharedBucket:
    """The file: four 8-byte words, each written by one move.

    The words are ordered so that a writer killed between two of them grants nothing: the time up
    to which tokens were credited is written before the tokens.
    """

    _BOOT, _UPDATED, _LEVEL, _BLOCKED = range(4)

    def __init__(self, path: Path, burst: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, _SIZE)
        self._map = mmap.mmap(self._fd, _SIZE)
        self._words = memoryview(self._map).cast("q")
        self._full = Bucket(burst, 0, 0)
        self._boot = _boot_number()

    def close(self) -> None:
        self._words.release()
        self._map.close()
        os.close(self._fd)

    def read(self) -> Bucket:
        """The state; a full bucket when it was never written since the machine started, because
        the monotonic clock starts anew with it."""
        words = self._words
        if words[self._BOOT] != self._boot:
            return self._full
        return Bucket(words[self._LEVEL], words[self._UPDATED], words[self._BLOCKED])

    def write(self, bucket: Bucket) -> None:
        words = self._words
        words[self._UPDATED] = bucket.updated_ns
        words[self._LEVEL] = bucket.level
        words[self._BLOCKED] = bucket.blocked_until_ns
        words[self._BOOT] = self._boot

    @contextmanager
    def locked(self, patience_ns: int) -> Iterator[bool]:
        """Holds the lock, or yields False when it can't be had in that time."""
        if not self._try_lock(patience_ns):
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _try_lock(self, patience_ns: int) -> bool:
        deadline_ns = time.monotonic_ns() + patience_ns
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic_ns() >= deadline_ns:
                    return False
                time.sleep(_LOCK_NAP_S)
            else:
                return True


def _boot_number() -> int:
    """Names this start of the machine; never 0, which an empty file holds."""
    return int(_BOOT_ID.read_text().strip().replace("-", "")[:15], 16) | 1
