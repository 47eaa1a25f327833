"""Plausible slips of the pen, each with the tests that must notice it.

A mutant replaces a text that occurs exactly once in its file. A change of the code that removes the text asks for the
slip that the new code invites, or for the mutant to go with the rule that it guarded. Tests are files, or single tests
where a file takes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One change of one file: `what` is then wrong, and `tests` must fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Say in one line why this is no mutant of the code as it is now; empty if it is one."""
        found = (ROOT / self.file).read_text().count(self.old)
        missing = [each for each in self.tests if not (ROOT / each.partition("::")[0]).exists()]
        if found != 1:
            return f"{self.file} has {self.old!r} {found} times, not once"
        return f"there is no {missing[0]}" if missing else ""


MUTANTS: list[Mutant] = []


def mutants(file: str, tests: tuple[str, ...], *slips: tuple[str, ...]) -> None:
    """Add mutants of a file: (what is wrong, old text, new text, tests that differ from those of the file, …)."""
    for what, old, new, *others in slips:
        MUTANTS.append(Mutant(what, file, old, new, tuple(others) or tests))


def tests(folder: str, *names: str) -> tuple[str, ...]:
    """Return the paths of tests in a folder: "engine" is the file test_engine.py, "engine::test_one" a test in it."""
    split = (name.partition("::") for name in names)
    return tuple(
        f"tests/{folder}/test_{file}.py" + (f"::{one}" if one else "") for file, _, one in split
    )


ENGINE = tests("benchmarks", "engine")
CELLS = tests("benchmarks", "cells")
SEARCH = tests(
    "benchmarks",
    "search::test_units_are_the_medians_over_the_tuning_seeds",
    "search::test_only_tuning_seeds_choose",
    "search::test_sobol_points_are_the_same_at_every_rung_and_refined_ones_lie_around_the_best",
    "search::test_refined_points_are_new_ones_in_a_box_of_a_tenth_around_the_best",
    "search::test_a_sixteenth_of_a_range_at_either_end_is_its_edge",
    "search::test_momentum_is_searched_by_its_effective_rate_and_its_complement",
)
CHOICES = tests("benchmarks", "choices")
INTERVALS = tests("benchmarks", "intervals")
STATISTICS = tests("benchmarks", "statistics")
BREAKING = tests("benchmarks", "breaking_points", "roles")
MEASUREMENTS = tests("benchmarks", "measurements")
RANKING = tests("benchmarks", "reference::TestStandings")
TERMINAL = tests("benchmarks", "terminal")
EVIDENCE = tests("benchmarks/diagnosis", "run_features", "evidence", "conditions")
NOISY = tests("benchmarks", "noisy_runs", "engine")

mutants(
    "benchmarks/engine/loop.py",
    ENGINE,
    (
        "a run that left the target again has the cost of its first entry",
        '            entry_cost = entry_cost.masked_fill(outside, float("inf"))\n',
        "",
    ),
    (
        "a run that left the target again has the step of its first entry",
        '            entry_step = entry_step.masked_fill(outside, float("inf"))\n',
        "",
    ),
    ("a run is solved after nine steps inside", "HOLD = 10  #", "HOLD = 9  #"),
    ("the window of a noisy run is one step too short", "summed[-1 - window]", "summed[-window]"),
    (
        "a run without a step is missed",
        "    if steps == 0:\n        return NO_STEP\n",
        "",
        *NOISY,
    ),
    (
        "a run ends one step before it was inside long enough",
        "step_index + 1 - HOLD",
        "step_index + 2 - HOLD",
    ),
    ("a step may exceed the budget by a tenth", "budget * (1 + ROUNDING)", "budget * 1.1"),
    ("a step that exactly fits is not taken", "budget * (1 + ROUNDING)", "budget * (1 - ROUNDING)"),
    ("a run diverges a step too early", "ends.end(above >= HOLD", "ends.end(above + 1 >= HOLD"),
    (
        "one step above the ceiling counts for ever",
        "above = torch.where(gap > CEILING, above + 1, 0)",
        "above = torch.where(gap > CEILING, above + 1, above)",
    ),
    (
        "no run is looked at in the step in which the last one leaves the target",
        "if inside_before or any_inside:",
        "if any_inside:",
    ),
    (
        "a gap is at the target only where it is below",
        "low <= target",
        "low < target",
    ),
    (
        "a gap in float32 is held against a target that is not rounded",
        "torch.tensor(problem.card.target, dtype=x.dtype).item()",
        "problem.card.target",
    ),
    (
        "the gap is relative to the start's loss without the floor",
        "problem.loss(start, data) - floor",
        "problem.loss(start, data)",
    ),
    (
        "a run that has ended loses its entry",
        "outside = ends.alive & ~inside",
        "outside = ~inside",
    ),
    (
        "a run that was solved at its end is missed",
        "ends.end(who, solved=inside.to(torch.float64), **now)",
        "ends.end(who, solved=0.0, **now)",
    ),
    (
        "asking for nothing costs a sixth",
        "price.clamp(min=LOSS) if isinstance(price, torch.Tensor) else max(price, LOSS)",
        "price.clamp(min=LOSS / 2) if isinstance(price, torch.Tensor) else max(price, LOSS / 2)",
    ),
    (
        "a broken run ends where it broke",
        "x = torch.where((broken & torch.isfinite(before).all(-1)).unsqueeze(-1), before, x)",
        "x = torch.where(broken.unsqueeze(-1), x, x)",
    ),
    (
        "the progress of a schedule includes the step that is about to be taken",
        "        spent = spent + price\n",
        "        spent = spent + 2 * price\n",
    ),
    (
        "the step is blamed for what the step before it led to",
        "torch.where(arrived, step_index - 1, step_index)",
        "torch.where(arrived, step_index, step_index)",
    ),
    (
        "the gap at the end is the best",
        '"gap_final": gap,',
        '"gap_final": torch.minimum(best, gap),',
    ),
    (
        "huge gaps drown those that follow",
        "gap.double().clamp(max=CEILING) +",
        "gap.double() +",
    ),
)

