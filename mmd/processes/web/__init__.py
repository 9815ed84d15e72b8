"""The operator's page and the metrics: a process that looks at all others and disturbs none."""

from mmd.processes.web.server import WebJob, run

__all__ = ["WebJob", "run"]
