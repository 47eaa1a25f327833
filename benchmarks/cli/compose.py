"""Compose jobs from the words of a command; nothing is written before every job has been checked."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.catalog import loading
from benchmarks.catalog.defaults import CLASSICS, TWINS, default_optimizers
from benchmarks.catalog.suites import Suite, fields_of, suites
from benchmarks.checks.preflight import check_problem
from benchmarks.cli.hydra_adapter import Option, Value, as_yaml, composed, typed
from benchmarks.cli.options import Config
from benchmarks.runner.job import check_dials
from benchmarks.runner.progress import watched
from benchmarks.runner.setup import Setup, key_of
from optimizers import OPTIMIZERS
from optimizers.registry import AND
from problems import PROBLEMS
from problems.modifiers import NOISES
from ravine import Refused, nearest, require

PER_CORE = 4  # threads at most: more are slower, and thousands end the process
VARYING = re.compile(r"problem|optimizer|transform|noise|(problem|optimizers?|noise)\..*")
OF_HYDRA = re.compile(r"hydra/launcher|hydra\.launcher\..*")


@dataclass(frozen=True)
class Planned:
    """A job: its configuration, and the setup built from it."""

    config: dict[str, Any]
    setup: Setup


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep, all checked, and Hydra's options for launching them."""

    words: Sequence[str]
    jobs: Sequence[Planned]
    of_hydra: Sequence[Option]

    @property
    def suite(self) -> str | None:
        """The name of the suite, if any."""
        return self.jobs[0].setup.suite

    def text(self) -> str:
        """Return the configuration of each job as YAML, with only the given values of the optimizer."""
        shown = ({**each.config, "optimizer": each.setup.settings} for each in self.jobs)
        return "---\n".join(
            as_yaml({name: value for name, value in each.items() if name != "optimizers"})
            for each in shown
        )

    def resolved(self) -> dict[str, Any]:
        """Return the options that the jobs share, and the problem and optimizer of each."""
        first = self.jobs[0]
        jobs = [
            {
                **{name: each.config[name] for name in ("problem", "transform", "noise")},
                "optimizer": each.setup.settings,
            }
            for each in self.jobs
        ]
        return {
            "protocol": dataclasses.asdict(first.setup.protocol),
            "threads": first.setup.threads,
            "suite": self.suite,
            "jobs": jobs,
        }


def planned(words: Sequence[str]) -> Plan:
    """Return the jobs that a command names. Raises Refused for bad input."""
    given = _parsed(words)
    of_hydra = [
        _of_hydra(given.pop(key)) for key in [*given] if key.startswith(("hydra/", "hydra."))
    ]
    chosen = "optimizer" in given
    loaded, adopted = _load(given)
    given = _by_name(given, loaded)
    wrapped = [each for each in (loaded.values() if chosen else TWINS) if each in OPTIMIZERS]
    optimizers = [*dict.fromkeys([*OPTIMIZERS, *wrapped])]
    groups = {
        "problem": [*PROBLEMS],
        "optimizer": optimizers,
        "noise": ["none", *NOISES],
        "suite": [*suites()],
    }
    files = {key: found for key in given if key not in groups and (found := _files(key))}
    offered = {**groups, **files}
    values = {key: _values(each, offered.get(key, ()), loaded) for key, each in given.items()}
    suite = _complete(values)
    for each in values.get("transform", ()):
        if isinstance(each.value, (bool, int, float)):
            raise Refused(
                f"transform is {each.text}, but must be a name, or a list as in [rotate,shift]"
            )

    axes = {key: each for key, each in values.items() if VARYING.fullmatch(key)}
    settings = {key: each[0] for key, each in values.items() if key not in axes}
    presets = composed({key: settings.pop(key).text for key in files})
    weaker = [*(suite.options.items() if suite is not None else ()), *presets.items()]
    table = {key_of(name): _unset(name) for name in optimizers}
    shared = dataclasses.asdict(Config(optimizers=table))
    for key, each in [*((key, Value(each, str(each))) for key, each in weaker), *settings.items()]:
        _set(shared, key, each.value)
        shared[key] = typed(Config, key, Value(shared[key], each.text))
    shared["adopted"] = adopted
    require(
        "", "threads", shared["threads"], whole=True, low=1, high=PER_CORE * (os.cpu_count() or 1)
    )
    for name in ("out", "cells"):
        if "${" in (shared[name] or ""):
            raise Refused(
                f"{name} is {shared[name]}, but must be a folder without ${{…}}; a shell knows $HOME"
            )
    if shared["cells"] == "":
        raise Refused("cells is empty, but must be a folder, as in cells=results/cells")
    if shared["out"] == "":
        raise Refused("out is empty, but must be a folder, as in out=results/mine")

    jobs = []
    for combination in watched([*itertools.product(*axes.values())], "composing jobs"):
        varying = {key: each.value for key, each in zip(axes, combination, strict=True)}
        if suite is not None:
            fields = fields_of(suite, varying["problem"])
            varying |= {key: each for key, each in fields.items() if key not in given}
        config = _configuration(shared, varying)
        setup = Setup.of(config)
        if chosen or setup.settings["name"] in default_optimizers(setup.job.problem):
            jobs.append(Planned(config, setup))
    return Plan(words, _checked(jobs), of_hydra)


