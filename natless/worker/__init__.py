"""Runs the developer's handler outside the function and answers over the channel."""

from natless.worker.config import WorkerBudgets, WorkerConfig
from natless.worker.worker import Worker

__all__ = ["Worker", "WorkerBudgets", "WorkerConfig"]
