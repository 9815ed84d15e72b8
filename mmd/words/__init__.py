"""Layer 0: the words everyone speaks. Touches nothing and imports nothing of mmd."""
