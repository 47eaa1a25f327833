"""Planted pathologies: a cause is found where it was put, and not where it was taken away; of two, both are."""

from __future__ import annotations

import pandas
import pytest

NOISE = "noise=gaussian noise.strength"
SIZE = "trials=13 seeds=10 hydra/launcher=basic"

# The cause, a problem that has it, and the same problem with the same minimum that breaks for another cause.
PLANTED = [
    (
        "ill_conditioning",
        "+problem=quadratic problem.dim=10 problem.condition=1e4 budget=300 optimizer=sgd",
        f"+problem=quadratic problem.dim=10 problem.condition=1 budget=300 optimizer=sgd {NOISE}=3",
    ),
    (
        "cliff",
        "+problem=cliff problem.units=12 budget=300 optimizer=sgd",
        f"+problem=cliff problem.units=12 problem.steps=5 budget=300 optimizer=sgd {NOISE}=3",
    ),
    (
        "saddle",
        "+problem=strict_saddle problem.ratio=300 optimizer=sgd",
        f"+problem=strict_saddle problem.ratio=10 problem.offset=1 optimizer=newton {NOISE}=1",
    ),
    (
        "local_minimum",
        "+problem=rastrigin problem.amplitude=0.3 optimizer=sgd",
        f"+problem=rastrigin problem.amplitude=0.05 optimizer=sgd {NOISE}=3",
    ),
    (
        "noise",
        "+problem=noisy_quadratic problem.dim=20 problem.noise=1 budget=300 optimizer=sgd",
        "+problem=noisy_quadratic problem.dim=20 problem.noise=0 budget=10 optimizer=sgd",
    ),
]


def causes(ravine, files, command):
    """The causes that hold, and all that were asked."""
    code, _, err = ravine(f"{command} {SIZE} explain=true out=swept")
    assert code == 0, err
    table = pandas.read_csv(files / "swept" / "explained.csv")
    return [set(found["cause"]) for found in (table[table["holds"]], table)]


@pytest.mark.slow
@pytest.mark.parametrize(("cause", "ill", "well"), PLANTED, ids=[name for name, *_ in PLANTED])
def test_a_cause_is_found_where_it_was_put_and_nowhere_else(cause, ill, well, ravine, files):
    holds, _ = causes(ravine, files, ill)
    assert cause in holds
    (files / "swept").rename(files / "ill")
    holds, asked = causes(ravine, files, well)
    assert asked  # it breaks
    assert not any(cause in each for each in holds)
    if "noise=gaussian" in well:
        assert holds == {"noise"}


@pytest.mark.slow
def test_noise_on_an_ill_conditioned_bowl_is_found_as_two_causes(ravine, files):
    command = f"+problem=quadratic problem.dim=10 problem.condition=1e3 budget=300 optimizer=sgd {NOISE}=1"
    holds, _ = causes(ravine, files, command)
    assert any(set(each.split("+")) == {"noise", "ill_conditioning"} for each in holds)


@pytest.mark.slow
def test_of_a_rotated_valley_with_bias_both_must_be_taken_away(ravine, files):
    """Neither helps alone, not even when it is tried."""
    command = (
        "+problem=rosenbrock transform=[rotate] noise=biased noise.strength=0.03 optimizer=sgd"
    )
    holds, asked = causes(ravine, files, command)
    assert holds == {"ill_conditioning+wrong_direction"}
    assert {"ill_conditioning", "wrong_direction"} <= asked
