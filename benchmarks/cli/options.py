"""The options of a sweep with their defaults, and the exit codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BROKEN, REFUSED, FAILED, INTERRUPTED = 1, 2, 3, 130
OUT = "results/{time}"  # the folder of a sweep that names none
FLAGS = ("--help", "--version", "--cfg", "--keep", "--install-completion")


@dataclass
class Config:
    """The options of a sweep and their defaults; null stands for the value on the problem's card."""

    problem: Any = None
    suite: str | None = None
    optimizer: Any = None
    transform: Any = None
    noise: Any = None
    dial: str | None = None
    rungs: Any = 1
    ladder: Any = None
    trials: int | None = None
    tuning_seeds: int | None = None
    seeds: int | None = None
    budget: float | None = None
    dtype: str | None = None
    device: str = "cpu"
    threads: int = 1
    out: str | None = None
    keep: bool = False
    cells: str = "results/cells"
    dry_run: bool = False
    explain: bool = False
    optimizers: dict[str, Any] = field(default_factory=dict)
    adopted: list[str] = field(
        default_factory=list
    )  # classes loaded by file or path, for worker processes


DESCRIPTIONS = {
    "problem=": "NAME, file.py:Class, package.module.Class, several with commas, or 'glob(*)'",
    "problem.FIELD=": "a field of the problem; several values with commas",
    "suite=": "several problems at once, instead of problem=: ",
    "optimizer=": "NAME, file.py:Class, … as for problem; adam+clip+decay wraps; by default the classics",
    "optimizer.FIELD=": "a hyperparameter of each optimizer: a number is fixed, a pair '[low,high]' is a search range",
    "optimizers.NAME.FIELD=": "the same for one optimizer",
    "transform=": "the problem in other coordinates; several as in 'transform=[rotate,shift]': ",
    "noise=": "noise in the gradients that the optimizer gets: ",
    "noise.strength=": "the strength of the noise, in units of the gradient at the start; 0 is none",
    "dial=": "the dial that the rungs vary: noise.strength (the default with noise), or the problem's dial",
    "rungs=": "1: the problem's own dial value; 3: its ladder; auto: the ladder, then bisection to each breaking point",
    "ladder=": "a ladder instead of the problem's, from harmless to extreme, as in 'ladder=[1,10,100]'",
    "trials=": "settings tried per optimizer, the default values included",
    "tuning_seeds=": "instances on which settings are chosen",
    "seeds=": "other instances, on which the chosen settings are reported",
    "budget=": "cost that one run may spend, in gradients",
    "dtype=": "float64 or float32",
    "device=": "cpu or cuda",
    "threads=": "torch's threads in each process",
    "out=": f"folder of the sweep ({OUT.format(time='<time>')}); later sweeps may add problems and optimizers",
    "keep=": "true (or --keep): refuse a folder whose results of other code would be replaced",
    "cells=": f"folder of all computed cells, shared by all sweeps ({Config.cells})",
    "dry_run=": "true: print the number of cells and runs and a forecast of the time, and run nothing",
    "explain=": "true: where an optimizer breaks, take one cause after another away and search again, to measure why",
    "preset=": "several options at once, from a file: ",
    "hydra/launcher=basic": "one core; processes hydra.launcher.n_jobs=4: four; slurm, dask, ray: a cluster",
    "--cfg job": "show the configuration of each job, and run nothing",
    "--install-completion": "complete commands on Tab; bash, zsh or fish behind it, by default your shell",
}
