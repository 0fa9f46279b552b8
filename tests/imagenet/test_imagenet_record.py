"""A record and its predictions are counted again without images, and every lie in them is found."""

import hashlib
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import jsonschema
import numpy as np
import pytest
from runs import made_up_run

from rexnet_hub.errors import FileProblem, RecordError
from rexnet_hub.imagenet.data.dataset import Sample
from rexnet_hub.imagenet.data.validation import read_table
from rexnet_hub.imagenet.evidence.predictions import (
    UNREADABLE,
    Predictions,
    PredictionsHead,
    compare_predictions,
    mcnemar_p_value,
    read_predictions,
    render_predictions,
)
from rexnet_hub.imagenet.evidence.record import (
    SCHEMA_FILE,
    read_record,
    recount,
    render_record,
)
from rexnet_hub.index import Preprocessing

MANIFEST, TENSORS, WEIGHTS = "a" * 64, "b" * 64, "c" * 64


def made_up(seed, images=300, labels=None, unreadable=0):
    """Make predictions up; about half of them right."""
    noise = np.random.default_rng(seed)
    labels = noise.integers(0, 1000, images).astype(np.uint16) if labels is None else labels
    top5 = np.stack([noise.choice(1000, 5, replace=False) for _ in labels]).astype(np.uint16)
    for row in noise.choice(images, images // 2, replace=False):
        if labels[row] not in top5[row]:
            top5[row, noise.integers(0, 5)] = labels[row]
    top5[:unreadable] = UNREADABLE
    head = PredictionsHead(model="net", tensors_sha256=TENSORS, manifest_sha256=MANIFEST, images=images)
    return Predictions(head=head, labels=labels, top5=top5)


def record_of(predictions, **changes):
    """Record predictions truthfully, but for the changes."""
    unreadable = int((predictions.top5[:, 0] == UNREADABLE).sum())
    preprocessing = Preprocessing(
        input_px=224, crop_fraction=0.875, interpolation="bicubic", mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0)
    )
    truth = {
        "model": predictions.head.model,
        "weights_sha256": WEIGHTS,
        "tensors_sha256": TENSORS,
        "top1_count": predictions.top1_count,
        "top5_count": predictions.top5_count,
        "images": predictions.head.images,
        "data": "a subset",
        "complete": False,
        "sample": Sample(size=300, seed=1, drawn_from=50_000),
        "unreadable": tuple(str(n) for n in range(unreadable)),
        "manifest_sha256": MANIFEST,
        "predictions_sha256": hashlib.sha256(render_predictions(predictions)).hexdigest(),
    }
    return made_up_run(preprocessing, **truth | changes)


@pytest.fixture
def files(tmp_path):
    """Write a true record and its predictions."""
    predictions = made_up(0, unreadable=2)
    (tmp_path / "net.predictions").write_bytes(render_predictions(predictions))
    (tmp_path / "net.record.json").write_text(render_record(record_of(predictions)))
    return tmp_path / "net.record.json", tmp_path / "net.predictions"


def test_predictions_and_records_are_read_as_written(tmp_path, fresh_seed):
    """What is written is read again, value by value, and counted by hand the same."""
    predictions = made_up(fresh_seed, images=random.Random(fresh_seed).randint(1, 500))
    file = tmp_path / "net.predictions"
    file.write_bytes(render_predictions(predictions))
    read = read_predictions(file)
    pairs = [(int(label), [int(c) for c in row]) for label, row in zip(read.labels, read.top5, strict=True)]

    assert read.head == predictions.head
    assert (read.labels == predictions.labels).all()
    assert (read.top5 == predictions.top5).all()
    assert read.top1_count == sum(label == row[0] for label, row in pairs)
    assert read.top5_count == sum(label in row for label, row in pairs)
    for record in (record_of(predictions), record_of(predictions, sample=None, fingerprint="f" * 64)):
        (tmp_path / "net.record.json").write_text(render_record(record))
        assert read_record(tmp_path / "net.record.json") == record


def test_fifty_thousand_predictions_are_small(tmp_path):
    """Predictions of the whole set with their labels are 600 kB and a head."""
    labels = np.array([own for own, _ in read_table()], np.uint16)
    file = tmp_path / "net.predictions"
    file.write_bytes(render_predictions(made_up(0, images=50_000, labels=labels)))

    assert 600_000 < file.stat().st_size < 600_500


