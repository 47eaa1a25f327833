"""The doctor beside Lightning's Trainer."""

from typing import Any

from lightning import Callback  # pyright: ignore[reportMissingImports] - an extra of its own

from benchmarks.doctor.watched import Watched, watch


class DoctorCallback(Callback):  # pyright: ignore[reportGeneralTypeIssues] - it takes this file for the package
    """Watch the training: `Trainer(callbacks=[doctor])`, then `print(doctor.watched.report())`.

    Args:
        optimizer: The number of the optimizer that is watched, if there are several.
    """

    watched: Watched

    def __init__(self, optimizer: int = 0):
        self._number = optimizer

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.watched = watch(pl_module, trainer.optimizers[self._number])

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.watched.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if hasattr(self, "watched"):
            self.watched.close()
