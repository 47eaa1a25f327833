"""Make the published reference, optimizer by optimizer: a part for each, and from all parts the tables and a page.

`python -m benchmarks.docgen.reference --optimizer adam` runs the standard suite for one optimizer (the option may be
given several times) and writes its part, results/reference/parts/adam; after an interruption it continues. `--variants`
runs the quick suite and its variants for the ten classics, and measures what steps cost. `--page` runs nothing: from
all parts that are there it writes the tables in results/reference, docs/reference.md and docs/reference.svg. Without
any of these, everything is made: all of `PUBLISHED`, the variants and the page. Options of a sweep apply to all sweeps,
as in `trials=9`.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas

from benchmarks.analysis.carryover import carryover
from benchmarks.analysis.columns import VERDICT
from benchmarks.analysis.dial_axis import Axis, number
from benchmarks.analysis.folder import finished, read_results, read_table
from benchmarks.analysis.pairs import LEVEL, discrimination
from benchmarks.analysis.parts import combine
from benchmarks.analysis.ranking import mean_places, moved, standings
from benchmarks.analysis.rungs import judged, too_few
from benchmarks.analysis.tables import Tables, read
from benchmarks.catalog.defaults import (
    CLASSICS,
    CURVATURE,
    OTHERS,
    PUBLISHED,
    TWINS,
    called,
    family_of,
)
from benchmarks.catalog.subsections import by_subsection, families
from benchmarks.catalog.suites import suites
from benchmarks.display.breaking_table import dial_of, said_of_rungs
from benchmarks.display.explained import named
from benchmarks.display.leaderboard import YARDSTICK, Leaderboard
from benchmarks.docgen import prices
from benchmarks.docgen.paths import DOCS
from benchmarks.pages.markdown import markdown_cell, markdown_table
from benchmarks.plots.heat_map import heat_map
from benchmarks.plots.style import save
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.cells import Store, Stored
from optimizers.oracle import GRADIENT, HVP, LOSS
from optimizers.registry import AND
from ravine import Refused, nearest

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
NEAR = 2.0  # largest ratio of measured and predicted that counts as near
REWEIGHED = f"at other prices: a loss {LOSS_TOO:g}, a product {HVP_TOO:g}"
FOLDER, PARTS, PICTURE = Path("results/reference"), "parts", "reference.svg"
FAILED = 3  # exit code of the command where a cell failed, and the rest was run
WORDS = tuple(word for words in PUBLISHED.values() for word in words)


def main(words: Sequence[str]) -> int:
    """Run the missing cells of what is asked for, and write parts, tables and page."""
    given = _Parser(prog="reference").parse_args(list(words))
    for word in given.optimizer:
        if word not in WORDS:
            raise Refused(
                f"{word} is not in the reference: {nearest(word, WORDS)}; anything else is run by `ravine submit`"
            )
    for word in given.options:
        if "=" not in word:
            raise Refused(f"{word!r} is not an option: an option is written name=value")
    everything = not (given.optimizer or given.variants or given.page)
    if given.variants:
        _check_classics(set(map(called, given.optimizer)))
    worst = 0
    for word in WORDS if everything else given.optimizer:
        part = FOLDER / PARTS / called(word)
        code = _run("submit", word, f"out={_work(word)}", f"part={part}", *given.options)
        if code not in (0, FAILED):
            return code
        worst = max(worst, code)
    if given.variants or everything:
        code = _variants(given.options)
        if code:
            return code
    if given.page or given.variants or everything:
        write(FOLDER, DOCS)
        print(f"{FOLDER}/  {DOCS / 'reference.md'}")
    return worst


class _Parser(argparse.ArgumentParser):
    def __init__(self, prog: str):
        super().__init__(prog, description=__doc__, allow_abbrev=False)
        self.add_argument("--optimizer", action="append", default=[], metavar="NAME")
        self.add_argument("--variants", action="store_true")
        self.add_argument("--page", action="store_true")
        self.add_argument("options", nargs="*")

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}: [--optimizer NAME …] [--variants] [--page] [option=value …]")


def _run(*words: str) -> int:
    return subprocess.run([sys.executable, "-m", "benchmarks", *words]).returncode


def _work(name: str) -> Path:
    """Return the folder of a sweep of the reference."""
    return FOLDER.with_name(f"{FOLDER.name}-runs") / called(name).replace(" ", "_")


def _check_classics(running: Collection[str]) -> None:
    """Refuse variants without the standard suite of each classic, with which they are compared."""
    there = (_work(name) / "manifest.json" for name in CLASSICS if name not in running)
    missing = [file.parent.name for file in there if not file.exists()]
    if missing:
        given = " ".join(f"--optimizer {name}" for name in missing)
        raise Refused(
            f"variants are compared with sweeps that {_work('sgd').parent} does not have: add {given}"
        )


def write(folder: Path, docs: Path) -> None:
    """Write the tables of a reference from its parts, its page and its picture."""
    parts = folder / PARTS
    if not parts.is_dir():
        raise Refused(
            f"{parts} does not exist, and a reference is made of parts: add --optimizer NAME"
        )
    combine(sorted(each for each in parts.iterdir() if each.is_dir()), folder)
    _, cells = finished(folder)
    noisy = {info.problem for info in cells.values() if info.noisy}
    tables = read_table(folder, "runs"), read_table(folder, "summary")
    discrimination(*tables, noisy=noisy).to_csv(folder / "discrimination.csv", index=False)
    (docs / "reference.md").write_text(page(folder))
    board = Leaderboard.of(read_results(folder))
    problems = {title: [*names] for title, names in by_subsection().items()}
    save(heat_map(board.climbed, problems, _by_family(board)), docs / PICTURE)


def _by_family(board: Leaderboard) -> dict[str, list[str]]:
    """Return the optimizers by family, each in the order of the leaderboard."""
    every = sorted({info.optimizer for info in board.cells.values()})
    names = dict.fromkeys([*board.table["optimizer"], *every])  # those without a score come last
    return {
        family: [name for name in names if family_of(name) == family]
        for family in (*PUBLISHED, OTHERS)
    }


def _variants(options: Sequence[str]) -> int:
    """Run the variants of the quick suite, and write what they change, and the tables of prices."""
    for name, more in VARIANTS.items():
        code = _run("+suite=quick", "seeds=5", *more, *options, f"out={_work(name)}")
        if code:
            return code
    given = dict(word.split("=", 1) for word in options)
    store = Store(Path(given.get("cells", "results/cells")))
    tables = {name: _tables([_work(name)], store) for name in VARIANTS}
    tables["standard"] = _tables([_work(name) for name in CLASSICS], store)
    robustness(tables).to_csv(FOLDER / "robustness.csv", index=False)
    prices.write(FOLDER)
    return 0


def _tables(folders: Sequence[Path], store: Store) -> Tables:
    return read(store, [key for each in folders for key in finished(each)[1]])


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


def robustness(tables: Mapping[str, Tables]) -> pandas.DataFrame:
    """Return how much the order of the optimizers changes in each variant: `moved`, one row per variant.

    tables: by name, those of the "standard" suite and of the variants of the quick one. The order at higher prices is
    compared in both suites; a wrapped optimizer is compared with itself without the wrapper.
    """
    base = standings(tables["as it is"].breaking_points)
    rows = [
        {
            "suite": "standard",
            "variant": REWEIGHED,
            **moved(
                standings(tables["standard"].breaking_points),
                standings(reweighed(tables["standard"]).breaking_points),
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


HEAD = f"""# The reference

