"""What no order may break, and what pulls the emergency brake: the keys under `risk`."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

from pydantic import Field

from mmd.config.base import Number, Strict

_MOST_MONEY = Decimal("1e18")


class KillLevel(Enum):
    """What the kill switch does. It holds, over restarts too, until `mmd resume`."""

    PAUSE = "pause"
    """Pulls the quotes; nothing new is sent."""
    CANCEL = "cancel"
    """The same, and proves by the venue's lists that no order of ours is left."""
    STOP = "stop"
    """The same, and the pair's process leaves."""


class KillSettings(Strict):
    """When the kill switch is thrown. It holds, over restarts too, until `mmd resume`."""

    max_loss: Number | None = Field(default=None, gt=0, le=_MOST_MONEY)
    """Loss from the highest profit so far that is too much, in quote currency (in TWD for all
    pairs together), realised and unrealised; not given: no limit."""
    on_loss: KillLevel = KillLevel.STOP
    """What follows. pause: pull the quotes; cancel: also prove that no order of ours is left;
    stop: also end the pair's process."""
    max_losing_fills: int | None = Field(default=None, ge=1, le=100_000)
    """Fills in a row that close a position at a loss, after fees; not given: no limit."""
    on_losing_fills: KillLevel = KillLevel.PAUSE
    """What follows: pause, cancel or stop."""
    max_refused: int | None = Field(default=200, ge=1, le=100_000)
    """Orders in a row that the venue refuses; none: no limit."""
    on_refused: KillLevel = KillLevel.PAUSE
    """What follows: pause, cancel or stop."""


class RiskSettings(KillSettings):
    """What the last look at each order of a pair demands, and when its kill switch is thrown."""

    band_bps: Number | None = Field(default=Decimal(1000), gt=0, le=Decimal(9000))
    """No order further than this from ACE's last price of the pair; none: no band."""
    max_order_value: Number | None = Field(default=None, gt=0, le=_MOST_MONEY)
    """Most that one order may be worth, in quote currency; not given: no limit."""
    max_value_per_minute: Number | None = Field(default=None, gt=0, le=_MOST_MONEY)
    """Most that the orders sent within any minute may be worth, in quote currency; not given: no
    limit."""
    max_open_orders: int = Field(default=250, ge=1, le=10_000)
    """Most orders of the pair that may rest or be under way."""
