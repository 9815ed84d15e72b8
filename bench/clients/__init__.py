"""Readers of Binance's streams that all do the same job, each a process of its own.

The job: decode every message, keep best bid and ask and the cumulative volume, store 128 bytes in
shared memory after each. Modules here but `mmd_feed` run in the benchmark's own .venv-bench and
import nothing of mmd. Arguments: the address, the memory's path, the symbol in lower case.
"""
