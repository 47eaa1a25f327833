"""Ranks of one rung: no rank contradicts a paired comparison, and equal optimizers mostly share one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from benchmarks.analysis.intervals import sign_test
from benchmarks.analysis.ranks import places, ranks
from benchmarks.simulations.ranks import simulate

MISS = np.inf


def rows(*paid):
    return np.array(paid, dtype=float)


def p_and_wins(one, other):
    wins, losses = int((one < other).sum()), int((one > other).sum())
    return sign_test(wins, losses), wins - losses


def random_tables(count):
    """Tables of different optimizers with ties, misses, and instances that are hard for all."""
    generator = np.random.default_rng(3)
    for _ in range(count):
        optimizers, instances = generator.integers(1, 9), generator.choice([6, 10, 25])
        spread = generator.choice([0.3, 1.0, 3.0], (optimizers, 1))  # some are erratic
        means = generator.choice([0.0, 1.0, 2.0], (optimizers, 1))
        paid = np.round(2 * (means + spread * generator.normal(size=(optimizers, instances))))
        yield np.where(paid > generator.choice([1.0, 4.0, MISS]), MISS, paid)


def test_places_are_the_mean_ranks_within_instances():
    for paid in random_tables(50):
        assert places(paid, paid) == pytest.approx(rankdata(paid, axis=0).mean(axis=1))


def test_one_outside_the_pool_stands_where_its_equal_in_the_pool_does():
    pool = rows([1, 2, 3], [2, 2, MISS], [5, 1, MISS])
    assert places(pool[1:2], pool) == places(pool, pool)[1]
    assert places(rows([0, 0, 0]), pool) == 0.5  # ahead of the first


def test_ranks_are_shared_by_whom_nothing_tells_apart():
    fast, slow, never = np.full(10, 10.0), np.full(10, 20.0), np.full(10, MISS)
    assert ranks(rows(never, fast, slow)).tolist() == [3, 1, 2]
    mixed = np.where(np.arange(10) < 4, 5.0, 15.0)  # faster on 4 of 10: chance
    assert ranks(rows(fast, mixed, never)).tolist() == [1, 1, 3]
    assert ranks(rows(never, never)).tolist() == [1, 1] and ranks(rows(fast)).tolist() == [1]


def test_who_is_better_on_nine_of_ten_is_not_behind_for_one_miss():
    steady, faster = np.full(10, 100.0), np.r_[np.full(9, 50.0), MISS]
    assert ranks(rows(steady, faster)).tolist() == [2, 1]


def test_a_rank_ends_at_its_first_and_not_at_its_neighbour():
    """1 ≈ 2 and 2 ≈ 3, but 1 ≠ 3: the third is compared with the first, and has its own rank."""
    first, second = np.full(10, 2.0), np.where(np.arange(10) < 3, 1.0, 3.0)
    third = np.where(np.arange(10) % 3 == 0, 2.5, 4.0)
    assert p_and_wins(first, second)[0] > 0.05 and p_and_wins(second, third)[0] > 0.05
    assert p_and_wins(first, third) == (sign_test(10, 0), 10)
    assert ranks(rows(first, second, third)).tolist() == [1, 1, 3]


def test_of_two_the_sign_test_decides():
    for instances in (5, 6, 8, 10, 25):
        for wins in range(instances + 1):
            for ties in range(instances - wins + 1):
                other = np.repeat([2.0, 1.0, 0.0], [wins, ties, instances - wins - ties])
                paid = rows(np.ones(instances), other)
                p, more = p_and_wins(*paid)
                expected = [1, 1] if p > 0.05 else [1, 2] if more > 0 else [2, 1]
                assert ranks(paid).tolist() == expected


@pytest.mark.parametrize(("wins", "instances"), [(9, 10), (19, 25)])
def test_a_pair_in_a_large_table_shares_the_level_with_the_others(wins, instances):
    """p = .021 and .015: enough for two alone, not for one of five pairs, at 5 % · 2/10."""
    better = np.zeros(instances)
    pair = rows(better, np.where(np.arange(instances) < wins, 1.0, -1.0))
    assert ranks(pair).tolist() == [1, 2]
    five = np.concatenate([pair + 10 * k for k in range(5)])
    assert ranks(five).tolist() == [1, 1, 3, 3, 5, 5, 7, 7, 9, 9]


def test_misses_and_costs_that_differ_by_rounding_are_ties():
    exact = np.full(10, 10.0)
    summed = np.nextafter(exact, 11)
    assert ranks(rows(exact, summed)).tolist() == [1, 1] == ranks(rows(summed, exact)).tolist()
    eight = [MISS] * 8
    assert ranks(rows([1] * 5 + [MISS] * 5, [MISS] * 10)).tolist() == [1, 1]  # 5 of 10
    assert ranks(rows([1, 2, *eight], [2, 1, *eight])).tolist() == [1, 1]


def test_no_rank_contradicts_a_paired_comparison():
    apart = 0
    for paid in random_tables(400):
        found, place = ranks(paid), places(paid, paid)
        firsts = {rank: np.flatnonzero(found == rank) for rank in set(found.tolist())}
        firsts = {rank: each[place[each].argmin()] for rank, each in firsts.items()}
        for i, j in itertools.permutations(range(len(paid)), 2):
            if found[i] < found[j]:
                assert place[i] < place[j]
                p, wins = p_and_wins(paid[i], paid[j])
                assert wins > 0 or p > 0.05
                if i == firsts[found[i]]:
                    apart += 1
                    assert wins > 0 and p <= 0.05
    assert apart > 300


def test_ranks_that_a_pair_contradicts_are_joined():
    """The first beats the third on nine instances and the second on eight only, but the third beats the second."""
    first, second = np.r_[np.full(8, -1.0), 10, 10], np.r_[np.full(8, 9.0), -2, -1]
    third = np.r_[np.full(8, 8.0), -3, 11]
    others = (np.arange(8)[:, None] + np.arange(10)) % 8
    paid = rows(first, second, third, *others)
    place = places(paid, paid)
    assert place[0] < place[1] < place[2]
    assert p_and_wins(first, third)[0] <= 0.05 < p_and_wins(first, second)[0]
    assert p_and_wins(third, second) == (sign_test(9, 1), 8)
    assert set(ranks(paid).tolist()) == {1}


def test_equal_mean_places_share_a_rank():
    first = [0, 0, -1, -1, 2, 2, 0, 0, 2, 1]
    steady, erratic = [2, 3, 1, 3, 2, 1, 1, 2, 3, 1], [1, 1, 2, 2, 0, 3, 3, 1, 3, 3]
    paid = rows(first, steady, erratic)
    assert places(paid, paid)[1] == places(paid, paid)[2]
    for order in ([0, 1, 2], [0, 2, 1]):
        assert ranks(paid[order]).tolist() == [1, 1, 1]


def test_few_tables_state_something_false():
    found = simulate(tables=60)
    false = found.filter(like="false").map(lambda each: float(each.removesuffix(" %")))
    adjusted = false.drop(columns="false, unadjusted").to_numpy()
    assert (
        adjusted.mean() <= 5 and adjusted.max() <= 100 * 8 / 60
    )  # 9 of 60 are more than chance makes of 5 %
    ten = found["truth"].eq("10 equal") & found["instances"].eq(10)
    assert false.loc[ten, "false, unadjusted"].item() > 15
    apart = found.set_index(["truth", "instances"])["apart"].str.removesuffix(" %")
    for truth in ("two groups of 5, by 2", "four groups of 3, by 2", "one ahead of 9 equal by 3"):
        assert float(apart[truth, 10]) > 80 and float(apart[truth, 25]) > 99
