"""Make the published reference: the tables of the standard suite in a small folder, and a page about them.

`python -m benchmarks.docgen.reference` runs `+suite=standard`, and the quick suite and its variants, on all cores; it
resumes after an interrupt. It writes results/reference/ and docs/reference.md. Further options of a sweep apply to all
of these; `suite=NAME`, `out=FOLDER` and `page=FILE` replace the suite, the folder and the page.

Of the runs it keeps the chosen trials on the reporting instances, which is all that paired comparisons need.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas

from benchmarks.analysis.carryover import carryover
from benchmarks.analysis.columns import OF_PROBLEMS, SOLVING, VERDICT, WITHOUT_NUMBERS
from benchmarks.analysis.consistency import CHOSEN_ROWS, KEPT
from benchmarks.analysis.dial_axis import Axis, number
from benchmarks.analysis.folder import read_table
from benchmarks.analysis.pairs import discrimination
from benchmarks.analysis.ranking import mean_places, moved, standings
from benchmarks.analysis.rungs import judged, too_few
from benchmarks.analysis.tables import Tables, read
from benchmarks.catalog.defaults import CLASSICS
from benchmarks.catalog.subsections import by_subsection, families
from benchmarks.checks.walks import draw, smooth_valley, walk
from benchmarks.display.breaking_table import FALLING, said_of_rungs
from benchmarks.docgen import prices
from benchmarks.docgen.markdown import markdown_cell
from benchmarks.docgen.paths import DOCS
from benchmarks.store.cell_info import CellInfo, cells_of
from benchmarks.store.cells import Store, Stored
from optimizers.oracle import GRADIENT, HVP, LOSS
from optimizers.registry import AND, OPTIMIZERS
from ravine import Refused

ROUNDED = (
    "cost_to_target", "cost_to_target_low", "cost_to_target_high", "gap_final", *SOLVING,
    "seconds", "u",
)  # fmt: skip
LOSS_TOO, HVP_TOO = 1 / 2, 2.5  # higher prices of an extra loss and of a Hessian-vector product
CLIPPED = ("clipped_sgd", "clipped_momentum")
BARE = tuple(name for name in CLASSICS if name not in CLIPPED)
RATED = tuple(name for name in BARE if name != "damped_newton")  # it has no learning rate to decay
VARIANTS = {
    "as it is": [f"optimizer={','.join(CLASSICS)}"],
    "in float32": [f"optimizer={','.join(CLASSICS)}", "dtype=float32"],
    "rotated": [f"optimizer={','.join(CLASSICS)}", "transform=rotate"],
    "clipped": [f"optimizer={','.join(f'{name}{AND}clip' for name in BARE)}"],
    "with decay": [f"optimizer={','.join(f'{name}{AND}decay' for name in RATED)}"],
}
SOLVED = f"{VERDICT}solved"
REASONS = 3  # verdicts named per problem
PEER = "40 of 148 = 27 % of the nearest peer's"
ASKED_IN = 20  # steps that show what an optimizer asks for
NEAR = 2.0  # largest ratio of measured and predicted that counts as near
REWEIGHED = f"at other prices: a loss {LOSS_TOO:g}, a product {HVP_TOO:g}"


def main(words: Sequence[str]) -> int:
    """Run the missing cells, and write the folder and the page."""
    given = {name: value for name, _, value in (word.partition("=") for word in words)}
    suite, out = given.pop("suite", "standard"), Path(given.pop("out", "results/reference"))
    page_file = Path(given.pop("page", DOCS / "reference.md"))
    cells = Path(given.get("cells", "results/cells"))
    rest = [f"{name}={value}" for name, value in given.items()]
    work = out.with_name(f"{out.name}-runs")
    sweeps = {suite: [f"+suite={suite}"]}
    sweeps |= {name: ["+suite=quick", "seeds=5", *more] for name, more in VARIANTS.items()}
    folders = {name: work / name.replace(" ", "_") for name in sweeps}
    for name, options in sweeps.items():
        words = [*options, *rest, f"out={folders[name]}"]
        code = subprocess.run([sys.executable, "-m", "benchmarks", *words]).returncode
        if code:
            return code
    compact(folders[suite], out)
    tables = {name: _tables(folders[name], Store(cells)) for name in sweeps}
    robustness(tables, suite).to_csv(out / "robustness.csv", index=False)
    separated(tables[suite]).to_csv(out / "discrimination.csv", index=False)
    prices.write(out)
    page_file.write_text(page(out))
    print(f"{out}/  {page_file}")
    return 0


def _tables(folder: Path, store: Store) -> Tables:
    return read(store, cells_of(json.loads((folder / "manifest.json").read_text())["jobs"]))


def compact(folder: Path, out: Path) -> None:
    """Write the parts of `folder` that a comparison needs: its tables, the chosen runs, its manifest."""
    out.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    config = {name: value for name, value in manifest["config"].items() if name != "jobs"}
    kept = {**manifest, "config": config, "rows": CHOSEN_ROWS}
    (out / "manifest.json").write_text(json.dumps(kept, indent=1) + "\n")
    summary, runs = read_table(folder, "summary"), read_table(folder, "runs")
    shorter = {name: summary[name].map(_nine_digits) for name in ROUNDED if name in summary}
    short = summary.drop(columns="traceback", errors="ignore").assign(**shorter)
    short.to_csv(out / "summary.csv", index=False)
    if any(folder.glob("breaking_points.*")):
        read_table(folder, "breaking_points").to_csv(out / "breaking_points.csv", index=False)
    _chosen_runs(runs, summary).to_parquet(
        out / "runs.parquet", index=False, compression="zstd", compression_level=19
    )


def _nine_digits(value: float) -> float:
    return float(f"{value:.9g}")


def _chosen_runs(runs: pandas.DataFrame, summary: pandas.DataFrame) -> pandas.DataFrame:
    """Return the reporting runs of the chosen trials and the rows without numbers, with the size of each search."""
    by_cell = runs.groupby("cell")
    tuning = runs[runs["role"] == "tuning"].groupby("cell")["seed"].nunique()
    sizes = {"trials": by_cell["trial"].nunique(), "tuning_seeds": tuning}
    chosen = pandas.MultiIndex.from_frame(
        summary[["cell", "trial"]].dropna().astype({"trial": "int64"})
    )
    numbered = ~runs["status"].isin(WITHOUT_NUMBERS)
    pairs = pandas.MultiIndex.from_arrays([runs["cell"], runs["trial"].fillna(-1).astype("int64")])
    kept = runs[~numbered | (pairs.isin(chosen) & (runs["role"] == "reporting"))]
    names = [name for name in runs if name in KEPT or str(name).startswith(OF_PROBLEMS)]
    small = dict.fromkeys(("gap_final", "grad_sq_initial"), "float32")
    with np.errstate(over="ignore"):  # a gap above 3e38 is infinite as well
        short = kept[names].astype(small)
    return short.assign(
        **{name: kept["cell"].map(size).astype("Int64") for name, size in sizes.items()}
    )


def reweighed(tables: Tables) -> Tables:
    """Return the same runs at higher prices; a run whose cost to the target exceeds the budget is not solved.

    At higher prices no run would have been longer. The cost up to the target is scaled like the whole cost, which
    assumes the same shares of losses and products.
    """

    def again(cell: Stored) -> Stored:
        if cell.info.error:
            return cell
        runs = dict(cell.runs)
        first = GRADIENT * runs["gradients"] + LOSS * runs["losses"]
        products = np.maximum(runs["cost"] - first, 0)
        cost = GRADIENT * runs["gradients"] + LOSS_TOO * runs["losses"] + HVP_TOO / HVP * products
        paid = runs["cost_to_target"] * cost / np.where(runs["cost"] > 0, runs["cost"], 1)
        late = (runs["status"] == "solved") & (paid > cell.info.protocol.budget)
        runs |= {
            "cost": cost,
            "cost_to_target": np.where(late, np.nan, paid),
            "status": np.where(late, "missed", runs["status"]),
        }
        return replace(cell, runs=runs)

    return Tables({key: again(each) for key, each in tables.cells.items()})


def robustness(tables: Mapping[str, Tables], suite: str) -> pandas.DataFrame:
    """Return how much the order of the optimizers changes in each variant: `moved`, one row per variant.

    tables: by name, those of the suite and of the variants. The order at higher prices is compared in both suites;
    a wrapped optimizer is compared with itself without the wrapper.
    """
    base = standings(tables["as it is"].breaking_points)
    rows = [
        {
            "suite": suite,
            "variant": REWEIGHED,
            **moved(
                standings(tables[suite].breaking_points),
                standings(reweighed(tables[suite]).breaking_points),
                families(),
            ),
        }
    ]
    for name in VARIANTS:
        after = reweighed(tables[name]) if name == "as it is" else tables[name]
        table = standings(after.breaking_points)
        bare = table["optimizer"].str.replace(rf"\{AND}(clip|decay)$", "", regex=True)
        said = REWEIGHED if name == "as it is" else name
        found = moved(base, table.assign(optimizer=bare), families())
        rows.append({"suite": "quick", "variant": said, **found})
    return pandas.DataFrame(rows)


def separated(tables: Tables) -> pandas.DataFrame:
    """Return `discrimination` of all rungs."""
    noisy = {cell.info.problem for cell in tables.cells.values() if cell.info.noisy}
    return discrimination(tables.runs, tables.summary, noisy=noisy)


HEAD = """# The reference

