"""The rank of each optimizer on each task, from the rows of outcomes: written from the preregistration alone.

It shares no code with the study.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median

DIVERGED = {"True": True, "False": False}


def ranks(rows: Iterable[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Rank the optimizers of each task; 1 is the best.

    The preregistration says: "The outcome is the rank of the median loss on the whole training part at the end, over
    the reporting seeds. A run that diverges has an infinite loss; optimizers that diverge are tied in the last place.
    Only ranks count."

    It leaves a choice in these points:

    - The median of an even number of seeds is the mean of the middle two. So an optimizer diverges, as a whole, if at
      least half of its runs do.
    - A run diverges if its row says so or if its loss is not finite.
    - Optimizers with equal medians, finite or infinite, share the mean of the places that they fill.
    - Optimizers are ranked among those that have rows for the task, over the seeds in these rows.

    Args:
        rows: One row for each task, optimizer and seed, as csv.DictReader gives them.

    Returns:
        Ranks by task and optimizer, both in the order of the rows.

    Raises:
        ValueError: If a run has two rows, or a run that did not diverge has no loss.
    """
    losses: defaultdict[str, defaultdict[str, dict[str, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for row in rows:
        runs = losses[row["task"]][row["optimizer"]]
        if row["seed"] in runs:
            raise ValueError(
                f"two rows for seed {row['seed']} of {row['optimizer']} on {row['task']}"
            )
        runs[row["seed"]] = _loss(row)
    return {
        task: _places({optimizer: median(runs.values()) for optimizer, runs in optimizers.items()})
        for task, optimizers in losses.items()
    }


def _loss(row: Mapping[str, str]) -> float:
    """Return the training loss of a run at its end, infinite if it diverged."""
    if DIVERGED[row["diverged"]]:
        return math.inf
    loss = float(row["train_loss"])
    return loss if math.isfinite(loss) else math.inf


def _places(medians: Mapping[str, float]) -> dict[str, float]:
    """Return the place of each median, the lowest first; equal ones share the mean of their places."""
    values = list(medians.values())
    return {
        name: sum(v < own for v in values) + (values.count(own) + 1) / 2
        for name, own in medians.items()
    }