def _complete(values: dict[str, list[Value]]) -> Suite | None:
    """Add the problems of a suite, and the default optimizers if none are given; return the suite, if any."""
    suite = suites()[values["suite"][0].value] if "suite" in values else None
    if suite is not None:
        if "problem" in values:
            name = values["suite"][0].text
            raise Refused(f"+suite={name} and a problem are given: give one of the two")
        values["problem"] = _named(suite.problems)
    if "problem" not in values:
        raise Refused(f"no problem is given: add +problem=NAME {nearest('', PROBLEMS)}")
    values.setdefault("optimizer", _named([*CLASSICS, *TWINS]))
    if "noise.strength" in values and "noise" not in values:
        allowed = nearest("", ["none", *NOISES])
        raise Refused(f"noise.strength is given, but no noise: {allowed}")
    return suite


def _parsed(words: Sequence[str]) -> dict[str, Option]:
    """Return the options by name. Raises Refused for one that is given twice."""
    given: dict[str, Option] = {}
    for word in words:
        key, equal, value = word.partition("=")
        if key.startswith("optimizers."):
            key = key.replace("/", "_")  # a preset, named by the word that loads it
        option = Option(key_of(key) + equal + value)
        if option.key in given:
            first = given[option.key].line
            raise Refused(f"{option.key} is given twice: {first}, {option.line}")
        given[option.key] = option
    return given


def _by_name(given: Mapping[str, Option], loaded: Mapping[str, str]) -> dict[str, Option]:
    """Return the options with the name of an optimizer in place of the dotted path that loads it."""
    found = {}
    for key, option in given.items():
        for word, name in loaded.items():
            if key.startswith(f"optimizers.{key_of(word)}."):
                key = key.replace(key_of(word), key_of(name), 1)
        found[key] = option
    return found


def _of_hydra(option: Option) -> Option:
    if option.varies or not OF_HYDRA.fullmatch(option.key):
        allowed = "hydra/launcher, hydra.launcher.*"
        raise Refused(
            f"{option.line}: only some of Hydra's options can be given (allowed: {allowed})"
        )
    return option


def foreign(words: Sequence[str]) -> list[tuple[str, str]]:
    """Return word and kind of each class in a command that is in a file, or in a module that is not installed."""
    return [
        (word, kind) for kind, word in _classes(_parsed(words)) if loading.is_foreign(word, kind)
    ]


