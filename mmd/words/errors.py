"""Every error of mmd, sorted by what the caller must do about it.

Three families: wait and retry (`Unavailable`), find out (`OutcomeUnknown`), stop (`Fatal`).
A venue's plain "no" to one request (`Refused`) concerns that request alone.
Each carries the exit code a command ends with when nobody handles it.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every mmd command and process."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    UNREACHABLE = 4
    ORDERS_LEFT = 5


class MmdError(Exception):
    """Root of all errors that mmd raises on purpose."""

    exit_code = Exit.FAILED


class Unavailable(MmdError):
    """Nothing happened and nothing is wrong with the request: wait, then try again."""

    exit_code = Exit.UNREACHABLE


class RateLimited(Unavailable):
    """The venue asks us to slow down. The request was not executed."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(MmdError):
    """The request left us and no clear answer came: it may or may not have been executed.

    Find out (by customOrderId) before deciding anything; never just send again.
    """

    exit_code = Exit.UNREACHABLE


class Refused(MmdError):
    """The venue understood the request and said no. Nothing was executed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class InvalidOrder(Refused):
    """Amount, price, precision or a limit is wrong: the same order will never pass."""


class InsufficientBalance(Refused):
    """Not enough free balance for the order."""


class OrderGone(Refused):
    """The order to cancel is already filled or cancelled: look its fills up."""


class UnknownStatus(Refused):
    """A status number that no document names; number and message are kept."""


class Fatal(MmdError):
    """Trying again cannot help: a person must act first."""


class ConfigError(Fatal):
    """The configuration can't be used. `problems` holds one complete line each."""

    exit_code = Exit.CONFIG

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class KeyRejected(Fatal):
    """The venue does not accept our key or signature."""

    exit_code = Exit.CONFIG


class OrdersLeft(Fatal):
    """Orders of ours could not be cancelled, or it could not be proven that they were."""

    exit_code = Exit.ORDERS_LEFT

    def __init__(self, message: str, order_numbers: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.order_numbers = order_numbers
