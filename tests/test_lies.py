"""A lie in any identity field of a file that we write is found by `verify`, `lock --check` and the load.

Each table names every field of a file that we write, and who finds a lie in it; for whom it is not, the words
after the colon say why. A field that is added without its row fails.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from entries import INPUT
from officials import official_name
from PIL import Image
from receipts import retell
from runs import state_run

from rexnet_hub.auto import create_model, read_weights
from rexnet_hub.errors import IndexReadError, RexnetHubError
from rexnet_hub.evaluation import ready_model
from rexnet_hub.golden import keep_golden
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.evidence.record import Record, read_record, recount, render_record
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.index import Measured, load_index
from rexnet_hub.index.lock import (
    Lock,
    MeasuredHub,
    Publication,
    read_lock,
    render_lock,
    write_lock,
)
from rexnet_hub.index.network import entry_plan
from rexnet_hub.locate import find_repo
from rexnet_hub.measure import compare_measured, measure_model, measure_released, measure_weights
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.repo.folder import find_entry_of, read_repo
from rexnet_hub.verify import FALSE, HOLDS, verify_model
from rexnet_hub.verify.checks import check_config
from rexnet_hub.verify.evidence import Evidence
from rexnet_hub.verify.files import check_records
from rexnet_hub.weights.receipt import Receipt

INDEX = """\
Models:
- Name: net
  Metadata:
    ID: test_efficientnet
    File Size: {size}
    Num Classes: 1000