mutants(
    "problems/noisy_runs.py",
    NOISY,
    ("a noisy run is judged by ten steps", "WINDOW, SHARE = 20, 0.1", "WINDOW, SHARE = 10, 0.1"),
    (
        "a noisy run is judged by a hundredth of its steps",
        "WINDOW, SHARE = 20, 0.1",
        "WINDOW, SHARE = 20, 0.01",
    ),
    ("three steps are enough", "FEWEST = 4", "FEWEST = 3"),
    ("all steps may count", ", steps // 2)", ", steps)"),
)

mutants(
    "benchmarks/engine/instances.py",
    (*ENGINE, *NOISY),
    (
        "an optimizer's random numbers are those of the problem's noise",
        'generator(seed, "optimizer")',
        'generator(seed, "draws")',
    ),
    (
        "an optimizer's random numbers are those of the instance",
        "generators = [generator(seed, ",
        "generators = [generator(self.seeds[0], ",
    ),
    (
        "noise is the same whatever it is drawn for",
        "self.problem.draws(tree, generator(seed, purpose))",
        'self.problem.draws(tree, generator(seed, "draws"))',
        *MEASUREMENTS,
    ),
    (
        "an instance is drawn with the numbers of its noise",
        'problem.instance(generator(seed, "instance"))',
        'problem.instance(generator(seed, "draws"))',
    ),
    (
        "a later part of a cell has the instances of the first",
        "seeds = self.seeds[start : start + self.size]",
        "seeds = self.seeds[: self.size]",
        *tests("benchmarks", "size"),
    ),
)

mutants(
    "benchmarks/engine/protocol.py",
    CELLS,
    (
        "reporting instances are the tuning instances",
        'return f"tuning|{seed}" if seed < FIRST_REPORTING_SEED else f"{RELEASE}|{seed}"',
        'return f"tuning|{seed % FIRST_REPORTING_SEED}"',
        *CELLS,
        *SEARCH,
    ),
    (
        "a release draws the reporting instances of the one before",
        'else f"{RELEASE}|{seed}"',
        'else f"reporting|{seed}"',
    ),
    (
        "the budget of the command is ignored",
        "float(self.budget or problem.budget)",
        "float(problem.budget)",
        *CELLS,
    ),
)

mutants(
    "benchmarks/engine/cell.py",
    (*CELLS, *SEARCH),
    (
        "refinement follows the reporting instances",
        "batch.points[batch.best(tuning, lambda number: number > 0)]",
        "batch.points[batch.best(slice(settled.tuning_seeds, None), lambda number: number > 0)]",
    ),
    (
        "the defaults take part in the search's choice",
        "around = batch.points[batch.best(tuning, lambda number: number > 0)]",
        "around = batch.points[batch.best(tuning, lambda number: True)].nan_to_num(0.5)",
    ),
    (
        "traced trials are chosen on reporting instances",
        "        batch.best(tuning, eligible)\n",
        "        batch.best(slice(settled.tuning_seeds, None), eligible)\n",
        *CELLS,
    ),
    (
        "units are measured on all instances",
        "measure_units(parts.first(settled.tuning_seeds), tuning, contender.removal)",
        "measure_units(parts.first(settled.tuning_seeds), slice(None), contender.removal)",
    ),
    (
        "units are measured on the first part alone",
        "measure_units(parts.first(settled.tuning_seeds), tuning",
        "measure_units(parts[0], tuning",
        *tests("benchmarks", "size"),
    ),
    (
        "a cell in parts runs its chosen trials twice",
        "runs <= most and kept",
        "runs <= parts.size and kept",
        *tests("benchmarks", "size"),
    ),
    (
        "every cell runs in float64",
        "Parts(problem, seeds, settled.torch_dtype, settled.device, size)",
        "Parts(problem, seeds, torch.float64, settled.device, size)",
        *tests("benchmarks", "precision"),
    ),
    ("half of the search is refinement", "SOBOL_SHARE = 2 / 3", "SOBOL_SHARE = 1 / 2"),
    (
        "rows name the seeds in another order",
        '"seed": by_seed(seeds),',
        '"seed": by_seed(seeds[::-1]),',
    ),
    (
        "the last tuning instance reports",
        '["tuning"] * settled.tuning_seeds + ["reporting"] * settled.seeds',
        '["tuning"] * (settled.tuning_seeds - 1) + ["reporting"] * (settled.seeds + 1)',
    ),
    (
        "a diverged run's last gap counts in the search",
        "np.where(status == DIVERGED, np.inf, left)",
        "left",
        *SEARCH,
        *CELLS,
    ),
    (
        "traces are those of tuning instances",
        "max(settled.tuning_seeds - start, 0)",
        "max(settled.tuning_seeds - 1 - start, 0)",
        *CELLS,
    ),
    (
        "the noise of a run is measured on the draws that it saw",
        'instances.draws("diagnosis")',
        "instances.draws()",
        *MEASUREMENTS,
        *CELLS,
    ),
    (
        "the unit of a rate does not follow the momentum of its trial",
        "(rate / box.unit(name, batch.values))",
        "(rate / box.unit(name, {}))",
    ),
)

mutants(
    "benchmarks/engine/search_space.py",
    SEARCH,
    ("the first point of a search is a corner", "scramble=True", "scramble=False"),
    (
        "the refined points repeat the first ones",
        "self.sobol(count, seed=1)",
        "self.sobol(count, seed=0)",
    ),
    ("the refined box is three times as wide", "REFINED = 0.1", "REFINED = 0.3"),
    (
        "a length is not divided by the root of the dimension",
        "length / math.sqrt(start.shape[-1])",
        "length",
    ),
    (
        "the unit of a length is that of an inverse",
        '"gradient/length": slope / length',
        '"gradient/length": length / slope',
    ),
    (
        "the slope is the largest and not the median",
        "gradient.norm(dim=-1)[tuning].median()",
        "gradient.norm(dim=-1)[tuning].max()",
    ),
    (
        "a complement is searched like a rate",
        'return 1.0 - value if within.scale == "complement" else value',
        "return value",
    ),
    (
        "the momentum discounts by itself and not by one minus itself",
        "* (1.0 - momentum)",
        "* momentum",
    ),
    (
        "a log range is linear",
        "within.low * (within.high / within.low) ** share",
        "within.low + (within.high - within.low) * share",
    ),
    (
        "only the upper border is an edge",
        "((point < EDGE) | (point > 1 - EDGE))",
        "(point > 1 - EDGE)",
    ),
)

