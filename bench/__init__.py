"""Measures mmd beside what one would take instead, in one run on one machine. See bin/bench."""
