"""The notifier: tells people what they should know, through services that may be dead."""

from mmd.processes.notifier.notifier import NotifierJob, run

__all__ = ["NotifierJob", "run"]
