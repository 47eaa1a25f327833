"""The names of causes, faults and outcomes in words, and what each means."""

from __future__ import annotations

import math
from collections.abc import Sequence

MEANINGS = {
    # Causes, of a sweep's runs, too.
    "ill_conditioning": "the loss is far steeper in some directions than in others",
    "sharpening": "the curvature grows until the step no longer fits it",
    "step_too_large": "the learning rate is too large",
    "step_too_small": "the learning rate is too small",
    "noise": "the gradients of the minibatches differ by more than their mean",
    "wrong_direction": "the steps do not follow the gradient",
    "local_minimum": "the run rests where no small step gets lower",
    "saddle": "the run lingers where the gradient is 0 but the loss has no minimum",
    "plateau": "the loss is almost flat here",
    "no_signal": "no gradient reaches some or all of the weights",
    "cliff": "the gradient jumps, and its step throws the run away",
    "exploding_gradient": "the gradient grows on its way back through layers or time",
    "vanishing_gradient": "the gradient fades on its way back through layers or time",
    "no_critical_point": "the loss has no minimum to stop at",
    "long_path": "the way is long, and nothing else is wrong",
    # Faults of the program.
    "not_finite": "the loss or the gradient is no longer a finite number",
    "gradients_not_zeroed": "steps add their gradients to older ones",
    "output_unit": "what stands behind the last layer does not fit the loss",
    "ignored_inputs": "the outputs do not depend on the inputs",
    "mixed_examples": "the outputs of an example depend on the others in its batch",
    "broadcast_shapes": "the loss compares each output with every target",
    "same_targets": "the targets of a batch are all the same",
    "unscaled_targets": "the targets are far larger than the outputs",
    "unregistered_weights": "some weights are no parameters of the model",
    "cut_graph": "the way back from the loss does not reach some weights",
    "frozen_weights": "some weights are not trained",
    "noise_labels": "not told apart from labels that do not depend on the inputs",
    "weight_decay": "the weights are pulled to 0 faster than the gradient moves them",
    # Outcomes without a cause.
    "healthy": "the loss falls as it should",
    "nothing_found": "neither a fault nor health was seen",
    "not_sure": "too little was seen",
    "solved": "the target was reached",
    "step_not_finite": "the optimizer's own step was not finite",
    "derivative_not_finite": "a derivative that the optimizer asks for was not finite where the loss was",
}


def words(name: str) -> str:
    """Return a name in words.

    >>> words("step_too_large")
    'step too large'
    """
    return name.replace("_", " ")


def listed(names: Sequence[str]) -> str:
    """Return names in words, with commas between them."""
    return ", ".join(map(words, names))


def spelled(value: float) -> str:
    """Return a number with three digits; "–" for NaN."""
    return "–" if math.isnan(value) else f"{value:.3g}"


def position(name: str) -> str:
    """Return the name of a position on the gradient's way; those of layers in a list are numbers.

    >>> position("18"), position("encoder.0"), position("0.weight")
    ('layer 18', 'encoder.0', 'layer 0.weight')
    """
    return f"layer {name}" if name[0].isdigit() else name