mutants(
    "benchmarks/engine/trial_choice.py",
    CHOICES,
    (
        "trials are chosen on reporting rows",
        'tuning = (runs["role"] == "tuning")',
        'tuning = (runs["role"] == "reporting")',
    ),
    (
        "fewer solved comes first",
        "-np.isfinite(cost).sum(axis=-1)",
        "np.isfinite(cost).sum(axis=-1)",
    ),
    (
        "the gap is compared before the cost",
        "median(cost), median(log_gap)",
        "median(log_gap), median(cost)",
    ),
    ("the upper of two middle values is the median", "(low + high) / 2", "high"),
    (
        "the lower middle value is one too low",
        "values[..., (n - 1) // 2]",
        "values[..., n // 2 - 1]",
    ),
    (
        "the gap of a diverged run counts",
        '(runs["status"] != "diverged").to_numpy() & ~np.isnan(gap)',
        "~np.isnan(gap)",
    ),
    (
        "a missed run costs what it paid",
        "np.where(np.isnan(entry), spent, entry), np.inf)",
        "np.where(np.isnan(entry), spent, entry), spent)",
    ),
    (
        "ties go to the last trial",
        "return left.argmax(axis=-1)",
        "return left.shape[-1] - 1 - left[..., ::-1].argmax(axis=-1)",
    ),
    (
        "a trial that may not be chosen decides the least",
        "value = np.where(left, criterion, np.inf)",
        "value = criterion",
    ),
    ("the defaults are a tuned trial", "(trials > 0) | (len(trials) == 1)", "trials >= 0"),
)

mutants(
    "benchmarks/engine/measurements.py",
    MEASUREMENTS,
    (
        "the smallest curvature is the largest",
        "values[..., 0], values[..., -1],",
        "values[..., -1], values[..., 0],",
    ),
    (
        "noise is measured with the divisor n",
        "off.square().sum(-1).sum(0) / (count - 1)",
        "off.square().sum(-1).sum(0) / count",
    ),
    (
        "a bias contains the noise of its measurement",
        ".square().sum(-1) - trace / count",
        ".square().sum(-1)",
    ),
    (
        "the gain along negative curvature is that along positive",
        "torch.where(negative, gains, 0.0)",
        "torch.where(negative, 0.0, gains)",
    ),
    ("the gain is not halved", "gains = 0.5 * along.square()", "gains = along.square()"),
    ("the gain of a saddle is signed", "size = values.abs()\n", "size = values\n"),
    (
        "a limit of stability is scaled on one side",
        "root[..., :, None] * hessian * root[..., None, :]",
        "root[..., :, None] * hessian",
    ),
)

mutants(
    "benchmarks/engine/recorder.py",
    ENGINE,
    (
        "a prediction is without its curvature",
        'row["g_s"] + 0.5 * row["s_h_s"]',
        'row["g_s"] + row["s_h_s"]',
    ),
    (
        "a leap is measured against the norm before alone",
        "for back in (1, 2):",
        "for back in (1,):",
    ),
    ("a leap is measured against the largest norm", "HIGHER = 10.0", "HIGHER = 1.0"),
    ("the schedule has ten steps a decade", "PER_DECADE = 20", "PER_DECADE = 10"),
    ("curvature is measured at half of the budget", "    1 / 3,\n", "    1 / 2,\n", *MEASUREMENTS),
)

mutants(
    "benchmarks/analysis/intervals.py",
    INTERVALS,
    (
        "the interval of a median is one order statistic too narrow",
        "    return k, 1 - 2 * below / whole",
        "    return min(k + 1, (n + 1) // 2), 1 - 2 * below / whole",
    ),
    (
        "the interval of a median is one-sided",
        "1 - 2 * (below + count) / whole < level",
        "1 - (below + count) / whole < level",
    ),
    (
        "the upper end is one order statistic too low",
        "values[..., k - 1], values[..., n - k]",
        "values[..., k - 1], values[..., n - k - 1]",
    ),
    (
        "another level of a median's interval is ignored",
        "order_statistics(n, level)\n",
        "order_statistics(n)\n",
    ),
    ("the sign test is one-sided", "min(1.0, 2 * tail)", "min(1.0, tail)", *STATISTICS),
    (
        "the sign test leaves out the observed split",
        "range(min(wins, losses) + 1)",
        "range(min(wins, losses))",
        *STATISTICS,
    ),
    ("Wilson's interval is one-sided", "inv_cdf((1 + level) / 2)", "inv_cdf(level)"),
    ("Wilson's interval is not centred", "(share + z**2 / (2 * n))", "share"),
    (
        "a share of none has a lower bound by rounding",
        "np.where((runs == 0) | (solved == 0), 0.0, centre - half)",
        "np.where(runs == 0, 0.0, centre - half)",
    ),
    (
        "a share of all has an upper bound by rounding",
        "np.where((runs == 0) | (solved == runs), 1.0, centre + half)",
        "np.where(runs == 0, 1.0, centre + half)",
    ),
)

