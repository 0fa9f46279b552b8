"""The network equals timm's, in every variant and every way that people use it."""

import pytest
import timm
import torch
from closeness import ROUNDINGS, assert_same_numbers
from timm.models import adapt_input_conv

from rexnet_hub.errors import UnknownModelError, UsageError
from rexnet_hub.nets import find_network
from rexnet_hub.nets.families.rexnet.blocks import ReXNetFeatures
from rexnet_hub.nets.families.rexnet.shapes import CONFIGS
from rexnet_hub.nets.modules import adapt_stem

PARAMETERS = {
    "rexnet_100": 4796873,
    "rexnet_130": 7557091,
    "rexnet_150": 9728593,
    "rexnet_200": 16366620,
    "rexnet_300": 34708792,
    "rexnetr_100": 4883304,
    "rexnetr_130": 7608080,
    "rexnetr_150": 9782256,
    "rexnetr_200": 16522432,
    "rexnetr_300": 34810008,
}


def twins(name, *, seed=0, **settings):
    """Build timm's network and ours with the same tensors, batch norms away from their start."""
    torch.manual_seed(seed)
    theirs = timm.create_model(name, **settings)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    ours = find_network(name).build(init=False, **settings)
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours.eval()


SMALL, ODD, USUAL = (97, 65), (193, 161), (224, 224)
SIZES = [
    *((name, SMALL) for name in CONFIGS),
    *(("rexnet_100", size) for size in (ODD, USUAL)),
    *(pytest.param(name, USUAL, marks=pytest.mark.slow) for name in CONFIGS if name != "rexnet_100"),
]


