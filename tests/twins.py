"""Two networks of the same tensors, timm's and ours."""

from typing import Any

import timm
import torch

from rexnet_hub.nets import find_network


def shuffle_norms(network):
    """Draw the batch norms' numbers anew, away from their start."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)


def twins(name, *, seed=0, **settings) -> tuple[Any, Any]:
    """Build timm's network and ours with the same tensors, batch norms away from their start."""
    torch.manual_seed(seed)
    theirs = timm.create_model(name, **settings)
    shuffle_norms(theirs)
    ours = find_network(name).build(init=False, **settings)
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours.eval()