mutants(
    "benchmarks/analysis/pairs.py",
    STATISTICS,
    (
        "Holm without its running maximum",
        "np.minimum(np.maximum.accumulate(total), 1)",
        "np.minimum(total, 1)",
    ),
    ("Holm counts the tests before instead of those after", "[::-1].cumsum()[::-1]", ".cumsum()"),
    (
        "Holm's chance leaves out the observed p",
        'p[order] * (1 + ROUNDING), "right") - 1]',
        'p[order] * (1 - ROUNDING), "right") - 1]',
    ),
    (
        "wins are losses",
        "wins, losses = (sign < 0).sum(-1), (sign > 0).sum(-1)",
        "wins, losses = (sign > 0).sum(-1), (sign < 0).sum(-1)",
    ),
    (
        "two misses are worth the same effect for both ends",
        "low, high = (np.where(np.isnan(ratio), end, ratio) for end in (-np.inf, np.inf))",
        "low, high = (np.where(np.isnan(ratio), end, ratio) for end in (0.0, 0.0))",
    ),
    (
        "an effect that depends on what is unknown is told",
        "return np.where(low == high, low, math.nan)",
        "return low",
    ),
    ("gaps within a tenth are a tie", "    1.01\n", "    1.1\n"),
    (
        "the rounding of costs tells optimizers apart",
        'SAME_GAP if measure == "gap" else ROUNDING',
        'SAME_GAP if measure == "gap" else 0.0',
    ),
    (
        "gaps that are a tie tell optimizers apart",
        'SAME_GAP if measure == "gap" else ROUNDING',
        "ROUNDING",
    ),
    (
        "noisy problems are compared by cost",
        'if str(name[on.index("problem")]) in noisy:',
        "if False:",
    ),
    (
        "a target that is reached decides on noisy problems",
        '"gap", by_gap[at], gap[at]',
        '"gap", by_cost[at], gap[at]',
    ),
    (
        "the final gap decides where some reach the target",
        '"gap", by_cost[at], gap[at]',
        '"gap", by_gap[at], gap[at]',
    ),
    (
        "the seeds of the second are paired in the order of its rows",
        "theirs.log_cost[others[j]]",
        "theirs.log_cost[others[: len(j)]]",
    ),
    (
        "a comparison leaves out its last instance",
        "at = slice(ends[k], ends[k + 1])",
        "at = slice(ends[k], ends[k + 1] - 1)",
    ),
    (
        "each comparison asks the instances of the first whether its effect is known",
        "cost[ends[alike, None] + np.arange(n)]",
        "cost[ends[0 * alike, None] + np.arange(n)]",
    ),
    (
        "comparisons have the numbers of others with more instances",
        "pandas.concat(parts).sort_index()",
        "pandas.concat(parts, ignore_index=True)",
    ),
    (
        "the rung of a skipped cell has a gap",
        "np.where(skipped, np.nan, log_gaps(runs))",
        "log_gaps(runs)",
    ),
    (
        "problems of a family count each for itself",
        "units = problems.groupby(groups).mean().round(9).reset_index()",
        "units = problems.round(9).reset_index()",
    ),
    (
        "a family's net is a sum over its rungs",
        'groupby([*groups, "problem"])["net"].mean()',
        'groupby([*groups, "problem"])["net"].sum()',
    ),
    ("a rung that is better counts as one that is worse", "int(sign)\n", "abs(int(sign))\n"),
    ("better is worse over instances", "for sign in (-1, 1))", "for sign in (1, -1))"),
    (
        "a pair at exactly the level is not told apart",
        '"apart": p <= LEVEL',
        '"apart": p < LEVEL / 2',
    ),
    (
        "only who solves more than half is counted as solving",
        "int((share >= 0.5).sum())",
        "int((share > 0.5).sum())",
    ),
    (
        "two misses are compared by their gap where the target decides",
        'measure = "gap" if str(name[0]) in noisy else "cost"',
        'measure = "gap"',
    ),
    (
        "it takes one instance fewer to tell two apart",
        "tests * sign_test(0, n) <= LEVEL",
        "tests * sign_test(0, n + 1) <= LEVEL",
        *TERMINAL,
    ),
)

mutants(
    "benchmarks/analysis/success.py",
    STATISTICS,
    (
        "the expected running time leaves out failures",
        'np.where(solved, paid, runs["cost"].to_numpy(dtype=float)).sum()',
        "np.where(solved, paid, 0.0).sum()",
    ),
    (
        "the expected running time is divided by all runs",
        ".sum() / solved.sum())",
        ".sum() / len(solved))",
    ),
    (
        "a solved run pays to its end",
        "np.where(solved, paid, runs",
        'np.where(solved, runs["cost"], runs',
    ),
    (
        "the share of attained targets is of those that are reached",
        "number.cumsum() / len(every)",
        "number.cumsum() / number.sum()",
    ),
    ("targets begin at the start itself", "count + 1)[1:]", "count + 1)[:-1]"),
    (
        "a target is reached by a run that rose again",
        'np.fmin.accumulate(rows["gap"].to_numpy(dtype=float))',
        'np.sort(rows["gap"].to_numpy(dtype=float))[::-1]',
    ),
    ("the rounding of a trace keeps it from its target", "-levels * (1 + 1e-6)", "-levels"),
    (
        "sensitivity is measured on tuning rows",
        '(sound["search"] == "sobol") & (sound["role"] == "reporting")',
        '(sound["search"] == "sobol") & (sound["role"] == "tuning")',
    ),
)

mutants(
    "benchmarks/analysis/tuning.py",
    STATISTICS,
    (
        "the best of k is drawn with replacement",
        "math.comb(n - r, k - 1) / math.comb(n, k)",
        "((n - r + 1) ** k - (n - r) ** k) / n**k",
    ),
    (
        "the best of k is scored where it was chosen",
        'reporting = runs[runs["role"] == "reporting"]',
        'reporting = runs[runs["role"] == "tuning"]',
    ),
    (
        "a small search may draw refined trials",
        'for kinds in (["sobol"], ["sobol", "refined"])',
        'for kinds in (["sobol", "refined"], ["sobol", "refined"])',
    ),
    (
        "a search prefers the worst trial",
        "np.lexsort(_criteria(runs)[::-1])",
        "np.lexsort(_criteria(runs)[::-1])[::-1]",
    ),
    (
        "criteria are compared in the wrong order",
        "np.lexsort(_criteria(runs)[::-1])",
        "np.lexsort(_criteria(runs))",
    ),
    (
        "the setting of a transfer is chosen on reporting rows",
        'tuning = runs[runs["role"] == "tuning"]',
        'tuning = runs[runs["role"] == "reporting"]',
    ),
    (
        "a transfer is chosen on its own family too",
        'by_trials[key].drop(index=home, errors="ignore")',
        "by_trials[key]",
    ),
    (
        "a larger family counts more in a transfer",
        '.groupby(["family", "problem"]).mean().groupby("family").mean()',
        '.drop(columns="problem").groupby("family").mean()',
    ),
    ("the worst setting is transferred", "int(np.argmin(mean))", "int(np.argmax(mean))"),
    (
        "ties of ranks go to the first",
        "pandas.Series(place.ravel()).rank().tolist()",
        'pandas.Series(place.ravel()).rank(method="min").tolist()',
    ),
    ("the weighted median is the lower middle value", "float((low + high) / 2)", "float(low)"),
)

