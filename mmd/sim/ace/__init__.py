"""A simulated ACE exchange that speaks REST API v2 (facts: the exchange's API v2 document)."""

from mmd.sim.ace.crowd import CrowdOptions
from mmd.sim.ace.exchange import AccountOptions
from mmd.sim.ace.faults import Fault, FaultKind
from mmd.sim.ace.sim import (
    DEFAULT_BALANCES,
    PAPER_KEY,
    PAPER_SECRET,
    AceSim,
    AceSimOptions,
    paper_accounts,
    serve,
)
from mmd.sim.ace.threaded import running

__all__ = [
    "DEFAULT_BALANCES",
    "PAPER_KEY",
    "PAPER_SECRET",
    "AccountOptions",
    "AceSim",
    "AceSimOptions",
    "CrowdOptions",
    "Fault",
    "FaultKind",
    "paper_accounts",
    "running",
    "serve",
]
