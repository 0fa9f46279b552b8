"""An outline, filled, is the network that was built; what is done to one is done to no other."""

import pytest
import torch

from rexnet_hub.errors import UsageError
from rexnet_hub.nets import CONFIGS, build_network
from rexnet_hub.nets.outline import fill_outline, outline_network
from rexnet_hub.nets.rexnet import ReXNet

OPTIONS = [
    {},
    {"num_classes": 0, "global_pool": ""},
    {"num_classes": 7, "in_chans": 1, "global_pool": "catavgmax"},
    {"output_stride": 8, "drop_rate": 0.5, "drop_path_rate": 0.1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_filled_outline_is_the_network_itself(name, options):
    """Parts, their settings, names, dtypes, shapes and order are those of a network that was built."""
    built, filled = build_network(name, **options), outline_network(CONFIGS[name], **options)
    tensors = built.state_dict()
    fill_outline(filled, tensors)
    assert repr(filled) == repr(built)
    assert filled.feature_info == built.feature_info
    assert [(n, p.requires_grad) for n, p in filled.named_parameters()] == [
        (n, p.requires_grad) for n, p in built.named_parameters()
    ]
    found = filled.state_dict()
    assert list(found) == list(tensors)
    assert all(found[key].data_ptr() == tensor.data_ptr() for key, tensor in tensors.items())
    for one, other in zip(filled.modules(), built.modules(), strict=True):
        assert type(one) is type(other)
        assert one.__dict__.keys() == other.__dict__.keys()
        assert one.training is other.training is True


def test_outlines_share_nothing_that_changes():
    """A hook, a mode, a classifier or a step of one outline is not seen in the next."""
    config = CONFIGS["rexnet_100"]
    one = outline_network(config)
    fill_outline(one, build_network("rexnet_100").state_dict())
    called = []
    one.features[3].register_forward_hook(lambda *_: called.append(1))
    one.stem.bn.register_buffer("more", torch.zeros(1), persistent=False)
    one.features.append(torch.nn.Identity())
    one.reset_classifier(3)
    one.eval()
    assert one(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert called == [1]
    with torch.no_grad():
        one.stem.conv.weight.zero_()

    other = outline_network(config)
    assert {tensor.device.type for tensor in other.state_dict().values()} == {"meta"}
    built = build_network("rexnet_100")
    assert repr(other) == repr(built)
    fill_outline(other, built.state_dict())
    other.eval()
    picture = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(other(picture), built.eval()(picture), rtol=0, atol=0)
    assert called == [1]


def test_an_outline_is_of_float32_whatever_the_default():
    """A default dtype that a caller has set does not stay in what is kept for later loads."""
    torch.set_default_dtype(torch.float64)
    try:
        outline = outline_network(CONFIGS["rexnet_130"], num_classes=11)
    finally:
        torch.set_default_dtype(torch.float32)
    kinds = {tensor.dtype for tensor in outline.state_dict().values()}
    assert kinds == {torch.float32, torch.int64}
    assert isinstance(outline, ReXNet)


@pytest.mark.parametrize(
    "options",
    [{"num_classes": -1}, {"in_chans": 0}, {"in_chans": 3.0}, {"output_stride": 7}, {"global_pool": "most"}],
    ids=str,
)
def test_an_option_out_of_range_is_refused_each_time(options):
    """A refusal is not kept as an outline, nor is the outline of an equal number of another type given."""
    outline_network(CONFIGS["rexnet_100"], in_chans=3)
    for _ in range(2):
        with pytest.raises(UsageError):
            outline_network(CONFIGS["rexnet_100"], **options)
