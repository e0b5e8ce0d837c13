"""Runs the developer's handler outside the function and answers over the channel."""

from natless.worker.config import LocalFunction, WorkerBudgets, WorkerConfig
from natless.worker.worker import Worker

__all__ = ["LocalFunction", "Worker", "WorkerBudgets", "WorkerConfig"]
