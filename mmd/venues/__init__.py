"""Layer 2: the venues, each spoken to in its own protocol."""
