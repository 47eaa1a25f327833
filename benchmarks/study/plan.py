"""The plan of the study, which was committed before its outcomes: docs/validity/plan.json."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.catalog.defaults import called
from benchmarks.study.task import TASKS
from optimizers.registry import AND
from ravine import Refused, nearest

ROOT = Path(__file__).parents[2]
PLAN = Path("docs/validity/plan.json")
COMMIT = "5abdb0aa88ca"  # the commit that added plan.json, unchanged since


@dataclass(frozen=True)
class Plan:
    """What is fixed beforehand.

    Attributes:
        tasks: By family, the names of the tasks.
        optimizers: By kind, the optimizers as they are written in a command.
        trials: Settings of the hyperparameters of each optimizer.
        tuning_seeds: Seeds on which a setting is chosen.
        seeds: Other seeds, on which it is reported.
        steps: Of a run.
        dtype: The precision of a run.
        early: The share of the steps after which the race of B3 is decided.
        third: The share of the steps of the shorter budget in the multiverse.
        best_of: How many of the trials, from the first on, a setting is chosen from as well.
        least_optimizers: How many optimizers must be usable at a rung for it to be in the profile.
        nearest: How many rungs foretell a task.
        nearest_too: Other numbers of rungs in the multiverse.
        critical: By hypothesis, the nominal p at which its test has a level of 5 %.
        foretells: The least mean τ of the nearest rungs, and the least lower end of its interval, with which the
            profile is said to foretell.
        null: The largest upper end of the interval with which it is said not to.
        digest: The first twelve hexadecimal digits of the SHA-256 of the file.
    """

    tasks: Mapping[str, list[str]]
    optimizers: Mapping[str, list[str]]
    trials: int
    tuning_seeds: int
    seeds: int
    steps: int
    dtype: str
    early: float
    third: float
    best_of: list[int]
    least_optimizers: int
    nearest: int
    nearest_too: list[int]
    critical: Mapping[str, float]
    foretells: Mapping[str, float]
    null: float
    digest: str

    @classmethod
    def read(cls, root: Path = ROOT) -> Plan:
        """Return the plan of a checkout.

        Args:
            root: The folder of the checkout.

        Raises:
            Refused: If there is none, or it has not the fields above, or a name in it is unknown.
        """
        file = root / PLAN
        if not file.is_file():
            raise Refused(
                f"{PLAN} does not exist in {root}: plan and results are in a checkout of the repository, not in an "
                "installed package"
            )
        text = file.read_bytes()
        stated = {name: value for name, value in json.loads(text).items() if name != "about"}
        known = {each.name for each in fields(cls)} - {"digest"}
        for name in sorted(known ^ stated.keys()):
            state = "lacks" if name in known else "has an unknown"
            raise Refused(f"{PLAN} {state} {name!r} (allowed: {', '.join(sorted(known))})")
        plan = cls(**stated, digest=hashlib.sha256(text).hexdigest()[:12])
        for task in plan.family:
            TASKS.find(task)
        return plan

    @property
    def family(self) -> dict[str, str]:
        """By task, its family."""
        return {task: family for family, tasks in self.tasks.items() for task in tasks}

    @property
    def kind(self) -> dict[str, str]:
        """By optimizer as it is written in a command, its kind."""
        return {word: kind for kind, words in self.optimizers.items() for word in words}

    def family_named(self, name: str) -> list[str]:
        """Return the tasks of a family.

        Raises:
            Refused: If the plan has no such family, with the nearest name.
        """
        if name not in self.tasks:
            raise Refused(f"unknown task family {name!r}: {nearest(name, self.tasks)}")
        return self.tasks[name]


def in_profile(word: str) -> str:
    """Return the name that an optimizer of the plan has in the reference, where its rate does not fall."""
    return called(word.partition(AND)[0])


def check_committed(root: Path = ROOT) -> None:
    """Refuse to write results while the plan is not the one in the history of this checkout.

    Args:
        root: The folder of the checkout.

    Raises:
        Refused: If there is no git repository with its whole history, or its last commit has no plan, or another one.
    """

    def git(*words: str) -> bytes | None:
        try:
            done = subprocess.run(["git", "-C", root, *words], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout

    reads = "so results can be read here, but not written"
    shallow = git("rev-parse", "--is-shallow-repository")
    if shallow is None or not (root / ".git").exists():
        raise Refused(f"{root} is no checkout with git's history, {reads}")
    if shallow.strip() == b"true":
        raise Refused(
            f"{root} is a shallow clone, which does not show that the plan came first, {reads}: git fetch --unshallow"
        )
    committed = git("show", f"HEAD:{PLAN.as_posix()}")
    if committed is None:
        raise Refused(f"{PLAN} is not in the history of the current commit: commit it first")
    if committed != (root / PLAN).read_bytes():
        raise Refused(f"{PLAN} differs from the one that is committed: commit it, or restore it")
