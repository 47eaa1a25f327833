"""Simulate studies whose answer is known: with profiles that foretell, that do not, and that add nothing.

The score of optimizer k on task t is G_k + Σ_d S_td C_kd + noise: general strength, the optimizer's response to the
pathologies of the task, and what neither explains. A profile shows C through rungs whose signature is mostly one
pathology, with noise of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas

from benchmarks.study.answers import Study, answers
from benchmarks.study.predictors import places

HYPOTHESES = ("H1", "H2", "H3", "H4")


@dataclass(frozen=True)
class Simulation:
    """A study to simulate.

    Args:
        general: Share of the variance of outcomes that is general strength, seen by the profile as well.
        matched: Share that is the response to the task's pathologies.
        reliability: Squared correlation of the profile and the truth.
        seen: False for a profile of other optimizers, which foretells nothing.
        sizes: How many optimizers each kind has; those of one kind share half of their variance.
        families: Of two tasks each.
        features: Pathologies, with `rungs` rungs each.
        rungs: Per pathology.
    """

    general: float = 0.0
    matched: float = 0.0
    reliability: float = 0.5
    seen: bool = True
    sizes: tuple[int, ...] = (4, 4, 4, 4, 4, 4)
    families: int = 8
    features: int = 8
    rungs: int = 5

    def draw(self, generator: np.random.Generator) -> Study:
        """Return one study."""
        kind = np.repeat(np.arange(len(self.sizes)), self.sizes)
        names = [f"optimizer {k}" for k in range(len(kind))]

        def alike(*shape: int) -> np.ndarray:
            """Optimizers × shape: half of the variance is that of the kind."""
            shared = generator.standard_normal((len(self.sizes), *shape))[kind]
            return (shared + generator.standard_normal((len(kind), *shape))) / np.sqrt(2)

        strength, response = alike(), alike(self.features)
        of_family = generator.standard_normal((self.families, self.features))
        signature = np.repeat(of_family, 2, 0) + generator.standard_normal(
            (2 * self.families, self.features)
        )
        signature /= np.sqrt(2 * self.features)
        rest = max(1 - self.general - self.matched, 0.0)
        # What a task's family has in common with no pathology is alike for both of its tasks, too.
        own = np.stack([alike() for _ in range(2 * self.families)])
        shared = np.repeat(np.stack([alike() for _ in range(self.families)]), 2, 0)
        score = (
            np.sqrt(self.general) * strength
            + np.sqrt(self.matched) * signature @ response.T
            + np.sqrt(rest / 2) * (own + shared)
        )
        shown, towards = (strength, response) if self.seen else (alike(), alike(self.features))
        index = pandas.MultiIndex.from_tuples(
            [(f"problem {d}.{r}", 1.0) for d in range(self.features) for r in range(self.rungs)],
            names=["problem", "dial"],
        )
        of_rungs = np.repeat(np.eye(self.features), self.rungs, 0) * 2
        of_rungs = of_rungs + 0.3 * generator.standard_normal(of_rungs.shape)
        profile = (
            np.repeat(towards.T, self.rungs, 0)
            + np.sqrt(self.general / max(self.matched, 0.1)) * shown
        )
        profile /= np.sqrt(1 + self.general / max(self.matched, 0.1))
        noise = np.stack([alike() for _ in range(len(index))])
        profile = np.sqrt(self.reliability) * profile + np.sqrt(1 - self.reliability) * noise
        features = [f"feature {d}" for d in range(self.features)]
        tasks = [f"task {t}" for t in range(2 * self.families)]
        return Study(
            pandas.DataFrame(profile, index, names),
            pandas.DataFrame(of_rungs, index, features),
            pandas.DataFrame(signature * np.sqrt(self.features), tasks, features),
            places(pandas.DataFrame(score, tasks, names)),
            {task: f"family {t // 2}" for t, task in enumerate(tasks)},
            {name: f"kind {k}" for name, k in zip(names, kind, strict=True)},
        )


def p_values(
    simulation: Simulation, studies: int, nearest: int, permutations: int, seed: int
) -> pandas.DataFrame:
    """Return the nominal p of each hypothesis in so many studies: studies × H1 … H4.

    Args:
        simulation: What is simulated.
        studies: How many.
        nearest: How many rungs foretell a task.
        permutations: How many, of the test of H1.
        seed: Of all of them.
    """
    drawn = (simulation.draw(np.random.default_rng([seed, k])) for k in range(studies))
    return pandas.DataFrame(
        [answers(each, nearest, permutations, seed=k).p for k, each in enumerate(drawn)],
        columns=[*HYPOTHESES],
    )


def critical(nulls: Sequence[pandas.DataFrame], level: float = 0.05) -> dict[str, float]:
    """Return the nominal p at which each test has its level: the largest that rejects few enough null studies.

    Optimizers of a kind are alike, so a permutation of single ones, or a flip of signs of families in which the same
    optimizers meet, rejects a true null more often than its p says.

    Args:
        nulls: What `p_values` returns for simulations in which the null hypothesis holds; the worst one counts.
        level: The share of null studies that may be rejected.
    """
    return {
        name: min(_largest(each[name].to_numpy(), level) for each in nulls) for name in HYPOTHESES
    }


def _largest(p: np.ndarray, level: float) -> float:
    """Return the largest p such that at most `level` of all p-values are ≤ p; 0 if there is none."""
    values = np.unique(p)
    allowed = values[[(p <= each).mean() <= level for each in values]]
    return float(allowed[-1]) if len(allowed) else 0.0