The results of `+suite=standard`, optimizer by optimizer. The tables are in
`results/reference`: `summary`, `breaking_points`, and the `runs` of the chosen trials on the
reporting instances. They are made from one part (`results/reference/parts`) for each optimizer.

    ravine submit my_opt.py:MyOpt

runs your optimizer and shows its row among these, and `ravine compare results/reference FOLDER` compares any sweep with
all of them, instance by instance. `python -m benchmarks.docgen.reference --page` writes this page.

![How far each optimizer gets on each problem]({PICTURE})

*Yellow: solved up to the last rung of the problem's ladder; dark: not even at its first rung. White: the optimizer
cannot be used on this problem, or the budget does not pay for one step (with noise, for four).*
"""


def page(folder: Path) -> str:
    """Return the page about a reference, made from its folder and the published causes alone."""
    board = Leaderboard.of(read_results(folder))
    points, runs = read_table(folder, "breaking_points"), read_table(folder, "runs")
    manifest, cells = finished(folder)
    table = standings(points)
    table["text"] += np.where(table["further"] == math.inf, " ✓", "")
    summary = read_table(folder, "summary")
    parts = [HEAD, _provenance(manifest, cells), *_leaderboard(board), *_matrix(table, board)]
    parts += [*_carryover(runs, summary, points), *_reasons(summary), *_cures()]
    parts += _predicted(points, cells)
    parts += _separation(judged(read_table(folder, "discrimination")), too_few(runs))
    if (folder / "robustness.csv").exists():
        parts += _robustness(read_table(folder, "robustness"))
    if (folder / "steps.csv").exists():
        parts += _prices(*(read_table(folder, name) for name in ("steps", "prices", "flips")))
    return "\n".join(parts).rstrip() + "\n"


def _provenance(manifest: Mapping, cells: Mapping[str, CellInfo]) -> str:
    packages = ", ".join(
        f"{name} {version}" for name, version in manifest["packages"].items() if version
    )
    at: dict[str, list[str]] = {}
    for name, part in manifest["parts"].items():
        changed = " with changes" if part["git"]["dirty"] else ""
        at.setdefault(f"{str(part['git']['commit'])[:12]}{changed}", []).append(name)
    commits = "; ".join(
        f"{commit} ({', '.join(names)})" if len(at) > 1 else commit for commit, names in at.items()
    )
    run = {info.problem for info in cells.values()}
    waiting = sorted(suites()["standard"].problems.keys() - run)
    missing = f" Not run yet: {', '.join(waiting)}." if waiting else ""
    return (
        f"Measured at commit {commits}; Python {manifest['python']}, {packages}; {manifest['cpu']}, "
        f"{manifest['seconds'] / 60:.0f} minutes; {len(cells)} cells. Rules, ladders and ranges "
        "that have changed since then are in `CHANGELOG.md`, under *Numbers changed*."
        f"{missing}\n"
    )


def _leaderboard(board: Leaderboard) -> Iterator[str]:
    yield "## How far each optimizer gets\n"
    yield (
        "*Problems*: the number of problems on which the optimizer can be used and can pay for a step. *Ladder*: the "
        "share of a problem's ladder, in the scale of its dial, that an optimizer climbs before it breaks, averaged "
        "over the problems of a family, and then over families. *Groups*: two optimizers share a letter unless a "
        f"randomization test tells them apart ({LEVEL:.0%}, families of problems are the units, on the problems "
        "that both have). Each share is computed and each pair is tested alone, so nothing here depends on the other "
        "optimizers in the table, nor is it corrected for their number: of pairs that do not differ, up to one in "
        "twenty is told apart. There is no letter where too few families tell anything. The last "
        f"column has the number of problems on which an optimizer is better than {YARDSTICK}, worse, and not told "
        "apart, by sign tests on the same instances. Means over different problems cannot be compared: where an "
        "optimizer lacks problems, the groups and the last column can. [How this was "
        "tested](statistics.md#groups-across-problems).\n"
    )
    against = board.against(YARDSTICK)
    rows = [
        [row["optimizer"], row["family"], row["problems"], f"{row['climbed']:.2f}", row["group"],
         against.get(str(row["optimizer"]), "")]
        for row in board.table.to_dict("records")
    ]  # fmt: skip
    heads = ["optimizer", "family", "problems", "ladder", "groups", f"against {YARDSTICK}"]
    yield from _markdown(heads, rows)
    lines = [
        [name, len(problems), reason, ", ".join(problems)]
        for name, by_reason in board.absent.items()
        for reason, problems in by_reason.items()
    ]
    if lines:
        yield "\nWhere an optimizer is absent:\n"
        yield from _markdown(["optimizer", "problems", "why", "which"], lines)


def _matrix(table: pandas.DataFrame, board: Leaderboard) -> Iterator[str]:
    yield "\n## Breaking points\n"
    yield (
        "The dial up to which half of the instances are solved, tuned. `>` and `<`: outside the tested rungs; ↓: "
        "the problem gets harder as this dial falls; ✓: solved at every rung; *no step*: one step costs more than "
        "the budget; *too few steps*: with noise, runs are judged from four steps on. Within a family, the "
        "optimizer that gets furthest comes first."
    )
    for family, names in _by_family(board).items():
        if names:
            yield f"\n### {family[0].upper()}{family[1:]}\n"
            yield from _markdown(["subsection", "problem: dial", *names], list(_rows(table, names)))
    decayed = sorted({name for name in table["optimizer"] if name in TWINS})
    if decayed:
        yield "\n### With decay\n"
        yield "Optimizers with a decaying learning rate run only on noisy problems:\n"
        yield from _markdown(["subsection", "problem: dial", *decayed], list(_rows(table, decayed)))


def _carryover(
    runs: pandas.DataFrame, summary: pandas.DataFrame, points: pandas.DataFrame
) -> Iterator[str]:
    yield "\n## How far the order carries\n"
    yield (
        "Each problem orders the optimizers that run on all problems by their breaking points, by the share of "
        "instances that they solve at the rungs that all ran, and by cost. τ: Kendall's τ_b between the order on a "
        "problem and the mean rank over all other problems, averaged over problems; *ceiling*: the τ that the true "
        "order on a problem would reach with so few instances. W: Kendall's coefficient of concordance, 1 if all "
        "problems order alike. Optimizers that know the curvature differ in kind, so the family *curvature* is also "
        "ordered separately. [How this was "
        "tested](statistics.md#how-far-a-ranking-carries).\n"
    )
    everywhere = list(mean_places(standings(points), families()).index)
    curved = [name for name in everywhere if family_of(name) == CURVATURE]
    classes = {
        "all": everywhere,
        f"without {CURVATURE}": [name for name in everywhere if name not in curved],
        CURVATURE: curved,
    }
    rows = []
    for which, names in classes.items():
        if len(names) < 2:
            continue
        those = runs[runs["optimizer"].isin(names)]
        for row in carryover(those, summary, families(), points=points).to_dict("records"):
            numbers = (
                "" if pandas.isna(row[each]) else f"{row[each]:.2f}"
                for each in ("w", "tau", "ceiling")
            )
            rows.append([which, row["by"], row["optimizers"], row["problems"], *numbers])
    yield from _markdown(
        ["methods", "ordered by", "optimizers", "problems", "W", "τ", "ceiling"], rows
    )


def _cures() -> Iterator[str]:
    """Yield the section on cures, from the published causes."""
    file = DOCS / "explained.csv"
    causes = pandas.read_csv(file) if file.exists() else pandas.DataFrame()
    if causes.empty:
        return
    yield "\n## What cures them\n"
    yield (
        "Where an optimizer breaks, one cause after another was removed and the search repeated ([how](explain.md)). "
        "The table lists the causes without which more instances are solved than chance explains, with the problems. "
        "*Explained on*: the number of problems on which the optimizer breaks and causes were removed. Optimizers "
        "without a row were not measured.\n"
    )
    rows = []
    for name, of_optimizer in causes.groupby("optimizer", sort=True):
        held = of_optimizer[of_optimizer["holds"].astype(str) == "True"]
        cured: dict[str, list[str]] = {}
        for cause, of_cause in held.groupby("cause"):
            names = sorted(set(of_cause["problem"]))
            cured[named(str(cause))] = names
        ordered = sorted(cured.items(), key=lambda each: (-len(each[1]), each[0]))
        said = "; ".join(f"{cause} ({', '.join(problems)})" for cause, problems in ordered)
        problems = of_optimizer["problem"].nunique()
        rows.append([name, problems, held["problem"].nunique(), said])
    yield from _markdown(["optimizer", "explained on", "cured on", "by taking away"], rows)


def _rows(table: pandas.DataFrame, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield one row per problem on which any of these optimizers was run."""
    texts = table.set_index(["problem", "optimizer"])["text"]
    for title, problems in by_subsection().items():
        for name in problems:
            of_problem = [texts.get((name, each), "") for each in names]
            if any(of_problem):
                yield [title, f"{name}: {dial_of(problems[name].card)}", *of_problem]


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
        f"the ladder, in the dial's scale, would be as near in {measured['near by chance'].mean():.0%}. Only the "
        "breaking point at the whole budget B is bisected; those at a third and a tenth of it are as coarse as the "
        "ladder.\n"
    )
    yield (
        f"{found['agrees'].sum()} of all {len(found)} predictions, for {len(cells)} pairs of a problem and an "
        "optimizer, *agree*: they lie in the 95 % interval of the measurement, or outside the tested rungs like the "
        "measurement. This says less, because a prediction drawn at random would agree in "
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


def _against_theory(
    rows: Sequence[Mapping[Any, Any]], infos: Mapping[str, CellInfo]
) -> pandas.DataFrame:
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
        "the CPU time of a step on ten instances of the quadratic, in steps of gradient descent; they include the "
        "factorisation and, at these sizes, much overhead of Python. A refused step of damped Newton costs ⅓.\n"
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
    yield "\nThe table lists every flip; flips.csv has the breaking points before and after.\n"
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
    yield markdown_table(names, ([markdown_cell(str(each)) for each in row] for row in rows))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refusal:
        sys.exit(f"reference: {refusal}")
