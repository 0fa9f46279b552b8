"""Each key of a config.json is honoured as timm honours it, or without effect in both, or refused by name."""

import dataclasses
import inspect
import json
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models import PretrainedCfg
from timm.models.rexnet import RexNet
from transformers import AutoModelForImageClassification, TimmWrapperConfig

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.errors import RepoError
from rexnet_hub.repo.config import IGNORED, read_config

CLASSES = 6
PLAIN: dict[str, Any] = {
    "architecture": "rexnet_100",
    "num_classes": CLASSES,
    "pretrained_cfg": {
        "input_size": [3, 64, 64],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "first_conv": "stem.conv",
        "classifier": "head.fc",
    },
}
NAMES = [f"kind {number}" for number in range(CLASSES)]

#: A legal value other than the usual one for each argument of timm's network, each field of its
#: `PretrainedCfg` and of transformers' config; a key that one of them gains fails until it has a row.
ARGUMENTS = {
    "in_chans": 4,
    "num_classes": 9,
    "global_pool": "catavgmax",
    "output_stride": 16,
    "initial_chs": 24,
    "final_chs": 160,
    "width_mult": 1.3,
    "depth_mult": 2.0,
    "se_ratio": 0.25,
    "ch_div": 8,
    "act_layer": "gelu",
    "dw_act_layer": "gelu",
    "drop_rate": 0.5,
    "drop_path_rate": 0.1,
    "device": "cpu",
    "dtype": "float64",
}
PRETRAINED = {
    "url": "https://example.com/other.pth",
    "file": "other.pth",
    "state_dict": {},
    "hf_hub_id": "org/other",
    "hf_hub_filename": "other.safetensors",
    "source": "url",
    "architecture": "rexnet_130",
    "tag": "other",
    "custom_load": True,
    "input_size": [3, 96, 96],
    "test_input_size": [3, 128, 128],
    "min_input_size": [3, 32, 32],
    "fixed_input_size": True,
    "interpolation": "bilinear",
    "crop_pct": 0.7,
    "test_crop_pct": 0.95,
    "crop_mode": "squash",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.1, 0.2, 0.3],
    "num_classes": 77,
    "label_offset": 1,
    "label_names": NAMES,
    "label_descriptions": {"kind 0": "the first"},
    "pool_size": [2, 2],
    "test_pool_size": [4, 4],
    "first_conv": None,
    "classifier": None,
    "license": "mit",
    "description": "words",
    "origin_url": "https://example.com",
    "paper_name": "words",
    "paper_ids": "arXiv:2007.00992",
    "notes": ["words"],
}
TRANSFORMERS = {
    "transformers_version": "5.0.0",
    "architectures": ["TimmWrapperForImageClassification"],
    "output_hidden_states": False,
    "return_dict": True,
    "dtype": "float32",
    "chunk_size_feed_forward": 1,
    "is_encoder_decoder": False,
    "id2label": {str(number): name for number, name in enumerate(NAMES)},
    "label2id": {name: number for number, name in enumerate(NAMES)},
    "problem_type": "multi_label_classification",
    "architecture": "rexnet_100",
    "initializer_range": 0.5,
    "do_pooling": False,
    "model_args": None,
}


@pytest.fixture(scope="module")
def tensors():
    """The tensors of a drawn network of timm's."""
    torch.manual_seed(3)
    return timm.create_model("rexnet_100", num_classes=CLASSES).state_dict()


@pytest.fixture
def write(tmp_path, tensors):
    """Write a folder with a config and weights."""

    def write_folder(config, weights=None):
        (tmp_path / "config.json").write_text(json.dumps(config))
        save_file(weights or tensors, tmp_path / "model.safetensors")
        return tmp_path

    return write_folder


def changed(**parts):
    return {**PLAIN, **parts}


def with_cfg(**keys):
    return changed(pretrained_cfg={**PLAIN["pretrained_cfg"], **keys})


