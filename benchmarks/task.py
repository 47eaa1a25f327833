"""What a process does for one job: build what its configuration says, run the cells, mark each that ends."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import loading
from benchmarks.cells import Store, is_followed, module_of
from benchmarks.checks import check_problem
from benchmarks.contenders import contender, typed
from benchmarks.jobs import CellDone, Job, run_job, rungs
from benchmarks.progress import Progress
from benchmarks.protocol import Protocol
from benchmarks.sweep_folder import Notes, SweepFolder
from optimizers.registry import AND
from problems import PROBLEMS, Problem
from problems.modifiers import noisy, transformed
from ravine import Refused, nearest, require

if TYPE_CHECKING:
    from benchmarks.forecast import Forecast


@dataclass(frozen=True)
class Setup:
    """What the configuration of one job says, built."""

    job: Job
    protocol: Protocol
    settings: Mapping[str, Any]  # the optimizer's registered name, and what is given for it
    store: Store
    threads: int
    suite: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Setup:
        """Raises Refused for values that the problem, the optimizer or the protocol does not accept."""
        require("", "threads", config["threads"], whole=True, low=1)
        protocol = Protocol(
            **{each.name: config[each.name] for each in dataclasses.fields(Protocol)}
        )
        settings = _settings(config)
        given = {field: value for field, value in settings.items() if field != "name"}
        found = contender(settings["name"], given)
        name = config["problem"]["name"]
        problem = _modified(_problem(**config["problem"]), config, config["noise"])
        usual = _modified(
            PROBLEMS.find(name), config, config["noise"] and {**config["noise"], "strength": None}
        )
        ladder = _ladder(config["ladder"])
        if protocol.rungs != 1 and problem.dial not in (usual.dial, *ladder):
            dial = problem.dial_column.replace("problem", name)
            raise Refused(
                f"{dial} is {problem.dial:g}, but rungs={protocol.rungs} sets it: give one of the two"
            )
        job = Job(name, problem, found, ladder)
        store = Store(Path(config["cells"]))
        return cls(job, protocol, settings, store, config["threads"], config["suite"])

    @property
    def rungs(self) -> list[Problem]:
        """The problem at each rung that is certain to be run."""
        dials = rungs(self.job.problem, self.protocol.rungs, self.job.ladder)
        return [self.job.problem.at_dial(dial) for dial in dials]

    def check(self) -> None:
        """Refuse a loss that could not be swept, at any rung."""
        for problem in self.rungs:
            check_problem(self.job.name, problem, self.protocol.settled(problem).torch_dtype)


def _problem(name: str, **given: Any) -> Problem:
    prototype = PROBLEMS.find(name)
    values = {
        field: typed(name, field, value, getattr(prototype, field))
        for field, value in given.items()
    }
    try:
        return dataclasses.replace(prototype, **values)  # type: ignore[type-var]
    except Refused:
        raise
    except (TypeError, ValueError) as error:  # in a problem that someone else has written
        raise Refused(f"problem {name} does not accept {values}: {error}") from error


def _ladder(given: Any) -> tuple[float, ...]:
    """The dial values that take the place of a card's ladder; nothing where none are given."""
    values = given if isinstance(given, Sequence) and not isinstance(given, str) else []
    numbers = [float(each) for each in values if isinstance(each, (int, float))]
    ordered = numbers in (sorted(set(numbers)), sorted(set(numbers), reverse=True))
    if given is not None and not (ordered and len(values) == len(numbers) > 1):
        raise Refused(
            f"ladder is {given!r}, but must be two dial values or more, from harmless to extreme, as in [1,10,100]"
        )
    return tuple(numbers)


def _modified(
    problem: Problem, config: Mapping[str, Any], noise: Mapping[str, Any] | None
) -> Problem:
    """The problem after the transforms and behind the noise that the configuration names."""
    given = config["transform"]
    if isinstance(given, Mapping):
        raise Refused(
            f"transform is {dict(given)!r}, but must be a name, or a list as in [rotate,shift]"
        )
    names = [] if given is None else [given] if isinstance(given, str) else given
    problem = transformed(problem, [str(each) for each in names if each != "none"])
    dials = {problem.card.dial: "problem"}
    if noise is not None and noise["name"] != "none":
        strength = noise["strength"]
        if strength is not None:
            strength = typed("noise", "strength", strength, 0.0)
        problem = noisy(problem, noise["name"], strength)
        dials["noise.strength"] = "noise"
    dial = config["dial"]
    if dial is None:
        return problem
    if dial not in dials:
        raise Refused(f"unknown dial {dial!r}: {nearest(str(dial), dials)}")
    return dataclasses.replace(problem, walks=dials[dial]) if len(dials) > 1 else problem  # type: ignore[type-var]


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is given for the optimizer of a job, by `optimizers.NAME.field` or by `optimizer.field`."""
    name = config["optimizer"]["name"]
    table = config["optimizers"].get(key_of(name), {})
    if not isinstance(table, Mapping):
        raise Refused(
            f"optimizers.{name} is {table!r}, but must have a hyperparameter's name behind it"
        )
    given = {
        "name": name,
        **table,
        **{k: v for k, v in config["optimizer"].items() if v is not None},
    }
    return {field: value for field, value in given.items() if value is not None}


def key_of(name: str) -> str:
    """A wrapped optimizer's name as a key of Hydra's, which has a plus in front only."""
    return re.sub(rf"(?<=\w)\{AND}", "-", name)


class Task:
    """A sweep's job as a function of its configuration; it may be pickled to other processes."""

    def __init__(self, folder: SweepFolder, expected: Forecast):
        self.folder = folder
        self.progress = Progress(expected.ahead, expected.processes, Notes(folder))

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Run the cells of one job."""
        for each in config["adopted"]:
            kind, _, where = each.partition("=")
            loading.load(where, kind)
        setup = Setup.of(config)
        torch.set_num_threads(setup.threads)
        job, dials = setup.job.identity(setup.protocol), []

        def report(done: CellDone) -> None:
            dials.append(done.dial)
            self.folder.mark(done.key, self.progress.of_cell(job, done))
            self.progress.cell(done)

        skips = setup.suite is not None
        for _ in run_job(setup.job, setup.protocol, setup.store, report, skips):
            pass
        if setup.protocol.rungs != 1:  # else other jobs are of the same identity
            self.folder.end(job, self.progress.of_job(job, dials))

    def __getstate__(self) -> dict[str, Any]:
        main = sys.modules["__main__"]
        used = {module_of(value) for value in vars(main).values()}
        return {
            **vars(self),
            "pid": os.getpid(),
            "entries": loading.portable_entries(),
            "script": getattr(main, "__file__", None),
            "used": sorted(
                each.__name__ for each in used if each not in (None, main) and is_followed(each)
            ),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Know in a worker what the running script has registered, and what the keys of its cells depend on."""
        if state.pop("pid") != os.getpid():  # Ctrl-C ends the parent, which ends its workers
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            warnings.simplefilter("ignore", FutureWarning)  # the parent has shown it
        loading.load_plugins()
        for kind, name, prototype in state.pop("entries"):
            loading.REGISTRIES[kind].register(name, prototype)
        main = sys.modules["__main__"]
        main.__file__ = state.pop("script")
        for k, module in enumerate(state.pop("used")):
            setattr(main, f"used_{k}", importlib.import_module(module))
        vars(self).update(state)
