"""Predict how optimizers are ordered on a task: from their profile on dialled problems, or from other real tasks.

A profile says, for each rung (a problem at one value of its dial), which share of the instances each optimizer solves.
A signature is what is measured of a task or a rung before any optimizer is compared: condition number, noise, negative
curvature and the like. All predictions are places: tasks × optimizers, lower is better, and only their order counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas

MOST = 3.0  # standard deviations: more counts as so many in the features of a ridge regression
RIDGE = 1.0  # weight of the penalty, in units of the mean square of a feature


def places(scores: pandas.DataFrame) -> pandas.DataFrame:
    """Return the places by scores of which more is better: row by row, in (0, 1), ties with their mean.

    NaN stays NaN: that optimizer does not apply. So places of rows with fewer optimizers are comparable.

    >>> places(pandas.DataFrame([[1.0, 0.5, 0.5, np.nan]]))
              0         1         2   3
    0  0.166667  0.666667  0.666667 NaN
    """
    ranks = scores.rank(axis=1, ascending=False)
    return ranks.sub(0.5).div(scores.notna().sum(axis=1), axis=0)


def by_mean(profile: pandas.DataFrame, tasks: pandas.Index) -> pandas.DataFrame:
    """Return the mean place over all problems, for each task the same.

    Args:
        profile: (problem, dial) × optimizers, the solved share.
        tasks: The tasks to predict.
    """
    of_problem = profile.groupby(level="problem").mean()
    mean = places(of_problem).mean()
    return pandas.DataFrame([mean] * len(tasks), index=tasks)


def distances(tasks: pandas.DataFrame, rungs: pandas.DataFrame) -> pandas.DataFrame:
    """Return how far the signature of each task is from that of each rung: tasks × rungs.

    A feature's unit is its standard deviation over the rungs; a distance is the root mean square over the features
    that both have.

    Args:
        tasks: Tasks × features.
        rungs: (problem, dial) × the same features.
    """
    scale = rungs.std(ddof=0).replace(0.0, np.nan)
    one, other = (each / scale for each in (tasks, rungs))
    squares = np.square(one.to_numpy()[:, None] - other.to_numpy()[None])
    known = np.isfinite(squares)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, squares, 0.0).sum(-1) / known.sum(-1)
    return pandas.DataFrame(np.sqrt(mean), tasks.index, rungs.index)


def by_nearest(
    profile: pandas.DataFrame,
    distance: pandas.DataFrame,
    count: int,
    farthest: bool = False,
) -> pandas.DataFrame:
    """Return the mean place over the rungs that are nearest in signature, at most one per problem.

    Args:
        profile: (problem, dial) × optimizers, the solved share.
        distance: What `distances` returns.
        count: How many rungs.
        farthest: Take the farthest instead.
    """
    on_rungs = places(profile).to_numpy()
    chosen = nearest_rungs(profile.index, distance, count, farthest)
    found = [pandas.DataFrame(on_rungs[rungs]).mean() for rungs in chosen]
    return pandas.DataFrame(found).set_axis(distance.index).set_axis(profile.columns, axis=1)


def nearest_rungs(
    rungs: pandas.Index, distance: pandas.DataFrame, count: int, farthest: bool = False
) -> Iterator[np.ndarray]:
    """Yield for each task the places in `rungs` of those nearest in signature, nearest first, one per problem at most.

    Args:
        rungs: (problem, dial), from which they are chosen.
        distance: What `distances` returns.
        count: How many rungs.
        farthest: Take the farthest instead.
    """
    problem, _ = pandas.factorize(rungs.get_level_values("problem"))
    for row in distance[rungs].to_numpy():
        known = np.isfinite(row).sum()
        order = np.argsort(-row if farthest else row, kind="stable")[:known]  # NaN comes last
        _, first = np.unique(problem[order], return_index=True)
        yield order[np.sort(first)[:count]]


def by_other_tasks(outcome: pandas.DataFrame, family: Mapping[str, str]) -> pandas.DataFrame:
    """Return the mean place on the tasks of all other families: the mean over each family, then over families.

    Args:
        outcome: Tasks × optimizers, the places.
        family: By task, its family.
    """
    of = outcome.index.map(family)
    means = outcome.groupby(of).mean()
    others = (means.sum() - means) / (len(means) - 1)
    return others.loc[of].set_axis(outcome.index)


def by_label(
    outcome: pandas.DataFrame, family: Mapping[str, str], label: Mapping[str, str]
) -> pandas.DataFrame:
    """Return the mean place on other task families of the optimizers of the same kind, without the optimizer.

    Args:
        outcome: Tasks × optimizers, the places.
        family: By task, its family.
        label: By optimizer, its kind, such as "signs".
    """
    elsewhere = by_other_tasks(outcome, family)
    kinds = np.array([label[name] for name in elsewhere.columns])
    alike = (kinds[:, None] == kinds) & ~np.eye(len(kinds), dtype=bool)
    alone = ~alike.any(1)  # of its kind: nothing is known, and the middle is as good as any
    weights = alike / np.maximum(alike.sum(1, keepdims=True), 1)
    found = elsewhere.to_numpy() @ weights.T
    found[:, alone] = elsewhere.to_numpy().mean(1, keepdims=True)
    return pandas.DataFrame(found, elsewhere.index, elsewhere.columns)


def by_match(
    profile: pandas.DataFrame,
    rungs: pandas.DataFrame,
    tasks: pandas.DataFrame,
    outcome: pandas.DataFrame,
    family: Mapping[str, str],
    ridge: float = RIDGE,
) -> pandas.DataFrame:
    """Return the mean place on other families, corrected by how an optimizer does on what the task is like.

    The correction is Σ_d w_d c_kd s_td: s_td is feature d of the task's signature, and c_kd the covariance over rungs
    of the place of optimizer k and the feature, positive where k does worse than others on rungs with much of d. w
    solves a ridge regression of place − mean place elsewhere, on the tasks of all other families.

    Args:
        profile: (problem, dial) × optimizers, the solved share.
        rungs: (problem, dial) × features, the signatures.
        tasks: Tasks × features.
        outcome: Tasks × optimizers, the places.
        family: By task, its family.
        ridge: The weight of the penalty.
    """
    center, spread = rungs.mean(), rungs.std(ddof=0).replace(0.0, np.nan)
    of_rungs, of_tasks = (
        ((each - center) / spread).clip(-MOST, MOST).fillna(0.0) for each in (rungs, tasks)
    )
    shown = places(profile)
    shown = shown.sub(shown.mean(axis=1), axis=0).fillna(0.0)
    strength = of_rungs.loc[shown.index].T.to_numpy() @ shown.to_numpy() / len(shown)
    features = of_tasks.loc[outcome.index].to_numpy()[:, :, None] * strength  # tasks, d, optimizers
    of = np.array([family[str(each)] for each in outcome.index])
    found = by_other_tasks(outcome, family)
    for each in np.unique(of):
        known = outcome[of != each]  # what is left out has no part in the means that are corrected
        x = np.moveaxis(features[of != each], 1, -1).reshape(-1, features.shape[1])
        y = (known - by_other_tasks(known, family)).to_numpy().ravel()
        penalty = ridge * max((x * x).mean(), np.finfo(float).tiny) * len(x) * np.eye(x.shape[1])
        weights = np.linalg.solve(x.T @ x + penalty, x.T @ y)
        found.loc[of == each] += np.einsum("d,tdk->tk", weights, features[of == each])
    return found