The results of `+suite=standard`. The tables are in
[results/reference](../results/reference): `summary.csv`, `breaking_points.csv`, and the runs of the chosen trials on
the reporting instances. Therefore

    ravine +suite=standard optimizer=my_opt.py:MyOpt out=results/mine
    ravine compare results/reference results/mine

compares your optimizer with all of these, instance by instance. `python -m benchmarks.docgen.reference` runs
everything again and writes this page.
"""


def page(folder: Path) -> str:
    """Return the page about a reference, made from its folder alone."""
    points, runs = read_table(folder, "breaking_points"), read_table(folder, "runs")
    manifest = json.loads((folder / "manifest.json").read_text())
    table = standings(points)
    table["text"] += np.where(table["further"] == math.inf, " ✓", "")
    summary = read_table(folder, "summary")
    parts = [HEAD, _provenance(manifest), *_matrix(table), *_carryover(runs, summary, points)]
    parts += _reasons(summary)
    parts += _predicted(points, cells_of(manifest["jobs"]))
    parts += _separation(judged(read_table(folder, "discrimination")), too_few(runs))
    parts += _robustness(read_table(folder, "robustness"))
    if (folder / "steps.csv").exists():
        parts += _prices(*(read_table(folder, name) for name in ("steps", "prices", "flips")))
    return "\n".join(parts).rstrip() + "\n"


def _provenance(manifest: Mapping) -> str:
    packages = ", ".join(
        f"{name} {version}" for name, version in manifest["packages"].items() if version
    )
    commit = str(manifest["git"]["commit"])[:12] + (
        " with changes" if manifest["git"]["dirty"] else ""
    )
    return (
        f"Measured at commit {commit}; Python {manifest['python']}, {packages}; {manifest['cpu']}, "
        f"{manifest['seconds'] / 60:.0f} minutes; {len(cells_of(manifest['jobs']))} cells. Rules, ladders and ranges "
        "that have changed since then are in the [changelog](../CHANGELOG.md), under *Numbers changed*.\n"
    )


def _matrix(table: pandas.DataFrame) -> Iterator[str]:
    yield "## Breaking points\n"
    yield (
        "The dial up to which half of the instances are solved, tuned. `>` and `<`: outside the tested rungs; ↓: the "
        "problem gets harder as this dial falls; ✓: solved at every rung; *no step*: one step costs more than the "
        "budget; *too few steps*: with noise, runs are judged from four steps on. Optimizers are ordered by their mean "
        "rank over families of problems, best first; below it is the mean rank among those that ask for the same, for "
        "a method that knows the curvature does not compete with one that does not. The next section says how far a "
        "mean rank carries to another problem.\n"
    )
    means = mean_places(table, families())
    names = list(map(str, means.index))
    last = [["", "mean rank", *(f"{means[name]:.1f}" for name in names)]]
    for oracle, those in _by_oracle(names).items():
        among = mean_places(table[table["optimizer"].isin(those)], families())
        texts = (f"{among[name]:.1f}" if name in among else "" for name in names)
        last.append(["", f"among {oracle} methods", *texts])
    yield from _markdown(["subsection", "problem: dial", *names], [*_rows(table, names), *last])
    others = sorted(set(table["optimizer"]) - set(names))
    if others:
        yield "\nOptimizers with a decaying learning rate run only on noisy problems:\n"
        yield from _markdown(["subsection", "problem: dial", *others], list(_rows(table, others)))


def _by_oracle(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the registered optimizers by what they ask for in some steps on a smooth loss; without groups of one."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name.partition(AND)[0] not in OPTIMIZERS:
            continue
        steps = walk(OPTIMIZERS.find(name), smooth_valley, draw(instances=1), steps=ASKED_IN)
        asks = (
            "Hessian" if steps.hessians else "Hessian-vector" if steps.products else "first-order"
        )
        found.setdefault(asks, []).append(name)
    return {asks: those for asks, those in found.items() if len(those) > 1}


def _carryover(
    runs: pandas.DataFrame, summary: pandas.DataFrame, points: pandas.DataFrame
) -> Iterator[str]:
    yield "\n## How far the order carries\n"
    yield (
        "Each problem orders the optimizers by their breaking points, by the share of instances that they solve at the "
        "rungs that all ran, and by cost. τ: Kendall's τ_b of the order on a problem and the mean rank over all other "
        "problems, the mean over problems; *ceiling*: what the true order on a problem would reach with so few "
        "instances. W: Kendall's coefficient of concordance, 1 if all problems order alike. Ranks on this page come "
        "from breaking points; cost is shown, not ranked. [How this was tested](statistics.md).\n"
    )
    everywhere = list(mean_places(standings(points), families()).index)
    rows = []
    for asks, names in {"all": everywhere, **_by_oracle(everywhere)}.items():
        those = runs[runs["optimizer"].isin(names)]
        for row in carryover(those, summary, families(), points=points).to_dict("records"):
            numbers = (
                "" if pandas.isna(row[each]) else f"{row[each]:.2f}"
                for each in ("w", "tau", "ceiling")
            )
            rows.append([asks, row["by"], row["optimizers"], row["problems"], *numbers])
    yield from _markdown(
        ["methods", "ordered by", "optimizers", "problems", "W", "τ", "ceiling"], rows
    )


def _rows(table: pandas.DataFrame, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield one row per problem on which any of these optimizers was run."""
    texts = table.set_index(["problem", "optimizer"])["text"]
    for title, problems in by_subsection().items():
        for name in problems:
            of_problem = [texts.get((name, each), "") for each in names]
            if any(of_problem):
                card = problems[name].card
                dial = card.dial + (FALLING if card.ladder[0] > card.ladder[-1] else "")
                yield [title, f"{name}: {dial}", *of_problem]


