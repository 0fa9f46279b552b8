"""A model of one's own classes is evaluated on one's own folders, in the order of its labels."""

import hashlib
import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from entries import INPUT
from PIL import Image

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import DatasetError
from rexnet_hub.evaluation import find_benchmark, ready_model
from rexnet_hub.imagenet.data.classes import NO_CLASS, Benchmark, imagenet_labels, read_classes
from rexnet_hub.imagenet.data.labels import find_classes
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.evidence.predictions import read_predictions
from rexnet_hub.imagenet.evidence.record import read_record, recount
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, Measured, MeasuredFile, write_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.weights.digest import digest_file

#: Neither in the order of the alphabet nor in that of the folders.
LABELS = ("tulip", "Bells, blue", "rose", "aster")
INDEX = """\
Models:
- Name: blooms
  Metadata:
    ID: rexnet_100
    Num Classes: 4
    Labels: kinds.txt
INPUT
  Weights: {url}
  SHA256: '{sha256}'
  Results:
  - {{Task: Image Classification, Dataset: ImageNet, Split: validation, Metrics: {{Top 1 Accuracy: 50}}}}
  - {{Task: Image Classification, Dataset: Garden Blooms, Split: test, Metrics: {{Top 1 Accuracy: {top1}%}}}}
  - {{Task: Image Classification, Dataset: Garden Blooms, Split: train, Metrics: {{Top 1 Accuracy: 99.5}}}}
""".replace("INPUT\n", INPUT)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """An index with one model of four classes, staged."""
    folder = tmp_path_factory.mktemp("blooms")
    (folder / "kinds.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (folder / "index.yml").write_text(INDEX.format(url="file:///x", sha256="0" * 64, top1=50))
    draw = torch.Generator().manual_seed(3)
    tensors = entry_plan(load_index(folder / "index.yml").find("blooms")).tensors
    state = {
        name: torch.rand(shape, generator=draw) if dtype == "float32" else torch.zeros(shape).long()
        for name, (dtype, shape) in tensors.items()
    }
    torch.save(state, folder / "blooms.pth")
    sha256 = hashlib.sha256((folder / "blooms.pth").read_bytes()).hexdigest()
    told = {"url": (folder / "blooms.pth").as_uri(), "sha256": sha256}
    (folder / "index.yml").write_text(INDEX.format(top1=50, **told))
    write_staged(load_index(folder / "index.yml").find("blooms"), folder / "blooms.pth", folder / "blooms")
    return folder, told


@pytest.fixture(scope="module")
def guesses(zoo, tmp_path_factory):
    """Drawn pictures, and what our model run by itself guesses of each."""
    folder, random = tmp_path_factory.mktemp("drawn"), np.random.default_rng(5)
    model = AutoModel.from_pretrained(zoo[0] / "blooms")
    processor = AutoImageProcessor.from_pretrained(zoo[0] / "blooms")
    found = {}
    for number in range(12):
        file = folder / f"{number:02d}.png"
        Image.fromarray(random.integers(0, 256, (40, 52, 3), dtype=np.uint8)).resize((80, 90)).save(file)
        with torch.inference_mode():
            found[file] = int(model(processor(file))[0].argmax())
    return found


@pytest.fixture
def garden(guesses, tmp_path):
    """Folders with most pictures under the guessed label and some of each class, and how many are right."""
    right = 0
    for number, (file, guess) in enumerate(guesses.items()):
        index = (guess if number % 3 else number // 3) % len(LABELS)
        right += index == guess
        (tmp_path / "garden" / LABELS[index]).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "garden" / LABELS[index])
    return tmp_path / "garden", right


def renamed(garden, names, to):
    """Copy the folders under other names."""
    for old, new in zip(LABELS, names, strict=True):
        shutil.copytree(garden / old, to / new)
    return to


def test_the_model_s_labels_decide_the_order(garden, zoo, tmp_path, monkeypatch, capsys):
    """Folders by label and by index give the counts of a plain loop, and one record but for the names."""
    folder, right = garden
    monkeypatch.setenv("REXNET_HUB_INDEX", str(zoo[0]))
    by_index = renamed(folder, ["000", "001", "002", "003"], tmp_path / "split" / "test")
    words = ["evaluate", "blooms", "--dataset", "garden blooms", "--split", "test", "--json"]
    found = []
    for data in (folder, by_index, by_index.parent):
        assert main([*words, "--data", str(data), "--record", str(tmp_path / data.name)]) == 0
        found += json.loads(capsys.readouterr().out)
    for record in found:
        assert (record["top1_count"], record["top5_count"], record["images"]) == (right, 12, 12)
        assert record["complete"]
        assert record["data"] == "garden blooms, test, 12 images of 4 classes"
        sha256 = hashlib.sha256((zoo[0] / "kinds.txt").read_bytes()).hexdigest()
        assert record["benchmark"] == {
            "dataset": "garden blooms", "split": "test", "num_classes": 4, "labels_sha256": sha256
        }  # fmt: skip
        assert [claim["claim"] for claim in record["claims"]] == ["top1@Garden Blooms/test"]
    kept = read_predictions(tmp_path / "garden" / "blooms.predictions")
    assert (kept.top5[:, 4] == NO_CLASS).all()
    assert recount(tmp_path / "garden" / "blooms.record.json").top1_count == right


@pytest.mark.slow
def test_a_record_is_judged_by_the_claim_of_its_own_data_set(garden, zoo, tmp_path, monkeypatch, capsys):
    """`verify --record` holds a run to the claim on that data set and split, and to no other."""
    folder, right = garden
    index = tmp_path / "zoo"
    index.mkdir()
    shutil.copy(zoo[0] / "kinds.txt", index)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(index))
    out, repo = tmp_path / "records", str(zoo[0] / "blooms")
    (index / "index.yml").write_text(INDEX.format(top1=round(100 * right / 12, 2), **zoo[1]))
    words = ["evaluate", repo, "--data", str(folder), "--dataset", "Garden-Blooms", "--split", "test"]
    assert main([*words, "--record", str(out)]) == 0
    assert "on Garden-Blooms, test, 12 images of 4 classes, fp32" in capsys.readouterr().out

    def verdicts():
        record = str(out / "blooms.record.json")
        main(["verify", "blooms", "--record", record, "--repo", repo, "--json"])
        findings = json.loads(capsys.readouterr().out)
        return {f["claim"]: f["verdict"] for f in findings if f["claim"].startswith(("top1", "record"))}

    held = {"record": "holds", "top1": "not measured", "top1@Garden Blooms/test": "holds"}
    held["top1@Garden Blooms/train"] = "not measured"
    assert verdicts() == held
    (index / "index.yml").write_text(INDEX.format(top1=round(100 * right / 12 + 3, 2), **zoo[1]))
    assert verdicts() == {**held, "top1@Garden Blooms/test": "false"}