INPUT
  Weights: {url}
  SHA256: '{sha256}'
  Witnesses:
  - {{Place: https://example.org/a, Of: released, Algorithm: sha256, Digest: '{sha256}'}}
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics: {{Top 1 Accuracy: 77.86%}}
""".replace("INPUT\n", INPUT)

ALL = "verify lock load"
SOURCE = "verify lock: a load reads the weights, of whose source the index has its own statements"
COUNTED = ALL  # what the record beside the lock does not say is no lock that anybody reads
PLACE = "lock: it says where to look; what is there is checked by its digests"
DERIVED = "lock: no file is read by it; it is counted anew each time"
COLUMN = "verify: whoever has the released file converts it anew; a load reads the converted bytes"
LOCK = {
    "released.sha256": ALL,
    "released.size_bytes": ALL,
    "released.fingerprint": "verify lock: a load checks the digest of the released file",
    "safetensors.sha256": ALL,
    "safetensors.size_bytes": ALL,
    "safetensors.fingerprint": ALL,
    "parameters": DERIVED,
    "tensors.count": DERIVED,
    "tensors.size_bytes": DERIVED,
    "expected_sizes.legacy_bytes": DERIVED,
    "expected_sizes.safetensors_bytes": DERIVED,
    "macs.conv_linear.count": "verify lock: no file is read by it",
    "macs.conv_linear.input_px": "verify lock: no file is read by it",
    "macs.conv_linear.counter": ": the name of what counted; the next release of it counts the same",
    "hub.repo_id": PLACE,
    "hub.commit": PLACE,
    "hub.tag": PLACE,
    "published.date": ": a day, which nothing is read by",
    "published.repo_id": PLACE,
    "published.commit": PLACE,
    "published.weights_sha256": PLACE,
    "published.tag": PLACE,
    "evaluations.record_sha256": COUNTED,
    "evaluations.dataset": COUNTED,
    "evaluations.split": COUNTED,
    "evaluations.images": COUNTED,
    "evaluations.top1_count": COUNTED,
    "evaluations.top5_count": COUNTED,
    "witnesses": "lock: verify, and a load, ask each witness themselves",
    "golden": COUNTED,
}
RECEIPT = {
    "source.name": ": anybody may rename a file; its digest says which it is",
    "source.size_bytes": SOURCE,
    "source.sha256": SOURCE,
    "source.format": COLUMN,
    "source.wrapper": COLUMN,
    "source.prefix": COLUMN,
    "source.left_out": COLUMN,
    "key_map": COLUMN,
    "checked_against_network": "verify: a load compares the tensors with its network itself",
    "stand_in": "verify: the mark is in the weights",
    "output.name": COLUMN,
    "output.size_bytes": ALL,
    "output.sha256": ALL,
    "output.fingerprint": ALL,
    "tensors.name": COLUMN,
    "tensors.dtype": ALL,
    "tensors.shape": ALL,
    "tensors.sha256": ALL,
    "tensors.source_name": COLUMN,
    "tensors.source_dtype": COLUMN,
    "tensors.source_shape": COLUMN,
    "tensors.source_stride": COLUMN,
    "tensors.record": COLUMN,
    "tensors.record_offset_bytes": COLUMN,
    "tensors.offset_bytes": COLUMN,
    "files.config.json": "verify load: the lock states no config",
    "files.README.md": "verify: a load reads no card",
    "versions.rexnet_hub": ": which release wrote it; every release writes the same",
    "versions.python": ": likewise",
    "parent.name": ": what a network was loaded from is gone when it is saved; its digest says which it was",
    "parent.commit": ": likewise",
    "parent.sha256": ": likewise; nobody can measure what was trained from what",
    "model": ": of a saved network alone, of which each has its own lie below",
}
PIXELS = ("input_px", "crop_fraction", "interpolation", "mean", "std", "crop_mode")
MACHINE = (
    "device_type", "device_name", "dtype", "channels_last", "compiled", "tile_images", "processes", "versions"
)  # fmt: skip
#: Each is found by `verify`, if only by the digest in the lock; neither a load nor `lock` reads records.
RECORD = (
    "model", "weights_sha256", "fingerprint", "tensors_sha256", "top1_count", "top5_count", "images", "data",
    "complete", "sample", "unreadable", "manifest_sha256", "predictions_sha256",
    *(f"preprocessing.{name}" for name in PIXELS), *(f"machine.{name}" for name in MACHINE),
    "seconds", "command",
    *(f"benchmark.{name}" for name in ("dataset", "split", "num_classes", "labels_sha256")), "tar_bytes",
)  # fmt: skip


#: What of a record is also found where no lock states it: by its predictions, or by the model that it is of.
JUDGED = {name for name in RECORD if name.startswith("preprocessing.")} | {
    *("model", "weights_sha256", "fingerprint", "tensors_sha256", "top1_count", "top5_count", "images"),
    *("unreadable", "manifest_sha256", "predictions_sha256", "machine.device_type", "machine.dtype"),
    *(f"benchmark.{name}" for name in ("dataset", "split", "num_classes", "labels_sha256")),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A model that is no stand-in, with every file of it, true in all."""
    folder = tmp_path_factory.mktemp("zoo")
    draw = torch.Generator().manual_seed(0)
    (folder / "index.yml").write_text(INDEX.format(size=1, url="file:///x", sha256="0" * 64))
    state = {
        name: torch.rand(shape, generator=draw) if dtype == "float32" else torch.zeros(shape).long()
        for name, (dtype, shape) in entry_plan(load_index(folder / "index.yml").find("net")).tensors.items()
    }
    torch.save(state, folder / "x.pth", _use_new_zipfile_serialization=False)
    data = (folder / "x.pth").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    checkpoint = (folder / "x.pth").rename(folder / f"x-{sha256[:8]}.pth")
    (folder / "index.yml").write_text(INDEX.format(size=len(data), url=checkpoint.as_uri(), sha256=sha256))
    entry = load_index(folder / "index.yml").find("net")
    repo = write_staged(entry, checkpoint, folder / "net")
    images = read_dataset(pictures(folder), allow_subset=True)
    evaluate_models([ready_model("net", str(repo.folder))], images, out_dir=folder)
    measured = measure_model(entry, checkpoint=checkpoint, repo=repo.folder)
    assert measured.safetensors is not None
    hub = {"repo_id": "a/b", "commit": "c" * 40, "tag": "v1"}
    sha256 = measured.safetensors.sha256
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_HUB_INDEX", str(folder))
        golden = keep_golden(measured, repo.folder).golden
    locked = replace(
        measured,
        golden=golden,
        released=replace(measured.released, fingerprint=measured.safetensors.fingerprint),
        hub=MeasuredHub(**hub),
        published=(Publication(date="2026-01-01", weights_sha256=sha256, **hub),),
        evaluations=(state_run(folder, folder / "net.record.json"),),
    )
    return {
        "entry": entry,
        "checkpoint": checkpoint,
        "repo": repo.folder,
        "measured": locked,
        "record": folder / "net.record.json",
        "fresh": measured,
    }


def pictures(folder):
    """Draw two pictures in the folders of two classes."""
    random = np.random.default_rng(1)
    for row in read_classes()[:2]:
        (folder / "val" / row.synset).mkdir(parents=True)
        pixels = random.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "val" / row.synset / official_name(row.index, suffix=".png"))
    return folder / "val"


@pytest.fixture
def truth(zoo, tmp_path, monkeypatch):
    """The same with files that a test may change, found by commands under its name."""
    folder = shutil.copytree(zoo["repo"], tmp_path / "net")
    for file in zoo["record"].parent.glob("net.*"):
        shutil.copy(file, tmp_path)
    shutil.copytree(zoo["record"].parent / "evidence", tmp_path / "evidence")
    shutil.copy(zoo["entry"].location.file, tmp_path / "index.yml")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    return {**zoo, "repo": folder, "record": tmp_path / zoo["record"].name}


def verify(told):
    """Say whether `verify --weights --repo --record` exits with 1."""
    records = [recount(told["record"])]
    if any(record.model != told["entry"].name for record in records):
        raise RexnetHubError("as the command refuses it")
    files = {"checkpoint": told["checkpoint"], "repo": told["repo"], "measured": told["measured"]}
    findings = verify_model(told["entry"], **files, records=records)
    return [
        finding for finding in findings if finding.verdict == FALSE and finding.claim not in ("card", "top1")
    ]


def lock(told):
    """Say whether `lock --check --weights --repo` exits with 1; what is counted was counted once."""
    entry = told["entry"]
    fresh = replace(
        told["fresh"],
        released=measure_released(entry, told["checkpoint"]),
        safetensors=measure_weights(entry, told["repo"]),
    )
    measured = relocked(told)
    return list(compare_measured(entry, measured, fresh))


def relocked(told, **facts):
    """Write a lock as it is told, and read it as every command does."""
    file = told["repo"].parent / "lock.json"
    write_lock(Lock(models={"net": replace(told["measured"], **facts)}), file)
    return read_lock(file).of("net")


def load(told):
    """Load the weights, by name and by folder, as `AutoModel` does."""
    relocked(told, hub=None)
    for source in ("net", told["repo"]):
        read_weights(find_repo(source))
    return []


FINDERS = {"verify": verify, "lock": lock, "load": load}


def require_red(row, told):
    """Require each finder of a row to refuse what is told, or to find it false."""
    finders, _, reason = row.partition(":")
    assert set(finders.split()) <= FINDERS.keys()
    assert len(finders.split()) == 3 or reason.strip()
    for name in finders.split():
        try:
            wrong = FINDERS[name](told)
        except RexnetHubError:
            continue
        assert wrong, name


def leaves(kind, name=""):
    """List the fields of a record of ours by dotted name, through records, lists and mappings of them."""
    inner = [kind, *get_args(kind), *(part for arg in get_args(kind) for part in get_args(arg))]
    records = [part for part in inner if is_dataclass(part)]
    if not records:
        return [name]
    mapping = (
        ".conv_linear" if Mapping in [getattr(kind, "__origin__", None)] or "Mapping" in str(kind) else ""
    )
    dotted = f"{name}{mapping}." if name else ""
    hints = get_type_hints(records[0])
    return [leaf for field in fields(records[0]) for leaf in leaves(hints[field.name], dotted + field.name)]


def lie_about(value):
    """Make another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if value is None:
        return "v2"
    if isinstance(value, list):
        return [lie_about(value[0]), *value[1:]] if value else ["more"]
    if isinstance(value, dict):
        return value | {"more": "more"}
    return ("0" if value[:1] != "0" else "1") + value[1:]


def keys_of(value, name=""):
    """List the dotted keys of a JSON document."""
    if not isinstance(value, dict):
        return [name]
    dotted = f"{name}." if name else ""
    return [leaf for key, inner in value.items() for leaf in keys_of(inner, dotted + key)]


def planted(document, name):
    """Change one field of a JSON document; in a list of objects that of the last."""
    *path, last = name.split(".", 1 if name.startswith("files.") else -1)
    place = document
    for key in path:
        place = place[key]
        place = place[-1] if isinstance(place, list) else place
    place[last] = lie_about(place[last])
    return document


def test_the_truth_is_green(truth):
    """Without a lie none of them says a word."""
    for find in FINDERS.values():
        assert find(truth) == []
    given = {name: truth[name] for name in ("entry", "measured")}
    evidence = Evidence(checkpoint=None, repo=None, records=(recount(truth["record"]),), **given)
    assert {f.claim: f.verdict for f in check_records(evidence)} == {"record": HOLDS, "evaluation": HOLDS}


def test_every_field_has_its_row():
    """A field that is added to lock, receipt or record without its lie, or its reason, fails here."""
    assert leaves(Measured) == list(LOCK)
    assert [name for name in leaves(Receipt) if name not in ("versions", "files")] == [
        name for name in RECEIPT if not name.startswith(("versions.", "files."))
    ]
    assert [name for name in leaves(Record) if not name.startswith("sample.")] == [
        name for name in RECORD if name != "sample"
    ]


@pytest.mark.parametrize("name", [name for name, row in LOCK.items() if row.partition(":")[0]])
def test_a_lie_in_the_lock_is_found(name, truth):
    """Every field of lock.json."""
    document = json.loads(render_lock(Lock(models={"net": truth["measured"]})))
    file = truth["repo"].parent / "lock.json"
    planted(document["models"]["net"], name)
    file.write_text(json.dumps(document))
    if name.startswith(("evaluations.", "golden")):  # no command reads such a lock
        with pytest.raises(
            IndexReadError, match=r"\[0\]: (counts more|is not what|is stated without)|golden: is"
        ):
            read_lock(file)
        return
    require_red(LOCK[name], {**truth, "measured": read_lock(file).of("net")})


@pytest.mark.parametrize("name", [name for name, row in RECEIPT.items() if row.partition(":")[0]])
def test_a_lie_in_the_receipt_is_found(name, truth):
    """Every field of receipt.json."""
    retell(truth["repo"] / "receipt.json", lambda receipt: planted(receipt, name))
    require_red(RECEIPT[name], truth)


def test_a_lie_in_the_entry_of_a_saved_network_is_found(tmp_path):
    """Each value that the receipt states of the model is held to weights, config and card."""
    card = {"License": "mit", "Description": "Small.", "Epochs": 3, "Training Data": ["Drawn"]}
    model: Any = create_model("test_resnet", num_classes=2)
    folder = model.save_pretrained(tmp_path / "saved", card=card)
    told = (folder / "receipt.json").read_bytes()

    for name in keys_of(json.loads(told)["model"]):
        if name == "Metadata.Tasks":  # any network that is known here is a classifier
            continue
        (folder / "receipt.json").write_bytes(told)
        retell(folder / "receipt.json", lambda receipt, name=name: planted(receipt, f"model.{name}"))
        entry = find_entry_of(folder)
        assert any(f.verdict == FALSE for f in verify_model(entry, repo=folder)), name


def test_a_receipt_of_before_says_nothing_of_what_was_left_out(truth):
    """`source.left_out` is absent in receipts that were written before it was a key; the rest is compared."""
    retell(truth["repo"] / "receipt.json", lambda receipt: receipt["source"].pop("left_out") and receipt)

    assert verify(truth) == []


@pytest.mark.parametrize("name", RECORD)
def test_a_lie_in_the_record_is_found(name, truth):
    """Every field of a run's record: a lock that it bears out is not read; named, it is judged anew."""
    (run,), told = truth["measured"].evaluations, truth["record"]
    beside = truth["repo"].parent / "evidence" / run.file_names[0]
    for file in (beside, told):
        file.write_text(json.dumps(planted(json.loads(file.read_text()), name)))
    with pytest.raises(IndexReadError, match=r"is not what \S+ states"):
        relocked(truth)
    if name in JUDGED:
        require_red(
            "verify: no other reads it", {**truth, "measured": replace(truth["measured"], evaluations=())}
        )


@pytest.mark.parametrize("number", range(4))
def test_a_lie_in_the_index_is_found(number, truth):
    """Every statement that an entry makes of its file: name, `SHA256`, `File Size`, a witness."""
    entry = truth["entry"]
    assert len(entry.released.statements) == 4
    statement = entry.released.statements[number]
    value = str(statement.size_bytes or statement.sha256)
    file = truth["repo"].parent / "index.yml"
    text = file.read_text()
    url, where = str(entry.weights.value), ("Weights: ", "SHA256: '", "File Size: ", "Digest: '")[number]
    line = next(line for line in text.splitlines() if where in line)
    other = line.replace(value, ("0" if value[0] != "0" else "1") + value[1:])
    if number == 0:  # the address leads to the file that is there, under the other name
        shutil.copy(truth["checkpoint"], Path(other.partition("file://")[2]))
    file.write_text(text.replace(line, other))
    assert url in text
    lied = load_index(file).find("net")
    require_red(ALL, {**truth, "entry": lied})


def test_a_lie_in_the_config_is_found(truth):
    """Every key of config.json, honoured or not: by `verify`, and by a load, which takes what was staged."""
    file = truth["repo"] / "config.json"
    text = file.read_text()

    for name in keys_of(json.loads(text)):
        repo = read_repo(truth["repo"])
        file.write_text(json.dumps(planted(json.loads(text), name), indent=2, ensure_ascii=False) + "\n")
        with pytest.raises(RexnetHubError):
            read_repo(truth["repo"])
        evidence = Evidence(entry=truth["entry"], checkpoint=None, repo=repo, measured=Measured(), records=())
        assert any(finding.verdict == FALSE for finding in check_config(evidence)), name
        file.write_text(text)


def test_a_record_is_read_as_it_was_written(truth):
    """What the lock has the digest of is the file's own text."""
    assert render_record(read_record(truth["record"])) == truth["record"].read_text()
