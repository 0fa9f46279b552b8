"""Repos of each library that saves load in each that loads: us, timm and transformers, all through a Hub."""

import json
from typing import Any

import pytest
import timm
import torch
from cases import slow
from closeness import assert_same_numbers
from transformers import AutoConfig, AutoModelForImageClassification

from rexnet_hub.auto import AutoModel, create_model
from rexnet_hub.locate import find_repo_config

TEN, FOUR = ([f"kind {number} of {many}" for number in range(many)] for many in (10, 4))
#: How a network is changed before it is saved: its classes' names then, and its channels.
CHANGES = {"as it was": (TEN, 3), "four classes": (FOUR, 3), "grey": (TEN, 1), "four channels": (FOUR, 4)}


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A drawn network of ten named classes, saved by us, as both libraries load it."""
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("base") / "base"
    model: Any = create_model("rexnet_100", num_classes=len(TEN)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
    return model.save_pretrained(folder, labels=TEN)


def by_us(base, out, names, in_chans):
    model: Any = AutoModel.from_pretrained(base, num_classes=len(names), in_chans=in_chans)
    model.save_pretrained(out, labels=names)
    return model


def load_in_timm(base, names, in_chans) -> Any:
    source = f"local-dir:{base}"
    return timm.create_model(source, pretrained=True, num_classes=len(names), in_chans=in_chans).eval()


def by_timm(base, out, names, in_chans):
    model = load_in_timm(base, names, in_chans)
    timm.models.save_for_hf(model, out, safe_serialization=True, model_config={"label_names": names})
    return model


def by_timm_without_classes_in_args(base, out, names, in_chans):
    model = by_timm(base, out, names, in_chans)
    config = json.loads((out / "config.json").read_text())
    del config["model_args"]["num_classes"]
    (out / "config.json").write_text(json.dumps(config))
    return model


def by_transformers(base, out, names, in_chans):
    settings: dict[str, Any] = {"num_labels": len(names), "id2label": dict(enumerate(names))}
    config = AutoConfig.from_pretrained(base, **settings if names != TEN else {})
    config.model_args = {"in_chans": in_chans} if in_chans != 3 else None
    options = {"config": config, "ignore_mismatched_sizes": True}
    model = AutoModelForImageClassification.from_pretrained(base, **options).eval()
    model.save_pretrained(out)
    return lambda pixels: model(pixels).logits


def by_transformers_without_null(base, out, names, in_chans):
    model = by_transformers(base, out, names, in_chans)
    config = json.loads((out / "config.json").read_text())
    if config["model_args"] is None:
        del config["model_args"]
    (out / "config.json").write_text(json.dumps(config))
    return model


def in_us(repo_id, pixels):
    return AutoModel.from_pretrained(repo_id)(pixels), list(find_repo_config(repo_id).label_names)


def in_timm(repo_id, pixels):
    model: Any = timm.create_model(f"hf-hub:{repo_id}", pretrained=True).eval()
    return model(pixels), list(model.pretrained_cfg.get("label_names") or ())


def in_transformers(repo_id, pixels):
    model = AutoModelForImageClassification.from_pretrained(repo_id).eval()
    return model(pixels).logits, list(model.config.id2label.values())


#: The readers that cannot read what a saver writes, with what they raise: one library's trap for the other.
CANNOT: dict[Any, dict[Any, type[Exception]]] = {
    by_timm: {in_transformers: TypeError},  # its model_args say num_classes, which transformers passes too
    by_transformers: {in_timm: AttributeError},  # its model_args are null, unless something is in them
}
MENDED = (by_timm_without_classes_in_args, by_transformers_without_null)
CASES = [(saver, change) for saver in (by_us, by_timm, by_transformers) for change in CHANGES]


@pytest.mark.parametrize(
    ("saver", "change"),
    [
        *(slow(*case) if case[1] == "grey" else case for case in CASES),
        *((saver, "four classes") for saver in MENDED),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
@torch.inference_mode()
def test_who_reads_what(hub, base, tmp_path, saver, change):
    """Each reader that can read a repo gives its network's logits and names; who cannot is the table's."""
    names, in_chans = CHANGES[change]
    model, out = saver(base, tmp_path / "out", names, in_chans), tmp_path / "out"
    hub.create("org/any", {file.name: file.read_bytes() for file in out.iterdir()})
    cannot = CANNOT.get(saver, {}) if saver is not by_transformers or in_chans == 3 else {}
    pixels = torch.randn(2, in_chans, 64, 64)
    expected = model(pixels)
    assert expected.std() > 0
    for reader in (in_us, in_timm, in_transformers):
        if reader in cannot:
            with pytest.raises(cannot[reader]):
                reader("org/any", pixels)
        else:
            logits, there = reader("org/any", pixels)
            assert_same_numbers(logits, expected)
            assert there == names


@torch.inference_mode()
def test_what_timm_pushes_is_read(hub, base):
    """A repo that timm's own push made gives us its logits and names; transformers says why it cannot."""
    model = load_in_timm(base, FOUR, 3)
    timm.models.push_to_hf_hub(model, "org/timms", model_config={"label_names": FOUR})
    pixels = torch.randn(1, 3, 64, 64)
    logits, names = in_us("org/timms", pixels)
    assert_same_numbers(logits, model(pixels))
    assert names == FOUR
    with pytest.raises(TypeError, match="num_classes"):
        in_transformers("org/timms", pixels)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050"])
@torch.inference_mode()
def test_what_we_save_of_timms_networks_is_read_by_all(hub, tmp_path, name):
    """A network of timm's that we drew, for grey pictures, gives its logits and names in all three."""
    model: Any = create_model(name, num_classes=len(FOUR), in_chans=1).eval()
    out = model.save_pretrained(tmp_path / "small", labels=FOUR)
    hub.create("org/any", {file.name: file.read_bytes() for file in out.iterdir()})
    side_px = model.pretrained_cfg["input_size"][-1]
    pixels = torch.randn(2, 1, side_px, side_px)
    for reader in (in_us, in_timm, in_transformers):
        logits, there = reader("org/any", pixels)
        assert_same_numbers(logits, model(pixels))
        assert there == FOUR