def _classes(given: Mapping[str, Option]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the word of each problem and optimizer that is given."""
    for kind, registry in loading.REGISTRIES.items():
        for word in dict.fromkeys(given[kind].names(registry)) if kind in given else ():
            yield kind, word


def _load(given: Mapping[str, Option]) -> tuple[dict[str, str], list[str]]:
    """Load the classes given by file or path; return the name of each word, and `kind=where` of each class."""
    names, adopted = {}, []
    for kind, word in _classes(given):
        if loading.is_specification(word) or AND in word:
            names[word], where = loading.find(word, kind)
            adopted += [f"{kind}={where}"] if where else []
    return names, adopted


def _files(key: str) -> list[str]:
    """Return the names in a group that is a folder of `conf/`, as in `preset=quick`."""
    folder = loading.CONF / key
    return sorted(each.stem for each in folder.glob("*.yaml")) if key.isidentifier() else []


def _values(option: Option, offered: Collection[str], loaded: Mapping[str, str]) -> list[Value]:
    """Return the values of one option over the sweep; if names are offered, each must be one of them."""
    if option.varies and not VARYING.fullmatch(option.key):
        allowed = "problem, optimizer, their fields, transform, noise, noise.strength"
        raise Refused(
            f"{option.line}: {option.key} cannot vary within a sweep (allowed to vary: {allowed})"
        )
    given = dict.fromkeys(option.names(offered)) if offered else ()
    names = [loaded.get(each, each) for each in given]
    for name in names:
        if name not in offered:
            raise Refused(f"unknown {option.key} {name!r}: {nearest(name, offered)}")
    values = _named(names) if offered else option.values()
    if not values:
        said = option.line.partition("=")[2]
        raise Refused(f"{option.line} names nothing: {nearest(said, offered)}")
    return values


def _named(names: Iterable[str]) -> list[Value]:
    return [Value(name, name) for name in names]


def _unset(optimizer: str) -> dict[str, None]:
    """Return its hyperparameters, each null; a given value replaces the search of its default range."""
    return dict.fromkeys(OPTIMIZERS[optimizer].hyperparameters)


def _configuration(shared: Mapping[str, Any], varying: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a job: the shared options, and this job's own values."""
    config = copy.deepcopy(dict(shared))
    problem, optimizer = varying["problem"], varying["optimizer"]
    prototype: Any = PROBLEMS[problem]
    fields = {each.name: getattr(prototype, each.name) for each in dataclasses.fields(prototype)}
    nodes = {
        "problem": {"name": problem, **fields},
        "optimizer": {"name": optimizer, **_unset(optimizer)},
    }
    if "noise" in varying:
        nodes["noise"] = {"name": varying["noise"], "strength": None}
    config |= nodes
    for key, value in varying.items():
        if key not in nodes:
            _set(config, key, value)
    own = key_of(optimizer)
    config["optimizers"] = {own: config["optimizers"][own]}
    return config


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    """Set an option, entry by entry if it is a table. Raises Refused for an unknown option."""
    owner, node, path, name, depth = config, config, key.split("."), "", 0
    while depth < len(path):  # a name may have dots of its own: the longest that there is
        names = ((".".join(path[depth:end]), end) for end in range(len(path), depth, -1))
        known = isinstance(node, dict)
        name, end = next((each for each in names if known and each[0] in node), ("", 0))
        if not name:
            inside = not known and any(each.startswith(f"{path[depth - 1]}.") for each in owner)
            at = depth - 1 if inside else depth  # an element that a list does not have
            rest = ".".join(path[at:]) if inside else path[depth]
            raise _unknown(".".join(path[:at]), rest, owner if inside else node)
        owner, node, depth = node, node[name], end
    if isinstance(node, dict) and isinstance(value, dict):
        for each, given in value.items():
            _set(config, f"{key}.{each}", given)
    else:
        owner[name] = value


def _unknown(owner: str, name: str, node: Any) -> Refused:
    hidden = ("name", "adopted", *map(key_of, TWINS))
    allowed = [each for each in node if each not in hidden] if isinstance(node, dict) else []
    if owner in loading.REGISTRIES:
        owner = node["name"]
    return Refused(f"unknown option {owner}{'.' if owner else ''}{name}: {nearest(name, allowed)}")


def _checked(jobs: Sequence[Planned]) -> list[Planned]:
    """Return each job once, after checking each problem once."""
    different = {}
    for each in jobs:
        setup = each.setup
        dial = setup.job.problem.dial if setup.protocol.rungs == 1 else None
        different.setdefault((setup.job.identity(setup.protocol), dial), each)
    problems = {repr(each.setup.job.problem): each.setup for each in different.values()}
    rungs = [(setup, problem) for setup in problems.values() for problem in setup.rungs]
    for setup, problem in watched(rungs, "checking rungs of problems"):
        check_problem(setup.job.name, problem, setup.protocol.settled(problem).torch_dtype)
    setups = [each.setup for each in jobs]
    if setups:
        ladders = ((each.job, [problem.dial for problem in each.rungs]) for each in setups)
        check_dials(ladders, setups[0].protocol)
    return list(different.values())
