"""The same matrix applied at every step of a long chain."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from problems.claims import Claim, about
from problems.geometry import random_rotation
from problems.ill_conditioning.quadratic import (
    breaking_point_of_newton,
    gap_left_by_descent,
    gap_left_by_momentum,
)
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import Refused, nearest, require

Kind = Literal["symmetric", "non_normal", "orthogonal"]


def _length_where(
    left: Callable[[torch.Tensor, int], float],
) -> Callable[[MatrixPower, float], float]:
    """Half a step past the longest chain at which that many updates reach the target."""

    def breaking_point(problem: MatrixPower, budget: float) -> float:
        def fails(steps: int) -> bool:
            curvatures = replace(problem, steps=steps).gains().square()
            return left(curvatures, int(budget)) > problem.card.target

        if problem.kind == "orthogonal" or problem.low == problem.high:
            return math.inf
        chains = range(1, problem.longest() + 1)
        solved = bisect.bisect_left(chains, True, key=fails)
        return solved + 0.5 if solved < len(chains) else math.inf

    return breaking_point


@register("matrix_power")
@dataclass(frozen=True)
class MatrixPower(QuadraticForm):
    """A linear recurrent network: find the input from which t equal steps lead to the wanted state.

    f(x) = ½ |Wᵗ Uᵀ (x − m)|², U a random rotation through which the input is read.

    With W = V diag(λ) V⁻¹ the gradient is multiplied by diag(λ)ᵗ on its way back: what is above 1
    explodes and what is below vanishes, exponentially in t. One step stretches a vector by `low` to
    `high`, so t steps spread the gains by (high/low)^t and the curvatures by (high/low)^2t. The
    start is m + U W⁻ᵗ z with Gaussian z: every mode counts alike in the gap, the vanished ones too.
    A method that pays for the condition number breaks at a t that grows with the logarithm of the
    budget.

    dim: x and the state are (dim,).
    steps: t.
    kind: "symmetric": W is diagonal, log-uniform from low to high; "non_normal": W = aI + bN, N the
        shift, a = (low + high)/2, b = (high − low)/2, whose eigenvalues are all a and say nothing
        about its gains, which spread alike; "orthogonal": a rotation, the control: gains of 1.
    low, high: the least and the largest gain of one step.

    W is kept in its own basis, because rounding U W Uᵀ would change a non-normal one: at dim 100 it
    moves the eigenvalues of 0.9 I + 0.5 N by 0.35.

    Deep Learning, sections 8.2.5 and 10.7; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063.
    """

    dim: int = 20
    steps: int = 20
    kind: Kind = "symmetric"
    low: float = 0.9
    high: float = 1.1

    card = Card(
        dial="steps",
        scale="linear",
        ladder=(1, 20, 50),
        quick={},
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"kind": "orthogonal"},
        signature="largest over smallest factor by which the steps multiply a gradient",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is U (Wᵗ)ᵀWᵗ Uᵀ.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.5; Pascanu, Mikolov & Bengio 2013",
        theory={
            "sgd": _length_where(gap_left_by_descent),
            "momentum": _length_where(gap_left_by_momentum),
            "newton": breaking_point_of_newton,
        },
    )

    def __post_init__(self) -> None:
        require("matrix_power", "dim", self.dim, low=1, whole=True)
        require("matrix_power", "steps", self.steps, low=1, whole=True)
        require("matrix_power", "low", self.low, low=0, open_low=True)
        require("matrix_power", "high", self.high, low=self.low)
        if self.kind not in get_args(Kind):
            allowed = nearest(str(self.kind), get_args(Kind))
            raise Refused(f"matrix_power.kind is {self.kind!r}: {allowed}")
        if self.kind == "orthogonal":
            return
        if self.dim == 1 and self.low != self.high:
            raise Refused(
                f"matrix_power.high is {self.high!r}, but must be low ({self.low!r}) where dim is 1"
            )
        if self.steps > self.longest():
            raise Refused(
                f"matrix_power.steps is {self.steps}, but must be at most {self.longest()} "
                f"with gains from {self.low:g} to {self.high:g}: float64 loses the smallest beyond"
            )

    def longest(self) -> int:
        """The largest t that leaves (high/low)^2t below 1e12, and the curvatures within 1e±100."""
        spread = 2 * math.log10(self.high / self.low)
        size = 2 * max(abs(math.log10(self.low)), abs(math.log10(self.high)))
        return int(min(12 / max(spread, 1e-9), 100 / max(size, 1e-9)))

    def weights(self) -> torch.Tensor:
        """W in its own basis, for the kinds that are not random there: (dim, dim)."""
        if self.kind == "symmetric":
            share = torch.linspace(0, 1, self.dim, dtype=torch.float64)
            return torch.diag(self.low ** (1 - share) * self.high**share)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        diagonal = torch.full((self.dim,), middle, dtype=torch.float64)
        return torch.diag(diagonal) + torch.diag(torch.full_like(diagonal[1:], half), 1)

    def gains(self) -> torch.Tensor:
        """The singular values of Wᵗ, the same for every instance, the largest first: (dim,)."""
        if self.kind == "orthogonal":
            return torch.ones(self.dim, dtype=torch.float64)
        return torch.linalg.svdvals(torch.linalg.matrix_power(self.weights(), self.steps))

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        residual = torch.randn(self.dim, generator=generator)
        inputs = random_rotation(self.dim, generator)
        weights = inputs if self.kind == "orthogonal" else self.weights()
        # A triangular W has no negative entry: its powers lose no digits of the vanishing gains.
        power = torch.linalg.matrix_power(weights, self.steps)
        if self.kind == "orthogonal":
            error = power.T @ residual
        else:
            error = torch.linalg.solve_triangular(power, residual[:, None], upper=True)[:, 0]
        power = power @ inputs.T
        return {
            "start": minimizer + inputs @ error,
            "minimizer": minimizer,
            "inputs": inputs,
            "weights": weights,
            "power": power,
            "hessian": power.T @ power,
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * self.residuals(x, data).square().sum(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...j,...ij->...i", x - data["minimizer"], data["power"])

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        residuals = self.residuals(x, data)
        gradient = torch.einsum("...i,...ij->...j", residuals, data["power"])
        return 0.5 * residuals.square().sum(-1), gradient

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """|(Wᵀ)ˢ r|, s = 0 … steps: the gradient with respect to the state s steps before the last."""
        vector = self.residuals(x, data)
        norms = [vector.norm(dim=-1)]
        for _ in range(self.steps):
            vector = torch.einsum("...i,...ij->...j", vector, data["weights"])
            norms.append(vector.norm(dim=-1))
        return torch.stack(norms, -1)

    def signature(self, data: Tree) -> float:
        gains = torch.linalg.svdvals(torch.linalg.matrix_power(data["weights"], self.steps))
        return (gains[0] / gains[-1]).item()

    def growth(self, data: Tree, steps: int) -> torch.Tensor:
        """ln of the factor by which the start's gradient grows, s = 0 … steps: (steps + 1,).

        The gradient with respect to the last state is r = Wᵗ Uᵀ (x − m); s steps earlier it is
        (Wᵀ)ˢ r, brought back to length 1 at each step, so that nothing overflows.
        """
        return growth(data["power"] @ (data["start"] - data["minimizer"]), data["weights"], steps)

    # What is known, at dim 100, of random vectors: the start's residual is a Gaussian one.

    def growths(self, steps: int, count: int, **fields) -> torch.Tensor:
        """ln of the factor by which `count` random vectors grow, s = 0 … steps: (steps + 1, count)."""
        problem = replace(self, dim=100, steps=1, **fields)
        vectors = torch.randn(
            count, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        return growth(vectors, problem.example()["weights"], steps)

    def _non_normal(self, steps: int, count: int) -> float:
        """The mean over so many random vectors under W = 0.9 I + 0.5 N.

        Stated is its expectation, ½ ∫ (∏ (1 + 2s)^-½ − ∏ (1 + 2s σᵢ²)^-½) ds/s over s from 0, the
        products over the singular values σᵢ of Wᵗ: Frullani's integral for ln |Wᵗ v|² − ln |v|².
        """
        logs = self.growths(steps, count, kind="non_normal", low=0.4, high=1.4)
        return logs[-1].mean().item()

    @Claim(
        "the mean of ln |v_t|/|v_0| at t = 10 under 0.9 I + 0.5 N, where t ln ρ is −1.05",
        stated=2.487,
        within=about(2.4867, abs=3 * 0.127 / math.sqrt(1000)),  # three standard errors, as below
        source="derived; a single vector has 2.49 ± 0.13",
    )
    def non_normal_10(self) -> float:
        return self._non_normal(10, 1000)

    @Claim(
        "the same at t = 50, where t ln ρ is −5.3",
        stated=15.437,
        within=about(15.4372, abs=3 * 0.223 / math.sqrt(1000)),
        source="derived; (aI + bN)ᵗ grows like (a + b)ᵗ until t nears dim",
    )
    def non_normal_50(self) -> float:
        return self._non_normal(50, 1000)

    @Claim(
        "the same at t = 200, where t ln ρ is −21",
        stated=64.859,
        within=about(64.8588, abs=3 * 0.522 / math.sqrt(1000)),
        source="derived",
    )
    def non_normal_200(self) -> float:
        return self._non_normal(200, 1000)

    @Claim(
        "the same at t = 2000, where t ln ρ is −211: eigenvalues are wrong by e^330",
        stated=119.05,
        within=about(119.053, abs=3 * 1.157 / math.sqrt(100)),
        source="derived",
    )
    def non_normal_2000(self) -> float:
        return self._non_normal(2000, 100)

    @Claim(
        "the slope of ln |v_t| from t = 500 to 2000 under a symmetric W with ρ = 0.9838",
        stated="ln ρ = −0.01633",
        within=about(math.log(0.9838), abs=1e-6),
        source="the power method: an offset ln |⟨v, v₁⟩|, then the slope of the largest eigenvalue",
    )
    def symmetric_slope(self) -> float:
        logs = self.growths(2000, 10, kind="symmetric", low=0.01, high=0.9838)
        return ((logs[2000] - logs[500]) / 1500).mean().item()

    @Claim(
        "the largest change of ln |v_t| within 2000 steps of an orthogonal W",
        stated=0,
        within=(0, 1e-11),  # 2000 roundings
        source="|Qv| = |v|",
    )
    def orthogonal_change(self) -> float:
        return self.growths(2000, 10, kind="orthogonal").abs().max().item()

    @Claim(
        "ln(condition number) gained by a step, from t = 10 to 50",
        stated="2 ln(1.1/0.9) = 0.4013",
        within=about(2 * math.log(1.1 / 0.9), rel=1e-4),  # of eigvalsh's smallest at 5e8
        source="the Hessian is (Wᵗ)ᵀWᵗ: the loss squares the condition of the chain",
    )
    def condition_per_step(self) -> float:
        found = []
        for steps in (10, 50):
            problem = replace(self, kind="symmetric", low=0.9, high=1.1, steps=steps)
            data = problem.example()
            curvatures = torch.linalg.eigvalsh(problem.hessian(data["start"], data))
            found.append(math.log(curvatures[-1] / curvatures[0]))
        return (found[1] - found[0]) / 40

    @Claim(
        "the slope of ln(angle to the leading eigenvector), from t = 1000 to 1500, dim 20",
        stated="ln(λ₂/λ₁) = −0.01056",
        within=about(-math.log(1.1 / 0.9) / 19, rel=1e-3),  # of the third eigenvector's last traces
        source="the power method",
    )
    def slope_of_the_angle(self) -> float:
        weights = replace(self, dim=20, steps=1, kind="symmetric", low=0.9, high=1.1).weights()
        vector = torch.ones(20, dtype=torch.float64)
        angles = []
        for _ in range(1500):
            vector = weights @ vector
            vector = vector / vector.norm()
            angles.append(vector[:-1].norm().log().item())
        return (angles[1499] - angles[999]) / 500

    @Claim(
        "steps after which 1.5ᵗ is infinite in float32",
        stated=219,
        within=(219, 219),
        source="ln(3.4e38)/ln 1.5 = 218.8",
    )
    def overflow(self) -> float:
        state, steps = torch.ones((), dtype=torch.float32), 0
        while state.isfinite():
            state, steps = 1.5 * state, steps + 1
        return float(steps)

    def portrait(self) -> Curves:
        at = torch.arange(0, 201, 10)
        kinds = {
            "symmetric": (0.9838, {"kind": "symmetric", "low": 0.01, "high": 0.9838}),
            "orthogonal": (1.0, {"kind": "orthogonal"}),
            "0.9 I + 0.5 N": (0.9, {"kind": "non_normal", "low": 0.4, "high": 1.4}),
        }
        return Curves(
            caption="A vector grows by the largest eigenvalue ρ per step (lines) where W is normal, but "
            "for an offset; a non-normal W of dim 100 multiplies it by e^65 where its eigenvalues promise "
            "e^−21.",
            x_label="steps t",
            y_label="ln |v_t|/|v_0|",
            lines={f"t ln ρ, {name}": (at, at * math.log(rho)) for name, (rho, _) in kinds.items()},
            dots={
                name: (at, self.growths(200, 20, **fields).mean(-1)[at])
                for name, (_, fields) in kinds.items()
            },
        )


def growth(vectors: torch.Tensor, weights: torch.Tensor, steps: int) -> torch.Tensor:
    """ln of the factor by which (Wᵀ)ˢ multiplies vectors (…, dim), s = 0 … steps: (steps + 1, …)."""
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    logs = [vectors.new_zeros(vectors.shape[:-1])]
    for _ in range(steps):
        vectors = vectors @ weights
        norm = vectors.norm(dim=-1)
        logs.append(logs[-1] + norm.log())
        vectors = vectors / norm[..., None]
    return torch.stack(logs)
