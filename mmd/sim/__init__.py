"""Simulated outside world: venues that speak the real wire protocols. For tests and paper mode."""
