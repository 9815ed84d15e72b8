"""Layer 5: supervision. The parent that forks, watches and replaces the children."""
