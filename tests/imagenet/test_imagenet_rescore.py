"""A kept run on ImageNet's validation set is counted by ReaL's labels as timm counts it, without images."""

import hashlib
import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from runs import made_up_run
from timm.data import RealLabelsImagenet

from rexnet_hub.cli import main
from rexnet_hub.errors import RecordError, UsageError
from rexnet_hub.evaluation import audit_record
from rexnet_hub.imagenet.data.dataset import IMAGENET_VALIDATION
from rexnet_hub.imagenet.data.validation import read_table
from rexnet_hub.imagenet.evidence.predictions import (
    UNREADABLE,
    Predictions,
    PredictionsHead,
    render_predictions,
)
from rexnet_hub.imagenet.evidence.record import keep_run, recount
from rexnet_hub.imagenet.evidence.rescore import rescore
from rexnet_hub.index import load_index


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Keep a run, made up: of each image five classes, of which about half are near the truth."""
    noise, labels = np.random.default_rng(1), np.array([own for own, _ in read_table()], np.uint16)
    near = np.where(noise.random(50_000) < 0.5, labels, noise.integers(0, 1000, 50_000))
    top5 = (near[:, None] + noise.permuted(np.tile(np.arange(5), (50_000, 1)), axis=1)) % 1000
    top5 = top5.astype(np.uint16)
    top5[:3] = UNREADABLE
    facts: dict[str, Any] = {
        "tensors_sha256": "0" * 64,
        "manifest_sha256": "1" * 64,
        "benchmark": IMAGENET_VALIDATION,
    }
    head = PredictionsHead(model="rexnet_100", images=50_000, **facts)
    predictions = Predictions(head=head, labels=labels, top5=top5)
    rendered, folder = render_predictions(predictions), tmp_path_factory.mktemp("runs")
    record = made_up_run(
        load_index().find("rexnet_100").preprocessing,
        **facts,
        model="rexnet_100",
        top1_count=predictions.top1_count,
        top5_count=predictions.top5_count,
        data="ImageNet-1k validation, 50,000 images, 50 of each class; labels official, images not compared",
        unreadable=tuple(f"ILSVRC2012_val_{n:08d}.JPEG" for n in (1, 2, 3)),
        predictions_sha256=hashlib.sha256(rendered).hexdigest(),
    )
    keep_run(folder, record, rendered)
    return record, predictions, folder / "rexnet_100.record.json"


def test_it_is_counted_as_timm_counts(kept, tmp_path, capsys, monkeypatch):
    """Top-1 and top-5 are timm's to the last image, and what is kept can be recounted."""
    _, predictions, file = kept
    theirs = RealLabelsImagenet([f"ILSVRC2012_val_{n + 1:08d}.JPEG" for n in range(50_000)])
    for start in range(0, 50_000, 5_000):
        ranked = torch.from_numpy(predictions.top5[start : start + 5_000].astype(np.int64))
        logits = torch.zeros(len(ranked), 1001)  # an unreadable image is ranked in none of the classes
        likely = torch.arange(5.0, 0, -1).repeat(len(ranked), 1)
        theirs.add_result(logits.scatter_(1, ranked.clamp(max=1000), likely))

    words = ["evaluate", str(file), "--rescore", "real", "--record", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert (said["top1_count"], said["top5_count"]) == tuple(sum(theirs.is_correct[k]) for k in (1, 5))
    assert said["images"] == 46_837
    assert said["data"] == (
        "ImageNet-ReaL, 46,837 images, those with ReaL labels, right by any of them; images not compared"
    )
    assert said["unreadable"] == ["ILSVRC2012_val_00000002.JPEG", "ILSVRC2012_val_00000003.JPEG"]
    assert (said["benchmark"]["dataset"], said["benchmark"]["split"]) == ("ImageNet-ReaL", None)
    assert recount(tmp_path / file.name).top1_count == said["top1_count"]
    assert main(words) == 1
    assert "is a record already" in capsys.readouterr().err
    both = [str(shutil.copytree(file.parent, tmp_path / name) / file.name) for name in "ab"]
    out = tmp_path / "out"
    assert main(["evaluate", *both, "--rescore", "real", "--record", str(out)]) == 2
    assert "two models are named rexnet_100" in capsys.readouterr().err
    assert not out.exists()
    again = ["evaluate", str(tmp_path / file.name), "--rescore", "real"]
    assert main(again) == 2
    assert "run on ImageNet-ReaL, 46,837 images" in capsys.readouterr().err
    assert main(words[:4]) == 0
    assert "on ImageNet-ReaL, 46,837 images" in capsys.readouterr().out


def test_labels_that_are_not_official_are_refused(kept, tmp_path):
    """Of the whole set and its ReaL labels every label is known: a forged one is found without images."""
    record, predictions, _ = kept
    for its, counted in ((record, predictions), rescore(record, predictions, "real")):
        labels = counted.labels.copy()
        labels[7] = (labels[7] + 500) % 1000
        forged = Predictions(head=counted.head, labels=labels, top5=counted.top5)
        keep_run(tmp_path, its, render_predictions(forged))
        with pytest.raises(RecordError, match=r"officially, of 1 images, the first in place 7"):
            recount(tmp_path / "rexnet_100.record.json")


def test_only_the_whole_set_is_counted_again(kept, staged, own_index, tmp_path, capsys):
    """A part of the set has not the order that is known; and ReaL has no images of its own."""
    record, predictions, _ = kept
    part = made_up_run(record.preprocessing, complete=False, top1_count=1, top5_count=1, images=2)
    with pytest.raises(UsageError, match="needs all 50,000 images"):
        rescore(part, predictions, "real")
    its, counted = rescore(record, predictions, "real")
    keep_run(tmp_path, its, render_predictions(counted))
    with pytest.raises(
        UsageError, match="ImageNet-ReaL is counted from a run on ImageNet: audit the record of"
    ):
        audit_record(tmp_path / "rexnet_100.record.json", tmp_path, repo=staged, size=1, seed=0)
    words = ["evaluate", "rexnet_100", "--data", ".", "--dataset", "imagenet-real"]
    assert main(words) == 2
    assert "keep a run on those (--record), then rexnet-hub evaluate FILE.record.json --rescore real" in (
        capsys.readouterr().err
    )
