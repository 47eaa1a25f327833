"""The cliff that a recurrent unit makes, and that throws gradient descent."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Plane
from problems.problem import Card, Problem, Tree
from problems.registry import register
from ravine import require

WANTED = 0.7  # what σ(x_T) should be
STATE = 0.5  # x_0, where the unit begins


@register("cliff")
@dataclass(frozen=True)
class Cliff(Problem):
    """A recurrent unit run for many steps, whose loss has a cliff; several units at once.

    f(w, b) = (σ(x_T) − 0.7)², x_t = w σ(x_{t−1}) + b, x_0 = ½; the mean of this over `units`
    independent ones, x = (w₁, b₁, w₂, b₂, …).

    For w > 1/σ'(½) = 4.255 the line b = ½ − w σ(½) makes x_0 an unstable fixed point, which x_t
    leaves upwards on one side and downwards on the other: there the loss falls from one plateau to
    another, and the gradient reaches the order of (w σ'(½))^T: 7e3, 2e7 and 3e10 at w = 5, 6 and 7 for
    T = 50. Where w > 1/(0.7 · 0.3) = 4.762 the solutions lie inside the cliff, so that whoever
    descends to them meets it. One step along such a gradient may end on a plateau from which there
    is no way back. In two dimensions it often lands well by luck; of many units, one that does not
    is enough.

    Starts lie 0.05 to 0.4 above the cliff, w from 5 to 7; that of a unit does not depend on how many
    there are.

    units: how many; dim is twice that.
    steps: T. With few the slope is gentle: nothing explodes.

    Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, section 2.3 and figure 6; Deep Learning,
    section 8.2.4 and figure 8.3.
    """

    units: int = 6
    steps: int = 50

    card = Card(
        dial="units",
        scale="log",
        ladder=(1, 6, 32),
        target=1e-4,
        budget=1000,
        reference=("clipped_sgd", {"lr": 30.0, "threshold": 0.05}),
        control={"steps": 5},
        signature="largest over median gradient of a unit where its bias crosses the cliff, "
        "at the start's weight",
        threshold=1e3,
        truth="The minimum is 0, on the curve where x_T = ln(7/3); one of its points is w = 0, "
        "b = ln(7/3). Off it lie plateaus at 0.09 and 0.49.",
        source="Pascanu, Mikolov & Bengio 2013, section 2.3; "
        "Goodfellow, Bengio & Courville 2016, figure 8.3",
    )

    def __post_init__(self) -> None:
        require("cliff", "units", self.units, low=1, whole=True)
        require("cliff", "steps", self.steps, low=1, whole=True)

    def cliff_line(self, w: torch.Tensor) -> torch.Tensor:
        """The b at which the unit's first state is a fixed point, unstable where w > 4.255."""
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
        """Each unit's σ(x_T) − 0.7: (*runs, dim) -> (*runs, units)."""
        w, b = x.unflatten(-1, (self.units, 2)).unbind(-1)
        state = torch.full_like(w, STATE)
        for _ in range(self.steps):
            state = w * state.sigmoid() + b
        return state.sigmoid() - WANTED

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self._each_unit(*x.unflatten(-1, (self.units, 2)).movedim(-1, 0))
        return value.mean(-1), gradient.flatten(-2) / self.units

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """The gradient with respect to the units' states, from x_T back to x_1: each step takes a factor w σ'."""
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
        """Without recurrence x_T is b."""
        return torch.tensor([0.0, math.log(WANTED / (1 - WANTED))]).repeat(1, self.units)

    def signature(self, data: Tree) -> float:
        w = data["start"].unflatten(-1, (self.units, 2))[:, 0]
        near = torch.logspace(-12, 0, 97)  # the higher the cliff, the narrower its face
        peak, plain = (
            self._each_unit(w.expand(len(b), -1), self.cliff_line(w) + b[:, None])[1]
            .norm(dim=-1)
            for b in (torch.cat([-near, near]), torch.linspace(-0.5, 0.5, 201))
        )  # fmt: skip
        return (peak.amax(0) / plain.median(0).values).min().item()

    # What is known of one unit with T = 50.

    def _steepest(self, weight: float, steps: int = 50) -> tuple[float, float]:
        """How far from the line the bias lies at which the gradient is largest, and how large it is.

        On a grid that is refined around its peak until that is 1e-16 wide: from w = 6 on the peak is
        narrower than any grid over the window, which makes it look lower than it is.
        """
        problem, w = replace(self, units=1, steps=steps), torch.tensor(weight)
        line = problem.cliff_line(w).item()
        middle, half, top = line, 0.3, 0.0
        while half > 1e-14:
            b = torch.linspace(middle - half, middle + half, 801)
            slopes = problem._each_unit(w.expand_as(b), b)[1].norm(dim=-1)
            at = slopes.argmax()
            middle, top, half = b[at].item(), slopes[at].item(), half / 20
        return abs(middle - line), top

    @Claim(
        "the distance from b = ½ − w σ(½) to the bias with the largest gradient, at w = 5",
        stated="4.4e-5",
        within=(0, 1e-4),
        source="Pascanu, Mikolov & Bengio 2013, section 2.3: x_0 is the unstable fixed point there",
    )
    def offset_at_5(self) -> float:
        return self._steepest(5.0)[0]

    @Claim(
        "the same at w = 6",
        stated="0 to the digits of a grid",
        within=(0, 1e-7),
        source="Pascanu, Mikolov & Bengio 2013, section 2.3",
    )
    def offset_at_6(self) -> float:
        return self._steepest(6.0)[0]

    @Claim(
        "the same at w = 7",
        stated="0 to the digits of a grid",
        within=(0, 1e-9),
        source="Pascanu, Mikolov & Bengio 2013, section 2.3",
    )
    def offset_at_7(self) -> float:
        return self._steepest(7.0)[0]

    @Claim(
        "the largest gradient at w = 5",
        stated=6.77e3,
        within=about(6.77e3, rel=0.005),  # of the last digit
        source="measured; (w σ'(½))^50 is 3.2e3",
    )
    def height_at_5(self) -> float:
        return self._steepest(5.0)[1]

    @Claim(
        "the largest gradient at w = 6",
        stated=1.96e7,
        within=about(1.96e7, rel=0.005),
        source="measured; (w σ'(½))^50 is 2.9e7",
    )
    def height_at_6(self) -> float:
        return self._steepest(6.0)[1]

    @Claim(
        "the largest gradient at w = 7",
        stated=2.53e10,
        within=about(2.53e10, rel=0.005),
        source="measured; (w σ'(½))^50 is 6.4e10",
    )
    def height_at_7(self) -> float:
        return self._steepest(7.0)[1]

    @Claim(
        "the factor by which the largest gradient grows with a step of the unit, at w = 6, from T = 20 to 50",
        stated="w σ'(½) = 1.410",
        within=about(1.410, rel=0.02),  # the window's far field still counts at T = 20
        source="Pascanu, Mikolov & Bengio 2013, section 2.3",
    )
    def growth_per_step(self) -> float:
        return (self._steepest(6.0)[1] / self._steepest(6.0, steps=20)[1]) ** (1 / 30)

    def _ends(self, starts: torch.Tensor, threshold: float, steps: int) -> torch.Tensor:
        """The losses that descent at the rate 0.1 reaches from these starts of one unit."""
        problem = replace(self, units=1, steps=50)
        path = descent(problem, {}, starts, 0.1, threshold=threshold)
        return problem.loss(next(itertools.islice(path, steps, None)), {})

    @Claim(
        "the loss of descent at the rate 0.1 from w = 5, b = −2.3: one step throws it 15.7 far",
        stated="0.09, the upper plateau",
        within=about(0.09, abs=1e-6),
        source="figure 6 of Pascanu, Mikolov & Bengio 2013; our start",
    )
    def thrown(self) -> float:
        return self._ends(torch.tensor([[5.0, -2.3]]), math.inf, 300)[0].item()

    @Claim(
        "the same where gradients are clipped at 1, after 3000 steps",
        stated="3e-7",
        within=(0, 1e-5),
        source="figure 6 of Pascanu, Mikolov & Bengio 2013; our start",
        slow=True,
    )
    def clipped(self) -> float:
        return self._ends(torch.tensor([[5.0, -2.3]]), 1.0, 3000)[0].item()

    def _share_lost(self, threshold: float) -> float:
        """Of 40 starts, declared before: w = 5, 5.5 … 7, and 0.05, 0.1 … 0.4 above the cliff."""
        w, above = torch.cartesian_prod(
            torch.linspace(5, 7, 5), torch.linspace(0.05, 0.4, 8)
        ).unbind(-1)
        starts = torch.stack([w, self.cliff_line(w) + above], -1)
        return (self._ends(starts, threshold, 1000) > 0.08).double().mean().item()

    @Claim(
        "the share of 40 starts on a grid from which descent at the rate 0.1 ends on a dead plateau",
        stated="most",
        within=(0.5, 1.0),
        source="measured; clipping is what section 3.2 of Pascanu, Mikolov & Bengio 2013 proposes",
        slow=True,
    )
    def share_thrown(self) -> float:
        return self._share_lost(math.inf)

    @Claim(
        "the same where gradients are clipped at 1",
        stated=0,
        within=(0, 0),
        source="measured",
        slow=True,
    )
    def share_thrown_where_clipped(self) -> float:
        return self._share_lost(1.0)

    def portrait(self) -> Plane:
        """One unit, as in the book's figure 8.3; the others, if any, rest in their minima."""
        rest = torch.tensor([0.0, math.log(WANTED / (1 - WANTED))], dtype=torch.float64)
        origin = torch.cat([rest.new_zeros(2), rest.repeat(self.units - 1)])
        axes = torch.eye(2 * self.units, dtype=torch.float64)[:2]
        start = origin + torch.tensor([5.0, -2.3], dtype=torch.float64) @ axes
        return Plane(
            caption="A recurrent unit: gradient descent comes down to the cliff, and one step throws it far out "
            "onto a plateau from which there is no way back; clipped, it stays at the foot of the cliff.",
            window=((2.5, 14.0), (-4.0, 12.0)),
            paths=(
                ("sgd", {"lr": 0.1 * self.units}),
                ("adam", {"lr": 0.003}),
                ("clipped_sgd", {"lr": 0.1 * self.units, "threshold": 1.0 / self.units}),
            ),
            steps=1000,
            start=start,
            origin=origin,
            axes=axes,
            x_label="w",
            y_label="b",
        )

    def _each_unit(self, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each unit's loss, shaped as w and b, and its gradient, with a last dimension of 2.

        ∂x_t = (σ(x_{t−1}), 1) + w σ'(x_{t−1}) ∂x_{t−1}, carried along with x_t, in place: what autograd
        keeps for the way back does not fit into the cache.
        """
        w, b = w.contiguous(), b.contiguous()
        state, factor = torch.full_like(w, STATE), torch.zeros_like(w)
        direct = w.new_ones(2, *w.shape)
        sigmoid = direct[0]
        first = torch.zeros_like(direct)
        torch.sigmoid(state, out=sigmoid)
        for _ in range(self.steps):
            torch.addcmul(direct, factor, first, out=first)
            torch.addcmul(b, w, sigmoid, out=state)
            torch.sigmoid(state, out=sigmoid)
            torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1, out=factor).mul_(w)
        error = sigmoid - WANTED
        return error.square(), (2 * error * sigmoid * (1 - sigmoid) * first).movedim(0, -1)

    def _blocks(self, x: torch.Tensor) -> torch.Tensor:
        """The Hessian's diagonal blocks (*runs, units, 2, 2); all else is zero.

        With u = ∂x_t/∂w and v = ∂x_t/∂b the next second derivatives are w σ' times these ones, plus
        u (wσ'' u + 2σ'), v (wσ'' u + σ') and v (wσ'' v).
        """
        w, b = (each.contiguous() for each in x.unflatten(-1, (self.units, 2)).unbind(-1))
        sigmoid = torch.full_like(w, STATE).sigmoid()
        first = w.new_zeros(2, *w.shape)
        second = w.new_zeros(3, *w.shape)  # ∂²x_t: ww, wb, bb
        for _ in range(self.steps):
            slope = torch.addcmul(sigmoid, sigmoid, sigmoid, value=-1)
            factor = w * slope
            bent = torch.addcmul(factor, factor, sigmoid, value=-2) * first
            second *= factor
            second[0].addcmul_(first[0], bent[0] + 2 * slope)
            second[1].addcmul_(first[1], bent[0] + slope)
            second[2].addcmul_(first[1], bent[1])
            first *= factor
            first[0] += sigmoid
            first[1] += 1
            sigmoid = torch.addcmul(b, w, sigmoid).sigmoid()
        error, slope = sigmoid - WANTED, sigmoid * (1 - sigmoid)
        along = slope.square() + error * slope * (1 - 2 * sigmoid)
        squares = torch.stack([first[0] * first[0], first[0] * first[1], first[1] * first[1]])
        ww, wb, bb = 2 / self.units * (along * squares + error * slope * second)
        return torch.stack([ww, wb, wb, bb], -1).unflatten(-1, (2, 2))
