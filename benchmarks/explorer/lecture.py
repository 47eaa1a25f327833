"""The presets of the page: section 8.2 as a lecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.explorer.scenes import Scene


@dataclass(frozen=True)
class Lesson:
    """All settings at once, and what to look at.

    Attributes:
        button: The subsection and a word.
        title: What the lesson is about.
        look: A sentence on what to look at.
        trial: A sentence on what to try.
        scene: The problem.
        value: The slider's value.
        methods: The optimizers that are on, with their learning rates.
        steps: How many steps a run takes.
        momentum: The momentum of heavy ball and Nesterov's method.
        clip: The norm at which gradients are clipped; 0 for no clipping.
    """

    button: str
    title: str
    look: str
    trial: str
    scene: str
    value: float
    methods: Mapping[str, float] = field(default_factory=dict)
    steps: int = 200
    momentum: float = 0.9
    clip: float = 0.0

    def described(self, scene: Scene) -> dict[str, Any]:
        """Return all that the page has to know about it, as JSON has it."""
        return {
            "button": self.button, "title": self.title, "text": f"{self.look} {self.trial}", "scene": self.scene,
            "stop": scene.dial[2].index(self.value), "on": list(self.methods), "rates": dict(self.methods),
            "steps": self.steps, "momentum": self.momentum, "clip": self.clip,
        }  # fmt: skip


LECTURE = (
    Lesson(
        "8.2.1 Ravine", "Ill-conditioning",
        "Gradient descent goes back and forth between the walls: the rate that suits the steep direction is "
        "126 times too small for the flat one, in which momentum gathers speed.",
        "Move the dial to 1000, or the rate of sgd above 2, where it diverges.",
        "quadratic", 126.0, {"sgd": 1.78, "momentum": 1.0}, steps=400, momentum=0.8,
    ),
    Lesson(
        "8.2.1 The book’s test", "A gradient that stays strong, and no progress",
        "The gradient does not get shorter while gᵀHg grows a thousandfold, until sgd is held where the last "
        "chart reaches 1: not at a minimum, but where the walls are too steep for its rate.",
        "Halve the rate and double the steps, and it gets only a little farther; tick saddle free newton, which "
        "knows the curvature.",
        "narrowing_valley", 6.0, {"sgd": 0.2},
    ),
    Lesson(
        "8.2.2 Local minima", "A bowl full of traps",
        "Gradient descent ends in a trap, and the ball with momentum rolls over it.",
        "Drag the start to see which trap it leads to; then lower the momentum until it is caught, too, or "
        "the dial to 0.05, where there are no traps.",
        "rastrigin", 0.289, {"sgd": 0.0501, "momentum": 0.0501},
    ),
    Lesson(
        "8.2.3 Saddle points", "Saddles slow descent down, and attract Newton’s method",
        "Newton’s method walks to the saddle and stays, gradient descent creeps past it, and momentum runs "
        "across.",
        "Drag the start a little to the side, and see how soon gradient descent gets away.",
        "monkey_saddle", 1e-5, {"sgd": 0.0501, "momentum": 0.01, "newton": 1.0}, steps=300,
    ),
    Lesson(
        "8.2.3 A maximum", "Newton’s method seeks any critical point",
        "Near the top of the hat Newton’s method climbs and ends on the maximum; with the absolute values of "
        "the curvatures it goes down.",
        "Move the dial to 0.528: beyond 0.447 Newton’s method ends on the brim.",
        "mexican_hat", 0.1, {"sgd": 0.1, "newton": 1.0, "saddle_free_newton": 1.0}, steps=60,
    ),
    Lesson(
        "8.2.3 Plateaus", "Where there is no gradient there is no direction",
        "Gradient descent stops at the edge of the shelf, where the gradient fades to exactly 0; momentum "
        "coasts across.",
        "Make the shelf wider with the dial, and find the momentum that still gets over it.",
        "shelf", 1.0, {"sgd": 0.501, "momentum": 0.0501}, momentum=0.95, steps=300,
    ),
    Lesson(
        "8.2.4 Cliffs", "One step at a cliff throws away all progress",
        "At the dotted line the gradient is thousands of times as long as beside it, and one step of gradient"
        " descent leads far off the map.",
        "Tick “clip gradients”, and it descends the cliff; then let the unit run for 5 steps only, and there "
        "is no cliff.",
        "cliff", 50, {"sgd": 0.1, "adam": 3.16e-3}, steps=300,
    ),
    Lesson(
        "8.2.4 Clipping", "A rate for the wall and the slope alike",
        "With clipped gradients descent comes down a wall like eˣ in steps of one length, and then runs along "
        "the gentle slope.",
        "Untick “clip gradients”, and it diverges; then find the largest rate at which it does not, and see "
        "how far it gets.",
        "generalized_smoothness", 6.0, {"sgd": 0.891}, clip=0.501,
    ),
    Lesson(
        "8.2.5 Long chains", "The same matrix again and again",
        "Each step of the chain multiplies one direction by 1.1 and the other by 0.9: after 20 steps one "
        "gradient has exploded and the other vanished, and the curvatures differ by a factor of 3000.",
        "Move the dial to 1, where sgd gets there, and to 50, where it diverges, and look for a rate that "
        "suits each.",
        "matrix_power", 20, {"sgd": 0.0398, "momentum": 0.02},
    ),
    Lesson(
        "8.2.6 Noise", "A constant rate leaves a gap that no budget closes",
        "Both runs get near the solution and then shake about it, as far as noise and learning rate take "
        "them.",
        "Lower the rate: sgd shakes less, but takes longer to get there; then move the dial to 1e-4.",
        "noisy_quadratic", 0.496, {"sgd": 0.2, "momentum": 0.1}, steps=500,
    ),
    Lesson(
        "8.2.7 The wrong side", "Downhill leads away from the solution",
        "The start is behind the mountain: every step of gradient descent goes down, and it ends on the high "
        "plain, where half of the loss is left.",
        "Drag the start round the mountain to see from where descent gets to the low ground, or lower the "
        "mountain with the slider.",
        "mountain", 1.0, {"sgd": 0.501, "momentum": 0.1}, steps=500,
    ),
    Lesson(
        "8.2.8 Limits", "Units that say yes or no have no slope",
        "The unit is almost a step, so that the loss is level nearly everywhere and no optimizer moves; what "
        "is proved for such units says little about smooth ones.",
        "Move the dial to 5, where the unit is smooth, and the same problem is easy.",
        "step_units", 1e4, {"sgd": 1.0, "adam": 0.1}, steps=100,
    ),
)  # fmt: skip
