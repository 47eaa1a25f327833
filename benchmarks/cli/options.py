"""The options of a sweep with their defaults, the subcommands, and the exit codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BROKEN, REFUSED, FAILED, INTERRUPTED = 1, 2, 3, 130
FLAGS = ("--help", "--version", "--cfg", "--keep")
SUBCOMMANDS = {  # each is the `main` of a module
    "show": "benchmarks.cli.show",
    "check": "benchmarks.cli.check",
    "compare": "benchmarks.display.compare",
    "report": "benchmarks.report",
    "doctor": "benchmarks.doctor.demos",
}


@dataclass
class Config:
    """The options of a sweep and their defaults; null is what the problem's card states."""

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
    optimizers: dict[str, Any] = field(default_factory=dict)
    adopted: list[str] = field(
        default_factory=list
    )  # what was loaded by file or path, for worker processes


DESCRIPTIONS = {
    "problem=": "NAME, file.py:Class, package.module.Class, several with commas, or 'glob(*)'",
    "problem.FIELD=": "a field of the problem; several values with commas",
    "suite=": "several problems at once, instead of problem=: ",
    "optimizer=": "NAME, file.py:Class, … as for problem; adam+clip+decay wraps; the classics where nothing is given",
    "optimizer.FIELD=": "a hyperparameter of each: a number pins it, a pair '[low,high]' is where it is searched",
    "optimizers.NAME.FIELD=": "the same for one of them",
    "transform=": "the problem in other coordinates, or several, as in 'transform=[rotate,shift]': ",
    "noise=": "what the optimizer sees of the gradients: ",
    "noise.strength=": "how much of it, in units of the gradient at the start; 0 is none",
    "dial=": "what the rungs walk along: the strength of the noise where there is one, or the problem's dial",
    "rungs=": "1: the problem's own dial value; 3: its ladder; auto: until each breaking point is found",
    "ladder=": "that ladder, if not the problem's own, from harmless to extreme, as in 'ladder=[1,10,100]'",
    "trials=": "settings tried per optimizer, the defaults among them",
    "tuning_seeds=": "instances on which settings are chosen",
    "seeds=": "other instances, on which they are reported",
    "budget=": "gradient-equivalents that a run may spend",
    "dtype=": "float64 or float32",
    "device=": "cpu or cuda",
    "threads=": "torch's threads in each process",
    "out=": "folder of the sweep (results/<time>); may grow by problems and optimizers",
    "keep=": "true (or --keep): refuse a folder whose results of other code would be replaced",
    "cells=": "folder of what was ever computed, shared by all sweeps (results/cells)",
    "dry_run=": "true: say how many cells and runs there would be and how long they might take, and end",
    "preset=": "several options at once, from a file: ",
    "hydra/launcher=joblib": "all cores; hydra.launcher.n_jobs=4: four of them",
    "--cfg job": "show what would be run",
}
