"""How often a removal that does nothing is called a cause, and how often one that helps is found."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas

from benchmarks.analysis.causes import CLEARLY, LEVEL, holm, sign_flip
from benchmarks.simulations.breaking_points import Search, pick

TITLE = "Causes"
RULE = """
A cause of failure is measured by removing it: the search is repeated without it, at the first rung where the optimizer
is clearly broken (at most 20 % of the instances are solved, or else the fewest) and at harder rungs, until fewer than
half of the instances are solved. The cause holds if more instances are solved without it than chance explains: a
one-sided randomization test on paired instances, with Holm's correction over the searched removals. A removal is
searched only if one of the settings at which it is tried (ten in this simulation) solves more tuning instances than the
tuned setting does. If no cause holds, the best removal is combined with each of the others.

A removal that changes nothing gives the same bits, and is never called a cause. The simulation is about a harder case:
removals that change nothing but chance. Either each run draws *other noise*, or *other trials* are searched as well,
because a removal may have this effect if every trial has its own luck. The instances stay the same, and half of the
noise belongs to them.

*Called* is the share of jobs (one optimizer on one problem) in which at least one of the removals is called a cause.
*Found* is the share in which a removal that lets the tuned setting of most searches solve 90 % of the instances is
called a cause, among others that do nothing. Both are shares of clearly broken jobs. The column *solved* is the share
that a tuned setting truly solves, in the mean over searches. It may be large, because the first of many rungs at which
at most 20 % are solved is often one with bad luck. *Barely broken* are the jobs that solve fewer than half of the
instances, but more than 20 %, at a single rung. The last two columns also require that 80 % of the instances are solved
without the cause, a rule that is not in use.

