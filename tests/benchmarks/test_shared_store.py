"""Several processes use one store and one folder; cells that are damaged are computed again."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas
import pyarrow.parquet
import pytest

from benchmarks.analysis import folder as folder_of_tables
from benchmarks.analysis.tables import collect
from benchmarks.catalog.contenders import contender
from benchmarks.cli.main import main
from benchmarks.engine.protocol import Protocol, Settled
from benchmarks.runner.job import Job, run_job
from benchmarks.store import cells as store_of_cells
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.cells import Memory, Store, Unreadable, alone
from benchmarks.store.schema import fields_of
from benchmarks.store.sweep_folder import SweepFolder
from problems import PROBLEMS
from tests.benchmarks.forked import ended, is_read_or_half_written, is_running, run, start
from tests.benchmarks.problems_for_tests import Bowl

SIZE = Protocol(trials=3, tuning_seeds=2, seeds=2, budget=20)


def ran(store, optimizer="sgd"):
    done = []
    (key,) = run_job(Job("bowl", Bowl(), contender(optimizer)), SIZE, store, done.append)
    return key, done[0]


def flipped(file):
    """One byte of the data is another one."""
    text = bytearray(file.read_bytes())
    text[len(text) // 8] ^= 1
    file.write_bytes(text)


def replaced_by_a_file(file):
    shutil.rmtree(file.parent)
    file.parent.write_text("no folder")


DAMAGE = {
    "cell.json": ["empty", "cut", "zeros", "[]", "{}", "binary", "deep", "no job", "a folder"],
    "runs.parquet": ["empty", "cut", "zeros", "missing", "flipped", "a folder"],
    "traces.parquet": ["empty", "cut", "zeros", "missing", "flipped", "a folder"],
}
DAMAGED = [(name, how) for name, several in DAMAGE.items() for how in several]


def damage(file, how):
    whole = file.read_bytes()
    if how == "missing":
        file.unlink()
    elif how == "flipped":
        flipped(file)
    elif how == "a folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            {
                "empty": b"",
                "cut": whole[: len(whole) // 2],
                "zeros": bytes(len(whole)),  # its blocks were not written when the power failed
                "[]": b"[]",
                "{}": b"{}",
                "binary": b"\xff\xfe\x00",
                "deep": b"[" * 100_000,
                "no job": whole.replace(b'"job"', b'"jab"'),
            }[how]
        )


def is_named_and_computed_again(store, spoil, named):
    key, first = ran(store)
    before = store.read(key)
    spoil(store.folder / key)
    with pytest.raises(Unreadable, match=named):
        store.find(key)
    again, done = ran(store)
    assert again == key and not done.cached and not first.damage
    assert re.search(named, done.damage) and "\n" not in done.damage
    assert ran(store)[1].cached
    for column, values in before.runs.items():
        if column != "seconds":
            np.testing.assert_array_equal(values, store.read(key).runs[column])


@pytest.mark.parametrize(("name", "how"), DAMAGED)
def test_a_damaged_cell_is_named_and_computed_again(tmp_path, name, how):
    store = Store(tmp_path)

    def spoil(cell):
        damage(cell / name, how)
        assert name != "cell.json" or not (store.has(cell.name) or dict(store.infos()))

    is_named_and_computed_again(store, spoil, name)


FIELDS = [*fields_of(CellInfo), *(f"protocol.{each}" for each in fields_of(Settled))]
WRONG = [
    *((name, [3]) for name in FIELDS),  # no field is a list
    ("target", "0.1"), ("noisy", 1), ("scale", "zz"), ("theory", {"1": "x"}), ("protocol.trials", 2.5),
    ("protocol.seeds", True), ("protocol.budget", None), ("protocol.dtype", "float16"),
    ("crc32", [3]), ("crc32", {"runs.parquet": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_cell_with_a_field_of_another_type_is_named_and_computed_again(tmp_path, name, value):
    def spoil(cell):
        stated = json.loads((cell / "cell.json").read_text())
        owner, _, field = name.rpartition(".")
        (stated[owner] if owner else stated)[field] = value
        (cell / "cell.json").write_text(json.dumps(stated))

    named = (
        rf"cell\.json cannot be read \(TypeError: {re.escape(f'{name} is {value!r}, but must be ')}"
    )
    is_named_and_computed_again(Store(tmp_path), spoil, named)


def numbers(folder):
    return pandas.read_csv(folder / "summary.csv").drop(columns="seconds").to_csv()


def test_a_command_goes_on_where_cells_are_damaged(ravine, files):
    """Those of its own are named in the lines of progress; another one tells no time for the forecast."""
    given = (
        f"+problem=quadratic optimizer=sgd,adam trials=2 tuning_seeds=1 seeds=2 cells={files}/cells"
    )
    assert ravine(f"{given} budget=5 out=out").code == 0
    before = numbers(files / "out")
    first, second = sorted(files.glob("cells/*"))
    damage(first / "cell.json", "cut")
    damage(second / "runs.parquet", "cut")
    code, out, err = ravine(f"{given} budget=6 dry_run=true")
    assert code == 0 and "no earlier cells" in out
    (line,) = err.splitlines()
    assert line.startswith(
        f"ravine: what the forecast takes from {second} is left out: pyarrow.lib.ArrowInvalid: "
    )
    code, _, err = ravine(f"{given} budget=5 out=out")
    assert code == 0 and numbers(files / "out") == before
    for file, why in ((first / "cell.json", "cannot be read"), (second / "runs.parquet", "is not")):
        assert len(re.findall(f" runs in .* s, again because {file} {why}", err)) == 1


def test_a_file_where_a_cell_should_be_is_replaced(tmp_path):
    store = Store(tmp_path)
    key, _ = ran(store)
    replaced_by_a_file(tmp_path / key / "cell.json")
    assert not ran(store)[1].cached and ran(store)[1].cached
    assert [each.name for each in tmp_path.iterdir()] == [key]


def test_who_is_second_throws_its_own_away(tmp_path):
    store, memory = Store(tmp_path), Memory()
    key, _ = ran(memory)
    store.write(key, memory.read(key))
    first = (tmp_path / key).stat().st_ino
    store.write(key, memory.read(key))
    assert (tmp_path / key).stat().st_ino == first
    assert [each.name for each in tmp_path.iterdir()] == [key]


def test_a_reader_that_meets_the_moment_of_a_replacement_reads_again(tmp_path, monkeypatch):
    store = Store(tmp_path)
    key, _ = ran(store)
    away, pauses = tmp_path / ".away", []
    (tmp_path / key / "runs.parquet").rename(away)

    def pause(seconds):
        pauses.append(seconds)
        away.rename(tmp_path / key / "runs.parquet")

    monkeypatch.setattr(store_of_cells.time, "sleep", pause)
    assert store.read(key).runs["status"].size and len(pauses) == 1


def test_an_error_of_the_store_is_no_error_of_the_cell(tmp_path, monkeypatch):
    def full(*given, **named):
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        ran(store)
    monkeypatch.undo()
    assert not any(tmp_path.iterdir())
    assert not ran(store)[1].error


def test_what_a_process_that_ended_left_half_written_is_removed(tmp_path):
    store, old = Store(tmp_path), time.time() - 2 * store_of_cells.PATIENCE
    for name in (".key.left", ".key.young", ".key.used"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "runs.parquet").touch()
    for name in (".key.left", ".key.used"):
        os.utime(tmp_path / name, (old, old))
    with alone(tmp_path / ".key.used" / "cell.json"):
        os.utime(tmp_path / ".key.used", (old, old))
        store.clean()
    assert {each.name for each in tmp_path.iterdir()} == {".key.young", ".key.used"}


def test_a_good_cell_that_comes_while_another_process_looks_at_an_error_stays(
    tmp_path, monkeypatch
):
    store, find, others = Store(tmp_path), Store.find, []
    key, _ = ran(store)
    good = store.read(key)
    failed = dataclasses.replace(good, info=dataclasses.replace(good.info, error="it failed"))
    store.describe(key, failed.info)

    def looks_long(self, key):
        found = find(self, key)
        if not others:
            others.append(threading.Thread(target=store.write, args=(key, good)))
            others[0].start()
            others[0].join(timeout=1.0)  # it has to wait
        return found

    monkeypatch.setattr(Store, "find", looks_long)
    store.write(key, failed)
    others[0].join(timeout=30)
    assert store.has(key)
    assert [each.name for each in tmp_path.iterdir()] == [key]


def mode(file):
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize(("mask", "of_folder", "of_file"), [(0o022, 0o755, 0o644), (0, 0o777, 0o666)])  # fmt: skip
def test_a_cell_has_the_permissions_that_the_umask_gives(tmp_path, mask, of_folder, of_file):
    store, before = Store(tmp_path), os.umask(mask)
    try:
        key, _ = ran(store)
        assert mode(tmp_path / key) == of_folder
        assert {mode(each) for each in (tmp_path / key).iterdir()} == {of_file}
        store.describe(key, dataclasses.replace(store.read(key).info, unranked="why not"))
        assert {mode(each) for each in (tmp_path / key).iterdir()} == {of_file}
    finally:
        os.umask(before)


def as_another_user(folder, do):
    """Run `do` in `folder` as a user without special permissions; return its result or its refusal as text."""
    reads, writes = os.pipe()
    if os.fork() == 0:
        try:
            os.chdir(folder)
            if os.geteuid() == 0:  # root can read everything
                os.setegid(65534)
                os.seteuid(65534)
            said = str(do(Store(Path())))
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as answer:
        os.wait()
        return answer.read().decode()


@pytest.fixture
def shared(tmp_path):
    """A store that every user can write to, and the key of a cell that this user owns."""
    store = Store(tmp_path / "cells")
    key, _ = ran(store)
    store.folder.chmod(0o777)
    return store, key


@pytest.mark.parametrize("hidden", [".", "runs.parquet"])
def test_what_another_user_may_not_read_stays_and_is_refused_in_a_line(shared, hidden):
    """The other user is refused even after computing the same cell, and the unreadable one is not replaced."""
    store, key = shared
    cell, before = store.read(key), mode(store.folder / key / hidden)
    (store.folder / key / hidden).chmod(0)
    said = (
        rf"Refused: {key}(/[a-z.]+)? cannot be (read|replaced) \(PermissionError: Permission denied\): "
        r"it is not touched; ask its owner for permission, or name another folder with cells="
    )
    assert re.fullmatch(said, as_another_user(store.folder, lambda there: there.find(key)))
    assert re.fullmatch(said, as_another_user(store.folder, lambda there: there.write(key, cell)))
    (store.folder / key / hidden).chmod(before)
    assert ran(store)[1].cached
    assert [each.name for each in store.folder.iterdir()] == [key]


def test_a_cell_that_another_user_may_only_read_is_used_as_it_is(shared):
    store, key = shared
    other = dataclasses.replace(store.read(key).info, unranked="why not")
    (store.folder / key).chmod(0o555)
    assert as_another_user(store.folder, lambda there: there.describe(key, other)) == "None"
    (store.folder / key).chmod(0o755)
    assert not store.read(key).info.unranked


def test_an_error_that_another_user_may_not_remove_is_replaced_and_removed_by_its_owner(shared):
    store, key = shared
    good = store.read(key)
    failed = dataclasses.replace(good.info, error="it failed")
    store.describe(key, failed)
    assert as_another_user(store.folder, lambda there: there.write(key, good)) == "None"
    assert store.has(key)
    old = time.time() - 2 * store_of_cells.PATIENCE
    for each in store.folder.glob(".*"):
        os.utime(each, (old, old))
    store.clean()
    assert [each.name for each in store.folder.iterdir()] == [key]


def test_a_second_sweep_into_a_folder_waits_for_the_first_and_is_added_to_it(tmp_path):
    folder = SweepFolder(tmp_path / "out", Store(tmp_path / "cells"))
    said, order = [], []

    def second():
        with SweepFolder(tmp_path / "out", folder.store).alone(said.append):
            order.append("second")

    with folder.alone(said.append):
        other = threading.Thread(target=second)
        other.start()
        while not said:
            time.sleep(0.01)
        folder.begin([], {"protocol": {}, "jobs": [], "threads": 1})
        order.append("first")
    other.join(timeout=30)
    assert order == ["first", "second"]
    assert said == [
        f"out={tmp_path / 'out'}: another sweep is running there, this one waits until it ends"
    ]


def test_a_folder_that_the_first_sweep_removed_is_made_again(tmp_path):
    folder = SweepFolder(tmp_path / "out", Store(tmp_path / "cells"))
    said, made = [], []

    def second():
        with SweepFolder(tmp_path / "out", folder.store).alone(said.append):
            made.append((tmp_path / "out").is_dir())

    with folder.alone(said.append):  # without cells nothing is left of it
        other = threading.Thread(target=second)
        other.start()
        while not said:
            time.sleep(0.01)
    other.join(timeout=30)
    assert made == [True] and not (tmp_path / "out").exists()


def locks_like_nfs(monkeypatch):
    """Let only files that are open to be written have an exclusive lock; one that is removed has another name."""
    flock = fcntl.flock

    def removed(file, missing_ok=False):
        if file.exists() or not missing_ok:
            file.rename(file.with_name(f".nfs{uuid4().hex}"))

    monkeypatch.setattr(Path, "unlink", removed)

    def flock_of_files(handle, kind):
        writes = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        if kind & fcntl.LOCK_EX and not (writes and stat.S_ISREG(os.fstat(handle).st_mode)):
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock_of_files)


def test_two_sweeps_wait_for_each_other_on_a_file_system_that_locks_no_folders(
    tmp_path, monkeypatch
):
    locks_like_nfs(monkeypatch)
    test_a_second_sweep_into_a_folder_waits_for_the_first_and_is_added_to_it(tmp_path)


def test_a_file_system_without_locks_is_named_in_a_line(ravine, files, monkeypatch):
    def none(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    small = "+problem=quadratic optimizer=sgd trials=2 tuning_seeds=1 seeds=2 budget=5 out=out"
    code, _, err = ravine(small)
    assert code == 0 and err.splitlines()[0] == (
        "ravine: out=out: this file system has no locks, so start no second sweep there before this one has ended"
    )
    assert not list((files / "out").glob(".*"))


def test_who_may_write_to_a_folder_may_have_its_lock(tmp_path):
    tmp_path.chmod(0o777)
    with alone(tmp_path / ".lock"):
        assert mode(tmp_path / ".lock") == 0o666
    assert not any(tmp_path.iterdir())


def test_tables_that_are_replaced_while_they_are_read_are_read_again(ravine, files, monkeypatch):
    small = "+problem=quadratic trials=2 tuning_seeds=1 seeds=2 budget=5 out=out"
    assert ravine(f"{small} optimizer=sgd").code == 0
    read, words = folder_of_tables.read_table, [f"{small} optimizer=sgd,adam"]

    def meanwhile(folder, name, **how):
        if name == "summary" and words:
            assert main(words.pop().split()) == 0
        return read(folder, name, **how)

    monkeypatch.setattr(folder_of_tables, "read_table", meanwhile)
    code, _, err = ravine("compare out out")
    assert code == 0 and not words and "edited by hand" not in err


def test_a_cell_that_cannot_be_read_at_the_end_is_named_and_the_others_are_in_the_tables(tmp_path):
    folder = SweepFolder(tmp_path / "out", Store(tmp_path / "cells"))
    keys, said = [], []
    with folder.alone(said.append):
        folder.begin([], {"protocol": {}, "jobs": [], "threads": 1})
        for name in ("sgd", "adam"):
            key, _ = ran(folder.store, name)
            folder.mark(key)
            keys.append(key)
        flipped(folder.store.folder / keys[0] / "runs.parquet")
        tables, _ = collect(folder, 1.0, said.append)
    assert set(tables.runs["optimizer"]) == {"adam"}
    (line,) = said
    assert keys[0] in line and "is in no table; its command runs it again" in line


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_name_of_a_job_does_not_depend_on_the_dial_of_its_problem(name):
    """This holds even for problems whose budget depends on the dial."""
    problem, size = PROBLEMS[name], Protocol()
    rungs = [problem.at_dial(dial) for dial in problem.card.ladder]
    assert len({Job(name, at, contender("sgd")).identity(size) for at in [problem, *rungs]}) == 1


def points(folder):
    table = pandas.read_csv(folder / "breaking_points.csv")
    return table[table["optimizer"] == "sgd"].drop(columns="job").to_csv(index=False)


@pytest.mark.parametrize("other", ["problem.dim=2", "budget=500"])
def test_a_sweep_of_another_folder_does_not_part_the_ladders_of_this_one(ravine, files, other):
    """At dim 2 the budget of random_field is 500: the sweeps share that cell, though it belongs to different jobs."""
    size = "ladder=[2,3,4] rungs=3 problem.waves=1000 trials=2 tuning_seeds=1 seeds=2"
    given = f"+problem=random_field {size} cells=cells"
    assert ravine(f"{given} optimizer=sgd out=first").code == 0
    before = points(files / "first")
    assert ravine(f"{given} optimizer=sgd out=second {other}").code == 0
    assert ravine(f"{given} optimizer=momentum out=first").code == 0
    assert points(files / "first") == before
    jobs = json.loads((files / "first" / "manifest.json").read_text())["jobs"]
    assert [len(job["cells"]) for job in jobs] == [3, 3]


def test_a_sweep_keeps_its_name_of_a_job_while_another_gives_the_cell_its_own(tmp_path):
    folder = SweepFolder(tmp_path / "out", Store(tmp_path / "cells"))
    key, _ = ran(folder.store)
    own = folder.store.read(key).info
    for _ in range(2):  # the second time, the name is in the manifest
        with folder.alone(print):
            folder.begin([], {"protocol": {}, "jobs": [], "threads": 1})
            folder.mark(key, {"job": own.job})
            folder.store.describe(key, dataclasses.replace(own, job="another"))
            assert folder.finish(1.0, print)[key].info == own


SWEEP = "+problem=quadratic,matrix_power trials=3 tuning_seeds=1 budget=60"
AT_ONCE = [("sgd,adam", "together"), ("adam,newton", "together"), ("sgd,adam,newton", "apart")]


def swept(optimizers, out, cells="cells", seeds=2):
    return f"{SWEEP} optimizer={optimizers} seeds={seeds} out={out} cells={cells}".split()


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_three_sweeps_at_once_over_one_store_end_as_one_alone(tmp_path, rounds):
    """Two of them go into one folder, and meanwhile others read the folders and the store, which has a damaged cell."""
    said = tmp_path / "said"
    assert run(swept("sgd,adam,newton", "alone", "others"), tmp_path, said).code == 0
    expected = numbers(tmp_path / "alone")
    whole = min(tmp_path.glob("others/*"))
    for k in range(rounds):
        folder, limit = tmp_path / str(k), time.monotonic() + 60
        cell = shutil.copytree(whole, folder / "cells" / whole.name)
        damage(cell / "runs.parquet", "cut")
        started = [
            (start(swept(*each), folder, tmp_path / f"said{n}"), tmp_path / f"said{n}")
            for n, each in enumerate(AT_ONCE)
        ]
        while any(is_running(process) for process, _ in started) and time.monotonic() < limit:
            for out in ("together", "apart"):
                assert is_read_or_half_written(folder, said, out)
            looked = run([*swept("sgd,adam", "new", seeds=3), "dry_run=true"], folder, said)
            assert looked.code == 0 and "Traceback" not in looked.err
        for process, output in started:
            code, _, err = ended(process, output)
            assert code == 0 and "Traceback" not in err
        assert numbers(folder / "together") == numbers(folder / "apart") == expected
        assert {each.name for each in folder.iterdir()} == {"together", "apart", "cells"}
        assert not [*folder.glob("*/.*")] and len([*folder.glob("cells/*")]) == 6
