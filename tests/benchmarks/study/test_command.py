"""The command of the study, with a plan of its own in a temporary repository: what it refuses, and what it writes."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pandas
import pytest

from benchmarks.catalog.contenders import contender
from benchmarks.study import TASKS, __main__, outcomes
from benchmarks.study.page import PAGE
from benchmarks.study.plan import PLAN, ROOT, Plan, check_committed, in_profile
from benchmarks.study.profile import of_plan, ordering
from benchmarks.study.results import OUTCOMES, SIGNATURES, VERDICTS, add, read
from benchmarks.study.signatures import unmeasured
from ravine import Refused

TINY = {
    "tasks": {"convex": ["softmax_cancer"]},
    "optimizers": {"gradient descent": ["sgd+decay"], "signs": ["sign_sgd+decay"]},
    "trials": 3, "tuning_seeds": 2, "seeds": 3, "steps": 12, "early": 0.25, "third": 0.5, "best_of": [1, 3],
}  # fmt: skip


NOTHING = pandas.DataFrame()


def git(folder, *words):
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def write_plan(folder, **changed):
    stated = json.loads((ROOT / PLAN).read_text()) | TINY | changed
    (folder / PLAN).parent.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).write_text(json.dumps(stated))


def write_signatures(folder):
    """Signatures, of all tasks of the plan and of all rungs, that say nothing."""
    plan = Plan.read(folder)
    rows = [{"name": name, "dial": dial} for name, dial, _ in unmeasured(plan.family, NOTHING)]
    add(folder / SIGNATURES, plan.digest, rows)


@pytest.fixture
def checkout(tmp_path):
    """A repository with a committed plan of two optimizers on one task."""
    git(tmp_path, "init", "-q")
    write_plan(tmp_path)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Plan")
    return tmp_path


def test_the_plan_has_the_tasks_and_optimizers_that_there_are():
    plan = Plan.read()
    assert plan.family == {name: task.family for name, task in TASKS.items()}
    for word in plan.kind:
        assert contender(word).space, word
    assert len({in_profile(word) for word in plan.kind}) == len(plan.kind)


def test_outcomes_are_written_once_and_continued(checkout, capsys):
    write_signatures(checkout)
    assert __main__.main(["--family", "convex"], checkout) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2  # a line for each optimizer
    file = checkout / OUTCOMES / "convex.csv"
    plan = Plan.read(checkout)
    table = read(file, plan.digest)
    assert table.groupby("optimizer")["seed"].apply(list).to_dict() == {
        word: [1000, 1001, 1002] for word in plan.kind
    }
    losses = table[["train_loss", "test_loss", "early_loss", "third_loss"]]
    assert np.isfinite(losses).all().all() and not table["diverged"].any()
    assert (table["best_of_3"] <= table["best_of_1"]).all()
    here = outcomes.rows_of("softmax_cancer", "sgd+decay", plan)  # not in a process of its own
    there = table[(table["task"] == "softmax_cancer") & (table["optimizer"] == "sgd+decay")]
    assert there["train_loss"].tolist() == [float(f"{row['train_loss']:.6g}") for row in here]
    before = file.read_bytes()
    kept = table[table["optimizer"] == "sgd+decay"]
    file.unlink()
    add(file, plan.digest, kept.to_dict("records"))
    assert __main__.main(["--family", "convex"], checkout) == 0
    assert capsys.readouterr().out.count("\n") == 1  # what was missing
    assert file.read_bytes() == before


def test_a_setting_is_chosen_by_the_loss_on_the_tuning_seeds(checkout, monkeypatch):
    """The third trial is best: the setting that is reported is the third of the Sobol points."""
    asked = []

    def losses(optimizer, instances, trials, steps, **on_the_way):
        asked.append(optimizer)
        found = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.5]]) if trials == 3 else np.ones((3, 1))
        return dict.fromkeys(("train_loss", "test_loss", "early_loss", "third_loss"), found)

    monkeypatch.setattr(outcomes, "_losses", losses)
    rows = outcomes.rows_of("softmax_cancer", "sgd+decay", Plan.read(checkout))
    searched, reported = (each.hyperparameters["lr"].flatten().tolist() for each in asked)
    assert reported == searched[2:]
    assert rows[0]["best_of_1"] == 3 and rows[0]["best_of_3"] == 1.25


def test_losses_on_the_way_are_those_of_a_shorter_run(checkout):
    """At a constant rate the loss after half of the steps is the final one of half the budget."""
    instances = outcomes._instances(TASKS["softmax_cancer"], range(2), Plan.read(checkout))
    optimizer = contender("sgd").optimizer.replace(lr=1e-6)
    whole = outcomes._losses(optimizer, instances, 1, 12, half_loss=0.5)
    half = outcomes._losses(optimizer, instances, 1, 6)
    np.testing.assert_allclose(whole["half_loss"], half["train_loss"], rtol=1e-6)
    assert not np.allclose(whole["train_loss"], half["train_loss"], rtol=1e-6)


def test_a_run_that_diverges_is_the_worst(checkout):
    plan = Plan.read(checkout)
    instances = outcomes._instances(TASKS["softmax_cancer"], range(2), plan)
    optimizer = contender("sgd").optimizer.replace(lr=1e30)
    found = outcomes._losses(optimizer, instances, 1, plan.steps, early_loss=plan.early)
    assert set(found) == {"train_loss", "test_loss", "early_loss"}
    assert all(np.isinf(each).all() for each in found.values())


def refusal(checkout, *words):
    with pytest.raises(Refused) as refused:
        __main__.main(words or ["--family", "convex"], checkout)
    text = str(refused.value)
    assert "\n" not in text
    assert not (checkout / OUTCOMES).exists()
    return text


def test_a_plan_that_differs_from_the_committed_one_is_refused(checkout):
    write_plan(checkout, steps=13)
    assert "differs from the one that is committed" in refusal(checkout)


def test_a_plan_that_is_not_committed_is_refused(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "Nothing", "--allow-empty")
    write_plan(tmp_path)
    assert "not in the history" in refusal(tmp_path)


def test_a_plan_that_another_branch_has_is_refused(checkout):
    text = (checkout / PLAN).read_bytes()
    git(checkout, "checkout", "-q", "--orphan", "other")
    git(checkout, "rm", "-qrf", ".")
    git(checkout, "commit", "-qm", "Nothing", "--allow-empty")
    (checkout / PLAN).parent.mkdir(parents=True)
    (checkout / PLAN).write_bytes(text)
    assert "not in the history" in refusal(checkout)


def test_a_shallow_clone_and_a_folder_without_git_are_refused(checkout, tmp_path_factory):
    (checkout / "more").write_text("")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "More")
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "-q", "--depth", "1", f"file://{checkout}", "it")
    assert "shallow clone" in refusal(clone / "it")
    bare = tmp_path_factory.mktemp("bare")
    write_plan(bare)
    assert "no checkout" in refusal(bare)
    with pytest.raises(Refused, match="can be read here, but not written"):
        check_committed(bare)


def test_results_of_another_plan_are_refused(checkout):
    file = checkout / OUTCOMES / "convex.csv"
    add(
        file,
        "0123456789ab",
        [{"task": "softmax_cancer", "optimizer": "sgd+decay", "train_loss": 1.0}],
    )
    with pytest.raises(Refused, match="made by plan 0123456789ab"):
        __main__.main(["--family", "convex"], checkout)


def test_outcomes_before_all_signatures_are_refused(checkout):
    assert "signatures come before outcomes" in refusal(checkout)
    write_signatures(checkout)
    plan = Plan.read(checkout)
    rows = read(checkout / SIGNATURES, plan.digest)
    assert not [*unmeasured(plan.family, rows)]
    (checkout / SIGNATURES).unlink()
    add(checkout / SIGNATURES, plan.digest, rows.iloc[1:].to_dict("records"))
    assert f"lacks the signatures of 1 of {len(rows)} tasks and rungs" in refusal(checkout)


def test_a_folder_without_a_plan_is_refused(tmp_path):
    with pytest.raises(Refused, match="in a checkout of the repository, not in an installed"):
        __main__.main([], tmp_path)


def test_simulated_verdicts_replace_those_that_are_there(checkout, monkeypatch):
    monkeypatch.setattr(__main__, "verdicts", lambda plan, studies: [{"studies": studies}])
    for studies in (3, 2):
        assert __main__.main(["--verdicts", str(studies)], checkout) == 0
    table = read(checkout / VERDICTS, Plan.read(checkout).digest)
    assert table["studies"].tolist() == [2]
    for option, text in [("--verdicts", "0"), ("--levels", "x"), ("--levels", "-1")]:
        said = f"argument {option}: '{text}' must be a whole number from 1 on"
        assert said in refusal(checkout, f"{option}={text}")


def test_names_that_are_unknown_are_refused_with_the_nearest(checkout):
    assert "convex" in refusal(checkout, "--family", "convx")
    write_plan(checkout, tasks={"convex": ["softmax_digit"]})
    assert "softmax_digits" in refusal(checkout)
    write_plan(checkout, stepz=1)
    assert "unknown 'stepz'" in refusal(checkout)


def test_the_state_says_what_is_there(checkout, monkeypatch, capsys):
    table = pandas.DataFrame({"sgd": [1.0]})
    monkeypatch.setattr(__main__, "read_profile", lambda root: table)
    assert __main__.main([], checkout) == 0
    said = capsys.readouterr().out
    plan = Plan.read(checkout)
    assert f"plan {plan.digest}: committed" in said
    assert "profile: 1 of 2 optimizers, without sign_sgd+decay" in said
    assert said.splitlines()[-1].startswith("outcomes of convex: 0 of 2")  # and no answer


def test_the_state_of_a_whole_study_ends_with_the_answer_of_its_page(capsys):
    assert __main__.main([], ROOT) == 0
    answer, _, path = capsys.readouterr().out.splitlines()[-1].rpartition(" ")
    assert path == PAGE.as_posix()
    assert f"**{answer}**" in (ROOT / PAGE).read_text()


def test_a_rung_is_in_the_profile_if_enough_optimizers_are_ordered_there():
    plan = Plan.read()
    names = [in_profile(word) for word in plan.kind]
    index = pandas.MultiIndex.from_product([["a", "b", "c", "d"], [1.0]], names=["problem", "dial"])
    table = pandas.DataFrame(1.0, index, names)
    table.loc["a", names[0]] = 0.0
    table.loc["b", names[:3]] = np.nan  # 17 of 20 can be used
    table.loc["b", names[4]] = 0.0
    table.loc["d", names[1]] = 0.5
    found = ordering(of_plan(table, plan, index.drop(("d", 1.0))), plan)
    assert found.index.get_level_values("problem").tolist() == [
        "a"
    ]  # all are alike at c; d is no rung
    assert found.columns.tolist() == list(plan.kind)


def test_every_optimizer_of_the_plan_can_be_run(checkout):
    """Three steps each, which say nothing of how good they are."""
    write_plan(checkout, trials=2, seeds=2, steps=3, best_of=[1, 2])
    tiny = Plan.read(checkout)
    for word in Plan.read().kind:
        rows = outcomes.rows_of("softmax_cancer", word, tiny)
        assert [row["note"] for row in rows] == ["", ""], word
        assert all(row["setting"] for row in rows), word