def _reasons(summary: pandas.DataFrame) -> Iterator[str]:
    yield "\n## What goes wrong\n"
    yield (
        "The tuned runs, of all rungs and optimizers, that are not solved, with their commonest verdicts. A verdict "
        "depends on the run alone, not on the problem's name; [verdicts.md](verdicts.md) says how often verdicts "
        "agree with measured causes.\n"
    )
    names = [each for each in map(str, summary) if each.startswith(VERDICT) and each != SOLVED]
    by_problem = summary[summary["choice"] == "tuned"].groupby("problem")[names].sum()
    found = {
        str(problem): Counter(dict(zip(names, row, strict=True)))
        for problem, *row in by_problem.itertuples(name=None)
    }
    rows = []
    for title, problems in by_subsection().items():
        for name in (each for each in problems if each in found):
            counts = found[name]
            said = [
                f"{verdict.removeprefix(VERDICT).replace('_', ' ')} {count:.0f}"
                for verdict, count in counts.most_common(REASONS)
                if count
            ]
            more = sum(count > 0 for count in counts.values()) > REASONS
            rows.append([title, name, f"{counts.total():.0f}", ", ".join([*said, *["…"] * more])])
    yield from _markdown(["subsection", "problem", "not solved", "why"], rows)


def _predicted(points: pandas.DataFrame, infos: Mapping[str, CellInfo]) -> Iterator[str]:
    """Yield the section on theory: every prediction, how near the measurement is, and what chance would give.

    infos: by key, the description of the cells.
    """
    known = points[points["theory"].notna() & (points["choice"] == "tuned")]
    if known.empty:
        return
    order = {"by": ["problem", "optimizer", "budget"], "ascending": [True, True, False]}
    table = known.sort_values(**order)  # type: ignore[arg-type]
    found = _against_theory(table.to_dict("records"), infos)
    measured = found[found["ratio"].notna()]
    near = measured["ratio"].between(1 / NEAR, NEAR)
    by_budget = [
        f"{rows.sum()} of {len(rows)} at {_share_of_budget(budget)}"
        for budget, rows in near.groupby(measured["budget"], sort=False)
    ]
    cells = known.drop_duplicates(["problem", "optimizer"])
    yield "\n## Measured against predicted\n"
    yield (
        f"**Of {len(near)} breaking points that a theorem predicts and that lie within the tested rungs, {near.sum()} "
        f"are within a factor of {NEAR:g} of the prediction**: {', '.join(by_budget)}. A prediction drawn at random on "
        f"the ladder, in the dial's scale, would be that near in {measured['near by chance'].mean():.0%}. Only the "
        "breaking point at the whole budget B is bisected; those at a third and a tenth of it are as coarse as the "
        "ladder.\n"
    )
    yield (
        f"{found['agrees'].sum()} of all {len(found)} predictions, for {len(cells)} pairs of a problem and an "
        "optimizer, *agree*: they lie in the 95 % interval of the measurement, or outside the tested rungs like the "
        "measurement. That says less, for a prediction drawn at random would agree in "
        f"{found['agrees by chance'].mean():.0%}: the intervals cover other searches and other instances, and "
        "[statistics.md](statistics.md#breaking-points) shows why they are not narrower. Predictions that do not "
        "agree are listed, too.\n"
    )
    rows = [
        [
            row["problem"], row["optimizer"], _share_of_budget(row["budget"]), row["text"],
            "never" if math.isinf(row["theory"]) else number(row["theory"]),
            "" if pandas.isna(row["ratio"]) else f"{row['ratio']:.2f}", "yes" if row["agrees"] else "no",
        ]
        for row in found.to_dict("records")
    ]  # fmt: skip
    heads = ["problem", "optimizer", "budget", "measured", "predicted", "ratio", "agrees"]
    yield from _markdown(heads, rows)


