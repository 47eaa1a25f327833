"""What is measured along a run, against what is known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.measurements import CHAIN_POSITIONS, DRAWS, curvature, noise, stability
from optimizers.sgd import SGD
from problems import PROBLEMS
from problems.geometry import random_rotation
from problems.modifiers.noises import Biased, Gaussian, Noisy
from tests.benchmarks.problems_for_tests import Bowl

SPECTRA = {
    "a saddle": [1.0, -1.0],
    "a steep saddle": [1.0, -10.0],
    "degenerate": [2.0, 2.0, 2.0, 0.0],
    "clustered": [1.0, 1.0 + 1e-9, -1e-3, -1e-3, 5.0],
    "nothing but flat": [0.0, 0.0, 0.0],
    "over nine decades": [1e-9, 1e-4, 1.0, 7.0],
}


@pytest.mark.parametrize("name", SPECTRA)
def test_curvature_and_what_is_left_to_gain(name):
    """Against ½ Σ gᵢ²/(|λᵢ| + δ), with gᵢ along known axes."""
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor(SPECTRA[name], dtype=torch.float64)
    basis = random_rotation(len(values), generator).double()
    along = torch.randn(3, len(values), generator=generator, dtype=torch.float64)
    along[2] = 0.0  # at rest
    hessian = ((basis * values) @ basis.T).expand(3, -1, -1)
    found = curvature(hessian, along @ basis.T)
    delta = math.sqrt(torch.finfo(torch.float64).eps) * values.abs().max()
    gains = torch.where(along == 0, 0.0, 0.5 * along**2 / (values.abs() + delta))
    near = {"rtol": 1e-6, "atol": 1e-12}  # eigenvalues of 1e-9 have lost half of their digits
    torch.testing.assert_close(found["lambda_min"], values.min().expand(3), **near)
    torch.testing.assert_close(found["lambda_max"], values.max().expand(3), **near)
    torch.testing.assert_close(found["decrease"], gains.sum(-1), **near)
    if name != "degenerate":  # there the sign of a zero eigenvalue is a matter of rounding
        torch.testing.assert_close(
            found["decrease_negative"], torch.where(values < 0, gains, 0.0).sum(-1), **near
        )


def test_share_of_a_preconditioned_limit_is_the_largest_eigenvalue_of_both():
    """λmax(P⁻¹H) of a matrix that is not symmetric, by numpy's solver for such."""
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    hessian, share = root @ root.T - 2 * torch.eye(5), torch.rand(5, generator=generator).double()
    expected = np.linalg.eigvals((share[:, None] * hessian).numpy()).real.max()
    found = stability(hessian[None], torch.zeros(1), share[None])
    assert found.item() == pytest.approx(expected, rel=1e-10)


@dataclass(frozen=True)
class Tilted(Bowl):
    """Draws that are known: the gradient is seen with bias b and one of two opposite errors ±e along an axis."""

    bias: float = 0.5
    error: float = 0.25

    def draws(self, data, generator):
        while True:
            yield {"sign": torch.tensor(1.0)}
            yield {"sign": torch.tensor(-1.0)}

    def seen(self, gradient, data, draw, memory):
        step = torch.zeros_like(gradient)
        step[..., 0] = self.bias
        step[..., 1] = self.error
        step[..., 1] *= draw["sign"][..., 0] if draw["sign"].dim() else draw["sign"]
        return gradient + step, memory


def measured(problem, x, count=DRAWS):
    data = problem.example()
    stream = problem.draws(data, torch.Generator().manual_seed(3))
    draws = [next(stream) for _ in range(count)]
    gradient = problem.value_and_gradient(x, data)[1]
    return noise(problem, x, data, draws, gradient, problem.hessian(x, data)), gradient, data


