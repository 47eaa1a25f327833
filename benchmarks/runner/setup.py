"""Build one job from its configuration: problem, contender, protocol, store."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.catalog.contenders import check_trials, contender, typed
from benchmarks.engine.protocol import Protocol
from benchmarks.runner.job import Job, rungs
from benchmarks.store.cells import Store
from optimizers.registry import AND
from problems import PROBLEMS, Problem
from problems.modifiers import noisy, transformed
from ravine import Refused, nearest, require


@dataclass(frozen=True)
class Setup:
    """One job and everything needed to run it."""

    job: Job
    protocol: Protocol
    settings: Mapping[str, Any]  # the optimizer's registered name, and the values given for it
    store: Store
    threads: int
    suite: str | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Setup:
        """Build a setup; raise Refused for values that problem, optimizer or protocol do not accept."""
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
        check_trials(found, protocol.settled(problem).trials)
        job = Job(name, problem, found, ladder)
        store = Store(Path(config["cells"]))
        return cls(job, protocol, settings, store, config["threads"], config["suite"])

    @property
    def rungs(self) -> list[Problem]:
        """Return the problem at each rung that is certain to be run."""
        dials = rungs(self.job.problem, self.protocol.rungs, self.job.ladder)
        return [self.job.problem.at_dial(dial) for dial in dials]


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
    except (TypeError, ValueError) as error:  # from a user's problem
        raise Refused(f"problem {name} does not accept {values}: {error}") from error


def _ladder(given: Any) -> tuple[float, ...]:
    """Return the dial values that replace a card's ladder; empty if none are given."""
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
    """Return the problem with the transforms and the noise that the configuration names."""
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
    """Return a job's optimizer name and the values given by `optimizers.NAME.field` or `optimizer.field`."""
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
    """Return an optimizer's name as a key for Hydra, where a plus may only come first."""
    return re.sub(rf"(?<=\w)\{AND}", "-", name)
