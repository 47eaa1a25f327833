"""Ask other tools that diagnose training runs about the same cases as the doctor.

`pip install torchmortem training-doctor`, then `python -m benchmarks.doctor.rivals` writes docs/doctor_rivals.csv. Each
tool takes the plain loop, as its README has it, with its default settings. What it says is read by `MEANINGS`, in its
favor: a title may stand for several verdicts, and one that is right counts.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from benchmarks.doctor.cases import CASES, Task
from benchmarks.doctor.cases.case import plain_step
from benchmarks.doctor.validate import RIVALS, Job, in_processes, jobs_of, outcome, says

SEEDS = 3
GRAVE = ("critical", "warning")
# The beginning of what a tool says, and the verdicts that it may stand for.
MEANINGS = {
    "Vanishing gradients": "vanishing_gradient",
    "Exploding gradients": "exploding_gradient",
    "Gradient stalling": "vanishing_gradient no_signal cut_graph frozen_weights saddle",
    "Dead units": "no_signal",
    "Activation saturation": "vanishing_gradient output_unit",
    "Update ratio too low": "step_too_small frozen_weights",
    "Update ratio too high": "step_too_large",
    "High gradient noise": "noise",
    "Weight norm explosion": "step_too_large exploding_gradient",
    "Stagnant weight norms": "step_too_small frozen_weights no_signal",
    "Inter-layer weight norm imbalance": "ill_conditioning",
    "Training divergence": "step_too_large exploding_gradient not_finite",
    "Loss plateau": "plateau local_minimum saddle",
    "Catapult phase": "step_too_large cliff",
    "Edge of stability": "step_too_large sharpening",
    "Rank collapse": "rank_collapse",
    "Learning rate likely too high": "step_too_large",
    "Learning rate may be too low": "step_too_small",
    "Training plateau": "plateau local_minimum saddle",
    "Early training plateau": "plateau local_minimum saddle step_too_small",
    "Gradient instability": "exploding_gradient vanishing_gradient not_finite",
    "Possible mixed precision": "not_finite",
    "Overfitting": "overfitting",
    "Unusual train/eval pattern": "overfitting",
}


class Said(NamedTuple):
    """What a tool says: a title, how grave it is, and what it advises to do."""

    title: str
    severity: str
    advice: list[str]


def torchmortem(task: Task) -> list[Said]:
    """Train a task under torchmortem, and return its warnings; its top recommendation is the first one's."""
    from torchmortem import Autopsy  # pyright: ignore[reportMissingImports]

    autopsy = Autopsy(task.model, optimizer=task.optimizer)

    def step(closure: Callable[[], torch.Tensor], **options: Any) -> torch.Tensor:
        loss = plain_step(task.optimizer, closure, **options)
        autopsy.step(loss=loss.item())
        return loss

    with autopsy:
        task.train(step)
    found = autopsy.get_report().findings
    return _warnings(
        Said(each.title, each.severity.name.lower(), each.remediation) for each in found
    )


def training_doctor(task: Task) -> list[Said]:
    """Train a task under training-doctor, and return its warnings, of equal ones the surest first."""
    from training_doctor import Doctor  # pyright: ignore[reportMissingImports]

    doctor = Doctor()
    norms: list[float] = []

    def step(
        closure: Callable[[], torch.Tensor], before_update: Callable[[], object] | None
    ) -> torch.Tensor:
        def note() -> None:
            gradients = [p.grad for p in task.model.parameters() if p.grad is not None]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))
            if before_update is not None:
                before_update()

        loss = plain_step(task.optimizer, closure, before_update=note)
        rate = task.optimizer.param_groups[0]["lr"]
        doctor.log(step=len(norms), loss=loss.item(), lr=rate, grad_norm=norms[-1])
        return loss

    task.train(step)
    found = sorted(doctor.diagnoses, key=lambda each: -each.confidence)
    return _warnings(Said(each.problem, each.severity.value, each.suggestions) for each in found)


def _warnings(said: Iterable[Said]) -> list[Said]:
    """Return what is more than information, the gravest first."""
    grave = [each for each in said if each.severity in GRAVE]
    return sorted(grave, key=lambda each: GRAVE.index(each.severity))


TOOLS = {"torchmortem": torchmortem, "training-doctor": training_doctor}


def run(job: Job) -> dict[str, Any]:
    """Train a case under a tool; return a row of docs/doctor_rivals.csv."""
    logging.disable(logging.WARNING)
    case, repaired = CASES[job.name], bool(job.repaired)
    torch.manual_seed(job.seed)
    task = case.build(repaired)
    rate = task.optimizer.param_groups[0]["lr"]
    found = TOOLS[job.tool](task)
    titles = list(dict.fromkeys(each.title for each in found))
    error = task.final_error()
    return {
        "tool": job.tool,
        "name": job.name,
        "repaired": repaired,
        "seed": job.seed,
        "verdict": titles[0] if titles else "healthy",
        "outcome": outcome(case, repaired, meaning(titles[0] if titles else "healthy")),
        "severity": found[0].severity if found else "",
        "also": "; ".join(titles[1:]),
        "advice": not repaired
        and says(case, [text for each in found for text in each.advice], rate),
        "error": error,
        "trained": error < case.trained,
    }


def meaning(title: str) -> set[str]:
    """Return the verdicts that a title may stand for; the title itself if it is unknown."""
    known = [verdicts for start, verdicts in MEANINGS.items() if title.startswith(start)]
    return {*known[0].split()} if known else {title}


def main() -> int:
    """Ask all tools about all cases, and write what they say."""
    import pandas

    for tool in TOOLS:
        if find_spec(tool.replace("-", "_")) is None:
            print(
                f"ravine: {tool} is not installed: pip install {' '.join(TOOLS)}", file=sys.stderr
            )
            return 2
    jobs = [job._replace(tool=tool) for tool in TOOLS for job in jobs_of(SEEDS, list(CASES))]
    pandas.DataFrame(in_processes(run, jobs)).round(4).to_csv(RIVALS, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