def test_noise_and_bias_of_known_draws():
    """S is e² along one axis: tr S = e² n/(n − 1) by the unbiased formula, tr(HS) = λ₁ of it."""
    problem = Tilted()
    x = problem.example()["start"][None] + 3.0
    found, gradient, data = measured(problem, x)
    curvatures = problem.hessian(x, data)[0].diagonal()
    variance = problem.error**2 * DRAWS / (DRAWS - 1)
    assert found["noise_sq"].item() == pytest.approx(variance, rel=1e-12)
    assert found["noise_h"].item() == pytest.approx(curvatures[1].item() * variance, rel=1e-12)
    assert found["bias_sq"].item() == pytest.approx(problem.bias**2 - variance / DRAWS, rel=1e-10)
    seen = gradient[0].clone()
    seen[0] += problem.bias
    cosine = torch.cosine_similarity(seen, gradient[0], dim=0)
    assert found["bias"].item() == pytest.approx(cosine.item(), rel=1e-10)


def test_noise_of_a_modifier_within_its_own_error():
    """Gaussian noise has the variance (strength · |g₀|/√dim)² in each coordinate."""
    inner = PROBLEMS["quadratic"]
    problem = Noisy(replace(inner, dim=20), Gaussian(strength=0.5))
    data = problem.example()
    first = problem.value_and_gradient(data["start"], data)[1]
    found, _, _ = measured(problem, data["start"][None] + 1.0, count=500)
    variance = 0.25 * first.square().sum().item() / 20
    # 500 draws of 20 normal numbers: tr S is known to √(2/10,000), 1.4 %; four standard errors.
    assert found["noise_sq"].item() == pytest.approx(20 * variance, rel=0.06)
    trace = problem.hessian(data["start"], data).diagonal().sum().item()
    assert found["noise_h"].item() == pytest.approx(trace * variance, rel=0.2)


def test_bias_is_measured_exactly_where_there_is_no_noise_and_not_at_all_where_noise_hides_it():
    biased = Noisy(PROBLEMS["quadratic"], Biased(strength=0.3))
    data = biased.example()
    first = biased.value_and_gradient(data["start"], data)[1]
    found, _, _ = measured(biased, data["start"][None])
    assert found["bias_sq"].item() == pytest.approx(0.09 * first.square().sum().item(), rel=1e-6)
    noisy = Noisy(PROBLEMS["quadratic"], Gaussian(strength=1.0))
    found, _, _ = measured(noisy, noisy.example()["inner"]["minimizer"][None] + 1e-6)
    assert found["bias"].isnan().all() and found["bias_sq"].isnan().all()


def test_where_a_run_is_measured():
    """At the start, the tenth, the third and the end; and nowhere else."""
    instances = Instances(Bowl(steepness=100.0), ("a", "b"))
    found = run(SGD(lr=1e-4), instances, 1, 300.0)
    assert found.trace is not None
    found.trace.measure(instances.problem, instances.data, [0, 1], [0], [])
    rows = found.trace.run(1, 0)
    at = rows["step"][np.isfinite(rows["lambda_max"])]
    assert at[0] == 0 and at[-1] == 300 and len(at) == 4
    assert 30 <= at[1] <= 33 and 100 <= at[2] <= 112  # the schedule has 20 steps a decade
    assert rows["stability"][np.isfinite(rows["stability"])] == pytest.approx(
        [1e-4 * 100 / 2] * 4, rel=1e-6
    )
    assert rows["excess"] == pytest.approx(rows["loss"], rel=1e-6)  # of a bowl whose floor is 0


def test_draws_for_measuring_are_not_those_of_the_run():
    instances = Instances(PROBLEMS["noisy_quadratic"], ("a",))
    for_runs, for_measuring = instances.draws(), instances.draws("diagnosis")
    first, other = next(for_runs), next(for_measuring)
    (name,) = first
    assert not torch.equal(first[name], other[name])
    again = next(instances.draws("diagnosis"))
    assert torch.equal(other[name], again[name])


def test_chains_are_kept_at_a_few_positions_from_the_output_back():
    problem = replace(PROBLEMS["matrix_power"], dim=4, steps=30)
    instances = Instances(problem, ("a",))
    found = run(SGD(lr=1e-4), instances, 1, 20.0)
    assert found.trace is not None
    found.trace.measure(problem, instances.data, [0], [0], [])
    rows = found.trace.run(0, 0)
    whole = problem.chain(instances.data["start"], instances.data)[0, 0]
    kept = [rows[f"chain.{k}"][0] for k in range(CHAIN_POSITIONS)]
    assert kept == pytest.approx(whole[[0, 8, 15, 22, 30]].tolist(), rel=1e-6)