def _share_of_budget(budget: float) -> str:
    return "B" if budget == 1 else f"B/{1 / budget:.0f}"


def _against_theory(rows: Sequence[Mapping], infos: Mapping[str, CellInfo]) -> pandas.DataFrame:
    """Return these breaking points with `ratio` (NaN outside the rungs), `agrees`, and what chance gives for both."""
    dials: dict[str, set[float]] = {}
    for info in infos.values():
        dials.setdefault(info.job, set()).add(info.dial)
    by_job = {info.job: info for info in infos.values()}
    found = []
    for row in rows:
        info = by_job[row["job"]]
        axis = Axis.of(list(dials[row["job"]]), info.scale, info.falling)
        both = pandas.isna(row["censored"]) and 0 < row["theory"] < math.inf
        at = row["breaking_point"]
        found.append({
            **row,
            "ratio": at / row["theory"] if both else math.nan,
            "near by chance": axis.share(at / NEAR, at * NEAR),
            "agrees": _agrees(row),
            "agrees by chance": axis.share(row["low"], row["high"]),
        })  # fmt: skip
    return pandas.DataFrame(found)


def _agrees(row: Mapping) -> bool:
    """True if a prediction lies in the interval of the measurement, which is open if a bound is missing."""
    low = -math.inf if pandas.isna(row["low"]) else row["low"]
    high = math.inf if pandas.isna(row["high"]) else row["high"]
    return low <= row["theory"] <= high