@torch.inference_mode()
def require_timms(folder, picture):
    """Require timm's pixels and timm's logits, bit for bit."""
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    settings = timm.data.resolve_model_data_config(theirs)
    ours: Any = AutoModel.from_pretrained(folder)
    pixels = torch.randn(2, ours.in_chans, 64, 64)
    if ours.in_chans == 3:
        expected = timm.data.create_transform(**settings, is_training=False)(picture)[None]
        pixels = AutoImageProcessor.from_pretrained(folder)(picture)
        assert torch.equal(pixels, expected)
    logits = theirs(pixels)
    assert logits.std() > 1e-3
    assert torch.equal(ours(pixels), logits)
    assert (ours.drop_rate, ours.num_classes) == (theirs.drop_rate, theirs.num_classes)
    drops = [[m.drop_prob for m in net.modules() if hasattr(m, "drop_prob")] for net in (ours, theirs)]
    assert [drop for drop in drops[0] if drop] == [drop for drop in drops[1] if drop]


@pytest.fixture(scope="module")
def drawn():
    """A picture that no square crop shows whole."""
    return Image.effect_noise((150, 90), 80).convert("RGB")


def require_honoured_or_refused(folder, drawn, key):
    """Require what timm gives, or a refusal that names the key."""
    refusal = ""
    try:
        read_config(folder / "config.json")
    except RepoError as error:
        refusal = str(error)
    if refusal:
        assert f"'{key}' is " in refusal
        assert "\n" not in refusal
    else:
        require_timms(folder, drawn)


@pytest.mark.parametrize("key", inspect.signature(RexNet).parameters)
def test_every_argument_of_timms_network_is_honoured_or_refused(write, drawn, tensors, key):
    """With another value of any argument the logits are timm's, or the repo is refused by that key."""
    value = ARGUMENTS[key]
    sized = key in ("in_chans", "num_classes", "global_pool")
    arguments: dict[str, Any] = {"num_classes": CLASSES, key: value}
    weights = timm.create_model("rexnet_100", **arguments) if sized else None
    said = {"num_classes": value} if key == "num_classes" else {}
    folder = write(changed(model_args={key: value}, **said), weights.state_dict() if weights else None)
    require_honoured_or_refused(folder, drawn, f"model_args.{key}")


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(PretrainedCfg)])
def test_every_field_of_timms_pretrained_cfg_is_honoured_or_refused(write, drawn, key):
    """With another value of any field pixels and logits are timm's, or the repo is refused by that key."""
    require_honoured_or_refused(write(with_cfg(**{key: PRETRAINED[key]})), drawn, f"pretrained_cfg.{key}")


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(TimmWrapperConfig)])
def test_every_key_of_transformers_is_honoured_or_without_effect(write, drawn, key):
    """With any key that transformers writes the repo loads, and gives timm's logits."""
    folder = write(changed(**{key: TRANSFORMERS[key]}))
    if key == "model_args":  # timm cannot read its null
        read_config(folder / "config.json")
    else:
        require_timms(folder, drawn)


def test_the_keys_that_are_ignored_are_listed_with_a_reason():
    """What has no effect is named with the reason why."""
    assert IGNORED["pretrained_cfg.license"]
    assert all(len(reason.split()) > 2 for reason in IGNORED.values())


def test_all_that_cannot_be_honoured_is_refused_at_once(write):
    """Every key is named, with what it says and what can be said, and those of no known meaning too."""
    config = with_cfg(crop_mode="round", label_offset=1, novel=1) | {
        "model_args": {
            "act_layer": "gelu",
            "depth": 3,
            "width_mult": 2.0,
            "output_stride": 4,
            "num_classes": 7,
        },
        "quantization_config": {},
        "rexnet_hub": {"exif_orientation": "turned"},
    }
    del config["pretrained_cfg"]["std"]
    with pytest.raises(RepoError) as caught:
        read_config(write(config) / "config.json")
    parts = (
        *("std", "crop_mode", '"round"', "label_offset", "novel", "act_layer", '"gelu"', '"swish"', "depth"),
        *("width_mult", "1.0", "output_stride", "model_args.num_classes", "quantization_config"),
        *("rexnet_hub.exif_orientation", '"turned"', '"ignored"'),
    )
    for part in parts:
        assert part in str(caught.value), part


