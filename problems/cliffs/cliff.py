"""The cliff in the loss of a recurrent unit, from which gradient descent is thrown."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch

from problems.problem import Card, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

WANTED = 0.7  # what σ(x_T) should be
STATE = 0.5  # x_0, where the unit begins
TOGETHER = (
    10  # steps differentiated at a time: fewer calls than one by one, and they fit into the cache
)
KEPT = 2**14  # units of all runs, at most, whose room a thread keeps for its next call: 4 MB


@register("cliff")
@dataclass(frozen=True)
class Cliff(Problem):
    """A recurrent unit run for many steps, whose loss has a cliff; several units at once.

    f(w, b) = (σ(x_T) − 0.7)², x_t = w σ(x_{t−1}) + b, x_0 = ½; the mean of this over `units`
    independent ones, x = (w₁, b₁, w₂, b₂, …).

    For w > 1/σ'(½) = 4.255 the line b = ½ − w σ(½) makes x_0 an unstable fixed point: there the loss
    falls from one plateau to another, and the gradient reaches the order of (w σ'(½))^T, 7e3 to 3e10 at
    w = 5 to 7 for T = 50. Where w > 1/(0.7 · 0.3) = 4.762 the solutions lie inside the cliff. One step
    along such a gradient may end on a plateau from which there is no way back. In two dimensions it
    often lands well by luck; of many units, one that does not is enough.

    Starts lie 0.05 to 0.4 above the cliff, w from 5 to 7; a unit's start does not depend on `units`.

    units: how many; dim is twice that.
    steps: T. With few the slope is gentle: nothing explodes.

    Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 2.3 and figure 6; Deep Learning,
    section 8.2.4 and figure 8.3.
    """

    units: int = dial(6, low=1)
    steps: int = bounded(50, low=1)

    card = Card(
        scale="log",
        ladder=(1, 6, 32),
        target=1e-4,
        budget=1000,
        reference=("clipped_sgd", {"lr": 30.0, "threshold": 0.05}),
        control={"steps": 5},
        removes={"vanishing_gradient": {"steps": 5}, "exploding_gradient": {"steps": 5}},
        breaks=("sgd", "cliff"),
        same=("exploding_gradient",),
        signature="largest over median gradient of a unit where its bias crosses the cliff, "
        "at the start's weight",
        threshold=1e3,
        truth="The minimum is 0, on the curve where x_T = ln(7/3); one of its points is w = 0, "
        "b = ln(7/3). Off it lie plateaus at 0.09 and 0.49.",
        source="Pascanu, Mikolov & Bengio 2013, section 2.3; "
        "Goodfellow, Bengio & Courville 2016, figure 8.3",
    )

    def cliff_line(self, w: torch.Tensor) -> torch.Tensor:
        """Return the b at which the unit's first state is a fixed point, unstable where w > 4.255."""
        return STATE - w / (1 + math.exp(-STATE))

    def instance(self, generator: torch.Generator) -> Tree:
        w, above = torch.rand(self.units, 2, generator=generator).unbind(-1)
        w = 5 + 2 * w
        b = self.cliff_line(w) + 0.05 + 0.35 * above
        return {"start": torch.stack([w, b], -1).flatten()}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.errors(x).square().mean(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return math.sqrt(2 / self.units) * self.errors(x)

    def errors(self, x: torch.Tensor) -> torch.Tensor:
        """Return each unit's σ(x_T) − 0.7: (*runs, dim) -> (*runs, units)."""
        w, b = x.unflatten(-1, (self.units, 2)).unbind(-1)
        state = torch.full_like(w, STATE)
        for _ in range(self.steps):
            state = w * state.sigmoid() + b
        return state.sigmoid() - WANTED

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self._each_unit(*x.unflatten(-1, (self.units, 2)).unbind(-1))
        return value.mean(-1), gradient.flatten(-2) / self.units

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the gradient's norm at the states x_T back to x_1; each step takes a factor w σ'."""
        w, b = x.unflatten(-1, (self.units, 2)).unbind(-1)
        states = [w * torch.full_like(w, STATE).sigmoid() + b]
        for _ in range(self.steps - 1):
            states.append(w * states[-1].sigmoid() + b)
        out = states[-1].sigmoid()
        slope = 2 / self.units * (out - WANTED) * out * (1 - out)
        norms = [slope.norm(dim=-1)]
        for state in reversed(states[:-1]):
            sigmoid = state.sigmoid()
            slope = slope * w * sigmoid * (1 - sigmoid)
            norms.append(slope.norm(dim=-1))
        return torch.stack(norms, -1)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        vectors = vector.unflatten(-1, (self.units, 2))
        return torch.einsum("...ij,...j->...i", self._blocks(x), vectors).flatten(-2)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        hessian = x.new_zeros(*x.shape[:-1], self.units, 2, self.units, 2)
        hessian.diagonal(dim1=-4, dim2=-2).copy_(self._blocks(x).movedim(-3, -1))
        return hessian.flatten(-4, -3).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return the one at w = 0, where x_T is b."""
        one = torch.tensor([0.0, math.log(WANTED / (1 - WANTED))], device=data["start"].device)
        return one.repeat(1, self.units)

    def signature(self, data: Tree) -> float:
        w = data["start"].unflatten(-1, (self.units, 2))[:, 0]
        near = torch.logspace(-12, 0, 97)  # the higher the cliff, the narrower its face
        peak, plain = (
            self._slopes(w, b) for b in (torch.cat([-near, near]), torch.linspace(-0.5, 0.5, 201))
        )
        return (peak.amax(0) / plain.median(0).values).min().item()

    def _slopes(self, w: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
        """The norms of the gradients of all units (units) at each of these distances (count): (count, units)."""
        b = self.cliff_line(w) + above[:, None]
        x = torch.stack([w.expand_as(b), b], -1).flatten(-2)
        gradient = self.units * self.value_and_gradient(x, {})[1]
        return gradient.unflatten(-1, (self.units, 2)).norm(dim=-1)

    def _each_unit(self, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each unit's loss, shaped as w and b, and its gradient, with a last dimension of 2.

        ∂x_t = (σ(x_{t−1}), 1) + w σ'(x_{t−1}) ∂x_{t−1} follows x_t, for autograd's tape does not fit into the cache.
        """
        with torch.inference_mode():  # a tenth faster, as there are many calls on small tensors
            w, b = w.contiguous(), b.contiguous()
            sigmoid, first = torch.full_like(w, STATE).sigmoid_(), w.new_zeros(2, *w.shape)
            room = _room_for(w)
            for sigmoids, direct in self._unrolled(w, b, sigmoid):
                torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1, out=room.factors).mul_(w)
                for row, factor in zip(direct, room.each_factor, strict=False):
                    torch.addcmul(row, factor, first, out=first)
            error = sigmoid - WANTED
            return error.square(), (2 * error * sigmoid * (1 - sigmoid) * first).movedim(0, -1)

    def _blocks(self, x: torch.Tensor) -> torch.Tensor:
        """Return the Hessian's diagonal blocks (*runs, units, 2, 2); the rest is zero.

        With u = ∂x_t/∂w and v = ∂x_t/∂b the next second derivatives are w σ' times the last, plus
        u (wσ'' u + 2σ'), v (wσ'' u + σ') and v (wσ'' v).
        """
        with torch.inference_mode():
            w, b = (each.contiguous() for each in x.unflatten(-1, (self.units, 2)).unbind(-1))
            sigmoid, first = torch.full_like(w, STATE).sigmoid_(), w.new_zeros(2, *w.shape)
            second, bent = w.new_zeros(3, *w.shape), torch.empty_like(first)
            (u, v), (uu, uv, vv), (bent_u, bent_v) = first.unbind(), second.unbind(), bent.unbind()
            for sigmoids, direct in self._unrolled(w, b, sigmoid):
                slopes = torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1)
                factors = w * slopes
                bends = torch.addcmul(factors, factors, sigmoids, value=-2)
                steps = zip(direct, slopes.unbind(), factors.unbind(), bends.unbind(), strict=False)
                for row, slope, factor, bend in steps:
                    torch.mul(bend, first, out=bent)
                    second *= factor
                    uu.addcmul_(u, torch.add(bent_u, slope, alpha=2))
                    uv.addcmul_(v, bent_u + slope)
                    vv.addcmul_(v, bent_v)
                    first.mul_(factor).add_(row)
            error, slope = sigmoid - WANTED, sigmoid * (1 - sigmoid)
            along = slope.square() + error * slope * (1 - 2 * sigmoid)
            squares = torch.stack([u * u, u * v, v * v])
            ww, wb, bb = 2 / self.units * (along * squares + error * slope * second)
            return torch.stack([ww, wb, wb, bb], -1).unflatten(-1, (2, 2))

    def _unrolled(
        self, w: torch.Tensor, b: torch.Tensor, sigmoid: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, ...]]]:
        """Advance `sigmoid` in place from σ(x_0) to σ(x_T), and yield σ(x_t) and each (σ(x_t), 1) on the way.

        Some steps are yielded at a time. The sigmoids are (TOGETHER, *w.shape); in the last block only those of the
        pairs are valid. Each block overwrites the one before, and the thread's next call may overwrite the last.
        """
        room = _room_for(w)
        sigmoids, rows, pairs = room.sigmoids, room.rows, room.pairs
        for done in range(0, self.steps, TOGETHER):
            ahead = slice(self.steps - done)
            sigmoids.copy_(b)  # b + w σ(x_t) is added up in place
            rows[0].copy_(sigmoid)
            for row, after in pairwise(rows[ahead]):
                after.addcmul_(w, row).sigmoid_()
            torch.addcmul(b, w, rows[ahead][-1], out=sigmoid).sigmoid_()
            yield sigmoids, pairs[ahead]


class _Room:
    """Room for `TOGETHER` steps of the units: the σ(x_t), the pairs (σ(x_t), 1) and the factors w σ'(x_t), by step."""

    def __init__(self, like: torch.Tensor):
        pairs = like.new_ones(TOGETHER, 2, *like.shape)
        self.sigmoids, self.pairs = pairs[:, 0], pairs.unbind()
        self.rows = self.sigmoids.unbind()
        self.factors = like.new_empty(TOGETHER, *like.shape)
        self.each_factor = self.factors.unbind()


_rooms = threading.local()


def _room_for(w: torch.Tensor) -> _Room:
    """Return room for units shaped as w: the thread's last one if it fits, for making views takes as long as ten steps.

    Nothing is kept for more than `KEPT` units.
    """
    if w.numel() > KEPT:
        return _Room(w)
    fits = w.shape, w.dtype, w.device, TOGETHER
    if getattr(_rooms, "fits", None) != fits:
        _rooms.fits, _rooms.room = fits, _Room(w)
    return _rooms.room
