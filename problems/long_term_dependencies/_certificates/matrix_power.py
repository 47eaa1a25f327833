"""The evidence for `matrix_power`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.long_term_dependencies.matrix_power import MatrixPower
from problems.portrait import Curves

# What is known, at dim 100, of random vectors: the start's residual is a Gaussian one.


def growths(problem: MatrixPower, steps: int, count: int, **fields) -> torch.Tensor:
    """ln of the factor by which `count` random vectors grow, s = 0 … steps: (steps + 1, count)."""
    problem = replace(problem, dim=100, steps=1, **fields)
    vectors = torch.randn(
        count, 100, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    return growth(vectors, problem.example()["weights"], steps)


def _non_normal(problem: MatrixPower, steps: int, count: int) -> float:
    """The mean over so many random vectors under W = 0.9 I + 0.5 N.

    Stated is its expectation, ½ ∫ (∏ (1 + 2s)^-½ − ∏ (1 + 2s σᵢ²)^-½) ds/s over s from 0, the
    products over the singular values σᵢ of Wᵗ: Frullani's integral for ln |Wᵗ v|² − ln |v|².
    """
    logs = growths(problem, steps, count, kind="non_normal", low=0.4, high=1.4)
    return logs[-1].mean().item()


@claim(
    MatrixPower,
    "the mean of ln |v_t|/|v_0| at t = 10 under 0.9 I + 0.5 N, where t ln ρ is −1.05",
    stated=2.487,
    within=about(2.4867, abs=3 * 0.127 / math.sqrt(1000)),  # three standard errors, as below
    source="derived; a single vector has 2.49 ± 0.13",
)
def non_normal_10(problem: MatrixPower) -> float:
    return _non_normal(problem, 10, 1000)


@claim(
    MatrixPower,
    "the same at t = 50, where t ln ρ is −5.3",
    stated=15.437,
    within=about(15.4372, abs=3 * 0.223 / math.sqrt(1000)),
    source="derived; (aI + bN)ᵗ grows like (a + b)ᵗ until t nears dim",
)
def non_normal_50(problem: MatrixPower) -> float:
    return _non_normal(problem, 50, 1000)


@claim(
    MatrixPower,
    "the same at t = 200, where t ln ρ is −21",
    stated=64.859,
    within=about(64.8588, abs=3 * 0.522 / math.sqrt(1000)),
    source="derived",
)
def non_normal_200(problem: MatrixPower) -> float:
    return _non_normal(problem, 200, 1000)


@claim(
    MatrixPower,
    "the same at t = 2000, where t ln ρ is −211: eigenvalues are wrong by e^330",
    stated=119.05,
    within=about(119.053, abs=3 * 1.157 / math.sqrt(100)),
    source="derived",
)
def non_normal_2000(problem: MatrixPower) -> float:
    return _non_normal(problem, 2000, 100)


@claim(
    MatrixPower,
    "the slope of ln |v_t| from t = 500 to 2000 under a symmetric W with ρ = 0.9838",
    stated="ln ρ = −0.01633",
    within=about(math.log(0.9838), abs=1e-6),
    source="the power method: an offset ln |⟨v, v₁⟩|, then the slope of the largest eigenvalue",
)
def symmetric_slope(problem: MatrixPower) -> float:
    logs = growths(problem, 2000, 10, kind="symmetric", low=0.01, high=0.9838)
    return ((logs[2000] - logs[500]) / 1500).mean().item()


@claim(
    MatrixPower,
    "the largest change of ln |v_t| within 2000 steps of an orthogonal W",
    stated=0,
    within=(0, 1e-11),  # 2000 roundings
    source="|Qv| = |v|",
)
def orthogonal_change(problem: MatrixPower) -> float:
    return growths(problem, 2000, 10, kind="orthogonal").abs().max().item()


@claim(
    MatrixPower,
    "ln(condition number) gained by a step, from t = 10 to 50",
    stated="2 ln(1.1/0.9) = 0.4013",
    within=about(2 * math.log(1.1 / 0.9), rel=1e-4),  # of eigvalsh's smallest at 5e8
    source="the Hessian is (Wᵗ)ᵀWᵗ: the loss squares the condition of the chain",
)
def condition_per_step(problem: MatrixPower) -> float:
    found = []
    for steps in (10, 50):
        variant = replace(problem, kind="symmetric", low=0.9, high=1.1, steps=steps)
        data = variant.example()
        curvatures = torch.linalg.eigvalsh(variant.hessian(data["start"], data))
        found.append(math.log(curvatures[-1] / curvatures[0]))
    return (found[1] - found[0]) / 40


@claim(
    MatrixPower,
    "the slope of ln(angle to the leading eigenvector), from t = 1000 to 1500, dim 20",
    stated="ln(λ₂/λ₁) = −0.01056",
    within=about(-math.log(1.1 / 0.9) / 19, rel=1e-3),  # of the third eigenvector's last traces
    source="the power method",
)
def slope_of_the_angle(problem: MatrixPower) -> float:
    weights = replace(problem, dim=20, steps=1, kind="symmetric", low=0.9, high=1.1).weights()
    vector = torch.ones(20, dtype=torch.float64)
    angles = []
    for _ in range(1500):
        vector = weights @ vector
        vector = vector / vector.norm()
        angles.append(vector[:-1].norm().log().item())
    return (angles[1499] - angles[999]) / 500


@claim(
    MatrixPower,
    "steps after which 1.5ᵗ is infinite in float32",
    stated=219,
    within=(219, 219),
    source="ln(3.4e38)/ln 1.5 = 218.8",
    formula=True,
)
def overflow(problem: MatrixPower) -> float:
    state, steps = torch.ones((), dtype=torch.float32), 0
    while state.isfinite():
        state, steps = 1.5 * state, steps + 1
    return float(steps)


def portrait(problem: MatrixPower) -> Curves:
    at = torch.arange(0, 201, 10)
    kinds = {
        "symmetric": (0.9838, {"kind": "symmetric", "low": 0.01, "high": 0.9838}),
        "orthogonal": (1.0, {"kind": "orthogonal"}),
        "0.9 I + 0.5 N": (0.9, {"kind": "non_normal", "low": 0.4, "high": 1.4}),
    }
    return Curves(
        caption="Predicted: t ln ρ, growth by the largest eigenvalue ρ in each step. It holds where W is normal, but "
        "for an offset. The non-normal W = 0.9 I + 0.5 N of dimension 100 multiplies a vector by e⁶⁵ where its "
        "eigenvalues promise e⁻²¹.",
        x_label="step t",
        y_label="ln(|vₜ| / |v₀|)",
        lines={name: (at, at * math.log(rho)) for name, (rho, _) in kinds.items()},
        dots={
            name: (at, growths(problem, 200, 20, **fields).mean(-1)[at])
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
