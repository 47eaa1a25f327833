"""Small real tasks, on which optimizers are ranked to ask whether their profiles on Ravine's problems foretell it."""

from benchmarks.study.task import TASKS, Examples, Task

__all__ = ["TASKS", "Examples", "Task"]
