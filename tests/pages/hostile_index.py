"""Entries whose every text is hostile, and a lock that measured everything."""

from pathlib import Path

import pytest

from rexnet_hub.index import load_index
from rexnet_hub.index.lock import (
    Lock,
    Measured,
    MeasuredEvaluation,
    MeasuredFile,
    MeasuredHub,
    MeasuredMacs,
)


@pytest.fixture
def entry(index):
    """One entry of the zoo's own index."""
    return index.find("rexnet_150")


@pytest.fixture(scope="session")
def measured():
    """Everything measured, in plain figures that belong to no real file."""
    return Measured(
        released=MeasuredFile(sha256="bd1a6aa8" + 56 * "0", size_bytes=39227315),
        safetensors=MeasuredFile(sha256=64 * "a", size_bytes=39000000),
        parameters=9728593,
        macs={"conv_linear": MeasuredMacs(count=876000000, input_px=224, counter="a test")},
        hub=MeasuredHub(repo_id="someone/rexnet_150", commit=40 * "c"),
        evaluations=(
            MeasuredEvaluation(
                record_sha256=64 * "b", dataset="ImageNet", images=50000, top1_count=40157, top5_count=47581
            ),
        ),
    )


@pytest.fixture(scope="session")
def lock(measured):
    """A lock in which one model of four was measured."""
    return Lock(models={"rexnet_150": measured})


HOSTILE = (
    "<script>window.hit=1</script>",
    '"><img src=x onerror=window.hit=1>',
    "</title></style><svg onload=window.hit=1>",
    "[press](javascript:window.hit=1)",
    "![x](https://192.0.2.1/x.png)",
    "{{ 7 * 7 }} {% include 'x' %} {: onclick=window.hit=1 }",
    "a | b | c",
    "*stars* _lines_ `code` ~~gone~~ # x $$y$$",
    "- one",
    "1. one",
    "::: os",
    "=== 'tab'",
    "!!! note",
    "https://192.0.2.1/ www.192.0.2.1 a@b.example",
    "line\nnext\r\n\r\n# heading\u2028x\u202ey\x00",
    "]]> --> <!-- &lt;b&gt; &amp;",
    "'; DROP $(touch x) `touch x` \\",
)


def write_hostile_index(folder: Path, texts=HOSTILE):
    """Write an index in which every text that it allows is hostile; as JSON, which can hold any."""
    import json

    models = []
    for number, text in enumerate(texts):
        metrics = {"Top 1 Accuracy": 70 + number / 10}
        base = {
            "Name": f"m{number} {text}",
            "In Collection": "C",
            "License": text,
            "Weights": "https://example.org/a-01234567.pth",
            "Code": "javascript:window.hit=1",
            "Description": text.replace("\r\n\r\n", "\r\n"),  # which would part two paragraphs
            "Intended Use": text.replace("\r\n\r\n", "\r\n"),
            "Limitations": [text],
            "Base Model": [text],
            "Superseded By": text,
            "License Name": text,
            "License File": "https://example.org/" + text,
            "Language": [text],
            "Widget": {text: "javascript:window.hit=1"},
            "Paper": {"Title": text, "URL": "javascript:window.hit=1"},
            "Metadata": {
                "ID": "rexnet_100",
                "Parameters": 4796873,
                "FLOPs": 4 * 10**8,
                "File Size": 19417552,
                "Training Resources": text,
                "Training Data": [text],
                "Training Techniques": [text, text],
                "Interpolation": "bicubic",
                "Image Size": 224,
                "Crop Pct": 0.875,
                "Num Classes": 1000,
                "Image Mean": [0.5, 0.5, 0.5],
                "Image Std": [0.5, 0.5, 0.5],
            },
            "Results": [
                {
                    "Task": text,
                    "Dataset": "ImageNet",
                    "Split": text,
                    "Metrics": metrics,
                    "Sources": [{"URL": "https://example.org/t.csv", "Date": text, "Metrics": metrics}],
                }
            ],
            "Sources": {"License": "javascript:window.hit=1", "Parameters": f"https://example.org/{text}"},
        }
        models.append(base)
    collection = {"Name": "C", "Title": texts[0], "Paper": {"Title": texts[-1], "URL": "data:text/html,x"}}
    file = folder / "index.json"
    file.write_text(json.dumps({"Collections": [collection], "Models": models}), encoding="utf-8")
    return load_index(file)