def test_a_record_is_what_its_schema_says(files):
    """Records meet the published schema; one without a field and one with another does not."""
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    record = json.loads(files[0].read_text())
    jsonschema.validate(record, schema)
    for wrong in (
        {k: v for k, v in record.items() if k != "top1_count"},
        record | {"extra": 1},
        record | {"images": "300"},
        record | {"machine": record["machine"] | {"dtype": "int8"}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_a_true_record_holds(files):
    """A record that its predictions bear out is given back."""
    found = recount(files[0])

    assert found == read_record(files[0])


def test_checking_needs_neither_torch_nor_pillow(files):
    """The check of a record imports nothing that could evaluate."""
    code = (
        "import sys; from pathlib import Path; from rexnet_hub.imagenet.evidence.record import recount;"
        "recount(Path(sys.argv[1]));"
        "assert not {'torch', 'PIL'} & sys.modules.keys(), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, files)], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


# One lie for each thing that a record says and its predictions can contradict.
LIES: dict[str, Any] = {
    "the top-1 count is": {"top1_count": 1},
    "the top-5 count is": {"top5_count": 300},
    "the number of images is": {"images": 301},
    "the number of unreadable images is": {"unreadable": ()},
    "the model is": {"model": "another"},
    "the digest of the predictions' tensors is": {"tensors_sha256": "d" * 64},
    "the digest of the predictions' images is": {"manifest_sha256": "d" * 64},
    "the digest of the predictions is": {"predictions_sha256": "d" * 64},
    "being complete is": {"complete": True},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_and_named(lie, files):
    """A record with one false value is refused for exactly that."""
    files[0].write_text(render_record(replace(read_record(files[0]), **LIES[lie])))

    with pytest.raises(RecordError) as caught:
        recount(files[0])

    message = str(caught.value)
    assert message.startswith(f"{files[0]}: {lie}"), message
    assert message.count("the record says") == 1, message


@pytest.mark.parametrize("cut", [1, 31, 33, 1000, 3300, 10_000_000])
def test_predictions_that_are_cut_short_are_refused(files, cut):
    """A predictions file without its end is refused."""
    data = files[1].read_bytes()
    files[1].write_bytes(data[: max(0, len(data) - cut)])

    with pytest.raises(
        RecordError, match=r"net\.predictions: is (damaged or cut short|not a predictions file)"
    ):
        recount(files[0])


def test_predictions_without_an_end_are_refused(files):
    """However long a predictions file is, no more is read of it than any can have."""
    with files[1].open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(RecordError, match="is damaged or cut short"):
        recount(files[0])


def test_any_flipped_bit_of_the_predictions_is_found(files, fresh_seed):
    """No bit of a predictions file can change unseen."""
    data, random_ = files[1].read_bytes(), random.Random(fresh_seed)
    for _ in range(200):
        noisy = bytearray(data)
        noisy[random_.randrange(len(noisy))] ^= 1 << random_.randrange(8)
        files[1].write_bytes(bytes(noisy))
        with pytest.raises(RecordError):
            read_predictions(files[1])


def forge(predictions, **changes):
    """Write false predictions with a true digest."""
    return render_predictions(replace(predictions, **changes))


def test_predictions_that_no_network_gives_are_refused(tmp_path):
    """Classes that do not exist, or twice for one image, or of other images than stated, are refused."""
    true = made_up(3)
    twice, beyond, labels = true.top5.copy(), true.top5.copy(), true.labels.copy()
    twice[7, 1] = twice[7, 0]
    beyond[7, 1] = 1000
    labels[0] = 1000
    cases = {
        "names a class twice": forge(true, top5=twice),
        "names classes that are not 0 to 999": forge(true, top5=beyond),
        "classes that are not 0 to 999": forge(true, labels=labels),
        "does not hold 299 images": forge(true, head=replace(true.head, images=299)),
        "its head is not": forge(true, head=replace(true.head, images=0)),
    }
    for message, data in cases.items():
        (tmp_path / "net.predictions").write_bytes(data)
        with pytest.raises(RecordError, match=message):
            read_predictions(tmp_path / "net.predictions")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: "[]", "is not a record"),
        (lambda raw: "{", "is not a record"),
        (lambda raw: json.dumps(raw | {"record_version": 2}), 'does not say "record_version": 1'),
        (lambda raw: json.dumps(raw | {"top1": 3}), "top1: is not a key"),
        (lambda raw: json.dumps(raw | {"machine": None}), "machine: expected an object"),
        (lambda raw: json.dumps(raw | {"images": "300"}), "images: expected a whole number"),
        (lambda raw: json.dumps(raw | {"top1_count": 299}), "the counts are not"),
        (lambda raw: json.dumps(raw | {"seconds": float("nan")}), "NaN is no number"),
        (lambda raw: json.dumps(raw | {"manifest_sha256": 1}), "manifest_sha256: expected 64 lower-case"),
        (lambda raw: json.dumps(raw | {"unreadable": [2]}), r"unreadable\[0\]: expected text"),
        (
            lambda raw: json.dumps({k: v for k, v in raw.items() if k not in ("images", "data")}),
            "images: is missing; data: is missing",
        ),
    ],
)
def test_what_is_no_record_is_refused(files, change, message):
    """A file that is not a record is refused, and all that is wrong is listed."""
    files[0].write_text(change(json.loads(files[0].read_text())))

    with pytest.raises(RecordError, match=rf"net\.record\.json: .*{message}"):
        read_record(files[0])


def test_a_missing_file_is_named(tmp_path):
    """A record or predictions file that is not there is named."""
    for read in (read_record, read_predictions):
        with pytest.raises(FileProblem, match="gone: cannot be read: No such file"):
            read(tmp_path / "gone")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_regular_file_is_named(files, make):
    """A pipe in a record's or its predictions' place is not waited for, a folder not called missing."""
    record, predictions = files
    predictions.unlink()
    make(predictions)
    for read, file in ((read_predictions, predictions), (recount, record)):
        with pytest.raises(FileProblem, match=r"net\.predictions: is not a regular file"):
            read(file)


def test_only_the_whole_set_in_fp32_may_enter_the_index():
    """A number on a subset, on other images, with lost ones or in another dtype stays out, and says so."""
    predictions = made_up(1)
    whole = record_of(predictions, complete=True, data="the whole")
    other = record_of(predictions, complete=True, tar_bytes=512)
    half = replace(whole, machine=replace(whole.machine, dtype="bf16"))
    lost = replace(whole, unreadable=("a", "b"))

    assert [r.may_enter_index for r in (whole, record_of(predictions), other, half, lost)] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert str(record_of(predictions)).endswith("on a subset, fp32")
    assert str(half).endswith("on the whole, bf16")
    assert str(lost).endswith("on the whole, 2 unreadable counted wrong, fp32")
    assert f"top-1 {100 * whole.top1_count / 300:.3f} %" in str(whole)


def test_a_comparison_counts_image_by_image(fresh_seed):
    """What two networks have right and wrong, and where they differ, is counted by hand the same."""
    first = made_up(fresh_seed)
    second = made_up(fresh_seed + 1, labels=first.labels)
    found = compare_predictions(first, second)
    right = [
        (int(a[0]) == int(label), int(b[0]) == int(label))
        for label, a, b in zip(first.labels, first.top5, second.top5, strict=True)
    ]

    assert found.both_right == right.count((True, True))
    assert found.only_first_right == right.count((True, False))
    assert found.only_second_right == right.count((False, True))
    assert found.both_wrong == right.count((False, False))
    assert found.changed == tuple(i for i, (a, b) in enumerate(right) if a != b)
    assert compare_predictions(first, first).p_value == 1.0
    assert not found.complete
    labels = np.array([own for own, _ in read_table()], np.uint16)
    whole = made_up(fresh_seed, images=50_000, labels=labels)
    assert compare_predictions(whole, whole).complete


def test_mcnemars_p_value_is_a_sum_of_coin_flips(fresh_seed):
    """The p-value is the exact binomial one, computed in fractions, also for very many images."""
    random_ = random.Random(fresh_seed)
    for flips in (0, 1, 2, *random_.sample(range(3, 400), 30), 3000):
        fewer = random_.randint(0, flips)
        small = min(fewer, flips - fewer)
        if flips == 3000:
            small = fewer = 1400
        exact = min(Fraction(1), 2 * Fraction(sum(math.comb(flips, k) for k in range(small + 1)), 2**flips))
        assert mcnemar_p_value(fewer, flips - fewer) == pytest.approx(float(exact), rel=1e-9)
        assert mcnemar_p_value(flips - fewer, fewer) == mcnemar_p_value(fewer, flips - fewer)


def test_predictions_of_other_images_are_not_compared():
    """Two networks that saw other images, or labels, are not compared."""
    first = made_up(1)
    other = replace(first, head=replace(first.head, manifest_sha256="d" * 64))

    for second in (other, made_up(2)):
        with pytest.raises(RecordError, match="are not of the same images"):
            compare_predictions(first, second)


def test_rendering_is_the_same_every_time():
    """The same predictions and record are the same bytes."""
    predictions = made_up(5)

    assert render_predictions(predictions) == render_predictions(made_up(5))
    assert render_record(record_of(predictions)) == render_record(record_of(made_up(5)))
