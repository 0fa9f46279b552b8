"""The network equals timm's, in every variant and every way that people use it."""

from typing import Any

import pytest
import timm
import torch
from cases import slow
from closeness import assert_same_numbers
from timm.models import adapt_input_conv
from twins import shuffle_norms, twins

from rexnet_hub.errors import UnknownModelError, UsageError
from rexnet_hub.nets import find_network
from rexnet_hub.nets.families.rexnet.blocks import ReXNet, ReXNetFeatures
from rexnet_hub.nets.families.rexnet.shapes import CONFIGS, ReXNetConfig
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
    "rexnet_lite_100": 4740056,  # the lites counted on the authors' own code
    "rexnet_lite_130": 6747960,
    "rexnet_lite_150": 8332296,
    "rexnet_lite_200": 12966200,
}
TIMMS = [name for name, config in CONFIGS.items() if not config.is_lite]
LITES = [name for name, config in CONFIGS.items() if config.is_lite]


def slow_where_wide(names):
    """Mark the networks that are the same code with many more numbers."""
    return [name if CONFIGS[name].width < 1.5 else slow(name) for name in names]


SMALL, ODD, USUAL = (97, 65), (193, 161), (224, 224)
SIZES = [
    *((name, SMALL) if CONFIGS[name].width < 1.5 else slow(name, SMALL) for name in TIMMS),
    *(("rexnet_100", size) for size in (ODD, USUAL)),
    *(slow(name, USUAL) for name in TIMMS if name != "rexnet_100"),
]


@pytest.mark.parametrize(("name", "size"), SIZES)
@torch.inference_mode()
def test_logits_equal_timms(name, size):
    """With timm's weights logits are timm's to the last bit, at odd sizes and at 224."""
    theirs, ours = twins(name)
    x = torch.randn(2, 3, *size)
    expected = theirs(x)
    assert expected.std() > 1e-3
    assert torch.equal(ours(x), expected)


@pytest.mark.parametrize(("width", "divisor"), [(1.1, 1), (1.7, 4), (2.5, 16)])
@torch.inference_mode()
def test_any_width_is_timms(width, divisor):
    """A width that has no name is drawn as timm draws it, and gives its logits."""
    networks = []
    for build in (timm.models.rexnet.RexNet, None):
        torch.manual_seed(0)
        config = ReXNetConfig(width=width, divisor=divisor)
        networks.append((build(width_mult=width, ch_div=divisor) if build else ReXNet(config)).eval())
    x = torch.randn(2, 3, *SMALL)
    assert torch.equal(networks[1](x), networks[0](x))


@pytest.mark.parametrize("name", TIMMS)
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


@pytest.mark.parametrize("name", LITES)
def test_a_lites_plan_is_its_network(name):
    """The plan without torch names the 303 tensors of a lite, and counts what the authors' code has."""
    planned = find_network(name).plan()
    built = find_network(name).build().state_dict()
    shapes = [(key, shape) for key, (_, shape) in planned.tensors.items()]
    assert shapes == [(key, tuple(tensor.shape)) for key, tensor in built.items()]
    assert (len(shapes), planned.parameters) == (303, PARAMETERS[name])


@pytest.mark.parametrize("name", slow_where_wide(LITES))
@torch.inference_mode()
def test_a_lite_is_timms_network_with_another_head(name):
    """A lite's maps are those of timm's ReXNet without gates and with ReLU6; its head is torch's layers."""
    width = CONFIGS[name].width
    lite: dict[str, Any] = {
        "final_chs": 164 * 16 / 15,
        "se_ratio": 0.0,
        "act_layer": "relu6",
        "dw_act_layer": "relu6",
    }
    theirs: Any = timm.models.rexnet.RexNet(width_mult=width, ch_div=8, num_classes=0, **lite).eval()
    ours: Any = find_network(name).build().eval()
    shuffle_norms(ours)
    state = ours.state_dict()
    theirs.load_state_dict({key: state[key] for key in theirs.state_dict()})
    x = torch.randn(2, 3, *SMALL)
    maps = theirs.forward_features(x)
    assert torch.equal(ours.forward_features(x), maps)

    hidden = ours.head.hidden
    pooled = torch.nn.functional.adaptive_avg_pool2d(maps, 1)
    as_map = torch.nn.functional.conv2d(pooled, hidden.fc.weight[:, :, None, None], hidden.fc.bias)
    before = torch.nn.functional.relu6(hidden.bn(as_map.flatten(1)))
    assert before.std() > 1e-3
    assert_same_numbers(ours.forward_head(maps, pre_logits=True), before)
    assert_same_numbers(ours(x), before @ ours.head.fc.weight.T + ours.head.fc.bias)


