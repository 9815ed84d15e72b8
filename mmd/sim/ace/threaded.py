"""A simulated exchange in a thread of its own, for clients that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from mmd.sim.ace.crowd import Fair
from mmd.sim.ace.sim import AceSim, AceSimOptions

_JOIN_S = 10


@contextlib.contextmanager
def running(options: AceSimOptions, fair: Fair | None = None) -> Iterator[AceSim]:
    """Runs a simulated exchange beside the caller, who talks to it over HTTP."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="ace-sim", daemon=True)
    thread.start()
    sim = AceSim(options, fair)
    try:
        asyncio.run_coroutine_threadsafe(sim.start(), loop).result(_JOIN_S)
        try:
            yield sim
        finally:
            asyncio.run_coroutine_threadsafe(sim.stop(), loop).result(_JOIN_S)
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(_JOIN_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_JOIN_S)
        loop.close()
