"""The digits are those of scikit-learn."""

import torch
from sklearn.datasets import load_digits

from problems.digits import digits


def test_the_digits_are_those_of_scikit_learn():
    images, labels = load_digits(return_X_y=True)
    assert torch.equal(digits()[0], torch.as_tensor(images) / 16)
    assert torch.equal(digits()[1], torch.as_tensor(labels).long())
