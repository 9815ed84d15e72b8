"""When to try again: at once first, then after a random time up to a doubling bound (full jitter),
so that many processes don't come back at the same moment. Pure but for the random source."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from mmd.words.errors import MmdError, RateLimited


@dataclass(slots=True)
class Retry:
    """Hands out the waiting times of one thing that is tried again and again."""

    random: Random
    base_s: float = 0.25
    cap_s: float = 30.0
    failures: int = 0
    """In a row."""

    def delay_s(self, error: MmdError) -> float:
        """How long to wait after one more failure. After a RateLimited: what the venue asks for,
        and up to half as much again."""
        failures, self.failures = self.failures, self.failures + 1
        if isinstance(error, RateLimited):
            return error.retry_after_s * self.random.uniform(1.0, 1.5)
        if failures == 0:
            return 0.0
        bound = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 30))
        return self.random.uniform(0.0, bound)

    def reset(self) -> None:
        """It went well for a good while."""
        self.failures = 0
