"""Repos of three writers load in three readers: us, timm and transformers, all through a Hub."""

import json

import pytest
import timm
import torch
from closeness import assert_same_numbers
from transformers import AutoModelForImageClassification

from rexnet_hub.auto import AutoModel


def ours(files, tmp_path):
    return files


def from_timm(files, tmp_path, change=None):
    torch.manual_seed(5)
    timm.models.save_for_hf(
        timm.create_model("rexnet_100", num_classes=10), tmp_path, safe_serialization=True
    )
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    config = json.loads(written["config.json"])
    if change:
        change(config)
    return written | {"config.json": json.dumps(config).encode()}


def from_timm_without_args(files, tmp_path):
    return from_timm(files, tmp_path, lambda config: config.pop("model_args"))


def from_timm_with_null_args(files, tmp_path):
    return from_timm(files, tmp_path, lambda config: config.update(model_args=None))


def from_transformers(files, tmp_path):
    source = tmp_path / "source"
    source.mkdir(parents=True)
    for name, data in from_timm_without_args(files, tmp_path / "timm").items():
        (source / name).write_bytes(data)
    model = AutoModelForImageClassification.from_pretrained(source)
    model.save_pretrained(tmp_path / "out")
    return {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}


def in_us(repo_id, pixels):
    return AutoModel.from_pretrained(repo_id)(pixels)


def in_timm(repo_id, pixels):
    return timm.create_model(f"hf-hub:{repo_id}", pretrained=True).eval()(pixels)


def in_transformers(repo_id, pixels):
    return AutoModelForImageClassification.from_pretrained(repo_id).eval()(pixels).logits


#: What each reader makes of each writer's repo; False where the other library cannot, and we can.
TABLE = {
    ours: {in_us: True, in_timm: True, in_transformers: True},
    from_timm: {in_us: True, in_timm: True, in_transformers: False},
    from_timm_without_args: {in_us: True, in_timm: True, in_transformers: True},
    from_timm_with_null_args: {in_us: True, in_timm: False, in_transformers: True},
    from_transformers: {in_us: True, in_timm: False, in_transformers: True},
}


@pytest.mark.parametrize("writer", TABLE, ids=lambda writer: writer.__name__)
@torch.inference_mode()
def test_who_reads_what(hub, files, tmp_path, writer):
    """Each reader that can read a repo gives the same logits; who cannot is the table's, not ours."""
    hub.create("org/any", writer(files, tmp_path / "written"))
    pixels = torch.randn(2, 3, 64, 64)
    logits = {}
    for reader, can in TABLE[writer].items():
        if can:
            logits[reader] = reader("org/any", pixels)
        else:
            with pytest.raises((TypeError, AttributeError)):
                reader("org/any", pixels)
    for found in logits.values():
        assert found.std() > 0
        assert_same_numbers(found, logits[in_us])
