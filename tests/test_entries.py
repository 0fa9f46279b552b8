"""What the zoo says of timm's and of the authors' checkpoints is what timm, tables and networks say."""

import pytest
import timm
import torch
from closeness import assert_same_numbers
from entries import SEEDS
from timm.data import ImageNetInfo
from timm.models import get_pretrained_cfg

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.imagenet.data.classes import entry_labels
from rexnet_hub.nets import find_network
from rexnet_hub.nets.families.rexnet.keymap import AUTHORS_LITE

OF_TIMM = SEEDS.with_name("rexnet_timm.yml")
OF_AUTHORS = SEEDS.with_name("rexnet_authors.yml")


def test_every_tag_of_timms_is_a_model_by_each_of_its_names(zoo):
    """Each checkpoint that timm lists is here by name and tag, and timm's own choice by the bare name."""
    tagged = timm.list_models("rexnet*", pretrained=True)
    assert len(tagged) == 9
    for name in tagged:
        entry = zoo.find(name)
        assert entry.architecture == name.partition(".")[0]
        cfg = get_pretrained_cfg(entry.architecture)
        assert cfg is not None
        names = {entry.name, *entry.other_names}
        assert (entry.architecture in names) == (name == f"{cfg.architecture}.{cfg.tag}")


def test_input_classes_and_licence_are_timms(zoo):
    """Of each of timm's checkpoints input, classes and licence are those of its pretrained_cfg."""
    for entry in zoo.models:
        if entry.location.file != OF_TIMM:
            continue
        cfg = get_pretrained_cfg(entry.name)
        assert cfg is not None
        spec = entry.preprocessing
        ours = (spec.input_px, spec.crop_fraction, spec.interpolation, spec.mean, spec.std, spec.crop_mode)
        assert ours == (cfg.input_size[1], cfg.crop_pct, cfg.interpolation, cfg.mean, cfg.std, cfg.crop_mode)
        assert (entry.value("num_classes"), entry.license_id) == (cfg.num_classes, cfg.license)
        tests = {r.part.partition(", ")[2] for r in entry.results if r.dataset == "ImageNet" and r.part}
        test = f"{cfg.test_input_size[1]} px, crop {cfg.test_crop_pct}" if cfg.test_input_size else ""
        assert tests <= {"", test}
        tuned_from = (entry.name.removesuffix("_ft_in1k"),) if "_ft_" in entry.name else None
        assert entry.said("base_model") == tuned_from


def test_the_label_list_is_timms(zoo):
    """The 11,821 classes have timm's names, in its order."""
    for name in ("rexnetr_200.sw_in12k", "rexnetr_300.sw_in12k"):
        assert list(entry_labels(zoo.find(name)) or ()) == ImageNetInfo("imagenet12k").label_descriptions()


def test_the_authors_networks_are_those_that_their_names_say(zoo):
    """Nine checkpoints, each of the width in its name; a lite of a lite."""
    of = {entry.name: entry for entry in zoo.models if entry.location.file == OF_AUTHORS}
    assert len(of) == 9
    for name, entry in of.items():
        config = find_network(entry.architecture).config
        width = float(name.rpartition("_")[2].removesuffix("x"))
        assert (config.width, config.is_lite) == (width, "lite" in name)
        assert entry.said("weights_page")


def test_what_timm_has_is_built_by_timm(zoo):
    """Each network but the lites is timm's, tensor by tensor, with as many classes as its entry says."""
    for entry in zoo.models:
        network = find_network(entry.architecture)
        if not network.family.in_timm(network.config):
            continue
        with torch.device("meta"):
            theirs = timm.create_model(entry.architecture, num_classes=entry.value("num_classes"))
        shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
        planned = network.plan(num_classes=entry.value("num_classes")).tensors
        assert shapes == {name: shape for name, (_, shape) in planned.items()}


@pytest.mark.slow
def test_a_lite_goes_from_the_authors_file_to_a_classifier(tmp_path, capsys):
    """A file in the authors' layout, given by hand, is staged, holds, and answers as its network."""
    network = find_network("rexnet_lite_100").build().eval()
    back = {ours: theirs for theirs, ours in AUTHORS_LITE.names.items()}
    matrices = ("head.hidden.fc.weight", "head.fc.weight")
    state = {
        back[name]: tensor[:, :, None, None] if name in matrices else tensor
        for name, tensor in network.state_dict().items()
    }
    file, staged = tmp_path / "rexnet_lite_1.0.pth", tmp_path / "staged"
    torch.save(state, file)

    assert main(["stage", "rexnet_lite_1.0", "--weights", str(file), "--out", str(staged)]) == 0
    given = ["--weights", str(file), "--repo", str(staged)]
    assert main(["verify", "rexnet_lite_1.0", *given]) == 0
    assert "nobody states a digest of the released file" in capsys.readouterr().out.replace("\n", " ")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert_same_numbers(AutoModel.from_pretrained(str(staged))(x), network(x))