mutants(
    "benchmarks/analysis/breaking_points.py",
    BREAKING,
    (
        "reporting rows decide ties",
        'gap = array(log_gaps(runs), "tuning")',
        'gap = array(log_gaps(runs), "reporting")',
    ),
    (
        "a run at exactly the share of its budget is not solved",
        "np.where(each <= most, each, np.inf)",
        "np.where(each < most, each, np.inf)",
    ),
    (
        "a refined trial is drawn without what it refines",
        "trials(refined, refined, rungs) & parents",
        "trials(refined, refined, rungs)",
    ),
    (
        "one setting is drawn from as many trials as there are",
        "trials(shared, (shared + 1) // 2)",
        "trials(shared, shared)",
    ),
    (
        "an interval reaches less far up than down",
        "centre + (centre - low if low > -np.inf",
        "centre + (0.5 * (centre - low) if low > -np.inf",
    ),
    (
        "an interval is narrower than its bracket",
        "low, high = min(low, bracket[0]), max(high, bracket[1])",
        "low, high = min(low, bracket[0]), high",
    ),
    ("an interval is of 90 %", "[0.025, 0.16, 0.975]", "[0.05, 0.16, 0.95]"),
    (
        "a curve at half is above it",
        "above, at_least = (fit > 0.5).sum(axis=-1), (fit >= 0.5).sum(axis=-1)\n    last",
        "above, at_least = (fit >= 0.5).sum(axis=-1), (fit >= 0.5).sum(axis=-1)\n    last",
    ),
    (
        "a breaking point is the rung after it",
        "x[left] + (y_left - 0.5) / drop",
        "x[right] + (y_left - 0.5) / drop",
    ),
    (
        "the fit is rising",
        "ordered = np.tri(shares.shape[-1], dtype=bool).T",
        "ordered = np.tri(shares.shape[-1], dtype=bool)",
    ),
    (
        "one setting breaks first",
        "criteria = (-crossing(results.axis.x, fit), *criteria)",
        "criteria = (crossing(results.axis.x, fit), *criteria)",
    ),
    (
        "shares count tuning seeds",
        "np.isfinite(results.cost[rungs, chosen",
        "np.isfinite(results.tuning_cost[rungs, chosen",
    ),
    (
        "seeds are drawn by themselves at each rung",
        "allowed[:, :, results.shared] = trials(shared, shared)[:, None]",
        "allowed[:, :, results.shared] = trials(shared, shared, rungs)",
    ),
    (
        "the first replicate is no longer the data",
        "np.concatenate([np.arange(n)[None], again])",
        "np.concatenate([again[:1], again]) if len(again) else np.arange(n)[None]",
    ),
    (
        "a trend needs no correction for ones and zeros",
        "v(len(solved)) - v(ones) - v(len(solved) - ones)",
        "v(len(solved)) - 0 * v(ones)",
    ),
    ("a rise is a fall", "0.5 * math.erfc(-(statistic + 1)", "0.5 * math.erfc((statistic + 1)"),
    (
        "an exponent is a mean of slopes",
        "float(np.median((y[j] - y[i]) / (x[j] - x[i])))",
        "float(np.mean((y[j] - y[i]) / (x[j] - x[i])))",
    ),
    ("an exponent of two rungs is told", "known.sum() >= 3", "known.sum() >= 2"),
    (
        "the next rung halves the narrowest part",
        'np.argsort(-np.diff(x), kind="stable")',
        'np.argsort(np.diff(x), kind="stable")',
    ),
    (
        "an error is left out",
        'runs[runs["status"] != "not_applicable"]',
        'runs[~runs["status"].isin(["not_applicable", "error"])]',
    ),
    (
        "trial 16 is refined",
        "np.flatnonzero(ranked & (trials <= sobol))",
        "np.flatnonzero(ranked & (trials < sobol))",
    ),
    (
        "a falling ladder is read from its hard end",
        "return cells[::-1] if axis.falling else cells",
        "return cells",
    ),
)

mutants(
    "benchmarks/analysis/dial_axis.py",
    BREAKING,
    (
        "a breaking point beyond the last rung of a falling dial is above it",
        '{-math.inf: ">", math.inf: "<"} if self.falling',
        '{-math.inf: "<", math.inf: ">"} if self.falling',
    ),
    (
        "a breaking point on a list lies beyond the rung that is solved",
        "float(self.dials[math.floor(x)])",
        "float(self.dials[math.ceil(x)])",
    ),
    (
        "a logarithm is natural",
        'np.log10(dials) if scale == "log"',
        'np.log(dials) if scale == "log"',
    ),
)

mutants(
    "benchmarks/analysis/tables.py",
    tests("benchmarks", "tables", "ranges"),
    (
        "half of the instances is not half",
        '(status == "solved").mean() >= 0.5',
        '(status == "solved").mean() > 0.5',
    ),
    (
        "a table summarizes tuning runs",
        'reporting = runs[runs["role"] == "reporting"]',
        'reporting = runs[runs["role"] == "tuning"]',
    ),
    (
        "the cost of a summary is of the solved runs",
        '"cost_to_target": float(np.median(cost)),',
        '"cost_to_target": float(np.median(cost[np.isfinite(cost)])) if np.isfinite(cost).any() else math.inf,',
    ),
    (
        "the last gap of a diverged run counts in a summary",
        '.where(chosen["status"] != "diverged", math.inf)',
        '.where(chosen["status"] != "", math.inf)',
    ),
    (
        "a skipped rung is that of the easiest",
        '(sound["dial"].min() if falling else sound["dial"].max())',
        '(sound["dial"].max() if falling else sound["dial"].min())',
    ),
    (
        "a skipped rung keeps what it solved",
        'status="missed", cost_to_target=math.nan, cell=cell',
        "cell=cell",
    ),
    (
        "the last Sobol trial is the first",
        '(runs.loc[runs["search"] == "sobol", "trial"].max())',
        '(runs.loc[runs["search"] == "sobol", "trial"].min())',
    ),
)

