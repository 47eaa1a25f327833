"""The doctor beside the Trainer of Hugging Face's transformers."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports] - an extra

from benchmarks.doctor.watched import Watched, watch


class DoctorCallback(TrainerCallback):  # pyright: ignore[reportGeneralTypeIssues] - it takes this file for the package
    """Watch the training: `Trainer(callbacks=[doctor])`, then `print(doctor.watched.report())`.

    The Trainer tells a callback nothing of an exception: call `doctor.watched.close()` then.
    """

    watched: Watched

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.watched = watch(given["model"], given["optimizer"])

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.watched.close()
