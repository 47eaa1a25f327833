"""The built-in methods with one planted fault each, as a port of a method may have it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers import Hyper, hyper
from optimizers.adagrad import Adagrad
from optimizers.adam import Adam
from optimizers.adamw import AdamW
from optimizers.amsgrad import AMSGrad
from optimizers.clip import Clip, clip_by_norm
from optimizers.decay import Decay
from optimizers.lion import Lion
from optimizers.momentum import Momentum, Nesterov
from optimizers.normalized_sgd import NormalizedSGD
from optimizers.rmsprop import RMSprop
from optimizers.schedule_free_sgd import ScheduleFreeSGD
from optimizers.sgd import SGD
from optimizers.sign_sgd import SignSGD

MUTANTS: dict[
    str, tuple
] = {}  # by what is wrong: the mutant, the original, words of the reason that is named


def fault(what, original, words=""):
    """Register a class as a mutant of an optimizer."""

    def add(kind):
        mutant = dataclass(frozen=True)(kind)
        MUTANTS[what] = (mutant(), original, words)
        return mutant

    return add


def adam(what, words="", **changed):
    """Register Adam with some of its lines changed; each is a function of what the lines above it have computed."""
    lines = {
        "begin": lambda o: (torch.zeros_like(o.x), torch.zeros_like(o.x)),
        "mean": lambda o: o.beta1 * o.m + (1 - o.beta1) * o.g,
        "square": lambda o: o.beta2 * o.v + (1 - o.beta2) * o.g**2,
        "corrected": lambda o: o.mean / (1 - o.beta1**o.t),
        "root": lambda o: (o.square / (1 - o.beta2**o.t)).sqrt(),
        "step": lambda o: -o.lr * o.corrected / (o.root + o.eps),
    } | changed

    @fault(f"adam: {what}", Adam(), words)
    class Mutant(Adam):
        def init(self, x):
            return None, None, 0

        def update(self, oracle, state):
            o = _Lines()
            vars(o).update(self.hyperparameters, x=oracle.x, g=oracle.gradient, t=state[2] + 1)
            o.m, o.v = lines["begin"](o) if state[2] == 0 else state[:2]
            for name in ("mean", "square", "corrected", "root", "step"):
                setattr(o, name, lines[name](o))
            return o.step, (o.mean, o.square, o.t)

    return Mutant


class _Lines:
    """What the lines of an update have computed."""


adam("mean not corrected", "does not correct the mean", corrected=lambda o: o.mean)
adam("square not corrected", "correct the mean square", root=lambda o: o.square.sqrt())
adam(
    "nothing corrected",
    "correct the mean",
    corrected=lambda o: o.mean,
    root=lambda o: o.square.sqrt(),
)
adam(
    "steps counted from 1",
    "counts one step more",
    corrected=lambda o: o.mean / (1 - o.beta1 ** (o.t + 1)),
)
adam("square corrected with beta1", root=lambda o: (o.square / (1 - o.beta1**o.t)).sqrt())
adam(
    "eps inside the root",
    "√(v̂ + eps)",
    step=lambda o: -o.lr * o.corrected / (o.root**2 + o.eps).sqrt(),
)
adam(
    "eps before the correction",
    "before the bias correction",
    step=lambda o: -o.lr * o.corrected * (1 - o.beta2**o.t) ** 0.5 / (o.square.sqrt() + o.eps),
)
adam("eps as a floor", "eps", step=lambda o: -o.lr * o.corrected / o.root.clamp(min=o.eps))
adam("no eps", "eps", step=lambda o: -o.lr * o.corrected / o.root.clamp(min=1e-300))
adam(
    "betas swapped",
    mean=lambda o: o.beta2 * o.m + (1 - o.beta2) * o.g,
    square=lambda o: o.beta1 * o.v + (1 - o.beta1) * o.g**2,
    corrected=lambda o: o.mean / (1 - o.beta2**o.t),
    root=lambda o: (o.square / (1 - o.beta1**o.t)).sqrt(),
)
adam("gradient not weighted", mean=lambda o: o.beta1 * o.m + o.g)
adam("beta1 squared", mean=lambda o: o.beta1**2 * o.m + (1 - o.beta1) * o.g)
adam("mean begins with the gradient", "", begin=lambda o: (o.g, torch.zeros_like(o.g)))
adam("square begins with 1", "", begin=lambda o: (torch.zeros_like(o.g), torch.ones_like(o.g)))
adam("square of the mean", square=lambda o: o.beta2 * o.v + (1 - o.beta2) * o.mean**2)
adam("absolute value for the square", square=lambda o: o.beta2 * o.v + (1 - o.beta2) * o.g.abs())
adam("no root", root=lambda o: o.square / (1 - o.beta2**o.t))
adam("the other sign", "the sign", step=lambda o: o.lr * o.corrected / (o.root + o.eps))
adam("the last mean", corrected=lambda o: o.m / (1 - o.beta1**o.t))
adam(
    "looks ahead", corrected=lambda o: (o.beta1 * o.mean + (1 - o.beta1) * o.g) / (1 - o.beta1**o.t)
)
adam(
    "one norm for all coordinates",
    root=lambda o: (o.square / (1 - o.beta2**o.t)).mean(-1, keepdim=True).sqrt(),
)
adam("rate fixed", step=lambda o: -1e-3 * o.corrected / (o.root + o.eps))
adam(
    "steps over 100 forgotten",
    "begins late",
    corrected=lambda o: o.mean / (1 - o.beta1**o.t) * (o.t <= 100),
)


@fault("adam: another default of beta2", Adam())
class AdamAnotherDefaultBeta2(Adam):
    beta2: Hyper = hyper(0.99, low=0, below=1)


@fault("adamw: decay in the gradient", AdamW(), "weight decay")
class AdamwDecayGradient(AdamW):
    def update(self, oracle, state):
        return Adam.update(
            self, _Seen(oracle, oracle.gradient + self.weight_decay * oracle.x), state
        )


@fault("adamw: decay without the rate", AdamW(), "whatever the learning rate")
class AdamwDecayWithoutRate(AdamW):
    def update(self, oracle, state):
        step, state = Adam.update(self, oracle, state)
        return step - self.weight_decay * oracle.x, state


@fault("adamw: decay after the step", AdamW(), "before or after the step")
class AdamwDecayAfterStep(AdamW):
    def update(self, oracle, state):
        step, state = Adam.update(self, oracle, state)
        return step - self.lr * self.weight_decay * (oracle.x + step), state


@fault("adamw: no decay", AdamW(), "does not decay")
class AdamwNoDecay(AdamW):
    def update(self, oracle, state):
        return Adam.update(self, oracle, state)


@fault("adamw: decay of the other sign", AdamW(), "weight decay")
class AdamwDecayOtherSign(AdamW):
    def update(self, oracle, state):
        step, state = Adam.update(self, oracle, state)
        return step + self.lr * self.weight_decay * oracle.x, state


@fault("amsgrad: largest of the corrected squares", AMSGrad())
class AmsgradLargestCorrectedSquares(AMSGrad):
    def update(self, oracle, state):
        mean, square, largest, t = state
        gradient, t = oracle.gradient, t + 1
        mean = self.beta1 * mean + (1 - self.beta1) * gradient
        square = self.beta2 * square + (1 - self.beta2) * gradient**2
        largest = torch.maximum(largest, square / (1 - self.beta2**t))
        step = -self.lr / (1 - self.beta1**t) * mean / (largest.sqrt() + self.eps)
        return step, (mean, square, largest, t)


@fault("amsgrad: the square is the largest", AMSGrad())
class AmsgradSquareLargest(AMSGrad):
    def update(self, oracle, state):
        step, (mean, _, largest, t) = super().update(oracle, state)
        return step, (mean, largest, largest, t)


@fault("amsgrad: forgets the largest", AMSGrad())
class AmsgradForgetsLargest(AMSGrad):
    def update(self, oracle, state):
        step, (mean, square, _, t) = super().update(oracle, state)
        return step, (mean, square, square, t)


@fault("momentum: dampened, but for the first gradient", Momentum())
class MomentumDampenedFirstGradient(Momentum):
    def init(self, x):
        return torch.zeros_like(x), 0

    def update(self, oracle, state):
        velocity, t = state
        share = 1 if t == 0 else 1 - self.momentum
        velocity = self.momentum * velocity + share * oracle.gradient
        return -self.lr * velocity, (velocity, t + 1)


@fault("momentum: the last velocity", Momentum())
class MomentumLastVelocity(Momentum):
    def update(self, oracle, state):
        velocity = self.momentum * state[0] + oracle.gradient
        return -self.lr * state[0], (velocity,)


@fault("momentum: of the other sign", Momentum())
class MomentumOtherSign(Momentum):
    def update(self, oracle, state):
        velocity = oracle.gradient - self.momentum * state[0]
        return -self.lr * velocity, (velocity,)


@fault("momentum: fixed", Momentum())
class MomentumFixed(Momentum):
    def update(self, oracle, state):
        velocity = 0.9 * state[0] + oracle.gradient
        return -self.lr * velocity, (velocity,)


@fault("nesterov: does not look ahead", Nesterov())
class NesterovDoesLookAhead(Nesterov):
    def update(self, oracle, state):
        return Momentum.update(self, oracle, state)


@fault("nesterov: looks ahead twice", Nesterov())
class NesterovLooksAheadTwice(Nesterov):
    def update(self, oracle, state):
        velocity = self.momentum * state[0] + oracle.gradient
        return -self.lr * (velocity + self.momentum * velocity), (velocity,)


@fault("nesterov: the last velocity", Nesterov())
class NesterovLastVelocity(Nesterov):
    def update(self, oracle, state):
        velocity = self.momentum * state[0] + oracle.gradient
        return -self.lr * (oracle.gradient + self.momentum * state[0]), (velocity,)


@fault("rmsprop: eps inside the root", RMSprop(), "eps")
class RmspropEpsInsideRoot(RMSprop):
    def update(self, oracle, state):
        square = self.alpha * state[0] + (1 - self.alpha) * oracle.gradient**2
        return -self.lr * oracle.gradient / (square + self.eps).sqrt(), (square,)


@fault("rmsprop: begins with the square", RMSprop())
class RmspropBeginsSquare(RMSprop):
    def init(self, x):
        return (None,)

    def update(self, oracle, state):
        last = oracle.gradient**2 if state[0] is None else state[0]
        square = self.alpha * last + (1 - self.alpha) * oracle.gradient**2
        return -self.lr * oracle.gradient / (square.sqrt() + self.eps), (square,)


@fault("rmsprop: corrected", RMSprop(), "does not correct the mean square")
class RmspropCorrected(RMSprop):
    def init(self, x):
        return torch.zeros_like(x), 0

    def update(self, oracle, state):
        square, t = self.alpha * state[0] + (1 - self.alpha) * oracle.gradient**2, state[1] + 1
        root = (square / (1 - self.alpha**t)).sqrt()
        return -self.lr * oracle.gradient / (root + self.eps), (square, t)


@fault("adagrad: begins with 0.1", Adagrad())
class AdagradBegins01(Adagrad):
    def init(self, x):
        return (torch.full_like(x, 0.1),)


@fault("adagrad: eps inside the root", Adagrad(), "eps")
class AdagradEpsInsideRoot(Adagrad):
    def update(self, oracle, state):
        square = state[0] + oracle.gradient**2
        return -self.lr * oracle.gradient / (square + self.eps).sqrt(), (square,)


@fault("adagrad: the last sum", Adagrad())
class AdagradLastSum(Adagrad):
    def update(self, oracle, state):
        square = state[0] + oracle.gradient**2
        return -self.lr * oracle.gradient / (state[0].sqrt() + self.eps), (square,)


@fault("lion: the mean first", Lion())
class LionMeanFirst(Lion):
    def update(self, oracle, state):
        mean = self.beta2 * state[0] + (1 - self.beta2) * oracle.gradient
        sign = (self.beta1 * mean + (1 - self.beta1) * oracle.gradient).sign()
        return -self.lr * (sign + self.weight_decay * oracle.x), (mean,)


@fault("lion: betas swapped", Lion())
class LionBetasSwapped(Lion):
    def update(self, oracle, state):
        sign = (self.beta2 * state[0] + (1 - self.beta2) * oracle.gradient).sign()
        mean = self.beta1 * state[0] + (1 - self.beta1) * oracle.gradient
        return -self.lr * (sign + self.weight_decay * oracle.x), (mean,)


@fault("lion: decay inside the sign", Lion(), "weight decay")
class LionDecayInsideSign(Lion):
    def update(self, oracle, state):
        gradient = oracle.gradient + self.weight_decay * oracle.x
        sign = (self.beta1 * state[0] + (1 - self.beta1) * gradient).sign()
        return -self.lr * sign, (self.beta2 * state[0] + (1 - self.beta2) * gradient,)


@fault("lion: interpolated mean kept", Lion())
class LionInterpolatedMeanKept(Lion):
    def update(self, oracle, state):
        mean = self.beta1 * state[0] + (1 - self.beta1) * oracle.gradient
        return -self.lr * (mean.sign() + self.weight_decay * oracle.x), (mean,)


@fault("sign_sgd: the sign of 0 is 1", SignSGD(), "exactly 0")
class SignSgdSign01(SignSGD):
    def update(self, oracle, state):
        return -self.lr * torch.where(oracle.gradient < 0, -1.0, 1.0), state


@fault("normalized_sgd: by the largest coordinate", NormalizedSGD())
class NormalizedSgdLargestCoordinate(NormalizedSGD):
    def update(self, oracle, state):
        largest = oracle.gradient.abs().amax(-1, keepdim=True)
        return -self.lr * oracle.gradient / torch.where(largest > 0, largest, 1.0), state


@fault("clipped_momentum: clips the step, not the gradient", Clip(Momentum()))
class ClippedMomentumClipsStepGradient(Clip):
    inner: object = Momentum()

    def update(self, oracle, state):
        step, state = self.inner.update(oracle, state)
        return clip_by_norm(step / self.inner.lr, self.threshold) * self.inner.lr, state


@fault("clipped_sgd: clips coordinates", Clip(SGD()))
class ClippedSgdClipsCoordinates(Clip):
    inner: object = SGD()
    by: str = "value"


@fault("sgd+decay: a step ahead", Decay(SGD()))
class SgdDecayStepAhead(Decay):
    inner: object = SGD()

    def update(self, oracle, state):
        return self._now(oracle.progress + 0.01, oracle.x).update(oracle, state)


@fault("schedule_free_sgd: the start is in the mean", ScheduleFreeSGD())
class ScheduleFreeSgdStartMean(ScheduleFreeSGD):
    def init(self, x):
        return x, 1


@fault("schedule_free_sgd: beta the other way", ScheduleFreeSGD())
class ScheduleFreeSgdBetaOtherWay(ScheduleFreeSGD):
    def update(self, oracle, state):
        z, t = state
        x, t = oracle.x, t + 1
        z = z - self.lr * oracle.at(self.beta * z + (1 - self.beta) * x).gradient
        return (z - x) / t, (z, t)


class _Seen:
    """An oracle with another gradient."""

    def __init__(self, oracle, gradient):
        self.x, self.gradient = oracle.x, gradient
