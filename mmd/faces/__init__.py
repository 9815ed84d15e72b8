"""Layer 6: the faces: command line, status, and what puts the processes together."""
