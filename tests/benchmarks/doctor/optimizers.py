"""The optimizers beside which a run is compared bitwise, with a doctor or a watch and without."""

import torch


def sgd(model):
    """Two groups, momentum, and decoupled settings for each."""
    groups = [{"params": model[0].parameters()}, {"params": model[1:].parameters(), "lr": 0.02}]
    return torch.optim.SGD(groups, 0.1, momentum=0.9, weight_decay=1e-3)


def adam(model):
    return torch.optim.Adam(model.parameters(), 0.01)


def lbfgs(model):
    return torch.optim.LBFGS(model.parameters(), 0.1, max_iter=3)
