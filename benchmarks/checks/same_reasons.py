"""Name the likely reason for which two optimizers take different steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from benchmarks.checks.knobs import OFF
from benchmarks.checks.lockstep import Fails, Steps, Trial
from benchmarks.checks.same_inputs import Inputs
from ravine import Refused

CLOSE = 1e-6  # within which a number is that of a formula
TINY = 1e-60  # as good as no eps
SIZE, EPS = 0.1, 0.2  # the gradient and eps where the place of eps is looked for
COUNT = 25  # steps in which the start is looked for
FADED = 0.1  # what is left late of a difference that comes from the start
MEANS, SQUARES = ("beta1", "momentum"), ("beta2", "alpha")
Values = Mapping[str, Any]
Look = Callable[[Values, Inputs, int], Steps]


def likely(
    names: tuple[str, str],
    base: Values,
    trials: Sequence[Trial],
    group: Inputs,
    unit: float,
    look: Look,
) -> str:
    """Return the likely reason in words; "" if none can be named.

    Args:
        names: What the two are called.
        base: The values of what both have.
        trials: What was seen at each setting, the base first.
        group: Inputs of which the shapes are taken for further steps.
        unit: The rounding unit.
        look: Returns the steps of both at one setting, on some inputs.
    """
    return _Reasons(names, base, trials, group, unit, look).likely()


class _Reasons:
    def __init__(
        self,
        names: tuple[str, str],
        base: Values,
        trials: Sequence[Trial],
        group: Inputs,
        unit: float,
        look: Look,
    ):
        self.names, self.base, self.trials = names, base, trials
        self.group, self.unit, self.look = group, unit, look
        self.failing = [each for each in trials if each.differs]

    def likely(self) -> str:
        """Return the first reason that holds."""
        for found in (
            self._not_finite,
            self._late,
            self._scaled,
            self._switch,
            self._start,
            self._inputs,
        ):
            try:
                words = found()
            except (Fails, Refused, ValueError, TypeError, ArithmeticError):
                continue
            if words:
                return words
        return ""

    def _scaled(self) -> str:
        """Where the steps of the second are a multiple of the first's on all inputs at the base."""
        ratios = [_ratios(each) for each in self.trials[0].steps]
        if not self.trials[0].differs or any(each is None for each in ratios):
            return ""
        every = torch.cat([each.flatten() for each in ratios])  # type: ignore[union-attr]
        every = every[~every.isnan()]
        if not len(every) or (every - every[0]).abs().max() > CLOSE * every[0].abs():
            return ""
        ratio = float(every[0])
        if math.isclose(ratio, -1, rel_tol=CLOSE):
            return f"the sign: {self.names[1]} steps the other way"
        return f"a factor: the steps of {self.names[1]} are {ratio:.6g} times as long"

    def _switch(self) -> str:
        """Where they differ only if a hyperparameter has an effect, or another value."""
        if not self.trials[0].differs:
            return "; ".join(self._words_of(name) for name in self._changed())
        for name, off in self._offs():
            if any(self._is_off(each, name, off) for each in self.failing):
                continue
            same = [each for each in self.trials if self._is_off(each, name, off)]
            if same or self._same_at({name: off}):
                return "; ".join(filter(None, (self._words_of(name), self._decay_besides(name))))
        return ""

    def _changed(self) -> list[str]:
        """The hyperparameters of which another value makes them differ; they are the same at the base."""
        alone = [next(iter(each.changed)) for each in self.failing if len(each.changed) == 1]
        if alone:
            return list(dict.fromkeys(alone))
        return [name for name in self.base if all(name in each.changed for each in self.failing)]

    def _decay_besides(self, name: str) -> str:
        """How weight decay differs, if it does, beside another reason."""
        if name == "weight_decay" or "weight_decay" not in self.base:
            return ""
        mine, theirs = self._decays()
        return self._words_of("weight_decay") if mine != theirs else ""

    def _offs(self) -> Iterator[tuple[str, Any]]:
        """Yield names with the value at which each has no effect; those of a part of a method first."""
        first = ("weight_decay", "nesterov", "amsgrad", "dampening")
        for name in (*first, *(each for each in self.base if each not in first)):
            value = self.base.get(name)
            if value is None or name in ("lr", "eps"):
                continue
            if isinstance(value, bool):
                yield name, False
            elif isinstance(value, float) and (name in OFF or name == "beta1"):
                yield name, 0.0
        if "eps" in self.base:
            yield "eps", TINY

    def _is_off(self, trial: Trial, name: str, off: Any) -> bool:
        return {**self.base, **trial.changed}[name] == off

    def _same_at(self, changed: Values) -> bool:
        return not self.look(changed, self.group, COUNT).differs(self.unit).any()

    def _words_of(self, name: str) -> str:
        first, second = self.names
        if name == "weight_decay":
            mine, theirs = self._decays()
            if mine != theirs:
                return f"weight decay: {first} {mine}, {second} {theirs}"
            return "weight decay: when it is applied, before or after the step"
        if name == "eps":
            mine, theirs = self._places_of_eps()
            if mine != theirs:
                return f"the place of eps: {first} divides by {mine}, {second} by {theirs}"
            return "the size or the place of eps"
        if name in MEANS:
            return (
                self._start() or f"{name}: how the gradient enters the mean, or the mean the step"
            )
        if name in SQUARES:
            return f"{name}: how the mean square is made, or used"
        if name == "lr":
            return "lr: what it multiplies"
        known = {
            "nesterov": "Nesterov's momentum: how far it looks ahead",
            "amsgrad": "amsgrad: which mean square the largest is taken of, corrected or not",
            "dampening": "dampening: whether it holds for the first gradient, or at all",
        }
        return known.get(name, f"{name}: what it does")

    def _decays(self) -> list[str]:
        """What weight decay does in each of the two, without a gradient."""
        decay = 0.1
        inputs = self._steady(0.0, start=self.group.data["start"][:, :1])
        seen = self.look({"weight_decay": decay}, inputs, 3)
        lr = self.base.get("lr", 1.0)
        found = []
        for steps in (seen.first, seen.second):
            by_rate, alone = (-factor * seen.points for factor in (lr * decay, decay))
            if not steps.any():
                found.append("does not decay")
            elif torch.allclose(steps, by_rate, rtol=1e-9, atol=0):
                found.append("takes lr · weight_decay · x off the weights (decoupled)")
            elif torch.allclose(steps, -by_rate, rtol=1e-9, atol=0):
                found.append("pushes the weights away from 0")
            elif torch.allclose(steps, alone, rtol=1e-9, atol=0):
                found.append("takes weight_decay · x off the weights, whatever the learning rate")
            else:
                found.append("adds it to the gradient (L2)")
        return found

    def _places_of_eps(self) -> list[str]:
        """The denominator of each of the two, for a gradient as large as eps."""
        inputs = self._steady(SIZE)
        with_eps, without = (self.look({"eps": each}, inputs, 1) for each in (EPS, TINY))
        share = next((1 - self.base[each] for each in SQUARES if each in self.base), 1.0)
        root = math.sqrt(share)
        size, eps = SIZE, EPS
        forms = {
            "√v̂ + eps": size / (size + eps),
            "√(v̂ + eps)": size / math.sqrt(size**2 + eps),
            "√(v̂ + eps²)": size / math.sqrt(size**2 + eps**2),
            "√v + eps (before the bias correction)": size / (size + eps / root),
            "√(v + eps) (before the bias correction)": size / math.sqrt(size**2 + eps / share),
            "max(√v̂, eps)": size / max(size, eps),
            "something without eps": 1.0,
        }
        found = []
        for one, other in ((with_eps.first, without.first), (with_eps.second, without.second)):
            ratio = float((one / other).flatten()[0])
            named = [
                form for form, each in forms.items() if math.isclose(ratio, each, rel_tol=CLOSE)
            ]
            found.append(named[0] if named else "something else")
        return found

    def _start(self) -> str:
        """Where they differ in the first steps alone: by a correction of the means, or what they begin with."""
        if not self.trials[0].differs:
            return ""
        steady = self.look({}, self._steady(1.0), COUNT)
        first, second = (each[:, 0, 0] for each in (steady.first, steady.second))
        if not (first.isfinite().all() and second.isfinite().all() and first.all()):
            return ""
        ratio, steps = second / first, torch.arange(1.0, COUNT + 1, dtype=first.dtype)
        names = self.group.names
        random = [names.index("random gradients")] if "random gradients" in names else [0]
        no_eps = {"eps": TINY} if "eps" in self.base else {}
        every = _ratios(self.look(no_eps, self.group.only(random), COUNT))
        for words, form in self._corrections(steps).items():
            if every is not None and torch.allclose(every[:, 0], form, rtol=CLOSE, atol=0):
                return words
        for words, form in self._ahead(steps).items():
            if torch.allclose(ratio, form, rtol=CLOSE, atol=0):
                return words
        shifted = torch.allclose(second[:-1], first[1:], rtol=CLOSE, atol=0)
        behind = torch.allclose(first[:-1], second[1:], rtol=CLOSE, atol=0)
        moves = not torch.allclose(first, first[0].expand_as(first), rtol=CLOSE, atol=0)
        if moves and (shifted or behind):
            return (
                f"a count of steps: {self.names[1]} is one step {'ahead' if shifted else 'behind'}"
            )
        amount = self.trials[0].steps[0].difference
        begins, ends = float(amount[:3].amax()), float(amount[-len(amount) // 4 :].amax())
        if begins > 0 and ends < FADED * begins:
            return "the start: a bias correction, or what a mean or a momentum begins with"
        return ""

    def _corrections(self, steps: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the second's steps are over the first's if they correct a mean for its start at 0 differently."""
        first, second = self.names
        found: list[dict[str, torch.Tensor]] = []
        for names, power, what in ((MEANS, 1.0, "mean"), (SQUARES, -0.5, "mean square")):
            forms = {}
            for name in names:
                if not self.base.get(name):
                    continue
                left, next_left = (1 - self.base[name] ** each for each in (steps, steps + 1))
                start = f"does not correct the {what} for its start at 0 (bias correction, {name})"
                count = f"counts one step more in the bias correction of the {what} ({name})"
                forms[f"{second} {start}"] = left**power
                forms[f"{first} {start}"] = left**-power
                forms[f"{second} {count}"] = (left / next_left) ** power
                forms[f"{first} {count}"] = (left / next_left) ** -power
            found.append(forms)
        both = {
            f"{one}; {other}": form * another
            for one, form in found[0].items()
            for other, another in found[1].items()
        }
        return {**found[0], **found[1], **both}

    def _ahead(self, steps: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the second's steps are over the first's under a steady gradient if one of them looks ahead."""
        found = {}
        for name in MEANS:
            if self.base.get(name):
                left, next_left = (1 - self.base[name] ** each for each in (steps, steps + 1))
                words = f"looks one step further ahead, as Nesterov's momentum does ({name})"
                found[f"{self.names[1]} {words}"] = next_left / left
                found[f"{self.names[0]} {words}"] = left / next_left
        return found

    def _inputs(self) -> str:
        """Where they differ on inputs of one kind alone."""
        base = self.trials[0]
        where = {each.name for each in base.differs}
        if not where:
            return ""
        tensors = {name.rpartition("(")[2].rstrip(")") for name in where}
        kinds = {name.partition(" (")[0] for name in where}
        if "vectors" not in tensors and "exact losses" not in tensors:
            return f"the shapes of parameters: they differ on {', '.join(sorted(tensors))}, not on one vector"
        for only, words in (
            ({"gradients with zeros"}, "what happens where a gradient is exactly 0"),
            (
                {"tiny gradients", "gradients of all sizes", "gradients with zeros"},
                "eps, or what guards a division: they differ only where gradients are tiny or 0",
            ),
            (
                {"huge gradients", "gradients with spikes", "gradients of all sizes"},
                "a limit, such as clipping: they differ only where gradients are huge",
            ),
        ):
            if kinds <= only:
                return words
        return ""

    def _not_finite(self) -> str:
        """Where the steps of one of the two are not finite, and those of the other are."""
        for each in self.failing[0].steps:
            where = each.differs(self.unit)
            for k, steps in enumerate((each.first, each.second)):
                if (where & ~steps.isfinite().all(-1)).any():
                    return f"{self.names[k]} divides by 0, or goes beyond what is finite"
        return ""

    def _late(self) -> str:
        """Where they differ after many steps alone."""
        first = min((each.first.step for each in self.failing), default=0)
        return f"something that begins late, at step {first}" if first > COUNT else ""

    def _steady(self, size: float, start: torch.Tensor | None = None) -> Inputs:
        """Return one input with the same gradient at every step."""
        data = {name: torch.zeros_like(each[:, :1]) for name, each in self.group.data.items()}
        if start is not None:
            data["start"] = start
        tilts = torch.full_like(data["start"], size).expand(COUNT, *data["start"].shape)
        normals = self.group.normals[:, :, :1]
        return Inputs("a steady gradient", self.group.shapes, ("steady",), data, tilts, normals)


def _ratios(steps: Steps) -> torch.Tensor | None:
    """Return the second's steps over the first's by step and input, NaN where there are none; None if not parallel."""
    square = steps.first.square().sum(-1)
    ratio = (steps.first * steps.second).sum(-1) / square
    ratio = torch.where(steps.valid & (square > 0), ratio, torch.nan)
    left = (steps.second - ratio.unsqueeze(-1) * steps.first).abs().amax(-1)
    parallel = left <= 1e-9 * steps.scale
    still = ~steps.valid | ((square == 0) & (steps.second == 0).all(-1))
    return ratio if (parallel | still).all() else None