def _separation(table: pandas.DataFrame, few: Sequence[str]) -> Iterator[str]:
    yield "\n## Which rungs tell optimizers apart\n"
    yield f"Rungs that at least half of the optimizers ran. {' '.join(said_of_rungs(table, few, PEER))} By problem:\n"
    rows = []
    for name, rungs in table.groupby("problem", sort=False):
        won, wanted = rungs["won"].value_counts(), (rungs["wanted"] != "").sum()
        apart = f"{rungs['apart'].sum() / rungs['pairs'].sum():.0%}"
        rows.append(
            [name, len(rungs), won.get("all", 0), won.get("none", 0), wanted,
             *(("", "") if name in few else (rungs["separates"].sum(), apart))]
        )  # fmt: skip
    heads = [
        "problem", "rungs", "solved by all", "by none", "of these wanted", "tell some apart", "pairs told apart",
    ]  # fmt: skip
    yield from _markdown(heads, rows)


def _robustness(table: pandas.DataFrame) -> Iterator[str]:
    yield "\n## How much the order changes\n"
    yield (
        "The same optimizers in the same suite, with one change. τ: Kendall's τ_b of the ranks on a problem, averaged "
        "over the problems on which neither order has all optimizers tied; 1 is the same order, 0 an unrelated one. "
        "*Flips*: pairs on a problem that change their order, of those strictly ordered in both. *Overall*: τ_b of the "
        "mean ranks over families. Last column: the optimizer whose mean rank changes most.\n"
    )
    rows = [
        [row["suite"], row["variant"], f"{row['tau']:.2f}", row["problems"], f"{row['flips']} of {row['pairs']}",
         f"{row['overall']:.2f}", "" if pandas.isna(row["most"]) else row["most"]]
        for row in table.to_dict("records")
    ]  # fmt: skip
    yield from _markdown(
        ["suite", "changed", "τ", "problems", "flips", "overall", "moves most"], rows
    )


