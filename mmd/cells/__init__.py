"""Layer 1: cells in shared memory, through which the processes tell each other the newest state."""
