"""A network that does not train, and its repaired twin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.doctor.doctor import Doctor

Loss = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass
class Task:
    """Everything that a training loop needs.

    Attributes:
        model: The network, initialized from torch's global generator.
        optimizer: Its optimizer.
        inputs: All inputs, examples × the network's input shape.
        targets: All targets, examples first.
        loss: The loss, from the network's output and the targets.
        steps: The number of steps of a run.
        batch: Examples per step; None for all of them.
        shuffled: Whether each epoch draws a new order of the examples.
        before_update: Called between backward and the optimizer's step, for instance to clip.
        after_step: Called after each step, for instance to step a schedule.
        error: What tells whether the network has learnt, from its output and the targets, where the loss does not
            tell it; None for the loss.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    inputs: torch.Tensor
    targets: torch.Tensor
    loss: Loss
    steps: int
    batch: int | None = 64
    shuffled: bool = True
    before_update: Callable[[], object] | None = None
    after_step: Callable[[], object] | None = None
    error: Loss | None = None

    def closures(self, steps: int | None = None) -> Iterator[Callable[[], torch.Tensor]]:
        """Yield one closure per step, which computes the loss of the step's batch."""
        count = len(self.inputs)
        batch = self.batch or count
        order = torch.arange(count)
        for step in range(steps or self.steps):
            first = step % (count // batch) * batch
            if first == 0 and self.shuffled:
                order = torch.randperm(count)
            rows = order[first : first + batch]
            yield partial(self._loss_of, self.inputs[rows], self.targets[rows])

    def _loss_of(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.loss(self.model(inputs), targets)

    def train(self, step: Callable[..., torch.Tensor], steps: int | None = None) -> list[float]:
        """Train until the last step, or until the loss is not finite.

        Args:
            step: Takes one step: called with the closure and `before_update`, as `Doctor.step` is.
            steps: The number of steps; None for the task's own.

        Returns:
            The loss of each step.
        """
        losses = []
        for closure in self.closures(steps):
            losses.append(float(step(closure, before_update=self.before_update)))
            if self.after_step is not None:
                self.after_step()
            if not math.isfinite(losses[-1]):
                break
        return losses

    def final_error(self) -> float:
        """Return the error on all examples, or the loss where the task has no error of its own."""
        with torch.no_grad():
            return float((self.error or self.loss)(self.model(self.inputs), self.targets))


@dataclass(frozen=True)
class Case:
    """A fault and its repair; or a healthy network, which has only the repaired form.

    Attributes:
        build: Returns the task: faulty for False, repaired for True.
        about: The root cause in words; of a healthy network, what it is.
        trained: The error on all examples below which a run has trained.
        root: Verdicts that name the root cause, separated by spaces; none for a healthy network.
        consequence: Verdicts that name a consequence of the root cause.
        advice: Words of which the right advice has at least one.
        rate: "lower" or "higher" if another learning rate is the right advice, or "".
        source: Where the fault was described; "" for a case of Ravine's own.
    """

    build: Callable[[bool], Task]
    about: str
    trained: float
    root: str = ""
    consequence: str = ""
    advice: tuple[str, ...] = ()
    rate: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """Return the name of the function that builds it."""
        return self.build.__name__

    @property
    def forms(self) -> tuple[bool, ...]:
        """Return the values of `repaired` that there are."""
        return (False, True) if self.root else (True,)


def plain_step(
    optimizer: torch.optim.Optimizer,
    closure: Callable[[], torch.Tensor],
    *,
    before_update: Callable[[], object] | None = None,
) -> torch.Tensor:
    """Take one step of the usual loop, without a doctor, and return the loss."""
    optimizer.zero_grad()
    loss = closure()
    loss.backward()
    if before_update is not None:
        before_update()
    optimizer.step()
    return loss.detach()


def train(
    case: Case,
    seed: int = 0,
    repaired: bool = False,
    with_doctor: bool = False,
    steps: int | None = None,
    **options: Any,
) -> tuple[Doctor | None, float, list[float]]:
    """Train a case until its last step, or until the loss is not finite.

    Args:
        case: The case.
        seed: Seeds torch's generator, from which the network's start and the order of the batches are drawn.
        repaired: Whether to train the repaired form.
        with_doctor: Whether the doctor takes the steps.
        steps: The number of steps; None for the case's own.
        **options: Options of the doctor.

    Returns:
        The doctor, or None; the error on all examples at the end; and the loss of each step.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        task = case.build(repaired)
        doctor = Doctor(task.model, task.optimizer, **options) if with_doctor else None
        step = doctor.step if doctor is not None else partial(plain_step, task.optimizer)
        losses = task.train(step, steps)
        return doctor, task.final_error(), losses