mutants(
    "benchmarks/analysis/agreement.py",
    tests("benchmarks", "agreement"),
    ("an interval counts runs", "np.ones(len(names))", "100 * np.ones(len(names))"),
    ("few problems have an interval", "if problems < FEW:", "if problems < 1:"),
    ("the commonest cause knows its own runs", "self.has[~mine].sum(0)", "self.has.sum(0)"),
    ("any verdict is right", "self.first & self.true", "self.first"),
    ("a pair is one cause", '"+".join(causes).split("+")', "causes"),
)
mutants(
    "benchmarks/docgen/explained.py",
    ("tests/docs/test_verdicts.py",),
    ("solved runs are read, too", '!= "solved", names', '!= "", names'),
    ("all rungs are read", '== runs["job"].map(first)', '!= ""'),
)
mutants(
    "benchmarks/analysis/groups.py",
    tests("benchmarks", "groups"),
    ("a pair is tested on one side", "(np.abs(signs @ difference) >=", "(signs @ difference >="),
    ("what is told apart shares a letter", "family) > LEVEL", "family) <= LEVEL"),
    (
        "all that climb above the ladder fail",
        '(row["censored"] == ">") != info.falling',
        'row["censored"] == ">"',
    ),
    ("a run that cannot be judged has a score", "tuned & ~points", "tuned | points"),
    (
        "who is better is worse",
        '(table["better"] - table["worse"])',
        '(table["worse"] - table["better"])',
    ),
)
mutants(
    "benchmarks/analysis/parts.py",
    tests("benchmarks", "reference::TestParts"),
    (
        "two parts may have one optimizer",
        "            if name in owners:",
        "            if name in ():",
    ),
    (
        "parts of other budgets are mixed",
        "info.problem, info.dial, info.protocol, part.folder",
        "info.problem, info.dial, (), part.folder",
    ),
    (
        "parts of rotated problems are mixed",
        'info.problem, "", of_problem, part.folder',
        'info.problem, "", (), part.folder',
        *tests(
            "benchmarks", "submit::test_another_problem_or_ladder_is_not_put_beside_the_published"
        ),
    ),
    (
        "parts of other ladders are mixed",
        'agree("rungs", problem, "", ends, part.folder)',
        'agree("rungs", problem, "", (), part.folder)',
        *tests(
            "benchmarks", "submit::test_another_problem_or_ladder_is_not_put_beside_the_published"
        ),
    ),
    (
        "edited breaking points are published",
        "for each in every if len(stated_points(each))]",
        "for each in every]",
        *tests("benchmarks", "submit::test_edited_breaking_points_are_seen"),
    ),
    (
        "a part has what other commands ran",
        "if jobs is None or info.job in jobs",
        "if True",
        *tests("benchmarks", "submit::test_one_command_s_part_has_what_it_ran"),
    ),
    ("parts of other instances are mixed", "if not np.allclose(", "if False and np.allclose("),
)
mutants(
    "benchmarks/runner/verify.py",
    tests("benchmarks", "submit::test_numbers_that_were_not_measured_are_seen"),
    ("a trial that was picked is not seen", "chosen[choice] != trial", "chosen[choice] == ()"),
    ("steps are not compared", 'EXACT = ("status", "steps", "cost")', 'EXACT = ("status", "cost")'),
)
mutants(
    "benchmarks/analysis/ranking.py",
    RANKING,
    (
        "the first place breaks first",
        'place = table.groupby("problem")["further"].rank(ascending=False)',
        'place = table.groupby("problem")["further"].rank()',
    ),
    (
        "beyond the rungs is before them",
        '{">": math.inf, "<": -math.inf}',
        '{">": -math.inf, "<": math.inf}',
    ),
    ("a falling dial is read upwards", "return -value if falling else value", "return value"),
    (
        "a noise's ladder runs as the problem's",
        'if first == last and row["problem"] in PROBLEMS',
        'if row["problem"] in PROBLEMS',
    ),
    (
        "a single rung of a falling dial is read upwards",
        'if first == last and row["problem"] in PROBLEMS',
        "if False",
    ),
    (
        "problems and not families are the units of a mean place",
        '.groupby(["optimizer", "family"])["place"].mean()',
        '.groupby(["optimizer", "problem"])["place"].mean()',
    ),
    (
        "smaller budgets count in a place",
        '(points["choice"] == choice) & (points["budget"] == 1)',
        '(points["choice"] == choice) & (points["budget"] <= 1)',
    ),
    (
        "optimizers that were not run everywhere have a mean place",
        '["problem"].nunique() == table["problem"].nunique()',
        '["problem"].nunique() > 0',
    ),
    (
        "pairs that are tied in one table count as pairs",
        "int((product != 0).sum())",
        "len(product)",
    ),
    (
        "kept pairs are flips",
        "flips + int((product < 0).sum())",
        "flips + int((product > 0).sum())",
    ),
)

mutants(
    "benchmarks/display/sweep_views.py",
    TERMINAL,
    (
        "noisy problems are ranked by cost",
        'judged = "gaps" if info.noisy else "cost"',
        'judged = "cost"',
    ),
    (
        "five instances are enough for ranks",
        '    if count < takes:\n        return f"No ranks',
        '    if count < takes - 1:\n        return f"No ranks',
    ),
)

mutants(
    "benchmarks/analysis/ranks.py",
    tests("benchmarks", "ranks", "terminal"),
    (
        "each is compared with the one before and not with the first of its rank",
        "apart = better[start, start:] &",
        "apart = np.r_[False, better.diagonal(1)[start:]] &",
    ),
    ("the luck of the first of many is not allowed for", "LEVEL / (count * each)", "LEVEL"),
    ("the exact test of a pair is not adjusted", "<= 2 * LEVEL / count", "<= LEVEL"),
    ("a better one may stand in a lower rank", " and not better[each:, :each].any()", ""),
    ("costs that are equal up to rounding differ", "first < second - ROUNDING", "first < second"),
    ("a rank has its number among ranks", "1 + starts[np", "1 + np.arange(len(starts))[np"),
)