@pytest.mark.parametrize(("name", "size"), SIZES)
@torch.inference_mode()
def test_logits_equal_timms(name, size):
    """With timm's weights copied in, logits are timm's but for rounding, at odd sizes and at 224."""
    theirs, ours = twins(name)
    x = torch.randn(1, 3, *size)
    expected = theirs(x)
    assert expected.std() > 1e-3
    assert_same_numbers(ours(x), expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_tensors_are_the_planned_ones_and_timms(name):
    """The plan without torch, the network and timm name the same 413 tensors, in one order."""
    dtypes = {torch.float32: "float32", torch.int64: "int64"}

    def table(network):
        return [(key, dtypes[t.dtype], tuple(t.shape)) for key, t in network.state_dict().items()]

    planned = [(key, *rest) for key, rest in find_network(name).plan().tensors.items()]
    with torch.device("meta"):
        ours, theirs = find_network(name).build(init=False), timm.create_model(name)
    assert len(planned) == 413
    assert planned == table(ours) == table(theirs)
    assert sum(p.numel() for p in ours.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_training_draws_what_timm_draws(name):
    """In training, dropout and drop-path give timm's logits from the same seed, and its gradients.

    In double precision, since the batch norms of a small batch multiply what was rounded.
    """
    theirs, ours = twins(name, drop_rate=0.3, drop_path_rate=0.2)
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    out = []
    for network in (theirs.double().train(), ours.double().train()):
        torch.manual_seed(5)
        logits = network(x)
        logits.square().mean().backward()
        out.append((logits.detach(), network.stem.conv.weight.grad))
    for found, expected in zip(out[1], out[0], strict=True):
        assert_same_numbers(found, expected, roundings=10**6 * ROUNDINGS)
    assert not torch.equal(ours(x), out[1][0])  # the next draw is another


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.inference_mode()
def test_features_equal_timms(output_stride):
    """The five taps have timm's channels, strides and values at each output stride."""
    theirs, ours = twins("rexnet_130", output_stride=output_stride)
    taps = ReXNetFeatures(ours)
    x = torch.randn(1, 3, 96, 96)
    _, expected = theirs.forward_intermediates(x)
    for found in (taps(x), ours.forward_intermediates(x)):
        assert len(found) == 5
        for ours_map, theirs_map in zip(found, expected, strict=True):
            assert_same_numbers(ours_map, theirs_map)
    assert taps.feature_info.channels() == [info["num_chs"] for info in theirs.feature_info]
    assert taps.feature_info.reduction() == [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
    assert_same_numbers(ours.forward_features(x), theirs.forward_features(x))


@torch.inference_mode()
def test_taps_can_be_chosen():
    """Chosen taps are those maps alone, and blocks past the last one are gone."""
    _, ours = twins("rexnet_100")
    x = torch.randn(1, 3, 64, 64)
    every = ReXNetFeatures(ours)(x)
    some = ReXNetFeatures(ours, (1, -2))
    assert [torch.equal(a, b) for a, b in zip(some(x), (every[1], every[3]), strict=True)] == [True, True]
    assert len(some.features) == 11
    with pytest.raises(UsageError, match="5 maps, 0 to 4"):
        ReXNetFeatures(ours, (5,))


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
@torch.inference_mode()
def test_pools_and_pre_logits_equal_timms(pool):
    """Every pooling gives timm's logits and timm's features before the classifier."""
    theirs, ours = twins("rexnet_100", global_pool=pool, num_classes=7)
    x = torch.randn(2, 3, 64, 64)
    assert_same_numbers(ours(x), theirs(x))
    maps = theirs.forward_features(x)
    expected = theirs.forward_head(maps, pre_logits=True)
    assert_same_numbers(ours.forward_head(maps, pre_logits=True), expected)


@torch.inference_mode()
def test_the_classifier_can_be_replaced_and_removed():
    """`reset_classifier` changes the head alone, keeps dtype and mode, and 0 classes gives features."""
    _, ours = twins("rexnet_100")
    x = torch.randn(1, 3, 64, 64)
    before = ours.forward_features(x)
    ours.to(torch.float64).reset_classifier(10)
    assert ours.get_classifier().weight.dtype == torch.float64
    assert not ours.head.training
    assert ours(x.double()).shape == (1, 10)
    ours.float().reset_classifier(0, "")
    assert torch.equal(ours(x), before)
    with pytest.raises(UsageError, match="num_classes=0"):
        ours.reset_classifier(10)


@pytest.mark.parametrize("in_chans", [1, 2, 3, 4, 6])
def test_the_stem_is_adapted_as_timm_adapts_it(in_chans):
    """A stem for RGB becomes one for other channels by timm's rule, in half precision too."""
    for dtype in (torch.float32, torch.float16):
        weight = torch.randn(8, 3, 3, 3).to(dtype)
        assert torch.equal(adapt_stem(weight, in_chans), adapt_input_conv(in_chans, weight))


def test_a_stem_for_other_channels_than_rgb_is_not_adapted():
    """What is no rule for RGB is refused; as many channels as there are need no rule."""
    weight = torch.randn(8, 4, 3, 3)
    assert adapt_stem(weight, 4) is weight
    with pytest.raises(UsageError, match="in_chans is 5"):
        adapt_stem(weight, 5)


def test_checkpointing_changes_memory_not_gradients():
    """Gradient checkpointing gives the same loss and gradients."""
    _, ours = twins("rexnet_100", drop_rate=0.0)
    x = torch.randn(2, 3, 64, 64)
    gradients = []
    for enable in (False, True):
        ours.zero_grad()
        ours.set_grad_checkpointing(enable)
        ours(x).square().mean().backward()
        gradients.append([p.grad.clone() for p in ours.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


@torch.inference_mode()
def test_channels_last_and_bf16_run():
    """Channels-last gives the same logits; bf16 gives near ones in bf16."""
    _, ours = twins("rexnet_100")
    x = torch.randn(2, 3, 64, 64)
    expected = ours(x)
    ours.to(memory_format=torch.channels_last)
    assert_same_numbers(ours(x.to(memory_format=torch.channels_last)), expected)
    half = ours.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert torch.corrcoef(torch.stack([half.float().flatten(), expected.flatten()]))[0, 1] > 0.99


@pytest.mark.slow
def test_export_takes_any_batch():
    """`torch.export` gives one program for every batch size, equal to the network."""
    _, ours = twins("rexnet_100")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(ours, (torch.randn(2, 3, 64, 64),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 3, 64, 64)
    with torch.inference_mode():
        assert_same_numbers(program.module()(x), ours(x))


@pytest.mark.slow
def test_compile_makes_one_graph():
    """`torch.compile` traces the whole network as one graph and gives its logits."""
    _, ours = twins("rexnet_100")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
        assert_same_numbers(compiled(x), ours(x))


def test_start_weights_are_timms_in_law():
    """Start weights have the spread that timm's have, layer by layer."""
    torch.manual_seed(0)
    ours, theirs = find_network("rexnet_100").build(), timm.create_model("rexnet_100")
    for (name, a), (_, b) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        if b.numel() > 1000 and b.min() < b.max():
            assert abs(a.std() / b.std() - 1) < 0.15, name
        elif b.min() == b.max():
            assert torch.equal(a, b), name


def test_wrong_arguments_say_what_there_is():
    """An unknown name, pool or stride is refused with what there is."""
    with pytest.raises(UnknownModelError, match="Did you mean 'rexnet_100'"):
        find_network("rexnet_10").build()
    with pytest.raises(UsageError, match="'avgmax'"):
        find_network("rexnet_100").build(global_pool="mean")
    with pytest.raises(UsageError, match="there are 32, 16, 8"):
        find_network("rexnet_100").build(output_stride=4)
