"""The data of the tasks: what scikit-learn and Python ship; nothing is downloaded.

The files are read without importing scikit-learn, which takes two seconds. The split is the same in every run: a fifth
of the examples is held out.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.study.task import Examples
from problems.digits import digits

CLASSES, PIXELS = 10, 64  # of digits
ROWS = 128  # digits in the matrix to complete
WINDOW, WINDOWS = 16, 2560  # characters, and windows of the text before repeated ones are left out
PRINTABLE = [*map(chr, range(32, 127)), "\n"]
SYMBOLS = len(PRINTABLE) + 1  # the last stands for all others
SIDE, PATCHES, NOISE = (
    8,
    1280,
    0.5,
)  # of patches: pixels, how many, standard deviations of the photographs
HELD_OUT = 0.2  # the share of the held-out part
WRONG = 0.2  # the share of wrong labels


def labelled_digits() -> tuple[Examples, Examples]:
    """Return 1438 and 359 digits, pixels (64) from 0 to 1 and labels."""
    images, labels = digits()
    return _split(images.to(torch.float64), labels)


def wrongly_labelled_digits() -> tuple[Examples, Examples]:
    """Return the same digits; of the training part a fifth of the labels, drawn once, is wrong."""
    training, held_out = labelled_digits()
    generator, labels = _generator(), training.wanted.clone()
    wrong = torch.randperm(len(labels), generator=generator)[: int(WRONG * len(labels))]
    shift = torch.randint(1, CLASSES, wrong.shape, generator=generator)
    labels[wrong] = (labels[wrong] + shift) % CLASSES
    return Examples(training.inputs, labels), held_out


def digits_to_give_back() -> tuple[Examples, Examples]:
    """Return the same digits, which are wanted as they are."""
    training, held_out = labelled_digits()
    return Examples(training.inputs, training.inputs), Examples(held_out.inputs, held_out.inputs)


def entries_of_digits() -> tuple[Examples, Examples]:
    """Return 6554 and 1638 entries of the matrix of 128 digits: row and column (2), and the pixel."""
    places = torch.cartesian_prod(torch.arange(ROWS), torch.arange(PIXELS))
    return _split(places, digits()[0][:ROWS].to(torch.float64).flatten())


def raw_breast_cancer() -> tuple[Examples, Examples]:
    """Return 456 and 113 tumours, 30 measurements in their own units and whether it is benign."""
    table = torch.as_tensor(np.loadtxt(_folder() / "breast_cancer.csv", delimiter=",", skiprows=1))
    return _split(table[:, :-1], table[:, -1].long())


def diabetes() -> tuple[Examples, Examples]:
    """Return 354 and 88 patients, 10 measurements and how far the disease is after a year.

    Both are standardised by mean and standard deviation of the training part.
    """
    inputs, wanted = (
        torch.as_tensor(np.loadtxt(_folder() / f"diabetes_{name}.csv.gz", ndmin=2))
        for name in ("data_raw", "target")
    )
    training, held_out = _split(inputs, wanted.reshape(-1, 1))
    by_column = [(each.mean(0), each.std(0)) for each in training]

    def standardised(part: Examples) -> Examples:
        columns = zip(part, by_column, strict=True)
        return Examples(*((each - mean) / deviation for each, (mean, deviation) in columns))

    return standardised(training), standardised(held_out)


def photograph_pixels(side: int = 32) -> tuple[Examples, Examples]:
    """Return 820 and 204 pixels of a photograph of `side` × `side`: place (2) and grey value (1), all in [−1, 1]."""
    grey = photographs()[0]
    first = (grey.shape[1] - grey.shape[0]) // 2
    square = grey[None, None, :, first : first + grey.shape[0]]
    small = torch.nn.functional.adaptive_avg_pool2d(square, side)
    axis = torch.linspace(-1, 1, side, dtype=torch.float64)
    places = torch.cartesian_prod(axis, axis)
    return _split(places, 2 * small.reshape(-1, 1) - 1)


def noisy_patches() -> tuple[Examples, Examples]:
    """Return 1024 and 256 patches of photographs (1, 8, 8) with noise, and the noise, of variance 1."""
    unfolded = [
        torch.nn.functional.unfold(grey[None, None], SIDE, stride=SIDE)[0].T
        for grey in photographs()
    ]
    patches = torch.cat(unfolded)
    patches = (patches - patches.mean()) / patches.std()
    generator = _generator()
    patches = patches[torch.randperm(len(patches), generator=generator)[:PATCHES]]
    noise = torch.randn(patches.shape, generator=generator, dtype=torch.float64)
    shape = (-1, 1, SIDE, SIDE)
    return _split((patches + NOISE * noise).reshape(shape), noise.reshape(shape))


def text() -> tuple[Examples, Examples]:
    """Return windows of 16 characters of Python's help and the characters that follow each, as numbers.

    Windows that repeat another are left out. The text is that of the running Python: its versions differ a little.
    """
    from pydoc_data.topics import topics

    numbers = {character: number for number, character in enumerate(PRINTABLE)}
    written = "".join(topics.values())[: WINDOWS * WINDOW + 1]
    code = torch.tensor([numbers.get(character, SYMBOLS - 1) for character in written])
    windows = code.unfold(0, WINDOW + 1, WINDOW).unique(dim=0)
    return _split(windows[:, :-1], windows[:, 1:])


def photographs() -> list[torch.Tensor]:
    """Return both photographs as grey values (427, 640) from 0 to 1."""
    from PIL import Image

    files = (_folder().parent / "images" / f"{name}.jpg" for name in ("china", "flower"))
    return [
        torch.as_tensor(np.array(Image.open(file).convert("L"))).double() / 255 for file in files
    ]


def _split(inputs: torch.Tensor, wanted: torch.Tensor) -> tuple[Examples, Examples]:
    """Return the training part and the held-out part, in an order that is drawn once."""
    order = torch.randperm(len(inputs), generator=_generator())
    held_out, training = order.tensor_split([int(HELD_OUT * len(order))])
    return Examples(inputs[training], wanted[training]), Examples(
        inputs[held_out], wanted[held_out]
    )


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _folder() -> Path:
    spec = find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data"
