"""What is known about the network on digits beside its claims."""

from __future__ import annotations

import math

import pytest
import torch

from problems.ill_conditioning.digits_cnn import DigitsCnn


def network(problem):
    """The same in torch's modules."""
    few, many = problem.channels, 2 * problem.channels
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, few, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(few, many, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * many, 10),
    )


def test_network_is_that_of_torchs_modules():
    problem = DigitsCnn(channels=3)
    data, modules = problem.example(), network(problem)
    assert tuple(tuple(each.shape) for each in modules.parameters()) == problem.shapes
    torch.nn.utils.vector_to_parameters(data["start"], modules.parameters())
    images, labels = data["images"][:128], data["labels"][:128]
    logits = modules(images.view(-1, 1, 8, 8))
    torch.testing.assert_close(problem.logits(data["start"], images), logits)
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(problem.loss(data["start"], data), expected)


def test_start_has_the_bounds_of_torchs_default():
    problem = DigitsCnn(channels=16)
    start = problem.example()["start"]
    parts = start.split([math.prod(shape) for shape in problem.shapes])
    modules = network(problem).parameters()
    inputs = [math.prod(shape[1:]) for shape in problem.shapes[::2] for _ in range(2)]
    for part, module, count in zip(parts, modules, inputs, strict=True):
        bound = 1 / math.sqrt(count)
        assert module.detach().abs().max() <= bound
        assert part.min() < 0
        assert 0.7 * bound < part.abs().max() <= bound


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.5])
def test_labels_are_wrong_as_often_as_stated(noise):
    """A tenth of those drawn anew are right by chance; rungs draw the same otherwise."""
    data, clean = DigitsCnn(noise=noise).example(), DigitsCnn(noise=0.0).example()
    wrong = (data["labels"] != clean["labels"]).double().mean().item()
    # Four standard errors of 1400.
    assert wrong == pytest.approx(0.9 * noise, abs=4 * 0.5 / math.sqrt(1400))
    assert torch.equal(data["start"], clean["start"])
    assert torch.equal(data["unseen"]["labels"], clean["unseen"]["labels"])
    assert (len(data["labels"]), len(data["unseen"]["labels"])) == (1400, 397)
    assert data["images"].max() == 1


def test_floor_is_the_entropy_of_a_label():
    data = DigitsCnn().example()
    assert DigitsCnn(noise=0.0).floor(data) == 0
    expected = -0.73 * math.log(0.73) - 9 * 0.03 * math.log(0.03)
    assert DigitsCnn(noise=0.3).floor(data) == pytest.approx(expected, rel=1e-12)


def test_the_mean_over_an_epoch_is_the_loss_on_all_images():
    problem = DigitsCnn(batch=200, channels=2)
    data = problem.example()
    stream = problem.draws(data, torch.Generator().manual_seed(0))
    losses = [problem.sampled_loss(data["start"], data, next(stream)) for _ in range(7)]
    whole = problem.cross_entropy(data["start"], data)
    torch.testing.assert_close(torch.stack(losses).mean(), whole)


def test_accuracy_counts_unseen_images():
    problem = DigitsCnn(channels=2)
    data = problem.example()
    found = problem.logits(data["start"], data["unseen"]["images"]).argmax(-1)
    data["unseen"]["labels"] = torch.where(torch.arange(397) < 100, found, (found + 1) % 10)
    columns = problem.at_end(data["start"], torch.zeros(()), data)
    assert columns["accuracy"] == pytest.approx(100 / 397)


@pytest.mark.parametrize("name", ["minibatch_growth", "minibatch_growth_with_more_noise"])
def test_the_figure_of_the_book_is_said_to_state_what_it_states(name):
    """That the norm increases; by how much, it does not say."""
    stated = DigitsCnn().claims[name]
    assert "figure 8.1: it increases" in stated.source and "measured here" in stated.source
    assert stated.stated == "above 1" and not stated.holds(1.0)
