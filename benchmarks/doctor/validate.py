"""Count how often the doctor is right: on the demos, and on cases that are faulty, repaired or healthy.

`python -m benchmarks.doctor.validate` takes ten seeds of each, three of our own cases, writes all verdicts to
docs/doctor.csv and docs/doctor_cases.csv, and the tables into docs/doctor.md. `--seeds 3` and `--only NAME` are for
quick looks: they print the tables and write nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.diagnosis import OUTCOMES
from benchmarks.diagnosis.verdict import DERIVATIVE_NOT_FINITE, STEP_NOT_FINITE
from benchmarks.doctor.cases import CASES, FAULTY, HEALTHY, PUBLIC, Case, train
from benchmarks.doctor.demos import DEMOS
from benchmarks.pages.markdown import markdown_table, with_part
from ravine import Refused, nearest, require
from ravine.processes import one_per_core

if TYPE_CHECKING:
    import pandas

DOCS = Path(__file__).parents[2] / "docs"
RIVALS = DOCS / "doctor_rivals.csv"  # from benchmarks.doctor.rivals
SEEDS = 10
OF_OUR_OWN = 3  # seeds of our own cases, of which there are many
KINDS = {
    "public": [case.name for case in PUBLIC],
    "own": [case.name for case in (*FAULTY, *HEALTHY)],
}
# Verdicts that name no fault.
SILENT = {*OUTCOMES, "nothing_found"} - {STEP_NOT_FINITE, DERIVATIVE_NOT_FINITE}
RATE = re.compile(r"learning rate (?:of )?(\d[\d.e+-]*\d|\d)")  # a rate that the advice proposes
NUMBERLESS = {  # how advice without a number says the direction
    "lower": re.compile(r"a tenth|(lower|smaller|reduce|decrease)( the)?( learning)? rate"),
    "higher": re.compile(r"ten times|(higher|larger|raise|increase)( the)?( learning)? rate"),
}


class Job(NamedTuple):
    """One run: a demo, or a case in one of its forms."""

    name: str
    seed: int
    repaired: bool | None = None  # None for a demo
    tool: str = ""  # another tool than the doctor

    def __str__(self) -> str:
        form = {None: "", False: ", faulty", True: ", repaired"}[self.repaired]
        return f"{self.tool} {self.name}{form}, seed {self.seed}".lstrip()


def says(case: Case, advice: Iterable[str], rate: float) -> bool:
    """Return whether a piece of advice says what mends the case.

    Args:
        case: The case, which has the words and the direction that are right.
        advice: All that the report advises to try.
        rate: The learning rate in use.

    Returns:
        True if a sentence has one of the words, or proposes a learning rate on the right side of the one in use.
    """
    return any(
        any(word.lower() in text.lower() for word in case.advice) or _turns(case.rate, text, rate)
        for text in advice
    )


def _turns(direction: str, text: str, rate: float) -> bool:
    """Return whether a text proposes a learning rate in this direction: by its first number, or else by words."""
    if not direction:
        return False
    proposed = RATE.search(text)
    if proposed is not None:
        return (float(proposed[1]) < rate) == (direction == "lower")
    said = {each for each, words in NUMBERLESS.items() if words.search(text.lower())}
    return said == {direction}


def outcome(case: Case, repaired: bool, verdicts: set[str]) -> str:
    """Return what a verdict is: "silent"; of a network that trains, "alarm"; else "root", "consequence" or "other".

    Args:
        case: The case.
        repaired: Whether its repaired form was trained.
        verdicts: All that the verdict can be read as.
    """
    if verdicts <= SILENT:
        return "silent"
    if repaired:
        return "alarm"
    if verdicts & {*case.root.split()}:
        return "root"
    return "consequence" if verdicts & {*case.consequence.split()} else "other"


def run(job: Job) -> dict[str, Any]:
    """Train with the doctor; return a row of docs/doctor.csv or docs/doctor_cases.csv."""
    return _demo(job) if job.repaired is None else _case(job)


def _demo(job: Job) -> dict[str, Any]:
    doctor = DEMOS[job.name].train(job.seed)
    verdict = doctor.report().verdict
    return {
        "name": job.name,
        "expected": DEMOS[job.name].expected,
        "seed": job.seed,
        "verdict": verdict.cause,
        "also": " ".join(verdict.also),
        "loss": doctor.loss,
        "measurements": len(doctor.measured),
        "overhead": doctor.overhead,
    }


def _case(job: Job) -> dict[str, Any]:
    case, repaired = CASES[job.name], bool(job.repaired)
    doctor, error, _ = train(case, job.seed, repaired, with_doctor=True)
    assert doctor is not None
    report = doctor.report()
    rate = report.record.settings.get("lr", float("nan"))
    return {
        "name": job.name,
        "repaired": repaired,
        "seed": job.seed,
        "verdict": report.verdict.cause,
        "outcome": outcome(case, repaired, {report.verdict.cause}),
        "also": " ".join(report.verdict.also),
        "advice": not repaired and says(case, report.to_try, rate),
        "error": error,
        "trained": error < case.trained,
        "overhead": doctor.overhead,
    }


def jobs_of(seeds: int, only: Sequence[str] = ()) -> list[Job]:
    """Return the jobs of all demos and cases, or of those of these names.

    Args:
        seeds: Seeds 0, 1, … of each, at most one of our own cases.
        only: Names of demos and cases; none for all.

    Returns:
        A job for each network, form and seed.

    Raises:
        Refused: If a name is neither a demo's nor a case's, or there is no seed.
    """
    require("validate", "seeds", seeds, low=1)
    forms = {**dict.fromkeys(DEMOS, (None,)), **{name: case.forms for name, case in CASES.items()}}
    for name in only:
        if name not in forms:
            raise Refused(f"unknown network {name!r}: {nearest(name, forms)}")
    return [
        Job(name, seed, repaired)
        for name in only or forms
        for repaired in forms[name]
        for seed in range(min(seeds, OF_OUR_OWN) if name in KINDS["own"] else seeds)
    ]


def in_processes(
    work: Callable[[Job], dict[str, Any]], jobs: Sequence[Job]
) -> list[dict[str, Any]]:
    """Do jobs in one process per core, with one thread each, and print a line for each that is done.

    Args:
        work: What is done with a job: it returns a row with a verdict.
        jobs: The jobs.

    Returns:
        A row per job, in their order. The verdict of a job that failed is "failed", and `also` is the message.
    """
    rows: dict[Job, dict[str, Any]] = {}
    with one_per_core() as processes:
        running = {processes.submit(work, job): job for job in jobs}
        for done in as_completed(running):
            job, error = running[done], done.exception()
            if error is None:
                row = done.result()
            else:
                message = " ".join(f"{type(error).__name__}: {error}".split())
                row = {name: value for name, value in job._asdict().items() if value != ""}
                row |= {"verdict": "failed", "outcome": "failed", "also": message}
                row |= {"advice": False, "trained": None}
            rows[job] = row
            also = f" ({row['also']})" if row["also"] else ""
            print(f"{len(rows)}/{len(jobs)} {job}: {row['verdict']}{also}", flush=True)
    return [rows[job] for job in jobs]


def demo_table(rows: pandas.DataFrame) -> str:
    """Return the rate of right verdicts by demo, as a Markdown table."""
    head = ["network", "what it is", "expected", "right", "among those that hold", "else"]
    lines, right_in_all = [], 0
    for name, own in rows.groupby("name", sort=False):
        demo = DEMOS[str(name)]
        right = own["verdict"] == demo.expected
        right_in_all += int(right.sum())
        named = [
            demo.expected in (verdict, *str(also).split())
            for verdict, also in zip(own["verdict"], own["also"], strict=True)
        ]
        lines.append([
            f"`{name}`", demo.about, _words(demo.expected), f"{right.sum()} of {len(own)}",
            f"{sum(named)} of {len(own)}", _counted(own["verdict"][~right]),
        ])  # fmt: skip
    return f"{markdown_table(head, lines)}\n\n{right_in_all} of {len(rows)} verdicts are the expected one."


def case_table(rows: pandas.DataFrame) -> str:
    """Return, by case, how often the root cause, a consequence and the right advice are named, as Markdown."""
    head = [
        "case", "root cause", "root cause first", "consequence first", "advice", "else", "alarms, repaired",
    ]  # fmt: skip
    lines = []
    for name, own in rows.groupby("name", sort=False):
        case = CASES[str(name)]
        source = f" ({case.source})" if case.source else ""
        lines.append([f"`{name}`", f"{case.about}{source}", *_cells(own)])
    for kind, names in KINDS.items():
        own = rows[rows["name"].isin(names)]
        if len(own):
            root, consequence, advice, _, alarms = _cells(own)
            cells = [root, consequence, advice, "", alarms.partition(":")[0]]
            lines.append([f"**{kind}**", "", *cells])
    return markdown_table(head, lines)


def _cells(rows: pandas.DataFrame) -> list[str]:
    """Return counts of root cause, consequence, advice, other verdicts, and alarms where nothing is wrong."""
    mended = rows["repaired"].astype(bool)
    faulty, healthy = rows[~mended], rows[mended]
    others = faulty["verdict"][~faulty["outcome"].isin(["root", "consequence"])]
    alarms = healthy["verdict"][healthy["outcome"] != "silent"]
    said = f": {_counted(alarms)}" if len(alarms) else ""
    return [
        *(_share(faulty["outcome"] == each) for each in ("root", "consequence")),
        _share(faulty["advice"].eq(True)),
        _counted(others),
        f"{len(alarms)} of {len(healthy)}{said}",
    ]


def _share(right: pandas.Series) -> str:
    return f"{right.sum()} of {len(right)}" if len(right) else ""


def untrained(rows: pandas.DataFrame) -> str:
    """Return a sentence about the runs in which a faulty form has trained, or a repaired one has not."""
    odd = rows[rows["trained"].eq(True) != rows["repaired"]]
    if not len(odd):
        return "Each faulty network failed, and each other one trained."
    names = ", ".join(f"`{name}` {count}" for name, count in odd["name"].value_counts().items())
    return f"Runs in which a faulty network trained, or another one did not: {names}."


def rival_table(rows: pandas.DataFrame, ours: pandas.DataFrame) -> str:
    """Return, by tool, how often it is right, as Markdown.

    Args:
        rows: The rows of the other tools, with the columns of `ours` and `tool`.
        ours: The doctor's rows; of those, the cases and seeds count that the other tools were given.
    """
    import pandas

    ours = ours[ours["name"].isin(rows["name"]) & ours["seed"].isin(rows["seed"])].assign(
        tool="doctor"
    )
    both = pandas.concat([ours, rows])
    head = [
        "tool", "cases", "root cause first", "consequence first", "advice", "alarms where nothing is wrong",
    ]  # fmt: skip
    lines = []
    for tool in both["tool"].unique():
        for kind, names in KINDS.items():
            own = both[(both["tool"] == tool) & both["name"].isin(names)]
            if not len(own):
                continue
            root, consequence, advice, _, alarms = _cells(own)
            lines.append([tool, kind, root, consequence, advice, alarms.partition(":")[0]])
    return markdown_table(head, lines)


def _counted(verdicts: pandas.Series) -> str:
    return ", ".join(f"{_words(str(cause))} {n}" for cause, n in verdicts.value_counts().items())


def _words(name: str) -> str:
    return name.replace("_", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Validate; write the files if all networks were run over all seeds, or else print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.doctor.validate", description=__doc__
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="seeds of each network (default: %(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="demos and cases to run"
    )
    given = parser.parse_args(arguments)
    try:
        jobs = jobs_of(given.seeds, given.only)
    except Refused as refused:
        print(f"ravine: {refused}", file=sys.stderr)
        return 2
    write(in_processes(run, jobs), to_page=not given.only and given.seeds == SEEDS)
    return 0


def write(rows: Sequence[dict[str, Any]], to_page: bool) -> None:
    """Print the tables of a validation; or, `to_page`, write them and all rows into docs."""
    import pandas

    demos = pandas.DataFrame([row for row in rows if row["name"] in DEMOS])
    cases = pandas.DataFrame([row for row in rows if row["name"] in CASES])
    tables = {}
    if len(demos):
        tables["validation"] = demo_table(demos)
    if len(cases):
        tables["cases"] = f"{case_table(cases)}\n\n{untrained(cases)}"
    if not to_page:
        print("\n\n".join(tables.values()))
        return
    demos.round(4).to_csv(DOCS / "doctor.csv", index=False)
    cases.round(4).to_csv(DOCS / "doctor_cases.csv", index=False)
    tables["rivals"] = rival_table(pandas.read_csv(RIVALS), cases)
    file = DOCS / "doctor.md"
    page = file.read_text("utf-8")
    for part, text in tables.items():
        page = with_part(page, part, text)
    file.write_text(page, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
