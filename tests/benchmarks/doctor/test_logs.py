"""What `ravine read` says of a log: what was put into it, in English, or one line on what is wrong with the file."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli.main import main
from benchmarks.doctor.logs import Log, Series, read, readings

ROOT = Path(__file__).parents[3]
STEPS = np.arange(400)
NOISE = np.random.default_rng(0).normal(size=len(STEPS))
FALLING = 2.3 * np.exp(-STEPS / 200) + 0.005 * NOISE
STALLED = 0.3 + 2 * np.exp(-STEPS / 20) + 0.02 * NOISE


def said(loss, lr=(), norm=()) -> str:
    def series(values):
        values = np.array(values, dtype=float)
        return Series(np.arange(float(len(values))), values)

    return "\n".join(readings(Log(series(loss), series(lr), series(norm))))


def put(values, at, value):
    values = np.array(values, dtype=float)
    values[at] = value
    return values


SEEN = {
    "still falling": (said(FALLING), ["It is still falling at the end (0.6668 and then 0.4047 in", "train longer"]),
    "stalls with noise": (
        said(STALLED),
        ["It stalls at 0.29", "from about step ", "scatters about that level with standard deviation 0.019"],
    ),
    "stalls without noise": (said(STALLED - 0.02 * NOISE), ["It stalls at 0.3 from about step "]),
    "never left": (said(2.3 + 0.02 * NOISE), ["It never left the level of its start: 2.299 ± 0.019"]),
    "diverged": (said(2.3 * 1.02**STEPS), ["The loss diverged, from 2.78 to 5.15e+03."]),
    "rises": (said(STALLED + np.maximum(STEPS - 200, 0) / 400), ["It rises at the end"]),
    "lost": (
        said(np.where(STEPS < 200, STALLED, 2.2 + 0.02 * NOISE)),
        ["It lost what it had gained: its running mean was 0.292", "and is 2.2 over the last quarter"],
    ),
    "nan": (
        said(put(FALLING, slice(120, None), math.nan)),
        ["The loss is nan at step 120, and not finite in 280 of 400 values."],
    ),
    "nan once": (
        said(put(FALLING, 120, math.inf)),
        ["The loss is inf at step 120, and not finite in 1 of 400 values; it was finite again at step 121."],
    ),
    "jump that recovers": (
        said(put(FALLING, slice(200, 206), 8.0)),
        ["The loss jumps once: from about 0.8", " to 8 at step 200; it is back at that level by step 206."],
    ),
    "jump that stays": (
        said(FALLING + 3.0 * (STEPS >= 300)),
        ["The loss jumps once: from about 0.5", "it does not get back to that level."],
    ),
    "jump at the first value that has enough before it": (
        said(put(FALLING, 16, 40.0)), ["The loss jumps once: from about 2.2", " to 40 at step 16;"],
    ),
    "jump in a short log": (said(put(FALLING[:60], 30, 40.0)), ["The loss jumps once: ", "to 40 at step 30;"]),
    "one": (said([2.3]), ["1 value is too few to tell a fall from scatter: 20 are needed."]),
    "few": (said(FALLING[:5]), ["5 values are too few to tell a fall from scatter: 20 are needed."]),
    "rate": (
        said(STALLED, 0.1 * (1 - STEPS / 400)),
        ["The learning rate fell to 0.0025 of its largest: 0.1 at step 0, 0.00025 at the end.",
         "The learning rate was then 0."],
    ),
    "jump": (
        said(FALLING, norm=put(1 + 0.1 * NOISE, 310, 85)),
        ["The gradient's norm jumps once: at step 310 it is 85, 8", "the median of the 16 values before"],
    ),
    "vanishes": (
        said(FALLING, norm=np.exp(-STEPS / 40)),
        ["The gradient vanishes: its norm is 0.789 at the start and 5.9e-05"],
    ),
    "explodes": (said(FALLING, norm=np.exp(STEPS / 40)), ["The gradient explodes: its norm is 1.27 at the start"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEN)
def test_a_reading_says_what_was_put_into_the_log_with_its_numbers(name):
    text, expected = SEEN[name]
    for each in expected:
        assert each in text


ALARMS = ("stalls", "rises", "diverged", "jumps", "vanishes", "explodes", "not finite", "fell to", "lost")  # fmt: skip


def test_a_healthy_log_has_no_alarm():
    text = said(FALLING, np.full(len(STEPS), 0.1), 1 + 0.1 * NOISE)
    assert not [each for each in ALARMS if each in text]


@pytest.mark.parametrize("seed", range(5))
def test_pure_scatter_neither_falls_nor_rises(seed):
    text = said(1 + 0.3 * np.random.default_rng(seed).normal(size=300))
    assert "It never left the level of its start" in text


def rows():
    for step in range(30):
        yield {"step": 10 * step, "loss": 2.0 / (step + 1), "lr": 0.1, "grad_norm": 1.0}


def as_csv(path: Path, **names: str) -> Path:
    lines = [",".join(names.get(name, name) for name in next(rows()))]
    lines += [",".join(map(str, row.values())) for row in rows()]
    path.write_text("\n".join(lines) + "\n")
    return path


def as_lines(path: Path) -> Path:
    path.write_text("\n".join(json.dumps(each) for each in rows()))
    return path


def as_nested(path: Path) -> Path:
    nested = ({"step": each.pop("step"), "train": each, "val": {"loss": 9.0}} for each in rows())
    path.write_text("\n".join(map(json.dumps, nested)))
    return path


def as_trainer_state(path: Path) -> Path:
    history = [{**each, "epoch": 0.1, "learning_rate": each["lr"]} for each in rows()]
    for each in history:
        del each["lr"]
    more = [{"eval_loss": 9.0, "step": 290}, {"train_loss": 7.0, "train_runtime": 3.0, "step": 290}]
    path.write_text(json.dumps({"global_step": 290, "log_history": history + more}))
    return path


FILES = {
    "CSV": lambda folder: as_csv(folder / "log.csv"),
    "other names": lambda folder: as_csv(
        folder / "log.txt", loss="train/loss", lr="lr-AdamW", step="trainer/global_step"
    ),
    "JSON lines": lambda folder: as_lines(folder / "log.jsonl"),
    "nested JSON lines": lambda folder: as_nested(folder / "nested.jsonl"),
    "trainer_state.json": lambda folder: as_trainer_state(folder / "trainer_state.json"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_of_file_gives_the_same_log(kind, tmp_path):
    log = read(FILES[kind](tmp_path))
    assert list(log.loss.step) == list(range(0, 300, 10))
    assert log.loss.value == pytest.approx([2.0 / (step + 1) for step in range(30)])
    assert set(log.lr.value) == {0.1}
    assert set(log.grad_norm.value) == {1.0}


def test_rows_without_a_loss_are_left_out_and_nan_is_not(tmp_path):
    """As CSV loggers write them: a row of its own for the rate and for the validation."""
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,lr-SGD,step,train_loss_step,val_loss\n0,0.1,0,,\n0,,0,2.5,\n0,,1,nan,\n0,,1,,3\n"
    )
    log = read(path)
    assert log.loss.value == pytest.approx([2.5, math.nan], nan_ok=True)
    assert list(log.lr.value) == [0.1]


def test_without_steps_rows_are_counted_and_of_two_runs_the_last_one_is_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("loss\n3\n2\n")
    assert list(read(path).loss.step) == [1, 2]
    path.write_text("step,loss\n0,3\n1,2\n0,5\n1,4\n")
    assert list(read(path).loss.value) == [5, 4]


def test_event_files_of_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "runs" / "one")) as writer:
        for each in rows():
            writer.add_scalar("Loss/train", each["loss"], each["step"])
            writer.add_scalar("lr", each["lr"], each["step"])
    log = read(tmp_path)
    assert list(log.loss.step) == list(range(0, 300, 10))
    assert log.loss.value == pytest.approx([2.0 / (step + 1) for step in range(30)])
    (file,) = tmp_path.rglob("*tfevents*")
    assert list(read(file).loss.value) == list(log.loss.value)


WRONG = {
    "losses.csv": (None, "no such file: losses.csv, did you mean loss.csv?"),
    "other.csv": (
        "stp,train_los\n1,2\n",
        "other.csv has no column loss or train_loss, but stp, train_los, did you mean train_los?",
    ),
    "long" * 75: (None, "no such file: longlong"),
    "wide.csv": ("loss\n" + "1" * 200_000, "wide.csv is no table: field larger than field limit (131072)"),
    "empty.csv": ("", "empty.csv is empty"),
    "only_names.csv": ("step,loss\n", "only_names.csv has no rows"),
    "text_alone.csv": ("step,loss\n1,high\n", "text_alone.csv has no value of the loss"),
    "broken.jsonl": ('{"loss": 1}\n{"loss": \n', "broken.jsonl, line 2 is not JSON: Expecting value"),
    "numbers.json": ("[1, 2]", "numbers.json must hold a list of objects, a log_history, or one object a line"),
    "folder": ("/", "folder has no event file (…tfevents…); read LOG, a CSV file,"),
    "text.csv": (b"\xff\xfe\x00", "text.csv cannot be read as text: read LOG,"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_refused_in_one_line(name, tmp_path, monkeypatch, capsys):
    content, expected = WRONG[name]
    (tmp_path / "loss.csv").write_text("loss\n1\n")
    if content == "/":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    assert main(["read", name]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith(f"ravine: {expected}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: LOG"),
        (["a", "b"], "unexpected argument 'b'"),
        (["a", "--help-me"], "unknown flag --help-me: did you mean --help?"),
    ],
)
def test_one_log_is_read_at_a_time(words, said, capsys):
    assert main(["read", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_command_fits_80_columns_and_imports_no_torch(tmp_path):
    path = tmp_path / "log.csv"
    lines = [f"{t},{v},{0.1 / (t + 1)}" for t, v in enumerate(STALLED)]
    path.write_text("\n".join(["step,loss,lr", *lines]))
    code = (
        "import sys; from benchmarks.cli.main import main; code = main(sys.argv[1:]); "
        "loaded = [each for each in ('torch', 'pandas') if type(sys.modules.get(each)).__name__ == 'module']; "
        "print(loaded, file=sys.stderr); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "read", str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "It stalls at" in done.stdout
    assert "A log cannot tell which cause this has" in done.stdout


def test_a_log_without_numbers_to_divide_by_is_read():
    assert "from 0 to 5" in said([0.0] * 20 + [5.0] * 20, [0.0] * 40, [0.0] * 40)
    assert "It never left the level of its start" in said(
        [1.0] * 40, [math.nan] * 40, [math.nan] * 40
    )
