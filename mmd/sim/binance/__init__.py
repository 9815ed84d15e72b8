"""Simulated Binance spot market data: streams and REST, with faults on request."""

from mmd.sim.binance.connection import Limits
from mmd.sim.binance.faults import Fault
from mmd.sim.binance.market import Market
from mmd.sim.binance.path import SeededSource
from mmd.sim.binance.recording import RecordedSource
from mmd.sim.binance.serve import parse_speed, serve
from mmd.sim.binance.server import BinanceSim, BinanceSimOptions

__all__ = [
    "BinanceSim",
    "BinanceSimOptions",
    "Fault",
    "Limits",
    "Market",
    "RecordedSource",
    "SeededSource",
    "parse_speed",
    "serve",
]