def test_a_run_of_a_folder_is_of_the_entry_that_it_was_added_as(garden, zoo, tmp_path, monkeypatch, capsys):
    """By its weights, which the lock has: it was run under the folder's name. Of others it is refused."""
    folder, _ = garden
    index = tmp_path / "zoo"
    shutil.copytree(zoo[0], index, ignore=shutil.ignore_patterns("blooms"))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(index))
    repo = shutil.copytree(zoo[0] / "blooms", tmp_path / "mine")
    words = ["evaluate", str(repo), "--data", str(folder), "--dataset", "Garden Blooms", "--split", "test"]
    assert main([*words, "--record", str(tmp_path)]) == 0
    asked = ["verify", "blooms", "--record", str(tmp_path / "mine.record.json"), "--json"]
    assert main(asked) == 2
    assert "a record of mine says nothing of blooms" in capsys.readouterr().err
    digest = digest_file(repo / "model.safetensors")
    lock = Lock(models={"blooms": Measured(safetensors=MeasuredFile.of(digest))})
    write_lock(lock, index / "lock.json")
    main(asked)
    findings = json.loads(capsys.readouterr().out)
    assert [f["verdict"] for f in findings if f["claim"] == "record"] == ["holds"]


def test_a_part_is_asked_for_and_a_sample_says_of_what(garden, zoo, tmp_path):
    """A class without images is named unless a part will do; a sample knows whether it is of the whole."""
    folder, _ = garden
    model = ready_model("blooms", str(zoo[0] / "blooms"))
    given: dict[str, Any] = {"benchmark": find_benchmark(model, "blooms", None), "class_names": model.labels}
    shutil.rmtree(folder / LABELS[2])
    with pytest.raises(DatasetError, match=r"class 2 \(rose\) has no images"):
        read_dataset(folder, **given)
    data = read_dataset(folder, allow_subset=True, **given)
    assert data.description.startswith("a subset of blooms, ")
    (record,) = evaluate_models([model], data)
    assert not record.may_enter_index


