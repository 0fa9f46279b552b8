"""What other libraries ask a network for is there, as in timm: names, arguments and answers."""

import dataclasses
import json
import re
from typing import Any

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from twins import twins

from rexnet_hub.auto import AutoModel, create_model
from rexnet_hub.errors import UsageError
from rexnet_hub.nets.families.rexnet import FAMILY
from rexnet_hub.nets.families.rexnet.blocks import ReXNetFeatures
from rexnet_hub.nets.family import Family, Words

OUT_INDICES = [None, (0, 1, 2, 3, 4), (1, 3), (-1,), (0, -2), 1, 3]


def same(found, expected):
    """Compare what two networks returned: tensors, numbers, or any nest of lists of them."""
    if isinstance(expected, torch.Tensor):
        return torch.equal(found, expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found == expected


@pytest.mark.parametrize("out_indices", OUT_INDICES)
def test_features_are_those_of_timms_features_only(out_indices):
    """Maps, and every question to their `feature_info`, are answered as by timm's features of the same."""
    settings = {} if out_indices is None else {"out_indices": out_indices}
    theirs: Any = timm.create_model("rexnet_100", features_only=True, **settings).eval()
    whole, ours_whole = twins("rexnet_100")
    theirs.load_state_dict(
        {n.replace("features.", "features_"): t for n, t in whole.state_dict().items()}, False
    )
    ours: Any = ReXNetFeatures(ours_whole, out_indices).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert same(ours(x), theirs(x))
    found, expected = ours.feature_info, theirs.feature_info
    assert found.info == expected.info
    assert (found[1], len(found)) == (expected[1], 5)
    for ask in ("channels", "reduction", "module_name"):
        for idx in (None, 2, [0, 3]):
            assert getattr(found, ask)(idx) == getattr(expected, ask)(idx)
    for keys in (None, ["num_chs"], ["reduction", "module"]):
        for idx in (None, 2, [0, 3]):
            assert found.get_dicts(keys, idx) == expected.get_dicts(keys, idx)
    assert found.get("index") == expected.get("index")


@pytest.mark.parametrize("indices", [*OUT_INDICES, [3, 1], [2, 2]])
@torch.inference_mode()
def test_intermediates_are_timms(indices):
    """`forward_intermediates` takes timm's arguments and returns what timm returns."""
    theirs, ours = twins("rexnet_100")
    x = torch.randn(1, 3, 64, 64)
    for settings in (
        {},
        {"stop_early": True},
        {"norm": True, "intermediates_only": True, "output_fmt": "NCHW"},
        {"stop_early": True, "intermediates_only": True},
    ):
        assert same(
            ours.forward_intermediates(x, indices, **settings),
            theirs.forward_intermediates(x, indices, **settings),
        )
    with pytest.raises(UsageError, match="output_fmt is 'NHWC'"):
        ours.forward_intermediates(x, output_fmt="NHWC")


@pytest.mark.parametrize("indices", [1, 3, [0], [-1], [3, 1]])
@pytest.mark.parametrize(("norm", "head"), [(False, True), (True, False), (False, False)])
@torch.inference_mode()
def test_a_pruned_network_is_timms(indices, norm, head):
    """`prune_intermediate_layers` leaves and returns what timm's does, and the rest still runs."""
    theirs, ours = twins("rexnet_100")
    settings = {"prune_norm": norm, "prune_head": head}
    expected = theirs.prune_intermediate_layers(indices, **settings)
    assert ours.prune_intermediate_layers(indices, **settings) == expected
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    for name in ("num_features", "head_hidden_size", "num_classes"):
        assert getattr(ours, name) == getattr(theirs, name)
    x = torch.randn(1, 3, 64, 64)
    assert same(ours(x), theirs(x))


def test_layers_decay_in_timms_groups():
    """Timm groups the parameters for layer-wise learning rates as it groups its own network's."""
    theirs, ours = twins("rexnet_100")
    groups = [param_groups_layer_decay(network, layer_decay=0.7) for network in (theirs, ours)]
    told = [[(g["lr_scale"], [p.shape for p in g["params"]]) for g in each] for each in groups]
    assert len(told[0]) == 38
    assert told[1] == told[0]
    assert ours.group_matcher(coarse=True) == theirs.group_matcher(coarse=True)


def test_checkpointed_features_have_the_same_gradients():
    """Features recompute too, and learn the same."""
    _, whole = twins("rexnet_100")
    taps = ReXNetFeatures(whole)
    x, gradients = torch.randn(2, 3, 64, 64), []
    for enable in (False, True):
        taps.zero_grad()
        taps.set_grad_checkpointing(enable)
        sum(each.square().mean() for each in taps(x)).backward()
        gradients.append([p.grad.clone() for p in taps.parameters()])
    assert same(*gradients)


def test_features_hold_no_more_weights_than_they_run(staged):
    """The finest map alone holds the stem and one block, in memory too."""
    taps = AutoModel.from_pretrained(staged, features_only=True, out_indices=(0,))
    held = sum(tensor.untyped_storage().nbytes() for tensor in taps.state_dict().values())
    assert held == sum(tensor.nbytes for tensor in taps.state_dict().values())
    assert held < 20_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@torch.inference_mode()
def test_torchscript_runs_it():
    """A scripted network, and scripted features, give what they give."""
    _, whole = twins("rexnet_100", global_pool="catavgmax", drop_path_rate=0.2)
    x = torch.randn(2, 3, 64, 64)
    for network in (whole, ReXNetFeatures(whole, (1, 3)).eval()):
        assert same(torch.jit.script(network)(x), network(x))
    scripted = torch.jit.script(whole.train())
    torch.manual_seed(0)
    expected = whole(x)
    torch.manual_seed(0)
    assert torch.equal(scripted(x), expected)


def normalised(told):
    """Return a `pretrained_cfg` as JSON has it, without where the weights were and what is timm's alone."""
    dropped = (
        "file",
        "source",
        "hf_hub_id",
        "tag",
        "url",
        "custom_load",
        "crop_mode",
        "fixed_input_size",
        "license",
    )
    return {name: value for name, value in json.loads(json.dumps(told)).items() if name not in dropped}


def test_what_it_says_of_itself_is_what_timm_reads(staged):
    """`pretrained_cfg` of what is loaded and of what is drawn is timm's for the same, of features too."""
    for features_only in (False, True):
        ours = AutoModel.from_pretrained(staged, features_only=features_only)
        theirs = timm.create_model(f"local-dir:{staged}", pretrained=True, features_only=features_only)
        assert normalised(ours.pretrained_cfg) == normalised(theirs.pretrained_cfg)
        assert ours.default_cfg is ours.pretrained_cfg
    drawn = create_model("rexnetr_100")
    assert normalised(drawn.pretrained_cfg) == normalised(timm.create_model("rexnetr_100").pretrained_cfg)
    settings = timm.data.resolve_model_data_config(drawn)
    assert settings == timm.data.resolve_model_data_config(timm.create_model("rexnetr_100"))


@pytest.mark.parametrize("settings", [{}, {"num_classes": 7, "in_chans": 1}, {"output_stride": 8}])
@torch.inference_mode()
def test_timm_saves_it(settings, staged, tmp_path):
    """What timm's `save_for_hf` writes of a network of ours is that network, in timm and here."""
    ours = AutoModel.from_pretrained(staged, **settings)
    timm.models.save_for_hf(ours, tmp_path, safe_serialization=True)
    x = torch.randn(1, settings.get("in_chans", 3), 64, 64)
    again: Any
    for again in (
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval(),
        AutoModel.from_pretrained(tmp_path),
    ):
        assert torch.equal(again(x), ours(x))
        labels = None if "num_classes" in settings else ours.pretrained_cfg["label_names"]
        assert again.pretrained_cfg.get("label_names") == labels


def test_a_family_of_an_earlier_release_is_told_what_to_write():
    """`words` was a class once, and is a function; so is each other field that is one."""
    known = {field.name: getattr(FAMILY, field.name) for field in dataclasses.fields(FAMILY)}
    wrong = known | {"architectures": {"pebble_8": 8}, "words": Words(), "key_maps": ()}
    said = "pebble_8: key_maps, words must be a function; write key_maps=lambda …: …, words=lambda …: …"
    with pytest.raises(UsageError, match=re.escape(said)):
        Family(**wrong)
