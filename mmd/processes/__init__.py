"""Layer 4: the processes, thin loops that join decisions, venues and records."""