The shares are not below 5 % where chance is large, for two reasons. First, rungs are chosen by the same instances.
Second, Holm's correction allows for other instances, but not for other searches: all removals are compared with the
same search, and if that search was unlucky, any other is better. So a cause is certain only if hardly any instance is
solved with it and nearly all are solved without it.
"""
SHARES = (0.05, 0.2, 0.45)  # of instances that a tuned trial solves, in the mean over searches
CURED = 0.9  # the same without the cause
REMOVALS = (1, 6)
NEAR = 9  # learning rates that are tried beside the tuned one
TUNING = 5  # instances, of 15
MANY = 0.8  # of the reporting instances: solved at least without a cause, by the stricter rule


def simulate(jobs: int = 2000) -> pandas.DataFrame:
    """Return the shares of jobs with a false cause, and with the true one, by search, solved share and removals."""
    searches = {
        "every trial has luck of its own": Search(luck=0.25, noise=0.07),
        "smooth in one hyperparameter": Search(luck=0.0, noise=0.07, slope=6.0),
    }
    rows = []
    for name, search in searches.items():
        easy = _dial(search, CURED)
        for share in SHARES:
            dial = _dial(search, share)
            for count in REMOVALS:
                noise, trials, found = (
                    _called(search, dial, count, jobs, **how)
                    for how in (
                        {"trials": False},
                        {"trials": True},
                        {"trials": True, "eased": dial - easy},
                    )
                )
                figures = {
                    "called, other noise": noise[0],
                    "called, other trials": trials[0],
                    "found": found[0],
                    "called, barely broken": trials[2],
                    "called if 80 % are solved": trials[1],
                    "found if 80 % are solved": found[1],
                }
                percent = {column: f"{100 * each:.1f} %" for column, each in figures.items()}
                rows.append({"search": name, "solved": share, "removals": count, **percent})
    return pandas.DataFrame(rows)


@dataclass(frozen=True)
class _Jobs:
    """Many jobs at a rung, (jobs, …).

    luck, u: of the first trials, (jobs, sobol).
    instances: the instances' part of the noise, (jobs, 1, 15).
    tuned: the threshold of the tuned trial, (jobs).
    solved: which instances that trial solves, (jobs, 15).
    """

    luck: np.ndarray
    u: np.ndarray
    instances: np.ndarray
    tuned: np.ndarray
    solved: np.ndarray

    def __getitem__(self, which: np.ndarray) -> _Jobs:
        return _Jobs(*(getattr(self, each.name)[which] for each in fields(self)))


def _searched(
    search: Search,
    generator: np.random.Generator,
    dial: float,
    luck: np.ndarray,
    u: np.ndarray,
    instances: np.ndarray,
) -> _Jobs:
    """Return the tuned trials of searches with these first trials."""
    thresholds = luck + search.given(u)
    noise = search.part(generator, *thresholds.shape, instances.shape[-1]) + instances
    parent = pick(dial + noise[..., :TUNING], thresholds)[:, None]
    of_parent = (np.take_along_axis(each, parent, 1)[:, 0] for each in (luck, u))
    refined = search.refinements(generator, *of_parent)
    thresholds = np.concatenate([thresholds, refined], axis=1)
    more = search.part(generator, *refined.shape, instances.shape[-1]) + instances
    noise = np.concatenate([noise, more], axis=1)
    chosen = pick(dial + noise[..., :TUNING], thresholds)[:, None]
    tuned = np.take_along_axis(thresholds, chosen, 1)
    margin = dial + np.take_along_axis(noise, chosen[..., None], 1)[:, 0] - tuned
    return _Jobs(luck, u, instances, tuned[:, 0], margin <= 0)


def _jobs(search: Search, generator: np.random.Generator, dial: float, count: int) -> _Jobs:
    instances = search.part(generator, count, 1, 15)
    return _searched(search, generator, dial, *search.first(generator, count), instances)


def _dial(search: Search, share: float) -> float:
    """Return the dial at which tuned trials solve this share of the instances, in the mean over searches."""
    from scipy import optimize, stats

    def surplus(dial: float) -> float:
        jobs = _jobs(search, np.random.default_rng(0), dial, 4000)
        return float(stats.norm.cdf((jobs.tuned - dial) / search.noise).mean() - share)

    return float(optimize.brentq(surplus, -3, 3, xtol=1e-3))  # type: ignore[arg-type]


def _called(
    search: Search, dial: float, count: int, jobs: int, *, trials: bool, eased: float = 0.0
) -> tuple[float, float, float]:
    """Return the share of clearly broken jobs with a cause, and by the stricter rule, and that of barely broken jobs.

    Args:
        search: The kind of search.
        dial: The rung at which jobs are run; those that break there count.
        count: How many removals each has.
        jobs: How many jobs are run.
        trials: True if a removal has other trials, False if only its runs' noise is new.
        eased: By how much the first removal makes all instances easier; if not 0, it alone is looked for.
    """
    generator = np.random.default_rng(0)
    base = _jobs(search, generator, dial, jobs)
    base = base[base.solved[:, TUNING:].mean(axis=1) < 0.5]
    harder = _searched(search, generator, dial + 1, base.luck, base.u, base.instances)
    alone = [
        _removed(search, generator, dial - eased * (k == 0), base, harder, trials)
        for k in range(count)
    ]
    pairs = [
        _removed(search, generator, dial, base, harder, trials)
        for _ in range(0 if eased else count - 1)
    ]
    before = base.solved[:, :TUNING].sum(axis=1)
    clear = base.solved[:, TUNING:].mean(axis=1) <= CLEARLY
    called = np.zeros((2, len(base.tuned)), dtype=bool)
    for job in range(len(base.tuned)):
        tried = [each for each in alone if each.tried[job] >= min(before[job] + 1, TUNING)]
        if not tried:
            continue
        holds = holm([each.p[job] for each in tried]) <= LEVEL
        if not holds.any():
            best = max(each.tried[job] for each in tried)
            tried += [each for each in pairs if each.tried[job] >= min(best + 1, TUNING)]
            holds = holm([each.p[job] for each in tried]) <= LEVEL
        holds &= [not eased or each is alone[0] for each in tried]
        called[0, job] = holds.any()
        called[1, job] = (holds & [each.cured[job] for each in tried]).any()
    clearly, strictly = called[:, clear].mean(axis=1)
    return float(clearly), float(strictly), float(called[0, ~clear].mean())


@dataclass(frozen=True)
class _Removals:
    """One removal of each of many jobs, (jobs).

    tried: how many tuning instances the best of a few settings solves.
    p: its p-value.
    cured: True if at least `MANY` of the reporting instances are solved.
    """

    tried: np.ndarray
    p: np.ndarray
    cured: np.ndarray


def _removed(
    search: Search,
    generator: np.random.Generator,
    dial: float,
    base: _Jobs,
    harder: _Jobs,
    trials: bool,
) -> _Removals:
    """Return a removal of each job: tried, and searched at the rung and, if half are solved there, at the next."""
    jobs = len(base.tuned)
    luck, u = replace(search, sobol=NEAR).first(generator, jobs)
    near = np.concatenate([base.tuned[:, None], luck + search.given(u)], axis=1)
    noise = search.part(generator, *near.shape, TUNING) + base.instances[..., :TUNING]
    tried = (dial + noise <= near[..., None]).sum(axis=-1).max(axis=-1)
    first = search.first(generator, jobs) if trials else (base.luck, base.u)
    here, there = (
        _searched(search, generator, each, *first, base.instances) for each in (dial, dial + 1)
    )
    more, later = (
        mine.solved[:, TUNING:].astype(int) - theirs.solved[:, TUNING:]
        for mine, theirs in ((here, base), (there, harder))
    )
    solved = here.solved[:, TUNING:].mean(axis=1)
    p = np.array([sign_flip(each) for each in more + (solved >= 0.5)[:, None] * later])
    return _Removals(tried, p, solved >= MANY)
