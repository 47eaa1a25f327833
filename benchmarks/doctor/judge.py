"""Judge a run: faults of the program first, then what the trials have shown, then what the measurements say.

Evidence proposes and trials decide: a cause whose change was tried and did not help does not hold. A run that has
arrived needs no explanation, and one without a finding is healthy only if that is seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.diagnosis import Evidence, Record, Thresholds, Verdict, diagnose
from benchmarks.doctor.losses import LOWER, SURE, Losses, smooth
from benchmarks.doctor.measurement import Measured
from benchmarks.doctor.program import DEAD, Fault, NotFinite, fault
from benchmarks.doctor.proposals import CHAIN, chain
from benchmarks.doctor.trials import HELPS, Tried
from benchmarks.doctor.words import position

BLOWN_UP = 10.0  # times its lowest level so far, to which the loss of a run rises that diverges
LONG = 200  # steps from which a loss at the level of a constant output is no matter of patience
CLEARLY = 5.0  # a structural change must be so many times as good as any other
NOTHING = "nothing_found"
# Decided by a trial: the causes that a change, tried in vain, speaks against.
DECIDES = {
    "step_too_large": {"step_too_large", "sharpening"},
    "step_too_small": {"step_too_small", "long_path"},
    "noise": {"noise"},
    "exploding_gradient": {"exploding_gradient", "cliff"},
    "vanishing_gradient": {"vanishing_gradient"},
    "ill_conditioning": {"ill_conditioning"},
}
CERTAIN = (  # faults of the program that are seen and not guessed
    "gradients_not_zeroed", "not_finite", "saddle", "ignored_inputs", "output_unit", "mixed_examples",
    "broadcast_shapes", "same_targets", "unscaled_targets", "unregistered_weights", "cut_graph", "frozen_weights",
    "no_signal", "no_critical_point",
)  # fmt: skip
STANDSTILL = {
    "noise",
    "wrong_direction",
    "plateau",
    "local_minimum",
    "saddle",
    "no_critical_point",
    "long_path",
}


@dataclass(frozen=True)
class Run:
    """What is known about a run when it is judged.

    Attributes:
        record: The measurements.
        measured: The same, with layers and chains.
        losses: The loss of every step.
        floor: The lower bound of the loss, if there is one.
        faults: Faults of the program, the most certain first.
        tried: What was tried.
        not_finite: Where a number was first not finite.
        constant: The loss of the best constant output; NaN if unknown.
        usual_norm: The median norm of the gradient.
        moving: True if the weights of another model change the loss meanwhile.
        least: The loss of a constant output on the minibatch that it was fitted to, a lower bound; NaN if unknown.
        heeds: True if outputs fit their own targets better, by a tenth of the loss, at each of the last 5 exchanges.
        jumps: Steps at which the loss or the gradient jumped, at most a few per decade.
    """

    record: Record
    measured: Sequence[Measured]
    losses: Losses
    floor: float | None
    faults: Sequence[Fault]
    tried: Sequence[Tried]
    not_finite: NotFinite | None
    constant: float
    usual_norm: float
    moving: bool = False
    jumps: Sequence[int] = ()
    least: float = math.nan
    heeds: bool = False

    @property
    def below(self) -> bool:
        """True if the run ends clearly below the best constant output, as far as that is known."""
        end, error = self.losses.end
        error = error if math.isfinite(error) else 0.0
        return math.isnan(self.level) or end + SURE * error < self.level

    @property
    def level(self) -> float:
        """Return the loss of the best constant output, or else a lower bound; NaN if neither is known."""
        return self.least if math.isnan(self.constant) else self.constant

    @property
    def curved(self) -> bool:
        """True if curvature was seen."""
        return bool(np.isfinite(self.record.lambda_max).any())

    @property
    def learnt(self) -> bool:
        """True if the loss falls, and is known to do so by what was learnt from the inputs."""
        known = self.heeds or not math.isnan(self.level)
        return self.losses.falls and self.below and known and self.not_finite is None

    @property
    def arrived(self) -> bool:
        """True if the run needs no explanation."""
        return self.not_finite is None and self.losses.arrived(self.floor, self.constant)


@dataclass(frozen=True)
class Judgement:
    """A verdict, and the sentences that go with it.

    Attributes:
        verdict: The causes and the evidence.
        why: What was seen, with numbers.
        remedies: What to do about faults of the program, by cause.
        helped: The trials that helped, by cause.
    """

    verdict: Verdict
    why: tuple[str, ...]
    remedies: dict[str, str]
    helped: dict[str, Tried]


def blown_up(losses: Losses, found: NotFinite | None) -> bool:
    """True if the run has diverged: its level rises far above the lowest before, or a step lets weights overflow.

    Weights that are not finite count only if the gradient of that step is known to have been finite.
    """
    if found is not None and found.at in ("weights", "overflow"):
        return True
    values = losses.values
    finite = values[
        : next((k for k, each in enumerate(values) if not math.isfinite(each)), len(values))
    ]
    if len(finite) < 2:
        return False
    levels = smooth(finite, max(1, len(finite) // 20))
    return bool(levels[-1] > max(BLOWN_UP * levels.min(), 2 * levels[0]) and levels[-1] > 0)


def judge(run: Run) -> Judgement:
    """Judge a run.

    Args:
        run: What is known about it.

    Returns:
        The verdict and why. Its cause is a fault of the program, a cause of `benchmarks.diagnosis`, "healthy", or
        "nothing_found" if neither a fault nor health was seen.
    """
    if not len(run.losses):
        return Judgement(
            Verdict("not_sure", (), (), (), ()),
            (
                "The doctor has seen no loss: call doctor.step(…) instead of backward() and optimizer.step(); what "
                "`watch` sees are losses whose backward reaches the optimizer's parameters.",
            ), {}, {},
        )  # fmt: skip
    status = run.record.status if run.not_finite is None else "diverged"
    measured = diagnose(replace(run.record, status=status))
    helped = _helped(run)
    faults = list(run.faults)
    diverged = blown_up(run.losses, run.not_finite)
    faults += _cut(run)
    if run.not_finite is not None and not diverged:
        faults.insert(0, _not_finite(run.not_finite))
    if run.arrived:
        faults, helped = [], {}
    learns = run.losses.falls and run.below
    faults = [
        each
        for each in faults
        if not (each.chosen and learns) or (each.cause == "saddle" and "saddle" in helped)
    ]
    named = _in_order(run, faults, helped, measured, diverged)
    causes = tuple((name, 1.0 - 0.01 * k) for k, name in enumerate(named))
    cause = named[0] if named else _without_cause(run)
    own = {each.cause: each for each in reversed(faults)}
    evidence = (
        *(each.evidence for each in faults if each.cause in named),
        *(_shown(each) for each in run.tried),
        *measured.evidence,
    )
    refuted = _refuted(run, helped)
    told = run.measured and run.not_finite is None  # else nothing is ruled out
    open_still = {*named, *(each.cause for each in run.faults if each.cause == "no_signal")}
    ruled_out = tuple(dict.fromkeys(
        each for each in (*measured.ruled_out, *sorted(refuted)) if each not in open_still
    )) if told else ()  # fmt: skip
    verdict = Verdict(cause, causes, ruled_out, measured.unresolved if not named else (), evidence)
    remedies = {name: each.remedy for name, each in own.items() if name in named}
    return Judgement(verdict, tuple(_why(run, cause, own, helped)), remedies, helped)


def _helped(run: Run) -> dict[str, Tried]:
    """Return the trials that helped, by cause.

    A shorter step makes most runs fall for a while, once they are noisy: it counts from the start on, or in a run that
    does not fall. A larger batch gets to the same loss in fewer steps wherever the run has come to rest: it counts if
    noise is what holds the run, so that the larger batch or a shorter step gets clearly lower. Structural changes make
    most runs faster: they count if they are clearly better than all others.
    """
    if run.moving:
        return {}
    broken = run.not_finite is not None and not blown_up(run.losses, run.not_finite)
    falls = run.losses.falls and run.not_finite is None
    shorter = any(each.lower for each in run.tried if each.change.factor < 1 and each.began)
    best: dict[str, Tried] = {}
    for each in run.tried:
        change = each.change
        # A run that broke has no final loss to compare with: infinite gains, and gains of larger rates, do not count.
        counts = each.helps and not (broken and (math.isinf(each.gain) or change.factor > 1))
        if change.factor < 1:
            counts &= each.began == 0 or not falls
        if change.batches > 1:
            counts &= each.lower or shorter
        known = best.get(change.cause)
        if counts and (known is None or (each.gain, -each.loss) > (known.gain, -known.loss)):
            best[change.cause] = each
    simple = max(
        (each.gain / each.change.batches for each in run.tried if not each.change.structural),
        default=1.0,
    )
    return {
        cause: each for cause, each in best.items()
        if not each.change.structural or each.gain >= CLEARLY * max(simple, 1.0) or math.isinf(each.gain)
    }  # fmt: skip


def _refuted(run: Run, helped: dict[str, Tried]) -> set[str]:
    """Return the causes whose changes were tried and did not help."""
    tried = {each.change.cause for each in run.tried}
    return {name for cause in tried - {*helped} for name in DECIDES.get(cause, ())}


def _in_order(
    run: Run, faults: Sequence[Fault], helped: dict[str, Tried], measured: Verdict, diverged: bool
) -> list[str]:
    """Return the causes that hold, the root first."""
    if run.arrived:
        return []
    late = [each.cause for each in faults if each.late]
    certain = [each.cause for each in faults if each.cause in CERTAIN and not each.late]
    growth = chain(run.measured)
    steep = []
    if growth > CHAIN and ("exploding_gradient" in helped or diverged):
        steep = ["exploding_gradient"]
    elif growth < 1 / CHAIN:
        steep = ["vanishing_gradient"]
    scales = [each.cause for each in faults if each.cause not in (*certain, *late)]
    simple = [name for name in _simple_order(run) if name in helped]
    if "step_too_large" in helped and "exploding_gradient" in helped and not steep:
        simple.remove("exploding_gradient")  # a shorter step is the plainer remedy
    structural = [name for name, each in helped.items() if each.change.structural]
    refuted = _refuted(run, helped)
    if (
        "no_critical_point" in certain
    ):  # then each change that makes the loss fall faster looks good
        return certain
    if run.moving:  # in a game of two networks a loss that does not fall may be none's fault
        return certain
    decided = [*certain, *steep, *scales, *simple, *structural, *late]
    by_evidence = [name for name, _ in measured.causes if name not in refuted]
    if diverged and decided == late:
        decided = ["step_too_large", *late]
    if decided:  # what stands still for these reasons is noisy, flat and slow
        by_evidence = [name for name in by_evidence if name not in STANDSTILL]
    elif run.losses.falls and (found := _unrelated(run)) is not None:
        by_evidence = [found]
    elif run.losses.falls and len(run.tried) > 1:
        by_evidence = []  # nothing that was tried is much faster, and the run goes on
    elif run.losses.falls:
        by_evidence = [name for name in by_evidence if name not in STANDSTILL]
    elif any(each.clear for each in run.tried if each.change.factor > 1):
        by_evidence = [
            "step_too_small",
            *by_evidence,
        ]  # faster, if not fivefold: the largest rate that was tried
    elif (found := _unrelated(run)) is not None:
        by_evidence = [found]
    return list(dict.fromkeys([*decided, *by_evidence]))


def _cut(run: Run) -> list[Fault]:
    """Return a fault if no gradient at all arrived from some position on when first measured, and no unit was dead."""
    first = run.measured[0] if run.measured else None
    if first is None or any(row["dead units"] >= DEAD for row in first.layers.values()):
        return []
    chain = first.chain
    if len(chain) < 3 or not chain[0] > 0 or chain[-1] != 0 or len(chain) != len(first.positions):
        return []
    place = first.positions[next(k for k, norm in enumerate(chain) if norm == 0)]
    return [
        fault(
            "cut_graph",
            f"no gradient at all arrives at {position(place)} and before it: the way back from the loss is cut there",
            "Look for detach(), .data, .item(), numpy or torch.tensor(…) of a state or result between these positions.",
            "gradient at the first position", 0.0, 0.0,
        )
    ]  # fmt: skip


def _simple_order(run: Run) -> list[str]:
    """Return the causes that a number mends, the plainest first.

    Shorter steps mend noise, too, so noise comes before them if the rate has never been near what curvature allows.
    """
    used = run.record.stability[np.isfinite(run.record.stability)]
    gentle = len(used) > 2 and float(used.max()) < Thresholds().stability_near
    large, noisy = "step_too_large", "noise"
    return [*([noisy, large] if gentle else [large]), "step_too_small", "exploding_gradient", noisy]


def _unrelated(run: Run) -> str | None:
    """Return the cause of a run that ends where a constant output does, whatever was tried; None if it does not."""
    end, _ = run.losses.end
    low, high, falls = LOWER * run.constant, run.constant / LOWER, run.losses.falls
    there = end > low and (end < high or not falls)
    if len(run.losses) < LONG or not there or not run.tried or run.moving:
        return None
    # A change may bring a run that falls to that level sooner: it must get below.
    if any(each.lower and (each.loss < low or not falls) for each in run.tried):
        return None
    layers = run.measured[0].positions if run.measured else []
    return "local_minimum" if len(layers) == 1 else "noise_labels"


def _without_cause(run: Run) -> str:
    """Return "healthy" if curvature was seen, and the run has arrived or learns from its inputs."""
    return "healthy" if run.curved and (run.arrived or run.learnt) else NOTHING


def _not_finite(found: NotFinite) -> Fault:
    which = "the step before" if found.at == "unseen" else "that step"
    return fault(
        "not_finite", found.sentence,
        f"Look at the batch of {which}: inputs, targets, and every logarithm, root and division before the loss "
        "(add a small number inside). torch.autograd.detect_anomaly() names the operation.",
        "step of the first number that is not finite", float(found.step), 0.0,
    )  # fmt: skip


def _shown(each: Tried) -> Evidence:
    return Evidence(
        each.change.cause, f"{each.change.name} gets there sooner", "steps of the run/steps with the change",
        each.gain, HELPS, each.helps, "tried on this run",
    )  # fmt: skip


def _why(run: Run, cause: str, faults: dict[str, Fault], helped: dict[str, Tried]) -> list[str]:
    """Return two or three sentences with numbers."""
    (start, _), (end, error) = run.losses.start, run.losses.end
    spread = f" ± {error:.1g}" if math.isfinite(error) and error > 0 else ""
    loss = f"The loss went from {start:.3g} to {end:.3g}{spread} in {len(run.losses)} steps"
    if math.isfinite(run.constant):
        loss += f"; the best constant output gets {run.constant:.3g}"
    sentences = []
    if cause in faults:
        why = faults[cause].why
        sentences.append(f"{why[0].upper()}{why[1:]}{'' if why.endswith('.') else '.'}")
    if cause in helped:
        sentences.append(helped[cause].gained)
    if run.not_finite is not None and cause not in faults:
        sentences.append(f"{run.not_finite.sentence[0].upper()}{run.not_finite.sentence[1:]}")
    if cause == "step_too_small" and run.losses.falls and run.below:
        sentences.append("It trains, only slower than it could.")
    if cause == "noise_labels":
        sentences.append(
            "Nothing that was tried gets below a constant output: this is not told apart from labels that do not "
            "depend on the inputs."
        )
    if cause == "local_minimum" and cause not in faults:
        sentences.append(
            "Nothing that was tried gets below a constant output, and the model has a single layer: it may be too "
            "simple for these classes, or the labels do not depend on the inputs."
        )
    if cause == NOTHING:
        seen = "its measurements" if run.measured else "the loss alone"
        tried = f", and {len(run.tried)} changes that were tried" if run.tried else ""
        sentences.append(f"Nothing was found with what could be measured: {seen}{tried}.")
        if run.arrived or run.learnt:
            sentences.append(
                "The loss falls as it should, but no curvature was seen, without which no run is called healthy."
            )
        elif run.losses.falls and math.isnan(run.level):
            sentences.append(
                "What the best constant output gets is not known, so the fall does not show that anything was learnt "
                "from the inputs."
            )
    if cause == "healthy" and not run.arrived:
        loss += (
            ", and nothing that was tried is much faster: train longer"
            if run.tried
            else ", and it goes on"
        )
    return [*sentences, f"{loss}."]
