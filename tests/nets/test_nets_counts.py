"""Counts are exact and say by which convention."""

import pytest
import torch
from cases import slow
from torch.utils.flop_counter import FlopCounterMode

from rexnet_hub.nets import find_network
from rexnet_hub.nets.counts import count_macs, count_parameters
from rexnet_hub.nets.families.rexnet.shapes import CONFIGS

# Counted by hooks on the authors' and on timm's own code.
MACS_224 = {
    "rexnet_100": 398370392,
    "rexnet_130": 662229098,
    "rexnet_150": 875828154,
    "rexnet_200": 1528850782,
    "rexnet_300": 3395980620,
    "rexnet_lite_100": 406806592,
    "rexnet_lite_130": 646448384,
    "rexnet_lite_150": 836350720,
    "rexnet_lite_200": 1498253632,
}


#: A wider network is the same code with more numbers.
CASES = [name if config.width < 1.5 else slow(name) for name, config in CONFIGS.items()]


@pytest.mark.parametrize("name", MACS_224)
def test_macs_are_half_of_torchs_flops(name):
    """The count is the recorded one, and torch's counter, which counts two a MAC, says twice as much."""
    with torch.device("meta"):
        network = find_network(name).build(init=False).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, 224, 224))
        macs = count_macs(network)
    assert macs == MACS_224[name]
    assert counter.get_total_flops() == 2 * macs


def test_counting_leaves_the_network_as_it_was():
    """Counting keeps the training mode and leaves no hook behind."""
    network = find_network("rexnet_100").build().train()
    assert count_macs(network, input_px=64) < MACS_224["rexnet_100"]
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_parameters_leave_statistics_out():
    """Only trainable numbers are counted: a batch norm has two a channel, not four."""
    assert count_parameters(torch.nn.BatchNorm2d(5)) == 10


@pytest.mark.parametrize("name", CASES)
def test_counting_without_memory_gives_what_a_real_run_gives(name):
    """On the meta device, where only shapes are computed, the count is the same."""
    with torch.device("meta"):
        without_memory = count_macs(find_network(name).build(init=False), input_px=96)

    assert without_memory == count_macs(find_network(name).build(init=False), input_px=96)


@pytest.mark.parametrize("name", CASES)
def test_planned_operations_are_those_of_a_run(name):
    """At a size that halves evenly and at others, with few classes, or of one channel without any."""
    network = find_network(name)
    for input_px, options in ((224, {}), (97, {"num_classes": 7}), (161, {"num_classes": 0, "in_chans": 1})):
        with torch.device("meta"):
            built = network.build(init=False, **options)
        run = count_macs(built, input_px=input_px, in_chans=options.get("in_chans", 3))

        assert network.plan(**options).macs(input_px) == run
