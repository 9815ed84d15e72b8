"""Layer 3: what is kept: logs, fills, the journal, alerts."""
