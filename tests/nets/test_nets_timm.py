"""Any network of timm's is of a family: found, planned, built, told by its tensors; timm is the oracle."""

import subprocess
import sys
from typing import Any

import pytest
import timm
import torch

from rexnet_hub.errors import NetworkError, UnknownModelError, UsageError
from rexnet_hub.nets import find_network, fit_networks, known_network, timm_networks

#: Small networks of every kind that differs here: norms, embeddings, padding, names of the ends.
NAMES = ("resnet18", "mobilenetv3_small_050", "convnext_atto", "test_vit", "tf_efficientnet_b0", "dpn68b")


def test_the_names_are_timms():
    """What is read from timm's files without importing it is its registry, former names included."""
    from timm.models import _registry

    registered, renamed = timm_networks._read_registry()
    assert set(registered) == set(timm.list_models())
    assert renamed == {old: new for old, new in _registry._deprecated_models.items() if new}


def test_names_are_known_without_torch():
    """Which networks there are is known without importing torch or timm."""
    script = (
        "import sys; from rexnet_hub.nets import known_network as known;"
        "assert known('resnet50') and known('rexnet_100') and not known('novelnet');"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_timms_network(name):
    """Tensors and parameters of the plan are those of timm's network as it is built."""
    theirs = timm.create_model(name, num_classes=7)
    plan = find_network(name).plan(num_classes=7)

    assert {n: (f"torch.{dtype}", shape) for n, (dtype, shape) in plan.tensors.items()} == {
        n: (str(tensor.dtype), tuple(tensor.shape)) for n, tensor in theirs.state_dict().items()
    }
    assert plan.parameters == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_features_are_timms(name):
    """Feature maps of a whole network are those of timm's own features."""
    network = find_network(name)
    whole, side_px = network.build(), network.parts.input_px
    theirs: Any = timm.create_model(name).eval()
    theirs.load_state_dict(whole.state_dict())
    pixels = torch.randn(2, 3, side_px, side_px)
    with torch.inference_mode():
        expected = theirs.forward_intermediates(pixels, intermediates_only=True)
        ours = network.take_features(whole, None).eval()
        for one, other in zip(ours(pixels), expected, strict=True):
            assert torch.equal(one, other)
        (last,) = network.take_features(whole, [-1]).eval()(pixels)
    assert torch.equal(last, expected[-1])
    assert [each.shape[1] for each in expected] == ours.feature_info.channels()


def test_a_former_name_and_a_tag_are_the_network():
    """A name that timm gave up, and one with a tag, find the network of today."""
    assert find_network("tf_efficientnet_b0_ap").architecture == "tf_efficientnet_b0"
    assert find_network("resnet50.a1_in1k").architecture == "resnet50"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_told_by_its_tensors(name):
    """The tensors of a network with some number of classes fit it, and all that fit have exactly these."""
    shapes = {n: shape for n, (_, shape) in find_network(name).plan(num_classes=7).tensors.items()}

    found = [*fit_networks(shapes)]

    assert name in [network.architecture for network, _ in found]
    for network, classes in found:
        tensors = network.plan(num_classes=classes).tensors
        assert {n: shape for n, (_, shape) in tensors.items()} == shapes


@pytest.mark.slow
def test_tensors_of_no_network_fit_none():
    """One tensor of another shape, and no network fits."""
    shapes = {n: shape for n, (_, shape) in find_network("resnet18").plan().tensors.items()}

    assert [*fit_networks(shapes | {"conv1.weight": (64, 3, 9, 9)})] == []


def test_an_unknown_network_is_named_with_what_there_is():
    """A network that timm does not have either is refused with the nearest name."""
    assert known_network("novelnet") is None
    with pytest.raises(UnknownModelError, match=r"no network is named 'resnet5O'.*'resnet50'"):
        find_network("resnet5O")


def test_without_timm_the_extra_is_named(monkeypatch):
    """Where timm is not installed, the message says what installs it, and the built-in networks are there."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    timm_networks._read_registry.cache_clear()
    try:
        assert find_network("rexnet_100").plan().parameters
        with pytest.raises(UnknownModelError, match=r"pip install 'rexnet-hub\[timm\]'"):
            find_network("resnet50")
    finally:
        timm_networks._read_registry.cache_clear()


def test_a_provider_that_raises_is_one_line(monkeypatch):
    """Whatever timm raises is one line that names the network and timm's version."""

    def fail(*_, **__):
        raise ValueError("first\nsecond")

    network = find_network("resnet18")
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        NetworkError, match=r"resnet18 of timm [\d.]+\S* cannot be built or run: ValueError: first$"
    ):
        network.build()


def test_an_option_that_no_family_takes_is_refused():
    """An argument is honoured or refused, with what there is."""
    with pytest.raises(UsageError, match="resnet18 takes no output_stride; it takes num_classes"):
        find_network("resnet18").build(output_stride=16)
