"""Noise is what it says it is, and leaves the truth alone."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from problems import PROBLEMS
from problems.modifiers import NOISES, Noisy, noisy, transformed
from ravine import Refused

QUADRATIC = PROBLEMS["quadratic"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def errors(name, steps, dim=50, seed=0, **fields):
    """What a noise of strength 1 adds, (steps, dim)."""
    noise = replace(NOISES[name], strength=1.0, **fields)
    return torch.stack(list(itertools.islice(noise.errors(dim, generator(seed)), steps)))


def seen(problem, data, steps=1, seed=0):
    """The gradients seen at the start, one a step."""
    stream, memory = problem.draws(data, generator(seed)), None
    for draw in itertools.islice(stream, steps):
        gradient = problem.sampled_value_and_gradient(data["start"], data, draw)[1]
        gradient, memory = problem.seen(gradient, data, draw, memory)
        yield gradient


@pytest.mark.parametrize("name", NOISES)
def test_the_truth_stays_what_it_is(name):
    problem = noisy(QUADRATIC, name)
    data, plain = problem.example(), QUADRATIC.example()
    x = data["start"] + 0.1
    assert torch.equal(data["start"], plain["start"])
    assert torch.equal(problem.loss(x, data), QUADRATIC.loss(x, plain))
    assert torch.equal(problem.hessian(x, data), QUADRATIC.hessian(x, plain))
    assert problem.distance(x, data) == QUADRATIC.distance(x, plain)
    assert problem.floor(data) == 0
    assert problem.card.target == 0.01
    assert problem.settings["noise"] == name


@pytest.mark.parametrize("name", ["biased_gradient", "golf_hole", "sign_compression"])
def test_a_predicted_share_is_that_of_the_problem_without_noise(name):
    plain = PROBLEMS[name]
    assert plain.predicted_share() is not None
    noiseless = noisy(plain, "gaussian", 0.0)
    same = noiseless.card.target == plain.card.target
    assert noiseless.predicted_share() == (plain.predicted_share() if same else None)
    assert noisy(plain, "gaussian", 1e-3).predicted_share() is None


def test_a_predicted_share_is_not_passed_on_with_a_larger_target():
    """Within its budget no method comes within 1e-3 of the minimum, but momentum comes within 0.01."""
    plain = replace(PROBLEMS["nesterov_worst"], horizon=60)
    assert plain.predicted_share() == 0.0
    for strength in (0.0, 1e-3):
        problem = noisy(plain, "gaussian", strength)
        assert problem.card.target > plain.card.target and problem.predicted_share() is None


@pytest.mark.parametrize("name", ["product_cliff", "generalized_smoothness"])
def test_a_problem_s_own_test_of_being_solved_is_kept_with_its_target(name):
    """A relative gap of 0.01 would be reached much earlier, because both start at a huge loss."""
    inner = PROBLEMS[name]
    problem = noisy(inner, "gaussian")
    data, (solution, *_) = problem.example(), inner.critical_points(inner.example())
    start, end = data["start"], solution.x
    way = torch.linspace(0, 1, 1001).unsqueeze(-1) ** 3
    x = end + way * (start - end)
    floor = problem.floor(data)
    gap = (problem.loss(x, data) - floor) / (problem.loss(start, data) - floor)
    solved = problem.solved(x, gap, None, data)
    assert torch.equal(solved, inner.solved(x, gap, None, data["inner"]))
    assert solved[0] and ((gap <= problem.card.target) & ~solved).any()


@pytest.mark.parametrize("name", NOISES)
def test_strength_none_is_no_noise(name):
    problem = noisy(QUADRATIC, name, 0.0)
    assert problem.draws(problem.example(), generator()) is None


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_visible_at_the_second_rung_and_not_on_the_control(name):
    problem = noisy(QUADRATIC, name)
    problem = problem.at_dial(problem.card.ladder[1])
    assert problem.dial == problem.card.ladder[1]
    for seed in range(3):
        assert problem.signature(problem.example(seed)) >= problem.card.threshold
        control = problem.control()
        assert control.signature(control.example(seed)) < problem.card.threshold


def test_the_signature_of_a_delay_grows_with_the_delay():
    """An even one shows, too: the gradient that turns round is seen with the old sign for `delay` of 64 steps."""
    for delay in (1.0, 2.0, 3.0, 4.0, 8.0, 31.0, 32.0):
        problem = noisy(QUADRATIC, "delayed", delay)
        assert problem.signature(problem.example()) == pytest.approx(2 * math.sqrt(delay / 64))


@pytest.mark.parametrize("name", NOISES)
def test_draws_repeat_and_differ(name):
    problem = noisy(QUADRATIC, name)
    data = problem.example()
    first, same, other = (torch.stack(list(seen(problem, data, 9, seed))) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    deterministic = {"delayed", "quantised", "sign_compressed"}
    assert torch.equal(first, other) == (name in deterministic)


@pytest.mark.parametrize("name", ["gaussian", "heavy_tailed", "correlated", "biased"])
def test_values_and_gradients_agree(name):
    problem = noisy(QUADRATIC, name, 1.0)
    data = problem.example()
    draw = next(problem.draws(data, generator()))
    x = data["start"] + 0.3
    value, gradient = problem.sampled_value_and_gradient(x, data, draw)
    expected, expected_value = torch.func.grad_and_value(problem.sampled_loss)(x, data, draw)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(gradient, expected)
    assert not torch.allclose(gradient, problem.value_and_gradient(x, data)[1])


def test_strength_is_in_units_of_the_gradient_at_the_start():
    for problem in (noisy(QUADRATIC, "gaussian", 1.0), noisy(PROBLEMS["cliff"], "gaussian", 1.0)):
        data = problem.example()
        exact = problem.value_and_gradient(data["start"], data)[1]
        squares = [(each - exact).square().sum() for each in seen(problem, data, 200)]
        assert torch.stack(squares).mean() / exact.square().sum() == pytest.approx(1, abs=0.2)


def test_gaussian_numbers_are_independent():
    found = errors("gaussian", 2000)
    assert found.mean().abs() < 5 / math.sqrt(found.numel())
    assert found.var() == pytest.approx(1, abs=0.03)
    assert (found[1:] * found[:-1]).mean().abs() < 5 / math.sqrt(found.numel())


def test_heavy_tails_have_the_stable_law():
    """E cos(tX) = exp(−|t|^1.5), and P(|X| > 10) ≈ 2 c 10^−1.5 with c = Γ(1.5) sin(3π/4)/π."""
    found = errors("heavy_tailed", 4000)
    for t in (0.3, 1.0, 2.0):
        assert (t * found).cos().mean() == pytest.approx(math.exp(-(t**1.5)), abs=0.01)
    tail = 2 * math.gamma(1.5) * math.sin(0.75 * math.pi) / math.pi * 10**-1.5
    assert (found.abs() > 10).double().mean() == pytest.approx(tail, rel=0.15)
    assert found.isfinite().all()


def test_correlated_numbers_are_correlated():
    found = errors("correlated", 4000)
    assert found.var() == pytest.approx(1, abs=0.05)
    for lag in (1, 3):
        assert (found[lag:] * found[:-lag]).mean() == pytest.approx(0.9**lag, abs=0.05)


def test_a_bias_stays():
    found = errors("biased", 3)
    assert torch.equal(found[0], found[2])
    assert found[0].norm() == pytest.approx(math.sqrt(50))
    assert not torch.equal(found[0], errors("biased", 1, seed=1)[0])


def test_a_delayed_gradient_is_an_earlier_one():
    noise = replace(NOISES["delayed"], strength=3.0)
    gradients = torch.arange(8.0)[:, None, None].expand(8, 2, 1)  # two runs
    memory, came = None, []
    for gradient in gradients:
        delayed, memory = noise.seen(gradient, torch.ones(1), memory)
        came.append(delayed[0, 0].item())
    assert came == [0, 0, 0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("delay", [1, 4])
def test_delay_lowers_the_largest_stable_rate(delay):
    """To 2 sin(π/(4τ + 2)) on a curvature of 1."""
    edge = 2 * math.sin(math.pi / (4 * delay + 2))
    noise = replace(NOISES["delayed"], strength=float(delay))
    rates = torch.tensor([[0.98 * edge], [1.02 * edge]])
    x, memory = torch.ones(2, 1), None
    for _ in range(3000):
        gradient, memory = noise.seen(x, torch.ones(1), memory)
        x = x - rates * gradient
    assert x[0].abs() < 1
    assert x[1].abs() > 100


def test_quantised_gradients_are_multiples():
    noise = replace(NOISES["quantised"], strength=0.5)
    unit = torch.tensor([2.0])
    found, _ = noise.seen(torch.tensor([[0.49, -0.51, 1.6, 0.0]]), unit, None)
    assert found.tolist() == [[0.0, -1.0, 2.0, 0.0]]


def test_signs_have_the_mean_size():
    noise = replace(NOISES["sign_compressed"], strength=1.0)
    found, _ = noise.seen(torch.tensor([[3.0, -1.0, 0.0, 0.0]]), torch.ones(1), None)
    assert found.tolist() == [[1.0, -1.0, 0.0, 0.0]]
    half, _ = replace(noise, strength=0.5).seen(torch.tensor([[3.0, -1.0]]), torch.ones(1), None)
    assert half.tolist() == [[2.5, -1.5]]


def test_noise_comes_on_top_of_noise_of_the_problem_itself():
    plain = PROBLEMS["noisy_quadratic"]
    problem = noisy(plain, "gaussian", 0.5)
    data = problem.example()
    draw = next(problem.draws(data, generator()))
    assert set(draw) == {"noise", "inner"}
    x = data["start"]
    inner = plain.sampled_value_and_gradient(x, data["inner"], draw["inner"])[1]
    both = problem.sampled_value_and_gradient(x, data, draw)[1]
    torch.testing.assert_close(both - inner, draw["noise"]["error"])


def test_the_ladder_walks_along_the_noise_or_along_the_problem():
    problem = noisy(QUADRATIC, "gaussian")
    assert problem.at_dial(3.0).noise.strength == 3.0
    along = replace(problem, walks="problem")
    assert along.card.ladder == QUADRATIC.card.ladder
    assert along.at_dial(10.0).inner.condition == 10.0
    assert along.dial_column == "problem.condition"


def test_noise_and_transforms_combine():
    problem = noisy(transformed(QUADRATIC, ["rotate", "shift"]), "quantised", 0.1)
    assert problem.settings == QUADRATIC.settings | {
        "transform": "rotate+shift",
        "noise": "quantised",
        "noise.strength": 0.1,
    }
    assert isinstance(problem, Noisy)
    (gradient,) = seen(problem, problem.example())
    assert len(gradient.unique()) < 50


def test_refuses_what_is_no_strength():
    for name, strength, message in [
        ("gaussian", -1.0, "noise.strength is -1.0, but must be a number, at least 0"),
        ("delayed", 0.5, "must be a whole number of steps"),
        ("sign_compressed", 2.0, "at most 1"),
    ]:
        with pytest.raises(Refused, match=message):
            noisy(QUADRATIC, name, strength)
    with pytest.raises(Refused, match="did you mean gaussian"):
        noisy(QUADRATIC, "gausian")
