"""The whole chain holds for networks of timm's: from a released file to a repo that others load."""

import json
from typing import Any

import pytest
import timm
import torch
from PIL import Image

from rexnet_hub.auto import AutoImageProcessor, AutoModel, classify, create_model
from rexnet_hub.cli import main
from rexnet_hub.index import load_index
from rexnet_hub.nets import find_network
from rexnet_hub.standins.make import is_standin, write_standin

CLASSES = 7
#: The networks that the chain is tried on: a kind each of norms, padding, embeddings, input size.
NETWORKS = {
    "test_resnet": 160, "test_convnext": 160, "test_vit": 160, "mobilenetv3_small_050": 224,
    "tf_efficientnet_lite0": 224, "inception_resnet_v2": 299,
}  # fmt: skip
SLOW = ("inception_resnet_v2",)
EACH = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NETWORKS]
ENTRY = """
  - Name: mine-{name}
    In Collection: Mine
    Metadata:
      ID: {name}
      Parameters: {parameters}
      Num Classes: {classes}
      Image Size: {input_px}
      Crop Pct: 0.9
      Interpolation: bicubic
      Image Mean: [0.5, 0.5, 0.5]
      Image Std: [0.5, 0.5, 0.5]
    License: mit
    Weights: {weights}
"""


def write_index(folder, names):
    """Write an index of stand-ins for these networks, and their released files."""
    text = (
        "Collections:\n  - Name: Mine\n    Metadata: {Image Mean: [0, 0, 0], Image Std: [1, 1, 1]}\nModels:"
    )
    for seed, name in enumerate(names):
        plan = find_network(name).plan(num_classes=CLASSES)
        file = write_standin(folder, tensors=plan.tensors, seed=seed, stem=name)
        facts = {"parameters": plan.parameters, "classes": CLASSES, "input_px": NETWORKS[name]}
        text += ENTRY.format(name=name, weights=file.as_uri(), **facts)
    (folder / "index").mkdir()
    (folder / "index" / "mine.yml").write_text(text)
    return folder / "index"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write an index, make it the zoo's, and return its folder."""

    def make(*names):
        index = write_index(tmp_path, names)
        monkeypatch.setenv("REXNET_HUB_INDEX", str(index))
        return index

    return make


def picture(folder):
    """Save a picture that no square crop shows whole."""
    Image.effect_noise((350, 310), 80).convert("RGB").save(folder / "picture.png")
    return folder / "picture.png"