@torch.inference_mode()
def test_a_lite_keeps_its_hidden_layer():
    """Another classifier stands on the same hidden layer; without pooling there is none."""
    ours: Any = find_network("rexnet_lite_100").build().eval()
    x = torch.randn(1, 3, 64, 64)
    maps, before = ours.forward_features(x), ours.forward_head(ours.forward_features(x), pre_logits=True)
    assert (ours.num_features, ours.head_hidden_size) == (1280, 1024)
    ours.reset_classifier(10)
    assert ours(x).shape == (1, 10)
    assert torch.equal(ours.forward_head(maps, pre_logits=True), before)
    ours.reset_classifier(0)
    assert torch.equal(ours(x), before)
    ours.reset_classifier(0, "")
    assert torch.equal(ours(x), maps)


@pytest.mark.parametrize("name", slow_where_wide(TIMMS))
def test_training_draws_what_timm_draws(name):
    """In training, dropout and drop-path give timm's logits from the same seed, and its gradients."""
    theirs, ours = twins(name, drop_rate=0.3, drop_path_rate=0.2)
    x = torch.randn(3, 3, 64, 64)
    out = []
    for network in (theirs.train(), ours.train()):
        torch.manual_seed(5)
        logits = network(x)
        logits.square().mean().backward()
        out.append((logits.detach(), *(parameter.grad for parameter in network.parameters())))
    assert all(map(torch.equal, out[1], out[0]))
    assert not torch.equal(ours(x), out[1][0])  # the next draw is another


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@torch.inference_mode()
def test_features_equal_timms(output_stride):
    """The five taps have timm's channels, strides and values at each output stride."""
    theirs, ours = twins("rexnet_130", output_stride=output_stride)
    taps = ReXNetFeatures(ours)
    x = torch.randn(1, 3, 96, 96)
    _, expected = theirs.forward_intermediates(x)
    for found in (taps(x), ours.forward_intermediates(x)[1]):
        assert len(found) == 5
        for ours_map, theirs_map in zip(found, expected, strict=True):
            assert torch.equal(ours_map, theirs_map)
    assert taps.feature_info.channels() == [info["num_chs"] for info in theirs.feature_info]
    assert taps.feature_info.reduction() == [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
    assert torch.equal(ours.forward_features(x), theirs.forward_features(x))


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
@torch.inference_mode()
def test_pools_and_pre_logits_equal_timms(pool):
    """Every pooling gives timm's logits and timm's features before the classifier."""
    theirs, ours = twins("rexnet_100", global_pool=pool, num_classes=7)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(x), theirs(x))
    maps = theirs.forward_features(x)
    expected = theirs.forward_head(maps, pre_logits=True)
    assert torch.equal(ours.forward_head(maps, pre_logits=True), expected)


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
    """Channels-last and bf16 give what they give in timm."""
    x = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    theirs, ours = (network.to(memory_format=torch.channels_last) for network in twins("rexnet_100"))
    assert torch.equal(ours(x), theirs(x))
    half = ours.bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, theirs.bfloat16()(x.bfloat16()))


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


@pytest.mark.parametrize("name", slow_where_wide(TIMMS))
def test_a_seed_draws_timms_start_weights(name):
    """From one seed every start weight is timm's, of a new classifier too, and so is the next draw."""
    drawn = []
    for build in (timm.create_model, lambda name: find_network(name).build()):
        torch.manual_seed(4)
        network: Any = build(name)
        whole = [tensor.clone() for tensor in network.state_dict().values()]
        network.double().reset_classifier(10)
        drawn.append([*whole, *network.state_dict().values(), torch.randn(1)])
    assert all(map(torch.equal, *drawn))


def test_layers_are_torchs_own():
    """Its layers are of torch's types exactly, by which others find what they quantize, count and fill."""
    ours: Any = twins("rexnet_100")[1]
    layers = {type(module) for module in ours.modules() if [*module.parameters(recurse=False)]}
    assert layers == {torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear}

    before = ours.head.fc.weight.clone()
    ours.head.fc.reset_parameters()
    assert not torch.equal(ours.head.fc.weight, before)

    empty = ours.to_empty(device="cpu").eval()
    for module in empty.modules():
        getattr(module, "reset_parameters", list)()
    logits = empty(torch.randn(2, 3, 64, 64))
    assert logits.isfinite().all()
    assert logits.std() > 1e-6


def test_what_is_loaded_over_is_not_drawn():
    """Without `init` no random number is used up, and what is built anywhere else is drawn as ever."""
    torch.manual_seed(0)
    expected = torch.randn(1)
    torch.manual_seed(0)
    find_network("rexnet_100").build(init=False)
    assert torch.equal(torch.randn(1), expected)
    assert torch.nn.Linear(9, 9).weight.std() > 0


def test_wrong_arguments_say_what_there_is():
    """An unknown name, pool or stride is refused with what there is."""
    with pytest.raises(UnknownModelError, match="Did you mean 'rexnet_100'"):
        find_network("rexnet_10").build()
    with pytest.raises(UsageError, match="'avgmax'"):
        find_network("rexnet_100").build(global_pool="mean")
    with pytest.raises(UsageError, match="there are 32, 16, 8"):
        find_network("rexnet_100").build(output_stride=4)