mutants(
    "benchmarks/diagnosis/run_features.py",
    EVIDENCE,
    (
        "the longer run would be slower",
        "return record.gap * kept**EXTRA_HALF_RUNS / record.target",
        "return record.target / max(record.gap * kept**EXTRA_HALF_RUNS, TINY)",
    ),
    (
        "a run of twice the steps stands for one of ten times",
        "EXTRA_HALF_RUNS = 18",
        "EXTRA_HALF_RUNS = 2",
    ),
    ("a run is thrown at twice its height", "SET_BACK = 10.0", "SET_BACK = 2.0"),
    (
        "rows at rest count in the lost gain",
        "if self.near[row] or (known and best",
        "if (known and best",
    ),
    (
        "noise adds up against momentum",
        "math.sqrt((1 + beta) / max(1 - beta, 1e-6))",
        "math.sqrt(max(1 - beta, 1e-6) / (1 + beta))",
    ),
    (
        "at a standstill noise takes its ratio to curvature",
        "return ratio / (1 + ratio) if",
        "return ratio if",
    ),
    (
        "a step is aimless by the cosine and not by its square",
        "1 - min(middle(-rows), 1.0) ** 2",
        "1 - min(middle(-rows), 1.0)",
    ),
    ("r is twice itself", "np.where(down, -2 * slope, 1.0)", "np.where(down, -slope, 1.0)"),
    (
        "the condition is the smallest of all rows",
        "float(ratios.max()) if len(ratios)",
        "float(ratios.min()) if len(ratios)",
    ),
    (
        "late is the first half",
        "return finite(values[self.half :])",
        "return finite(values[: self.half])",
    ),
    (
        "the curvature to the solutions is not halved",
        "curvature * distance * distance / (2 * excess)",
        "curvature * distance * distance / excess",
    ),
    (
        "a bias is measured against the gradient alone",
        "SAMPLE * record.noise_sq[k], TINY)",
        "TINY)",
    ),
)

mutants(
    "benchmarks/diagnosis/rules/step_and_curvature.py",
    EVIDENCE,
    (
        "sharpening is looked for backwards in time",
        "later = np.triu(held, 1)",
        "later = np.tril(held, -1)",
    ),
    (
        "the curvature of sharpening need not grow",
        "holds = bool(book.holds) and curved.holds is not False and",
        "holds = bool(book.holds) and",
    ),
    (
        "any small step is too small",
        "holds = bool(small.holds and gains and falls) and not felt",
        "holds = bool(small.holds and falls) and not felt",
    ),
    ("a small rate is ill-conditioned", "bounded = bool(large.holds) or", "bounded = True or"),
    (
        "a run that was thrown is slow",
        "and not progressing(features) and not features.thrown\n",
        "and not progressing(features)\n",
    ),
)

mutants(
    "benchmarks/diagnosis/rules/noise.py",
    EVIDENCE,
    (
        "noise is blamed where curvature takes more",
        "shown = bool(taken.holds and larger.holds) and",
        "shown = bool(taken.holds) and",
    ),
    (
        "steps do not descend by one standard error",
        "None if math.isnan(mean) else mean - 3 * error >",
        "None if math.isnan(mean) else mean - 1 * error >",
    ),
    ("a mean gradient at 60 degrees is a wrong direction", "pointing <= 0,", "pointing <= 0.5,"),
    (
        "curvature is not subtracted from a rise",
        "float(bends.mean()) / 2 if len(bends) else 0",
        "0",
    ),
)

mutants(
    "benchmarks/diagnosis/rules/critical_points.py",
    EVIDENCE,
    (
        "a saddle is a minimum",
        "None if row is None else low > floor,",
        "None if row is None else low > -math.inf,",
    ),
    (
        "a saddle needs no horizon",
        "escapes = low < -floor and growth >= limits.escape",
        "escapes = low < -floor",
    ),
    (
        "a gradient that stays rules out nothing at half of the limit",
        "return stays, used < limits.stability_half and",
        "return stays, used < 2 * limits.stability_half and",
    ),
    (
        "no signal needs no zero at the end",
        "bool(zero[-1]) and share >= limits.stuck_share",
        "share >= limits.stuck_share",
    ),
)

mutants(
    "benchmarks/diagnosis/rules/cliffs_and_chains.py",
    EVIDENCE,
    (
        "a leap is measured against the trend alone",
        "np.maximum(np.maximum(usual, foretold), highest)",
        "np.maximum(foretold, highest)",
    ),
    (
        "a leap up to earlier heights is a cliff",
        "np.maximum(np.maximum(usual, foretold), highest)",
        "np.maximum(usual, foretold)",
    ),
    (
        "a fall is a throw",
        "worse = between & (record.loss[1:] > record.loss[:-1])",
        "worse = between",
    ),
    (
        "one row that vanishes is enough",
        "lines[-1 if sign > 0 else len(lines) // 2]",
        "lines[-1 if sign > 0 else 0]",
    ),
    ("a chain need not be straight", "bool(factor.holds and line.holds)", "bool(factor.holds)"),
)

mutants(
    "benchmarks/diagnosis/rules/long_ways.py",
    EVIDENCE,
    (
        "a run to infinity need not grow",
        "away and grows.holds and fades.holds",
        "away and fades.holds",
    ),
    (
        "a minimum that is attained lies at infinity",
        "holds = holds and attained is not True and",
        "holds = holds and",
    ),
    ("a slowing path is long", "1 / limits.steady < pace < limits.steady", "pace < limits.steady"),
)

mutants(
    "benchmarks/diagnosis/combine.py",
    EVIDENCE,
    ("the weakest cause is named", "key=lambda f: -f.strength", "key=lambda f: f.strength"),
    (
        "a weak finding makes a run sick that makes progress",
        "least = WEAK if progressing(features) else 0.0",
        "least = 0.0",
    ),
    ("what holds is ruled out", "if each.ruled_out and not each.strength", "if each.ruled_out"),
    (
        "a step counts in a basin as elsewhere",
        "if each.cause in OF_THE_STEP else each",
        "if each.cause in () else each",
    ),
    (
        "where a cliff has thrown a run is its trouble",
        "if each.cause in CONSEQUENCES else each",
        "if each.cause in () else each",
    ),
)

mutants(
    "benchmarks/diagnosis/rules/finding.py",
    EVIDENCE,
    (
        "certainty falls with distance from the threshold",
        "1 - 0.5 * min(1.0, threshold / value)",
        "0.5 * min(1.0, threshold / value)",
    ),
)