@pytest.mark.parametrize("name", EACH)
def test_the_chain_holds(mine, tmp_path, name, capsys):
    """Validate, stage, verify, publish and load: logits are timm's, and no claim is found false."""
    mine(name)
    assert main(["validate"]) == 0
    repo = tmp_path / "repo"
    assert main(["stage", f"mine-{name}", "--out", str(repo)]) == 0
    assert main(["verify", f"mine-{name}", "--repo", str(repo), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out.rpartition("\n[")[2].join(["[", ""]))
    held = {finding["claim"] for finding in findings if finding["verdict"] == "holds"}
    assert {"parameters", "tensors", "config", "card"} <= held
    assert main(["lock", f"mine-{name}", "--repo", str(repo)]) == 1  # of stand-ins nothing is recorded
    assert is_standin(repo)

    ours = AutoModel.from_pretrained(repo)
    theirs: Any = timm.create_model(f"local-dir:{repo}", pretrained=True).eval()
    pixels = AutoImageProcessor.from_pretrained(repo)(picture(tmp_path))
    assert pixels.shape[-1] == NETWORKS[name]
    settings = timm.data.resolve_model_data_config(theirs)
    transform = timm.data.create_transform(**settings, is_training=False)
    assert torch.equal(pixels, transform(Image.open(tmp_path / "picture.png"))[None])
    with torch.inference_mode():
        assert torch.equal(ours(pixels), theirs(pixels))
        maps = AutoModel.from_pretrained(repo, features_only=True)(pixels)
    assert [each.shape[1] for each in maps] == [info["num_chs"] for info in theirs.feature_info]
    assert len(classify(repo, [tmp_path / "picture.png"], top=3)[0]) == 3
    assert create_model(f"mine-{name}", pretrained=True, num_classes=3)(pixels).shape == (1, 3)


@pytest.mark.parametrize("name", EACH)
def test_transformers_loads_what_was_staged(mine, tmp_path, name):
    """The staged repo gives in transformers the logits that it gives here, but for rounding."""
    from transformers import AutoModelForImageClassification

    mine(name)
    repo = tmp_path / "repo"
    assert main(["stage", f"mine-{name}", "--out", str(repo)]) == 0
    theirs = AutoModelForImageClassification.from_pretrained(repo).eval()
    pixels = torch.randn(2, 3, NETWORKS[name], NETWORKS[name])
    with torch.inference_mode():
        ours = AutoModel.from_pretrained(repo)(pixels)
        torch.testing.assert_close(ours, theirs(pixels).logits, rtol=1e-4, atol=1e-3)


def test_half_precision_weights_are_widened(mine, tmp_path):
    """Released numbers of 16 bits are published as the float32 that they are, and the receipt says so."""
    index = mine("test_resnet")
    state = timm.create_model("test_resnet", num_classes=CLASSES).half().state_dict()
    torch.save(state, tmp_path / "half.pth")
    file = next(index.iterdir())
    file.write_text(
        file.read_text().partition("    Weights:")[0] + f"    Weights: {(tmp_path / 'half.pth').as_uri()}\n"
    )
    repo = tmp_path / "repo"
    assert main(["stage", "mine-test_resnet", "--out", str(repo)]) == 0
    for name, tensor in AutoModel.from_pretrained(repo).state_dict().items():
        assert torch.equal(tensor, state[name].float() if tensor.is_floating_point() else state[name])
    lines = json.loads((repo / "receipt.json").read_text())["tensors"]
    assert {line["source_dtype"] for line in lines} == {"float16", "int64"}


def test_a_network_that_the_tensors_deny_is_refused(mine, tmp_path, capsys):
    """Weights of another network than the entry names are refused by their tensors; nothing is written."""
    index = mine("test_resnet")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("ID: test_resnet", "ID: test_convnext"))
    assert main(["stage", "mine-test_resnet", "--out", str(tmp_path / "repo")]) == 1
    assert "tensors are not the" in capsys.readouterr().err
    assert not (tmp_path / "repo").exists()


def test_an_unknown_network_is_not_checked_and_never_false(mine, tmp_path, capsys):
    """Of a network that nobody here knows no claim is false; what needs it says so in one line."""
    index = mine("test_resnet")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("ID: test_resnet", "ID: novelnet"))
    assert main(["validate"]) == 0
    assert main(["verify", "mine-test_resnet"]) == 0
    assert "no network is named 'novelnet'" in " ".join(capsys.readouterr().out.split())
    for command in (["card"], ["show"], ["recipe"]):
        assert main([*command, "mine-test_resnet"]) == 0
    for command in (["stage", "--out", str(tmp_path / "repo")], ["lock"]):
        assert main([command[0], "mine-test_resnet", *command[1:]]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_a_checkpoint_that_fits_several_networks_names_them(mine, tmp_path, capsys):
    """A checkpoint of tensors that several networks have is added only as the one that somebody names."""
    mine("test_resnet")
    torch.save(timm.create_model("resnet18", num_classes=CLASSES).state_dict(), tmp_path / "mine.pth")
    words = [
        "add",
        str(tmp_path / "mine.pth"),
        "--name",
        "new",
        "--collection",
        "Mine",
        "--image-size",
        "224",
    ]
    words += ["--crop-pct", "0.9", "--interpolation", "bicubic", "--license", "mit"]
    assert main(words) == 1
    assert "resnet18, resnetblur18; say which with --architecture" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main([*words, "--architecture", "resnet18"]) == 0
    assert load_index().find("new").architecture == "resnet18"


def test_a_size_that_a_network_does_not_take_is_refused(mine, tmp_path, capsys):
    """A network of one size is not loaded for pictures of another."""
    index = mine("test_vit")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("Image Size: 160", "Image Size: 192"))
    repo = tmp_path / "repo"
    assert main(["stage", "mine-test_vit", "--out", str(repo)]) == 1
    assert "test_vit takes pictures of 160 px alone, not of 192" in capsys.readouterr().err
