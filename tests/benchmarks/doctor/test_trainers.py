"""The doctor in other people's trainers: their weights are bitwise those without it, and their losses are seen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.doctor import watch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
STEPS, PARTS = 6, 2
PLAIN = torch.autograd.backward


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def looks_right(watched, model: nn.Module) -> None:
    """It saw each step, gradients that are clipped at 0.1, the rates of a schedule, and no forgotten zero_grad."""
    assert watched.steps == STEPS
    assert len(watched.log.loss) == STEPS
    assert watched.log.grad_norm.value.max() <= 0.1 * (1 + 1e-4)
    assert watched.log.lr.value[-1] < watched.log.lr.value[0]
    assert [each.row["step"] for each in watched.measured] == [0, 4]
    assert "added their gradients" not in str(watched.report())
    assert torch.autograd.backward is PLAIN
    assert not any(each._forward_hooks for each in model.modules())


def test_lightning(tmp_path):
    lightning = pytest.importorskip("lightning", reason="the extra `lightning` is not installed")
    from benchmarks.doctor.integrations.lightning import DoctorCallback

    losses: list[float] = []

    class Line(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 1))

        def training_step(self, batch, _):
            loss = self.layers(batch[0]).sub(1).square().mean()
            losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters(), 0.1)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def trained(*callbacks):
        lightning.seed_everything(0, verbose=False)
        model = Line()
        data = torch.utils.data.TensorDataset(torch.randn(64, 4))
        trainer = lightning.Trainer(
            max_steps=STEPS, accumulate_grad_batches=PARTS, gradient_clip_val=0.1, accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[*callbacks],
            default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(model, torch.utils.data.DataLoader(data, 4, shuffle=True))
        return model

    plain = trained()
    losses.clear()
    doctor = DoctorCallback()
    model = trained(doctor)
    assert same(plain, model)
    looks_right(doctor.watched, model)
    means = torch.tensor(losses[: STEPS * PARTS]).reshape(STEPS, PARTS).mean(1)
    assert doctor.watched.log.loss.value == pytest.approx(means.numpy(), rel=1e-5)


def test_lightning_that_breaks_leaves_nothing_wrapped(tmp_path):
    lightning = pytest.importorskip("lightning", reason="the extra `lightning` is not installed")
    from benchmarks.doctor.integrations.lightning import DoctorCallback

    class Broken(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def training_step(self, batch, _):
            raise KeyError("the user's own")

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = lightning.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[DoctorCallback()], default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(KeyError):
        trainer.fit(Broken(), [torch.ones(1, 1)])
    assert torch.autograd.backward is PLAIN


def test_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the extra is not installed")
    pytest.importorskip("accelerate", reason="transformers' Trainer needs it")
    from benchmarks.doctor.integrations.transformers import DoctorCallback

    draw = torch.Generator().manual_seed(0)
    data = [
        {"input_ids": torch.randint(20, (5,), generator=draw), "labels": number % 2}
        for number in range(64)
    ]

    def trained(*callbacks):
        transformers.set_seed(0)
        config = transformers.BertConfig(
            vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
            max_position_embeddings=8, num_labels=2,
        )  # fmt: skip
        model = transformers.BertForSequenceClassification(config)
        options = transformers.TrainingArguments(
            str(tmp_path), max_steps=STEPS, per_device_train_batch_size=4, gradient_accumulation_steps=PARTS,
            learning_rate=0.01, max_grad_norm=0.1, use_cpu=True, save_strategy="no", logging_steps=1, report_to=[],
            disable_tqdm=True, seed=0,
        )  # fmt: skip
        trainer = transformers.Trainer(model, options, train_dataset=data, callbacks=[*callbacks])
        trainer.train()
        return model, [each["loss"] for each in trainer.state.log_history if "loss" in each]

    plain, losses = trained()
    doctor = DoctorCallback()
    model, _ = trained(doctor)
    assert same(plain, model)
    looks_right(doctor.watched, model)
    assert doctor.watched.log.loss.value == pytest.approx(
        losses, abs=1e-3
    )  # it logs rounded numbers


def test_accelerate():
    """It needs no callback: the watch takes what `prepare` returns."""
    accelerate = pytest.importorskip("accelerate", reason="the extra `accelerate` is not installed")

    def trained(watched: bool):
        accelerate.utils.set_seed(0)
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=PARTS)
        model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 1))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
        data = torch.utils.data.TensorDataset(torch.randn(4 * STEPS * PARTS, 4))
        loader = torch.utils.data.DataLoader(data, 4, shuffle=True)
        model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
        seen = watch(model, optimizer) if watched else None
        losses = []
        for (x,) in loader:
            with accelerator.accumulate(model):
                loss = model(x).sub(1).square().mean()
                losses.append(loss.item())
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        if seen is not None:
            seen.close()
        return model, seen, torch.tensor(losses).reshape(STEPS, PARTS).mean(1)

    plain, _, means = trained(False)
    model, seen, _ = trained(True)
    assert same(plain, model)
    assert seen is not None
    looks_right(seen, model)
    assert seen.log.loss.value == pytest.approx(means.numpy(), rel=1e-5)


PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Where people train") : PAGE.index("## What it measures")]
SNIPPETS = dict(zip(
    ("watch", "lightning", "transformers", "accelerate"),
    re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL),
    strict=True,
))  # fmt: skip


def ingredients(name: str, folder: Path) -> dict[str, Any]:
    """What a snippet of the page takes for granted."""
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batches = [(torch.randn(3, 4), torch.tensor([0, 1, 0])) for _ in range(4)]
    loader = torch.utils.data.DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    criterion = nn.functional.cross_entropy
    given = {"model": model, "optimizer": optimizer, "loader": loader, "criterion": criterion}

    def train(model, optimizer):
        for inputs, targets in loader:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()

    if name == "watch":
        return given | {"train": train}
    package = pytest.importorskip(name, reason=f"the extra `{name}` is not installed")
    if name == "accelerate":
        return given | {"accelerator": package.Accelerator(cpu=True), "watch": watch}
    if name == "lightning":

        class Module(package.LightningModule):
            def __init__(self):
                super().__init__()
                self.layer = model

            def training_step(self, batch, _):
                return criterion(self.layer(batch[0]), batch[1])

            def configure_optimizers(self):
                return optimizer

        return given | {"lightning": package, "module": Module()}
    config = package.BertConfig(
        vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
    )
    arguments = package.TrainingArguments(
        str(folder), max_steps=4, use_cpu=True, save_strategy="no", report_to=[]
    )
    data = [{"input_ids": torch.arange(4), "labels": k % 2} for k in range(8)]
    model = package.BertForSequenceClassification(config)
    return {"transformers": package, "model": model, "arguments": arguments, "data": data}


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_snippets_of_the_page_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ingredients(name, tmp_path)
    exec(SNIPPETS[name], given)
    watched = given["watched"] if "watched" in given else given["doctor"].watched
    assert watched.steps == 4
    assert ("Verdict: " in capsys.readouterr().out) == ("print" in SNIPPETS[name])