mutants(
    "problems/ill_conditioning/quadratic.py",
    tests("problems", "quadratic"),
    (
        "the start is not whitened",
        '"start": minimizer + basis @ (whitened / curvatures.sqrt()),',
        '"start": minimizer + basis @ whitened,',
    ),
)
mutants(
    "problems/cliffs/cliff.py",
    tests("problems", "cliff", "chains"),
    (
        "starts lie on both sides of the cliff",
        "self.cliff_line(w) + 0.05 + 0.35 * above",
        "self.cliff_line(w) - 0.2 + 0.35 * above",
    ),
    (
        "the chain is without its weight",
        "slope = slope * w * sigmoid * (1 - sigmoid)",
        "slope = slope * sigmoid * (1 - sigmoid)",
    ),
)
mutants(
    "problems/ill_conditioning/rosenbrock.py",
    tests("problems", "rosenbrock"),
    (
        "starts are higher where the valley is steeper",
        "torch.randn(self.dim, generator=generator) / math.sqrt(self.b)",
        "torch.randn(self.dim, generator=generator)",
    ),
)
mutants(
    "problems/modifiers/noises.py",
    tests("problems/modifiers", "noises"),
    ("tails are nearly normal", "tail = 1.5\n", "tail = 1.9\n"),
    (
        "a delay is one step too short",
        "return queue[..., 0, :], queue[..., 1:, :]",
        "return queue[..., 1, :], queue[..., 1:, :]",
    ),
    ("correlated noise grows", "math.sqrt(1 - kept**2) * fresh", "(1 - kept) * fresh"),
)
mutants(
    "problems/inexact_gradients/noisy_quadratic.py",
    tests("problems", "noisy_quadratic"),
    (
        "the noise has its variance for its size",
        "math.sqrt(self.noise) * noise",
        "self.noise * noise",
    ),
)
mutants(
    "problems/modifiers/transforms.py",
    tests("problems/modifiers", "transforms"),
    (
        "a gradient is turned back by the inverse",
        "return self.inverse(vector, data) if self.orthogonal else self.linear(vector, data)",
        "return self.inverse(vector, data)",
    ),
)
mutants(
    "problems/global_structure/mountain.py",
    tests("problems", "mountain"),
    ("starts are before the mountain", "offset[0] = -1.0", "offset[0] = 1.0"),
)
mutants(
    "problems/saddles/octopus.py",
    tests("problems", "octopus"),
    (
        "the tube is narrow in all coordinates",
        "torch.where(in_place | current, wide[..., :-1], narrow[..., :-1])",
        "narrow[..., :-1]",
    ),
    (
        "starts fill a corner",
        "2 * torch.rand(self.saddles + 1, generator=generator) - 1",
        "torch.rand(self.saddles + 1, generator=generator)",
    ),
)
mutants(
    "problems/saddles/mexican_hat.py",
    tests("problems", "mexican_hat"),
    ("a distance to the brim is signed", ".norm(dim=-1) - 1).abs()", ".norm(dim=-1) - 1)"),
)

mutants(
    "optimizers/adam.py",
    tests("optimizers", "stability"),
    (
        "Adam's limit of stability is inverted",
        "self.lr * (1 - self.beta1) / (2 * (1 + self.beta1))",
        "self.lr * (1 + self.beta1) / (2 * (1 - self.beta1))",
    ),
)
mutants(
    "optimizers/damped_newton.py",
    tests("optimizers", "newton", "costs"),
    (
        "a poor step grows the damping once",
        "growth = torch.where(taken, 2.0, 2 * growth)",
        "growth = torch.where(taken, 2.0, growth)",
    ),
    ("the damping falls without a floor", ".clamp(min=1 / 3)", ".clamp(min=0)"),
)
mutants(
    "optimizers/saddle_free_newton.py",
    tests("optimizers", "newton"),
    (
        "a damping is the least curvature",
        "(eigenvalues.abs() + self.damping)",
        "eigenvalues.abs().clamp(min=self.damping)",
    ),
)
mutants(
    "optimizers/newton.py",
    tests("optimizers", "newton"),
    (
        "Newton stays where the Hessian is singular",
        "            direction[singular] = -torch.einsum(",
        "            direction[singular] = 0 * torch.einsum(",
    ),
)
mutants(
    "optimizers/oracle.py",
    tests("optimizers", "oracle", "costs"),
    (
        "a value and its gradient are charged twice",
        '            self._oracle.charge("losses", -new * paid)\n',
        "",
    ),
    (
        "a Hessian costs as much as its products forward",
        "HVP * dim * hessians",
        "GRADIENT * dim * hessians",
    ),
    (
        "a point is paid again by the run that returns to it",
        "return self.who * (1.0 - before)",
        "return self.who * 1.0",
    ),
    (
        "under noise an answer of the step before is free",
        "        if self.noisy:\n            self._points = []\n",
        "",
    ),
    (
        "costs add up in the precision of the run",
        "each.double() if isinstance(each, torch.Tensor) else each",
        "each",
        *tests("benchmarks", "precision::test_costs_are_sums_of_thirds_in_both_precisions"),
    ),
    (
        "a closure's gradients are never delayed",
        "self._memory_alone[alone] = memory",
        "self._memory_alone[alone] = None",
    ),
    (
        "a delay counts a closure's calls, not steps",
        "            if alone not in self._met_alone:\n",
        "            if True:\n",
    ),
)
mutants(
    "optimizers/momentum.py",
    tests("optimizers", "first_order", "against_torch"),
    (
        "Nesterov is momentum",
        "return -self.lr * (gradient + self.momentum * velocity), (velocity,)",
        "return -self.lr * velocity, (velocity,)",
    ),
)
mutants(
    "optimizers/decay.py",
    tests("optimizers", "wrappers"),
    ("a rate falls to its half", "return 1.0 - progress", "return 1.0 - 0.5 * progress"),
)
mutants(
    "optimizers/clip.py",
    tests("optimizers", "wrappers", "clip"),
    (
        "adaptive clipping forgets one norm too many",
        "if norms.shape[-1] == self.window:",
        "if norms.shape[-1] == self.window - 1:",
    ),
)
