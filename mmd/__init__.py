"""mmd quotes both sides of ACE's order books around Binance's price, one process per job."""

__version__ = "0.1.0"
