"""Generated command lines: each runs, or is refused in one line and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import random

import pytest

from benchmarks.cli.options import DESCRIPTIONS, Config
from benchmarks.cli.subcommands import SUBCOMMANDS
from tests.benchmarks.forked import run

SMALL = {
    "+problem": "quadratic", "problem.dim": "2", "optimizer": "sgd",
    "trials": "2", "seeds": "2", "tuning_seeds": "1", "budget": "20",
}  # fmt: skip
OPTIONS = [
    *(each.name for each in dataclasses.fields(Config)),
    *(each.rstrip("=") for each in DESCRIPTIONS if each.islower() and " " not in each),
    *("problem.condition", "problem.rotated", "problem.spectrum", "optimizer.lr", "optimizers.sgd"),
    *("optimizers.sgd.lr", "hydra.launcher.n_jobs", "hydra/launcher", "nope", "problem.nope", "hydra.nope", ""),
]  # fmt: skip
VALUES = [
    *("", "null", "nan", "inf", "-inf", "-1", "0", "1", "3", "1.5", "1e-300", "1e400", "99999999999999999999"),
    *("abc", "ü", "日本", "'a b'", '"', "\\", "a=b", "<b>", "; ls", "\t", "a\nb", "\x1b[1m", "x" * 300, "true"),
    *("a,b", "1,2", "sgd,sgd", "[1,2]", "[2,1]", "[]", "[nan,1]", "[[1],2]", "{a:1}", "range(1,3)", "choice(1,2)"),
    *("interval(0,1)", "glob(z*)", "${oc.env:HOME}", "${trials}", "???", "0x10", "../x", "x.py:Y", "os.system"),
    *("sgd+clip", "sgd+nope", "rotate", "gaussian", "auto", "quick", "float32", "cuda", "noise.strength"),
    *("/dev/null", "/dev/null/x", "/proc/x", "torch.nn.Linear", "torch.optim.Adam", "quadratic", "basic"),
]  # fmt: skip
WITHOUT_END = {("budget", each) for each in ("99999999999999999999", "1e400", "inf")}
OPTIMIZERS = {"sgd", "sgd+clip", "torch.optim.Adam"}  # with which `submit` runs the standard suite


def command_lines(count, seed):
    draw = random.Random(seed)
    while count:
        count -= 1
        if draw.random() < 0.15:
            words = draw.choices([*VALUES, "--out", "--nope", *OPTIONS], k=draw.randint(1, 2))
            name = draw.choice([*SUBCOMMANDS, "nope"])
            if name == "submit":
                words = [each for each in words if each not in OPTIMIZERS]
            yield [name, *words]
            continue
        odd = {draw.choice(OPTIONS): draw.choice(VALUES) for _ in range(draw.randint(1, 2))}
        odd = {name: value for name, value in odd.items() if (name, value) not in WITHOUT_END}
        plus = draw.choice(["", "", "+", "++", "~"])
        given = {**SMALL, **{(name, plus + name)[name not in SMALL]: odd[name] for name in odd}}
        if "problem" in odd:
            del given["+problem"]
        if any(name.endswith("suite") for name in odd):
            given = {**given, "dry_run": "true"}
        yield [f"{name}={value}" for name, value in given.items()]


@pytest.mark.parametrize(("count", "seed"), [(40, 1), pytest.param(500, 2, marks=pytest.mark.slow)])
def test_a_command_line_runs_or_is_refused_in_one_line(tmp_path, count, seed):
    wrong = []
    for number, words in enumerate(command_lines(count, seed)):
        folder = tmp_path / str(number)
        folder.mkdir()
        code, out, err = run(words, folder, tmp_path / "said")
        left = [each.name for each in folder.iterdir()]
        one_line = err.startswith("ravine: ") and len(err.splitlines()) == 1
        refused = one_line and not out and not left
        # 1 is what `check` answers, and 3 a cell that failed; both say more than a line.
        fine = code in (0, 1, 3) or (code == 2 and refused)
        if not fine or "Traceback" in out + err:
            wrong.append((words, code, err[-300:], left))
    assert not wrong