def _prices(
    steps: pandas.DataFrame, orders: pandas.DataFrame, flips: pandas.DataFrame
) -> Iterator[str]:
    """Yield the section on prices, from the tables of `docgen.prices`."""
    yield "\n## What a step costs, and other prices\n"
    yield (
        "Costs are counted in gradients; a Hessian costs 2 · dim of them, and its factorisation nothing. Seconds are "
        "the CPU time of a step on ten instances of the quadratic, in steps of gradient descent; they contain the "
        "factorisation, and at these sizes much of Python's own time. A refused step of damped Newton costs ⅓.\n"
    )
    of_quadratic = steps[steps["problem"] == "quadratic"]
    dims = sorted(set(of_quadratic["dim"]))
    small, large = (of_quadratic[of_quadratic["dim"] == dim] for dim in dims)
    rows = [
        [one["optimizer"], f"{one['gradients']:g}", f"{one['hessians']:g}",
         *(f"{each['price']:.4g}" for each in (one, other)),
         *(f"{each['in_sgd_steps']:.2g}" for each in (one, other))]
        for one, other in zip(small.to_dict("records"), large.to_dict("records"), strict=True)
    ]  # fmt: skip
    heads = ["a step of", "gradients", "Hessians"]
    heads += [f"{what} at dim {dim}" for what in ("price", "seconds") for dim in dims]
    yield from _markdown(heads, rows)
    yield (
        "\nThe order of the optimizers at four price lists, from the runs of the tuned trials. A finished run cannot "
        "be made longer; so where something is cheaper than today, all prices on a problem are raised until nothing "
        "is, which leaves a share of the *budget* (median over problems). Both orders, at today's prices and at the "
        "others, are taken at that budget. *Flips*: pairs on a problem that change their order, of those strictly "
        "ordered in both; in brackets, the flips that the smaller budget makes at today's prices.\n"
    )
    rows = [
        [row["prices"], f"{row['budget']:.2g}", f"{row['tau']:.2f}",
         f"{row['flips']} of {row['pairs']} ({row['alone']})",
         f"{row['overall']:.2f}", "" if pandas.isna(row["most"]) else row["most"], row["order"]]
        for row in orders.to_dict("records")
    ]  # fmt: skip
    heads = ["prices", "budget", "τ", "flips", "overall", "moves most", "by mean rank"]
    yield from _markdown(heads, rows)
    yield "\nEvery flip; flips.csv has the breaking points before and after.\n"
    rows = [
        [name, problem, "; ".join(
            f"{', '.join(pairs['behind'])} passes {ahead}" if len(pairs) == 1 else
            f"{', '.join(pairs['behind'])} pass {ahead}"
            for ahead, pairs in changed.groupby("ahead")
        )]
        for (name, problem), changed in flips.groupby(["prices", "problem"], sort=False)
    ]  # fmt: skip
    yield from _markdown(["prices", "problem", "who passes whom"], rows)


def _markdown(names: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(markdown_cell(str(each)) for each in row)} |"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refusal:
        sys.exit(f"reference: {refusal}")
