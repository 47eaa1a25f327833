"""From words to jobs and their launch: Hydra appears here and nowhere else.

Hydra composes the configuration of each job and launches it. It is driven from here and not by `@hydra.main`,
whose sweeper makes folders before it knows that all jobs are sound and ends with the first that fails (one of
our own would have to live in a package called `hydra_plugins`). So nothing is written before every problem,
optimizer and option of every job has been built and checked.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf

from benchmarks.catalog import loading
from benchmarks.catalog.defaults import CLASSICS, TWINS, default_optimizers
from benchmarks.catalog.suites import fields_of, suites
from benchmarks.cli.hydra_errors import explaining, quoted
from benchmarks.cli.launch import Plan, Planned
from benchmarks.cli.options import Config
from benchmarks.runner.setup import Setup, key_of
from optimizers import OPTIMIZERS
from optimizers.registry import AND
from problems import PROBLEMS
from problems.modifiers import NOISES
from ravine import Refused, nearest

VARYING = re.compile(r"problem|optimizer|transform|noise|(problem|optimizers?|noise)\..*")
OF_HYDRA = re.compile(r"hydra/launcher|hydra\.launcher\..*")


@contextmanager
def planned(words: Sequence[str]) -> Iterator[Plan]:
    """The plan of a command, while Hydra is set up for it. Raises Refused for bad input."""
    with initialize_config_dir(str(loading.CONF), job_name="ravine", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        overrides = [_parsed(word, loader) for word in words]
        for first, second in itertools.combinations(overrides, 2):
            if first.key_or_group == second.key_or_group:
                raise Refused(
                    f"{first.key_or_group} is given twice: {first.input_line}, {second.input_line}"
                )
        names, adopted = _load(overrides)
        chosen = any(each.key_or_group == "optimizer" for each in overrides)
        _tell_hydra(*names.values(), *(() if chosen else TWINS))
        of_hydra = [_of_hydra(each) for each in overrides if each.is_hydra_override()]
        axes = {
            each.key_or_group: _axis(each, loader, names)
            for each in overrides
            if not each.is_hydra_override()
        }
        suite = None
        if "suite" in axes:
            (word,) = axes["suite"]
            if "problem" in axes:
                raise Refused(f"{word} and a problem are given: give one of the two")
            suite = suites()[word.partition("=")[2]]
            axes = {"suite": [word], **axes}  # first, so that a preset is stronger
            axes["problem"] = [f"+problem={name}" for name in suite.problems]
        if "problem" not in axes:
            raise Refused(f"no problem is given: add +problem=NAME {nearest('', PROBLEMS)}")
        if not chosen:
            problems = (PROBLEMS[each.partition("=")[2]] for each in axes["problem"])
            noise = "noise" in axes or any(each.noisy for each in problems)
            candidates = [*CLASSICS, *(TWINS if noise else ())]
            axes["optimizer"] = [f"+optimizer={name}" for name in candidates]
        if "noise.strength" in axes and "noise" not in axes:
            allowed = nearest("", ["none", *NOISES])
            raise Refused(f"noise.strength is given, but no noise: {allowed}")
        axes["adopted"] = [f"adopted=[{','.join(map(quoted, adopted))}]"]
        everything = (
            dict(zip(axes, words, strict=True)) for words in itertools.product(*axes.values())
        )
        jobs = [
            _composed([*given.values(), *fields_of(suite, given)], loader)
            for given in everything
            if chosen or _may_be_default(given)
        ]
        if not chosen:
            jobs = [
                each
                for each in jobs
                if each.setup.settings["name"] in default_optimizers(each.setup.job.problem)
            ]
        yield Plan(words, _checked(jobs), of_hydra, loader)


def _may_be_default(given: Mapping[str, str]) -> bool:
    """Whether an optimizer may be compared where nothing is said: composing a job takes 0.05 s."""
    problem, optimizer = (given[each].partition("=")[2] for each in ("problem", "optimizer"))
    return optimizer not in TWINS or "noise" in given or PROBLEMS[problem].noisy


def _parsed(word: str, loader: ConfigLoader) -> Override:
    key, equal, value = word.partition("=")
    if key.startswith("optimizers."):
        key = key.replace("/", "_")  # a preset by the word that loads it
    try:
        (override,) = OverridesParser.create(config_loader=loader).parse_overrides(
            [key_of(key) + equal + value]
        )
    except OverrideParseException as error:
        allowed = "name=value, name=value,value, 'name=[low,high]'"
        raise Refused(
            f"{word!r} cannot be read (allowed: {allowed}; quotes around odd characters)"
        ) from error
    if override.is_delete() or override.package is not None:
        raise Refused(f"{word!r} is no option: an option is written name=value")
    return override


def _load(overrides: Sequence[Override]) -> tuple[dict[str, str], list[str]]:
    """Load the classes given by file or path: the name that each word stands for, and `kind=where` of each."""
    names, adopted = {}, []
    for override in overrides:
        kind = override.key_or_group
        for word in _names(override) if kind in loading.REGISTRIES else ():
            if loading.is_specification(word) or AND in word:
                names[word], where = loading.find(word, kind)
                adopted += [f"{kind}={where}"] if where else []
    return names, adopted


def _names(override: Override) -> list[str]:
    """What is given for problem or optimizer, one by one."""
    if override.is_choice_sweep():
        given = list(override.sweep_iterator())
    elif override.is_sweep_override() or isinstance(override.value(), (list, dict)):
        kind = override.key_or_group
        raise Refused(
            f"{override.input_line}: several names are written {kind}=a,b or '{kind}=glob(*)'"
        )
    else:
        given = [] if override.value() in (None, "") else [override.value()]
    return [each.text if isinstance(each, QuotedString) else str(each) for each in given]


def _tell_hydra(*wrapped: str) -> None:
    """Options, problems and optimizers as nodes of Hydra's configuration: data, and of names only.

    A hyperparameter is null until it is given, for what is given is no longer searched as it was. Wrapped
    optimizers are those of the command; in Hydra's keys there can be no plus, hence `key_of`.
    """
    whole = ConfigStore.instance()
    # Hydra copies its sources, and this store with them, whenever it composes a job or looks for the names of
    # a group: half of the time, for it writes nothing to the copy.
    whole.__deepcopy__ = lambda memo: whole  # type: ignore[attr-defined]
    store = whole.store
    for name, problem in PROBLEMS.items():
        fields = {each.name: getattr(problem, each.name) for each in dataclasses.fields(problem)}  # type: ignore[arg-type]
        store(group="problem", name=name, node={"name": name, **fields})
    for name in ("none", *NOISES):
        store(group="noise", name=name, node={"name": name, "strength": None})
    for name, suite in suites().items():
        node = {"suite": name, **suite.options}
        store(group="suite", name=name, node=node, package="_global_")
    table = {}
    for name in dict.fromkeys([*OPTIMIZERS, *(each for each in wrapped if each in OPTIMIZERS)]):
        unset = table[key_of(name)] = dict.fromkeys(OPTIMIZERS[name].hyperparameters)
        store(group="optimizer", name=name, node={"name": name, **unset})
    store(name="ravine", node=OmegaConf.structured(Config(optimizers=table)))


def _axis(override: Override, loader: ConfigLoader, names: Mapping[str, str]) -> list[str]:
    """The values of one option over the sweep, each as a job gets it."""
    key, line = override.key_or_group, override.input_line
    if override.is_sweep_override() and not VARYING.fullmatch(key):
        allowed = "problem, optimizer, their fields, transform, noise, noise.strength"
        raise Refused(f"{line}: {key} is the same in all of a sweep (allowed to vary: {allowed})")
    options = loader.get_group_options(key) if "." not in key else []
    if options:
        values = [names.get(each, each) for each in _names(override)]
        for value in values:
            if value not in options:
                raise Refused(f"unknown {key} {value!r}: {nearest(value, options)}")
    elif override.is_interval_sweep():
        raise Refused(f"{line}: a range to be searched is written '{key}=[low,high]'")
    elif override.is_sweep_override():
        values = list(override.sweep_string_iterator())
    else:
        values = [override.get_value_element_as_str()]
    if not values:
        raise Refused(f"{line} names nothing: {nearest(str(line).partition('=')[2], options)}")
    # A group has no default, so Hydra wants a plus; with one, any other option would be a new one to it.
    return [f"{'+' if options else ''}{key}={value}" for value in values]


def _of_hydra(override: Override) -> str:
    if override.is_sweep_override() or not OF_HYDRA.fullmatch(override.key_or_group):
        allowed = "hydra/launcher, hydra.launcher.*"
        raise Refused(
            f"{override.input_line}: of Hydra's own options few can be given (allowed: {allowed})"
        )
    return str(override.input_line)


def _composed(overrides: list[str], loader: ConfigLoader) -> Planned:
    with explaining():
        config = loader.load_configuration("config", overrides, RunMode.RUN)
    del config.hydra
    data: Any = OmegaConf.to_container(config)
    return Planned(overrides, data, Setup.of(data))


def _checked(jobs: Sequence[Planned]) -> list[Planned]:
    """Each job once, and each problem checked once."""
    different = {}
    for each in jobs:
        setup = each.setup
        dial = setup.job.problem.dial if setup.protocol.rungs == 1 else None
        different.setdefault((setup.job.identity(setup.protocol), dial), each)
    for problem in {repr(each.setup.job.problem): each for each in different.values()}.values():
        problem.setup.check()
    return list(different.values())