def test_what_says_only_the_usual_is_no_change(write):
    """Arguments that say what the network is anyway are no reason to refuse it."""
    usual = {"act_layer": "silu", "dw_act_layer": "relu6", "width_mult": 1.0, "se_ratio": 1 / 12, "ch_div": 1}
    assert read_config(write(changed(model_args=usual)) / "config.json").options == {}


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_every_crop_mode_gives_timms_pixels(write, drawn, crop_mode):
    """A repo's way to make a square gives timm's pixels."""
    require_timms(write(with_cfg(crop_mode=crop_mode, crop_pct=0.95)), drawn)


#: Where a config gives names, and what are the names of its six classes.
LABELS = {
    "timm, a list": (changed(label_names=NAMES), NAMES),
    "timm, a mapping": (changed(label_names=TRANSFORMERS["id2label"]), NAMES),
    "timm, inner": (with_cfg(label_names=NAMES), NAMES),
    "transformers": (changed(id2label=TRANSFORMERS["id2label"]), NAMES),
    "nobody": (PLAIN, []),
    "null": (changed(label_names=None), []),
    "placeholders": (changed(label_names=[f"LABEL_{number}" for number in range(CLASSES)]), []),
    "outer wins": (with_cfg(label_names=["a", "b"]) | {"label_names": NAMES}, NAMES),
}


@pytest.mark.parametrize("case", LABELS)
def test_names_are_read_from_where_each_library_writes_them(write, case):
    """The classes' names are found wherever timm and transformers write them, outer before inner."""
    config, names = LABELS[case]
    assert list(AutoImageProcessor.from_pretrained(write(config)).labels) == names


@pytest.mark.parametrize("names", [NAMES[:-1], {"0": "a", "7": "b"}, {"a": "b"}, [1] * CLASSES])
def test_names_that_are_not_the_classes_are_refused(write, names):
    """A list of another length, a mapping with gaps and what is no text are refused by the key."""
    with pytest.raises(RepoError, match="label_names"):
        read_config(write(changed(label_names=names)) / "config.json")


FOUR = {number: f"new {number}" for number in range(4)}


def fine_tuned(source, out):
    model = AutoModelForImageClassification.from_pretrained(
        source, num_labels=4, id2label=FOUR, ignore_mismatched_sizes=True
    )
    model.save_pretrained(out)
    return model.eval()


@torch.inference_mode()
def test_a_repo_that_transformers_fine_tuned_keeps_the_new_names(staged, tmp_path):
    """Our repo, fine-tuned by transformers to four classes and saved, loads with its four names."""
    model = fine_tuned(staged, tmp_path / "out")
    assert list(AutoImageProcessor.from_pretrained(tmp_path / "out").labels) == list(FOUR.values())
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    assert again.config.id2label == FOUR
    pixels = torch.randn(1, 3, 64, 64)
    ours = AutoModel.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(ours(pixels), model(pixel_values=pixels).logits, rtol=1e-4, atol=1e-5)


def test_stale_names_are_left_with_a_warning(staged, repo, tmp_path, caplog):
    """A repo with an outer list of 1000 loads, as once staged; fine-tuned, it has none and says so."""
    config = json.loads((repo / "config.json").read_text())
    del config["id2label"]
    config["label_names"] = config["pretrained_cfg"].pop("label_names")
    (repo / "config.json").write_text(json.dumps(config))
    (repo / "receipt.json").unlink()  # which is of another config
    assert len(AutoImageProcessor.from_pretrained(repo).labels) == 1000
    fine_tuned(repo, tmp_path / "out")
    assert AutoImageProcessor.from_pretrained(tmp_path / "out").labels == ()
    assert "1000 names for 4 classes" in caplog.text


def test_a_repo_that_timm_fine_tuned_forgets_the_old_names(staged, tmp_path):
    """Our repo with another classifier, saved by timm, has none of the old names."""
    model = timm.create_model(f"local-dir:{staged}", pretrained=True, num_classes=4)
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
    assert AutoImageProcessor.from_pretrained(tmp_path).labels == ()
    named = {"label_names": list(FOUR.values())}
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True, model_config=named)
    assert list(AutoImageProcessor.from_pretrained(tmp_path).labels) == list(FOUR.values())