WRONG = {
    (
        "tulip",
        "rose",
        "Aster",
    ): "'Aster' is no label of the model, nor an index from 0 to 3. Did you mean 'aster'",
    ("0", "1", "4"): "'4' is no label of the model, nor an index from 0 to 3",
    ("0", "00"): "'00' is a second folder of its class",
    ("n01440764", "n01443537"): "'n01440764' is no label",
    ("tulip", "rose", "3"): "'3' is named by index, others by label: name all in one way",
    ("0", "1", "aster"): "'aster' is named by label, others by index: name all in one way",
}


@pytest.mark.parametrize("folders", WRONG)
def test_folders_that_the_labels_do_not_know_are_refused(folders, tmp_path):
    """Nothing is guessed: what is no label, no index or a second folder of a class is named."""
    with pytest.raises(DatasetError) as caught:
        find_classes(tmp_path, folders, LABELS, 4)
    assert WRONG[folders] in str(caught.value)


def test_labels_that_are_numbers_are_told_from_indices(tmp_path):
    """Digits that are labels in another order are ambiguous, until the indices are padded."""
    digits = [str((number + 1) % 10) for number in range(10)]
    with pytest.raises(DatasetError, match="as label and as index: write indices as 000, 001"):
        find_classes(tmp_path, ["3", "7"], digits, 10)
    assert find_classes(tmp_path, ["03", "07"], digits, 10) == {"03": 3, "07": 7}
    assert find_classes(tmp_path, ["3", "7"], [str(number) for number in range(10)], 10) == {"3": 3, "7": 7}


def test_imagenet_s_classes_are_found_by_synset_label_and_index(tmp_path):
    """Folders of another set of ImageNet's classes are read in ImageNet's order; a name of two is refused."""
    rows = [read_classes()[index] for index in (3, 999, 0)]
    expected = [3, 999, 0]
    for names in ([r.synset for r in rows], [r.label for r in rows], [str(r.index) for r in rows]):
        assert [*find_classes(tmp_path, names, imagenet_labels(), 1000).values()] == expected
    with pytest.raises(DatasetError, match="two classes are named 'crane': name their folders by index"):
        find_classes(tmp_path, ["crane"], imagenet_labels(), 1000)


def test_a_model_of_other_classes_names_its_data_set(garden, zoo, capsys):
    """Without a data set's name ImageNet is meant; four classes are not its, nor another known set's."""
    words = ["evaluate", str(zoo[0] / "blooms"), "--data", str(garden[0])]
    assert main(words) == 2
    said = "blooms has 4 classes, and ImageNet has 1000: name the data set, --dataset NAME"
    assert said in capsys.readouterr().err
    for dataset, count in {"ILSVRC2012": 1000, "imagenet": 1000, "CIFAR-10": 10}.items():
        for split in ("val", "test"):
            assert main([*words, "--dataset", dataset, "--split", split]) == 2
            said = f"blooms has 4 classes, and {dataset} has {count}: name another data set"
            assert said in capsys.readouterr().err
    assert main([*words, "--split", "test"]) == 2
    assert "no use for split" in capsys.readouterr().err


def test_a_record_of_before_is_of_imagenet(tmp_path, garden, zoo):
    """A record without its data set was of ImageNet's validation set, and keeps its bytes."""
    model = ready_model("blooms", str(zoo[0] / "blooms"))
    given: dict[str, Any] = {"benchmark": find_benchmark(model, "blooms", None), "class_names": model.labels}
    evaluate_models([model], read_dataset(garden[0], **given), out_dir=tmp_path)
    file = tmp_path / "blooms.record.json"
    document = json.loads(file.read_text())
    del document["benchmark"]
    file.write_text(json.dumps(document))
    assert read_record(file).benchmark == Benchmark()
    assert read_record(file).benchmark.is_imagenets
