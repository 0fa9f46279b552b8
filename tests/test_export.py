"""An exported model gives the network's logits, or is not written."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rexnet_hub.auto import AutoImageProcessor, AutoModel, create_model
from rexnet_hub.errors import FileProblem, OutputExistsError, RexnetHubError
from rexnet_hub.export import compare_onnx, export_onnx
from rexnet_hub.nets.families.rexnet.blocks import ReXNet
from rexnet_hub.prediction import classify, find_pictures
from rexnet_hub.weights.digest import digest_file


@pytest.fixture(scope="module")
def exported(staged, tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "rexnet_100.onnx"
    return out, export_onnx(staged, out)


@pytest.mark.slow
def test_the_receipt_says_how_near_the_export_comes(exported, staged):
    """The receipt beside the file has its digest, the weights' digest and the measured difference."""
    out, receipt = exported
    kept = json.loads(out.with_name("rexnet_100.onnx.receipt.json").read_text())
    assert kept["sha256"] == digest_file(out).sha256
    assert kept["weights_sha256"] == digest_file(staged / "model.safetensors").sha256
    assert 0 < kept["largest_difference"] <= kept["allowed_difference"]
    assert (receipt.top1_agreement, receipt.images) == (1.0, 26)
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "rexnet_100.onnx",
        "rexnet_100.onnx.receipt.json",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("takes_bytes", [False, True])
def test_a_file_alone_says_how_to_use_it(exported, staged, picture, tmp_path, takes_bytes):
    """By its metadata and Pillow, with nothing of ours, a picture gets the class that it gets here."""
    import onnxruntime  # type: ignore[import-untyped]

    out = exported[0]
    if takes_bytes:
        out = tmp_path / "bytes.onnx"
        assert export_onnx(staged, out, takes_bytes=True).top1_agreement == 1
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert told["weights_sha256"] == digest_file(staged / "model.safetensors").sha256
    assert (told["model"], json.loads(told["preprocessing"])["exif_orientation"]) == ("rexnet_100", "ignored")
    assert told["input"].startswith("uint8 (N, H, W, C)" if takes_bytes else "float32 (N, C, H, W)")

    spec = json.loads(told["preprocessing"])
    px, image = spec["input_px"], Image.open(picture)
    short = math.floor(px / spec["crop_fraction"])
    width, height = (short * side // min(image.size) for side in image.size)
    left, top = round((width - px) / 2), round((height - px) / 2)
    resized = image.resize((width, height), Image.Resampling[spec["interpolation"].upper()])
    pixels = np.array(resized.crop((left, top, left + px, top + px)))
    if not takes_bytes:
        scaled = (pixels / np.float32(255) - np.float32(spec["mean"])) / np.float32(spec["std"])
        pixels = scaled.transpose(2, 0, 1)
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels[None]})
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(staged)(AutoImageProcessor.from_pretrained(staged)(picture))
    assert np.abs(logits - expected.numpy()).max() < 1e-3
    assert json.loads(told["labels"])[logits.argmax()] == classify_picture(staged, picture)


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "said"), {1: "grey", 4: "4 channels"}.items())
def test_odd_labels_and_other_channels_are_told(tmp_path, channels, said):
    """Quotes, commas and letters of any script come back; grey is not called RGB."""
    import onnxruntime

    model: Any = create_model("test_resnet", num_classes=3, in_chans=channels)
    labels = ['a"b\\c, d', "\u65e5\u672c \U0001f600", "{x};[y]"]
    export_onnx(model.save_pretrained(tmp_path / "odd", labels=labels), tmp_path / "odd.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "odd.onnx"), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["labels"]) == labels
    assert f", {said}, scaled to 0..1" in told["input"]


def classify_picture(repo, picture):
    """Name the likeliest class of a picture."""
    (prediction,) = classify(repo, find_pictures([str(picture)]), top=1)
    return prediction.guesses[0].label


@pytest.mark.slow
def test_other_weights_are_told_apart(exported, staged):
    """The comparison says no when the network is not the one that was exported."""
    network = AutoModel.from_pretrained(staged)
    assert isinstance(network, ReXNet)
    with torch.no_grad():
        dict(network.named_parameters())["head.fc.bias"][7] += 0.5
    difference, _, _ = compare_onnx(network, exported[0], (3, 224, 224), seed=1)
    assert difference == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("difference", [0.0011, float("nan"), float("inf")])
def test_an_export_that_differs_is_not_written(staged, tmp_path, difference, monkeypatch):
    """A difference above the bound, or one that is no number, leaves nothing under the final names."""
    monkeypatch.setattr("rexnet_hub.export.compare_onnx", lambda *_: (difference, 1.0, 8))
    with pytest.raises(RexnetHubError, match=r"a logit differs by .* allowed is 0\.001; not written"):
        export_onnx(staged, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_alone(staged, tmp_path):
    """An existing file and a missing folder are refused."""
    (tmp_path / "a.onnx").write_bytes(b"mine")
    with pytest.raises(OutputExistsError):
        export_onnx(staged, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"mine"
    with pytest.raises(FileProblem, match="no such folder"):
        export_onnx(staged, tmp_path / "none" / "a.onnx")
