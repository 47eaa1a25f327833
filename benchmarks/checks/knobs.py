"""The hyperparameters of two optimizers by common names, so that both can be given the same setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from optimizers import Optimizer

# The common name first; then the other names that packages use.
NAMES = (
    ("lr", "learning_rate", "step_size", "eta", "rate"),
    ("beta1", "b1"),
    ("beta2", "b2"),
    ("momentum", "mu", "momentum_factor"),
    ("eps", "epsilon", "eps1"),
    ("weight_decay", "wd", "weight_decay_rate", "l2"),
    ("ns_steps", "num_ns_steps", "newton_schulz_steps"),
)
# What stands for the same thing where only one of the two has each: mean, mean square, rate.
SYNONYMS = (
    {"momentum", "beta1", "beta", "decay"},
    {"beta2", "alpha", "rho", "beta", "decay", "decay_rate", "smoothing"},
    {"lr", "alpha", "gamma"},
)
COMMON = {alias: names[0] for names in NAMES for alias in names}
SHARES = {"beta1", "beta2", "beta3", "momentum", "beta", "alpha", "rho", "decay"}
OFF = {"weight_decay": 0.0, "momentum": 0.0, "dampening": 0.0}  # where a part of a method is absent


class Place(NamedTuple):
    """Where a number is among an optimizer's hyperparameters: its name, and its place in a tuple."""

    name: str
    part: int | None = None


Settings = Mapping[str, Any]  # values by common names


def places(optimizer: Optimizer) -> dict[str, Place]:
    """Return where each number, truth value and word is, by its common name."""
    found: dict[str, Place] = {}
    for name, value in _whole(optimizer).items():
        if isinstance(value, (tuple, list)):
            stem = "beta" if name == "betas" else f"{name}."
            for index, each in enumerate(value):
                if _plain(each):
                    found.setdefault(f"{stem}{index + 1}", Place(name, index))
        elif _plain(value):
            found.setdefault(COMMON.get(name, name), Place(name))
    return found


def _whole(optimizer: Optimizer) -> dict[str, Any]:
    """Return the hyperparameters, without the parts of tuples beside the tuples, as `betas.0`."""
    return {name: value for name, value in optimizer.hyperparameters.items() if "." not in name}


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float, str))


@dataclass(frozen=True)
class Knobs:
    """The hyperparameters of two optimizers by common names.

    Attributes:
        pair: The two.
        both: Those that both have, with their places.
    """

    pair: tuple[Optimizer, Optimizer]
    both: Mapping[str, tuple[Place, Place]]

    @classmethod
    def of(cls, pair: tuple[Optimizer, Optimizer]) -> Knobs:
        """Return the hyperparameters of two optimizers, paired by name or, where names differ, by what they mean."""
        first, second = map(places, pair)
        both = {name: (first[name], second[name]) for name in first if name in second}
        for alike in SYNONYMS:
            left = sorted(alike & (first.keys() - both.keys()))
            right = sorted(alike & (second.keys() - both.keys()))
            taken = {place for pairs in both.values() for place in pairs[1:]}
            right = [each for each in right if second[each] not in taken]
            if len(left) == len(right) == 1:
                both[left[0]] = (first[left[0]], second[right[0]])
        return cls(pair, both)

    def values(self, side: int, optimizer: Optimizer | None = None) -> dict[str, Any]:
        """Return the values of what both have."""
        given = (optimizer or self.pair[side]).hyperparameters
        found = {}
        for name, where in self.both.items():
            value = given[where[side].name]
            found[name] = value if where[side].part is None else value[where[side].part]
        return found

    def alone(self, side: int) -> dict[str, Any]:
        """Return what only one of them has, under its own name."""
        taken = {where[side].name for where in self.both.values()}
        given = _whole(self.pair[side])
        return {name: value for name, value in given.items() if name not in taken}

    def set(self, side: int, values: Settings, **own: Any) -> Optimizer:
        """Return one of the two with these values; `own` are values under its own names."""
        optimizer = self.pair[side]
        now, given = optimizer.hyperparameters, dict(own)
        for name, value in values.items():
            where = self.both[name][side]
            if where.part is None:
                given[where.name] = _typed(value, now[where.name])
            else:
                several = list(given.get(where.name, now[where.name]))
                several[where.part] = value
                given[where.name] = type(now[where.name])(several)
        changed = {name: value for name, value in given.items() if value != now.get(name)}
        return optimizer.replace(**changed) if changed else optimizer


def _typed(value: Any, default: Any) -> Any:
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def settings(base: Settings) -> Iterator[dict[str, Any]]:
    """Yield what is changed from the base: one value at a time, then the decay with others, then all at once.

    Args:
        base: The values of what both have.
    """
    others = {name: _others(name, value) for name, value in base.items()}
    for name, values in others.items():
        for value in values:
            yield {name: value}
    numbers = {name: values[0] for name, values in others.items() if values}
    switches = {name: numbers.pop(name) for name in others if isinstance(base[name], bool)}
    if len(numbers) > 2:
        yield numbers
    for name in ("momentum", "beta1", "eps"):
        if {name, "weight_decay"} <= numbers.keys():
            yield {name: numbers[name], "weight_decay": numbers["weight_decay"]}
    numbers.pop("dampening", None)  # which Nesterov's momentum excludes
    for name, value in switches.items():
        yield {**numbers, name: value}


def _others(name: str, value: Any) -> list[Any]:
    """Return other values of a hyperparameter at which the parts of a formula come apart."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str) or value is None:
        return []
    if isinstance(value, int):
        return [value + 1] if value < 20 else []
    if name == "lr":
        return [3 * value] if value else [0.1]
    if name == "weight_decay":
        return [0.1] if value == 0 else [0.0, 3 * value]
    if name == "eps":
        return [0.1]
    if name in ("beta2", "alpha", "rho"):
        return [0.9] if value != 0.9 else [0.5]
    if name in SHARES:
        return [each for each in (0.5, 0.0, 0.9) if each != value][: 2 if value else 1]
    return [0.5 * value, 2 * value] if value else [0.5]
