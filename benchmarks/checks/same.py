"""Are two optimizers the same method? They take steps side by side, and what differs is named."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.checks.knobs import OFF, SHARES, Knobs, settings
from benchmarks.checks.lockstep import (
    Fails,
    Steps,
    Trial,
    Watch,
    failing,
    lockstep,
    short,
    tolerance,
)
from benchmarks.checks.same_inputs import LONG, STEPS, Inputs, inputs
from benchmarks.checks.same_reasons import likely
from optimizers import Optimizer
from optimizers.adopted import Adopted
from optimizers.needs import needs
from optimizers.wrapper import innermost
from ravine import Refused
from ravine.terminal import PROSE, columns

QUICK = 12  # steps in which a factor is looked for
SAID = 110  # letters of what a class says
WATCHED = 3  # steps in which the operations of both are looked at
MANY, FEW = 5000, 8  # operations in them from which a method is costly, and the steps of one
FREE, APART = (
    15,
    1e-6,
)  # steps on a path of its own, and how far the second may then be from the first
Kind = Literal["identical", "rounding", "rescaled", "settings", "different"]
HEADLINES: Mapping[Kind, str] = {
    "identical": "are the same method, to the bit.",
    "rounding": "are the same method, to rounding.",
    "rescaled": "are the same method, written with other numbers.",
    "settings": "are the same method only at other settings.",
    "different": "are different",
}
Values = Mapping[str, Any]
Own = Callable[[Values], dict[str, Any]]


def _nothing(values: Values) -> dict[str, Any]:
    return {}


def _both(one: Own, other: Own) -> Own:
    return lambda values: {**one(values), **other(values)}


@dataclass(frozen=True)
class Change:
    """A way to write the same method with other numbers.

    Attributes:
        words: What it is, with {a} and {b} for the names of the two; "" for none.
        of: From the first's values by common names to the second's.
        own: Values under the names of one side that the other has no name for, for the first and for the second.
        is_other_method: True if it switches a part of a method on or off.
    """

    words: tuple[str, ...] = ()
    of: Callable[[Values], dict[str, Any]] = dict
    own: tuple[Own, Own] = (_nothing, _nothing)
    is_other_method: bool = False

    def then(self, other: Change) -> Change:
        """Return both, this one first."""
        return Change(
            (*self.words, *other.words),
            lambda values: other.of(self.of(values)),
            (_both(self.own[0], other.own[0]), _both(self.own[1], other.own[1])),
            self.is_other_method or other.is_other_method,
        )


@dataclass(frozen=True, repr=False)
class Sameness:
    """Whether two optimizers are the same method; printed, it says so in words.

    Attributes:
        names: What the two are called.
        kind: "identical" (to the bit), "rounding", "rescaled" (up to a factor in the learning rate or another way to
            write a momentum, named in `how`), "settings" (only if the settings in `how` are given) or "different".
        how: What makes the two the same, a line each.
        reason: The likely reason for a difference, in words; "" if none can be named.
        trials: What was seen at each setting, the base first.
        notes: What else is to be known, as (title, words).
    """

    names: tuple[str, str]
    kind: Kind
    how: tuple[str, ...]
    reason: str
    trials: Sequence[Trial]
    notes: Sequence[tuple[str, str]]

    @property
    def same(self) -> bool:
        """True if the two are the same method as they are named, up to a factor in the learning rate or the like."""
        return self.kind in ("identical", "rounding", "rescaled")

    @property
    def differing(self) -> list[Trial]:
        """The settings at which they differ."""
        return [each for each in self.trials if each.differs]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        first, second = self.names
        yield from textwrap.wrap(f"{first} and {second} {self._headline()}", columns(PROSE))
        for title, words in [*self._facts(), *self.notes]:
            yield _row(title, words)

    def _headline(self) -> str:
        if self.kind != "different":
            return HEADLINES[self.kind]
        worst = self.differing[0]
        setting = f", with {worst.words}." if worst.changed else "."
        begin = "" if worst.fault else f" from step {worst.first.step} on"
        return f"{HEADLINES['different']}{begin}{setting}"

    def _facts(self) -> Iterator[tuple[str, str]]:
        for each in self.how:
            yield "up to" if self.kind == "rescaled" else "given", each
        if self.kind == "different":
            worst = self.differing
            first, most = worst[0].first, max(each.largest for each in worst)
            at = f"at step {first.step} of {first.name}"
            amount = f"{first.amount:.2g} of a step {at}; at most {most:.2g}"
            finite = first.amount < math.inf
            yield "by", worst[0].fault or (amount if finite else f"a step that is not finite, {at}")
            if self.reason:
                yield "likely", self.reason
            there = [each.name for each in worst[0].differs]
            count = sum(len(each.inputs.names) for each in worst[0].steps)
            where = f"{len(there)} of {count} inputs"
            if count:
                yield "where", where if len(there) > 3 else f"{where}: {', '.join(there)}"
            alike = len(self.trials) - len(worst)
            if alike:
                listed = "; ".join(each.words or "the base" for each in worst[:4])
                more = "; …" if len(worst) > 4 else ""
                yield (
                    "settings",
                    f"the same at {alike} of {len(self.trials)}, but not at {listed}{more}",
                )
        else:
            largest = max(each.largest for each in self.trials)
            if largest:
                yield "difference", f"{largest:.2g} of a step at most, which is rounding"


def _row(title: str, words: str) -> str:
    first, *rest = textwrap.wrap(words, columns(PROSE) - 14)
    return "\n".join([f"  {title:<12}{first}", *(" " * 14 + line for line in rest)])


def judged(names: tuple[str, str], pair: tuple[Optimizer, Optimizer]) -> Sameness:
    """Compare two optimizers.

    Args:
        names: What they are called.
        pair: The two, with the values at which they are compared.

    Returns:
        What was found.

    Raises:
        Refused: If the two can be used on no inputs together, or draw random numbers that differ.
    """
    comparison = _Comparison(names, pair)
    found = comparison.best()
    kind, how = comparison.kind(found)
    reason = ""
    if kind == "different":
        comparison.refuse_chance()
        reason = comparison.reason(found)
    elif comparison.parts_when_free(found.change):
        kind, reason = "different", "each keeps points of its own, which drift apart"
    return Sameness(names, kind, how, reason, found.trials, tuple(comparison.notes(kind)))


@dataclass(frozen=True)
class _Evaluated:
    """A change, and what was seen with it at all settings."""

    change: Change
    trials: Sequence[Trial]

    @property
    def failing(self) -> list[Trial]:
        return [each for each in self.trials if each.differs]


class _Comparison:
    """Two optimizers on the inputs that both can take."""

    def __init__(self, names: tuple[str, str], pair: tuple[Optimizer, Optimizer]):
        self.names, self.pair = names, pair
        self.knobs = Knobs.of(pair)
        self.base = self.knobs.values(0)
        self.watches = (Watch(), Watch())
        self.refusals: dict[str, Fails] = {}
        self.rejected: dict[str, str] = {}  # settings that one of the two does not accept, and why
        self.groups: list[Inputs] = []
        self.dtype = torch.float64
        for dtype in (torch.float64, torch.float32):
            if not self.groups:
                self.dtype = dtype
                self.groups = list(self._usable(dtype))
        if not self.groups:
            self._refuse()
        self.unit = max(torch.finfo(self.dtype).eps, *(each.coarsest for each in self.watches))
        costly = max(each.operations for each in self.watches) > MANY
        self.steps, self.long = (FEW, STEPS) if costly else (STEPS, LONG)

    def _usable(self, dtype: torch.dtype) -> Iterator[Inputs]:
        """Yield the inputs that both can take, and watch the operations on them."""
        for group in inputs(dtype):
            try:
                lockstep(self.pair, group, WATCHED, self.watches)
                yield group
            except Fails as failure:
                some = [k for k in range(len(group.names)) if self._can_take(group.only([k]))]
                if some:
                    yield group.only(some)
                else:
                    self.refusals.setdefault(group.what, failure)

    def _can_take(self, group: Inputs) -> bool:
        try:
            lockstep(self.pair, group, WATCHED, self.watches)
        except Fails:
            return False
        return True

    def _refuse(self) -> None:
        first = next(iter(self.refusals.values()))
        raise Refused(f"{self.names[first.side]} cannot be compared: {first}")

    def best(self) -> _Evaluated:
        """Return the change with which the two differ at the fewest settings; none if they are the same as they are."""
        best = self.evaluated(Change())
        for _ in range(2):
            if not best.failing:
                break
            found = best
            for change in self._changes(best):
                other = self.evaluated(change, fewer_than=len(found.failing))
                seen = (
                    len(other.trials) > len(found.trials) / 2
                )  # it does not lead to refused values
                if seen and len(other.failing) < len(found.failing):
                    found = other
                if not found.failing:
                    break
            if found is best:
                break
            best = found
        return best

    def evaluated(self, change: Change, fewer_than: float = math.inf) -> _Evaluated:
        """Return what is seen at all settings, or at as many as it takes to differ at `fewer_than` of them."""
        trials: list[Trial] = []
        for k, changed in enumerate([{}, *settings(self.base)]):
            trial = self.trial(change, changed, self.groups if k == 0 else self.groups[:2])
            if trial is not None:
                trials.append(trial)
            if sum(bool(each.differs) for each in trials) >= fewer_than:
                break
        return _Evaluated(change, trials)

    def trial(self, change: Change, changed: Values, groups: Sequence[Inputs]) -> Trial | None:
        """Return what is seen at one setting; None if one of the two does not accept it."""
        try:
            pair = self.at(change, changed)
            seen = [
                lockstep(pair, group, self.steps if changed or k else self.long)
                for k, group in enumerate(groups)
            ]
        except Fails as failure:
            return self._failed(failure, change, changed)
        return Trial(changed, seen, self.unit)

    def _failed(self, failure: Fails, change: Change, changed: Values) -> Trial | None:
        """Return the difference that one of the two fails where the other does not; None if that is none.

        A value that it refuses in words is none.
        """
        name, other = self.names[failure.side], 1 - failure.side
        words = textwrap.shorten(str(failure), SAID, placeholder=" …")
        trial = Trial(changed, (), self.unit, f"{name} fails: {words}")
        try:
            alone = self._one(other, change, {**self.base, **changed})
            lockstep((alone, alone), self.groups[0], self.steps if changed else self.long)
        except Fails:
            if not changed:
                raise Refused(f"{name} cannot be compared: {words}") from failure
            return None
        if failure.is_fault:
            return trial
        if not changed:
            raise Refused(f"{name} does not take the values of {self.names[other]}: {words}")
        if len(changed) == 1:
            self.rejected[trial.words] = f"{name}: {words}"
        return None

    def at(self, change: Change, changed: Values) -> tuple[Optimizer, Optimizer]:
        """Return the two at one setting, or raise Fails."""
        values = {**self.base, **changed}
        return self._one(0, change, values), self._one(1, change, values)

    def _one(self, side: int, change: Change, values: Values) -> Optimizer:
        with failing(side):
            own = change.own[side](values)
            return self.knobs.set(side, change.of(values) if side else values, **own)

    def _changes(self, so_far: _Evaluated) -> Iterator[Change]:
        """Yield changes after which the two are the same at the first setting at which they differ."""
        at = so_far.failing[0].changed
        for change in self._rewritten(at):
            whole = so_far.change.then(change)
            try:
                pair = self.at(whole, at)
                seen = lockstep(pair, self.groups[0], QUICK)
            except Fails:
                continue
            if change.words and not seen.differs(self.unit).any():
                yield whole
            factor = _factor(seen)
            if "lr" not in self.base or factor is None or abs(factor - 1) < 1e-9:
                continue
            if not seen.scaled(factor).differs(10 * self.unit).any():
                for law in self._laws(factor, {**self.base, **at}):
                    yield whole.then(law)

    def _laws(self, factor: float, values: Values) -> Iterator[Change]:
        """Yield ways in which the second's learning rate may depend on the first's, if they differ by a factor."""
        for name in sorted(SHARES & self.base.keys()):
            left = 1 - values[name]
            for power, words in ((1.0, f"lr · (1 − {name})"), (-1.0, f"lr / (1 − {name})")):
                if left > 0 and math.isclose(factor, left**power, rel_tol=1e-6):
                    yield Change(
                        (f"lr of {{b}} = {words} of {{a}}",),
                        lambda v, name=name, power=power: {
                            **v,
                            "lr": v["lr"] * (1 - v[name]) ** power,
                        },
                    )
        yield Change(
            (f"lr of {{b}} = {factor:.6g} · lr of {{a}}",),
            lambda v: {**v, "lr": v["lr"] * factor},
        )

    def _rewritten(self, at: Values) -> Iterator[Change]:
        """Yield other ways to write a method, the plainest first."""
        yield Change()
        for name in sorted(SHARES & self.base.keys()):
            yield Change(
                (f"{name} of {{b}} = 1 − {name} of {{a}}",),
                lambda v, name=name: {**v, name: 1 - v[name]},
            )
        if {"beta1", "beta2"} <= self.base.keys():
            yield Change(
                ("beta1 and beta2 of {b} = beta2 and beta1 of {a}",),
                lambda v: {**v, "beta1": v["beta2"], "beta2": v["beta1"]},
            )
        if "eps" in self.base:
            for power, words in ((2.0, "eps²"), (0.5, "√eps")):
                yield Change(
                    (f"eps of {{b}} = {words} of {{a}}",),
                    lambda v, power=power: {**v, "eps": v["eps"] ** power},
                )
        if {"lr", "weight_decay"} <= self.base.keys():
            for power, words in ((-1.0, "weight_decay / lr"), (1.0, "weight_decay · lr")):
                yield Change(
                    (f"weight_decay of {{b}} = {words} of {{a}}",),
                    lambda v, power=power: {
                        **v,
                        "weight_decay": v["weight_decay"] * v["lr"] ** power,
                    },
                )
        for side in (1, 0):
            yield from self._switched(side)

    def _switched(self, side: int) -> Iterator[Change]:
        """Yield the settings of one of the two that the other has no name for."""
        own, mark = self.knobs.alone(side), "ab"[side]

        def change(words: str, values: Own) -> Change:
            pair = (_nothing, values) if side else (values, _nothing)
            return Change((f"{words} of {{{mark}}}",), own=pair, is_other_method=True)

        if "dampening" in own and "momentum" in self.base:
            yield change("dampening = momentum", lambda v: {"dampening": v["momentum"]})
        flags = {name: not value for name, value in own.items() if isinstance(value, bool)}
        flags |= {name: value for name, value in OFF.items() if own.get(name)}
        shared = {
            where[side].name: not self.knobs.values(side)[name]
            for name, where in self.knobs.both.items()
            if isinstance(self.knobs.values(side)[name], bool)
        }
        for name, value in {**flags, **shared}.items():
            yield change(f"{name}={value}", lambda v, name=name, value=value: {name: value})

    def kind(self, found: _Evaluated) -> tuple[Kind, tuple[str, ...]]:
        """Return what the two are to each other, and what makes them the same, a line each."""
        first, second = self.names
        how = [each.format(a=first, b=second) for each in found.change.words]
        if found.failing:
            return "different", tuple(how)
        wanted, given = found.change.of(self.base), self.knobs.values(1)
        others = {name for name in wanted if not _equal(wanted[name], given[name])}
        if found.change.is_other_method or others - {"lr"}:
            both = (f"{name}={short(wanted[name])}" for name in sorted(others - {"lr"}))
            settings = ", ".join(both)
            how += [f"{settings} of {second}"] if settings else []
            return "settings", tuple(how)
        if "lr" in others and not how:
            how = [
                f"the default learning rate: {short(self.base['lr'])} of {first}, {short(given['lr'])} of {second}"
            ]
        if how:
            return "rescaled", tuple(how)
        return ("rounding" if any(each.largest for each in found.trials) else "identical"), ()

    def parts_when_free(self, change: Change) -> bool:
        """Return whether the second leaves the first on a path of its own."""
        seen = lockstep(self.at(change, {}), self.groups[0], FREE, free=True)
        return bool((seen.difference > APART + 1e3 * tolerance(self.unit)).any())

    def drawing(self) -> list[str]:
        """Return the names of those that draw random numbers."""
        found = []
        for name, optimizer, watch in zip(self.names, self.pair, self.watches, strict=True):
            inner = innermost(optimizer)
            if watch.random or (isinstance(inner, Adopted) and needs(inner.method).draws):
                found.append(name)
        return found

    def refuse_chance(self) -> None:
        """Raise Refused if chance may be what differs."""
        for side, each in enumerate(self.pair):
            again = lockstep((each, each), self.groups[0], self.steps)
            if again.differs(self.unit).any():
                raise Refused(
                    f"{self.names[side]} takes other steps when it is run again: it draws random numbers of its own, "
                    "or keeps something between instances, so that its steps cannot be compared"
                )
        if len(self.drawing()) == 2:
            raise Refused(
                f"{' and '.join(self.names)} draw random numbers, and take other steps with the same seed: "
                "whether only the draws differ cannot be told"
            )

    def reason(self, found: _Evaluated) -> str:
        """Return the likely reason for the difference."""
        if found.failing[0].fault:
            return ""
        group, unit = self.groups[0], self.unit
        if len(self.drawing()) == 1:
            return f"{self.drawing()[0]} draws random numbers, and the other does not"

        def look(changed: Values, inputs: Inputs, steps: int) -> Steps:
            return lockstep(self.at(found.change, changed), inputs, steps)

        return likely(self.names, self.base, found.trials, group, unit, look)

    def notes(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """Yield what else is to be known, as (title, words)."""
        names = ", ".join(self.base)
        compared = f"at settings of {names}" if names else "at the defaults alone"
        where = ", ".join(each.what for each in self.groups)
        yield "compared", f"{compared}; on {where}; up to {self.long} steps"
        given = self.knobs.values(1)
        defaults = [
            f"{name} {short(value)} and {short(given[name])}"
            for name, value in self.base.items()
            if not _equal(value, given[name])
        ]
        if defaults:
            words = f"{'; '.join(defaults)}"
            yield "defaults", f"{words}: compared at those of {self.names[0]}"
        named = [
            f"{where[0].name} is {where[1].name}"
            for where in self.knobs.both.values()
            if where[0].name != where[1].name and where[0].part is where[1].part is None
        ]
        if named:
            yield "names", ", ".join(named)
        for side, name in enumerate(self.names):
            own = ", ".join(
                f"{each}={short(value)}" for each, value in self.knobs.alone(side).items()
            )
            if own:
                yield "only one", f"{name} has {own}"
        why: dict[str, list[str]] = {}
        for what, failure in self.refusals.items():
            if self._takes(1 - failure.side, what):
                words = textwrap.shorten(str(failure), SAID, placeholder=" …")
                why.setdefault(f"{self.names[failure.side]}: {words}", []).append(what)
        for words, several in why.items():
            yield "not on", f"{', '.join(several)}: {words}"
        for setting, words in self.rejected.items():
            yield "not at", f"{setting}: {words}"
        if self.dtype is torch.float32:
            yield "precision", "float32: one of the two cannot compute in float64"
        elif self.unit > torch.finfo(self.dtype).eps:
            coarse = max((0, 1), key=lambda side: self.watches[side].coarsest)
            yield (
                "precision",
                f"{self.names[coarse]} computes with a rounding unit of {self.unit:.1g}: smaller "
                "differences do not count",
            )
        drawing = self.drawing()
        if drawing:
            yield (
                "chance",
                f"{' and '.join(drawing)} drew random numbers, with the same seed at each step",
            )

    def _takes(self, side: int, what: str) -> bool:
        group = next(each for each in inputs(self.dtype) if each.what == what)
        try:
            lockstep((self.pair[side], self.pair[side]), group, 2)
        except Fails:
            return False
        return True


def _factor(seen: Steps) -> float | None:
    """Return the number by which the second's steps are to be multiplied to be the first's, by least squares."""
    index = (
        seen.inputs.names.index("random gradients")
        if "random gradients" in seen.inputs.names
        else 0
    )
    first, second = seen.first[:, index].flatten(), seen.second[:, index].flatten()
    square = float(second @ second)
    factor = float(first @ second) / square if square else math.nan
    return factor if math.isfinite(factor) and factor > 0 else None


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-12)
    return one == other
