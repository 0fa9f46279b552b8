"""Putting tensors in place of a network's own, and counting without memory."""

import pytest
import torch

from rexnet_hub.nets import CONFIGS, build_network
from rexnet_hub.nets.counts import count_macs
from rexnet_hub.nets.rexnet import list_own_tensors, put_tensors


def test_putting_tensors_is_loading_strictly_by_assignment():
    """A filled network holds the very tensors, as torch's own strict loading by assignment leaves it."""
    tensors = build_network("rexnet_130").state_dict()
    filled, loaded = build_network("rexnet_130", init=False), build_network("rexnet_130", init=False)
    put_tensors(filled, tensors)
    loaded.load_state_dict(tensors, strict=True, assign=True)

    assert list(filled.state_dict()) == list(loaded.state_dict())
    assert all(value.data_ptr() == tensors[name].data_ptr() for name, value in filled.state_dict().items())
    assert [p.requires_grad for p in filled.parameters()] == [p.requires_grad for p in loaded.parameters()]
    picture = torch.randn(1, 3, 64, 64)
    assert torch.equal(filled.eval()(picture), loaded.eval()(picture))


def test_a_networks_own_tensors_are_those_of_its_state_dict():
    """Names, order and memory agree with the state dict."""
    network = build_network("rexnet_100", init=False)
    own, state = list_own_tensors(network), network.state_dict()

    assert list(own) == list(state)
    assert all(own[name].data_ptr() == state[name].data_ptr() for name in state)


def test_a_tensor_that_is_missing_or_misshapen_is_not_put():
    """What its caller should have found still stops it."""
    tensors = build_network("rexnet_100").state_dict()
    with pytest.raises(KeyError):
        put_tensors(build_network("rexnet_100"), {n: t for n, t in tensors.items() if n != "head.fc.bias"})
    with pytest.raises(AssertionError, match=r"head\.fc\.bias"):
        put_tensors(build_network("rexnet_100"), tensors | {"head.fc.bias": torch.zeros(10)})


@pytest.mark.parametrize("name", CONFIGS)
def test_counting_without_memory_gives_what_a_real_run_gives(name):
    """On the meta device, where only shapes are computed, the count is the same."""
    with torch.device("meta"):
        without_memory = count_macs(build_network(name, init=False), input_px=96)

    assert without_memory == count_macs(build_network(name, init=False), input_px=96)
