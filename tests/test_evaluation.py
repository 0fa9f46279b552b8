"""Models are evaluated by name, and what is counted is compared with their claims."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from entries import INPUT
from officials import official_name
from PIL import Image
from runs import made_up_run

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import DatasetError, FileProblem, RecordError, UsageError
from rexnet_hub.evaluation import audit_record, compare_with_claims, ready_model
from rexnet_hub.imagenet.data.classes import Benchmark, read_classes
from rexnet_hub.imagenet.data.dataset import Dataset, LabelledImage, sample_dataset
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.data.validation import read_table
from rexnet_hub.imagenet.evidence.predictions import read_predictions, render_predictions
from rexnet_hub.imagenet.evidence.record import recount, render_record
from rexnet_hub.imagenet.evidence.verdict import Word, fewest_found, judge_sample
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.index import load_index
from rexnet_hub.index.scores import list_scores
from rexnet_hub.index.spellings import is_same_place
from rexnet_hub.verify import FALSE, HOLDS, NOT_MEASURED
from rexnet_hub.weights.digest import digest_file

CLASSES = 12
IMAGES = 2 * CLASSES


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A part of a validation set, drawn: two noisy pictures for each of a dozen classes."""
    root, random = tmp_path_factory.mktemp("val"), np.random.default_rng(5)
    for row in read_classes()[:CLASSES]:
        (root / row.synset).mkdir()
        for number in range(2):
            pixels = random.integers(0, 256, (40, 52, 3), dtype=np.uint8)
            file = root / row.synset / official_name(row.index, number, suffix=".png")
            Image.fromarray(pixels).resize((280, 250)).save(file)
    return root


@pytest.fixture(scope="module")
def kept(pictures, staged, tmp_path_factory):
    """One run over the pictures, with its record and predictions."""
    out = tmp_path_factory.mktemp("runs")
    images = read_dataset(pictures, allow_subset=True)
    (record,) = evaluate_models([ready_model("rexnet_100", str(staged))], images, out_dir=out)
    return record, out


def test_counts_are_those_of_a_plain_loop(kept, pictures, staged):
    """Top-1 and top-5 counts are those of our model run picture by picture."""
    model, processor = AutoModel.from_pretrained(staged), AutoImageProcessor.from_pretrained(staged)
    top1 = top5 = 0
    with torch.inference_mode():
        for label, row in enumerate(read_classes()[:CLASSES]):
            for file in sorted((pictures / row.synset).iterdir()):
                guesses = model(processor(file))[0].topk(5).indices.tolist()
                top1, top5 = top1 + (guesses[0] == label), top5 + (label in guesses)
    record, _ = kept
    assert (record.top1_count, record.top5_count, record.images) == (top1, top5, IMAGES)
    assert record.weights_sha256 == digest_file(staged / "model.safetensors").sha256
    assert not record.may_enter_index


def test_a_part_of_the_set_must_be_asked_for(pictures):
    """A data set that is not whole is refused unless a part will do."""
    with pytest.raises(DatasetError):
        read_dataset(pictures)


def test_a_kept_run_is_recounted(kept, tmp_path):
    """A record is recounted from its predictions; one that lies, or lies alone, is refused."""
    record, out = kept
    file = out / "rexnet_100.record.json"
    assert recount(file) == record
    lying = json.loads(file.read_text())
    lying["top1_count"] = lying["top5_count"] = IMAGES
    (tmp_path / file.name).write_text(json.dumps(lying))
    with pytest.raises(FileProblem, match=r"rexnet_100\.predictions: cannot be read: No such file"):
        recount(tmp_path / file.name)
    (tmp_path / "rexnet_100.predictions").write_bytes((out / "rexnet_100.predictions").read_bytes())
    with pytest.raises(RecordError, match="top-1 count"):
        recount(tmp_path / file.name)
    with pytest.raises(UsageError, match=r"ends in \.record\.json"):
        recount(tmp_path / "rexnet_100.predictions")


def test_a_model_under_test_says_what_it_is(staged):
    """The model under test has the repo's pixels, digest and fingerprint."""
    model = ready_model("rexnet_100", str(staged))
    assert (model.name, model.preprocessing.input_px) == ("rexnet_100", 224)
    assert model.fingerprint
    assert not model.network.training


def test_the_commands_say_the_same(kept, pictures, staged, own_index, capsys):
    """`evaluate` prints the counts and what they are of; `verify --record` leaves the claim undecided."""
    record, out = kept
    assert main(["evaluate", str(staged), "--data", str(pictures), "--subset", "--json"]) == 0
    said = capsys.readouterr()
    (row,) = json.loads(said.out)
    assert (row["top1_count"], row["top5_count"]) == (record.top1_count, record.top5_count)
    steps = [json.loads(line) for line in said.err.splitlines()]
    assert steps[-1]["images_done"] == IMAGES
    assert steps[-1]["accuracies"][0]["model"] == "rexnet_100"

    file = str(out / "rexnet_100.record.json")
    assert main(["verify", "rexnet_100", "--record", file, "--json"]) == 0
    findings = {f["claim"]: f for f in json.loads(capsys.readouterr().out)}
    assert findings["top1"]["verdict"] == "not measured"
    assert "--repo" in findings["top1"]["note"]
    main(["verify", "rexnet_100", "--record", file, "--repo", str(staged), "--json"])
    findings = {f["claim"]: f for f in json.loads(capsys.readouterr().out)}
    assert "not a run that can decide" in findings["top1"]["note"]
    assert main(["verify", "rexnet_200", "--record", file]) == 2

    predictions = str(out / "rexnet_100.predictions")
    capsys.readouterr()
    assert main(["evaluate", "--compare", predictions, predictions, "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert (compared["only_first_right"], compared["only_second_right"], compared["p_value"]) == (0, 0, 1.0)
    assert not compared["complete"]
    assert main(["evaluate", "--compare", predictions, predictions]) == 0
    assert f"on {IMAGES} images, not the whole set; McNemar" in capsys.readouterr().out


def test_a_truncated_picture_is_named_or_counted_wrong(pictures, staged, tmp_path, capsys):
    """It stops the command before any number; with --skip-unreadable the numbers say how many are lost."""
    data = tmp_path / "val"
    for folder in sorted(pictures.iterdir())[:2]:
        shutil.copytree(folder, data / folder.name)
    broken = next(data.rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:2000])

    words = ["evaluate", str(staged), "--data", str(data), "--subset"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert (said.out, f"{broken.stem}.JPEG: cannot be decoded" in said.err) == ("", True)
    assert main([*words, "--skip-unreadable"]) == 0
    lost = "4 images of 2 classes; labels official, images not compared, 1 unreadable counted wrong, fp32"
    assert lost in capsys.readouterr().out


@pytest.mark.slow
def test_what_an_earlier_run_left_beside_the_record_is_said(pictures, staged, tmp_path, capsys):
    """A run that stopped stays, for it may be gone on with; the next one says so, and how large it is."""
    val, out = tmp_path / "val", tmp_path / "out"
    words = ["evaluate", str(staged), "--data", str(val), "--subset", "--record", str(out)]
    shutil.copytree(pictures, val)
    broken = sorted(val.glob("*/*"))[-1]
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    assert main([*words, "--channels-last"]) == 1
    broken.write_bytes(whole)
    (left,) = out.iterdir()
    size_bytes = sum(file.stat().st_size for file in left.iterdir())
    capsys.readouterr()
    assert main(words) == 0
    assert f"{left}: {size_bytes:,} bytes of a run with other" in capsys.readouterr().err
    (out / "rexnet_100.record.json").unlink()
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert said == {"unfinished": str(left), "size_bytes": size_bytes}
    assert left.is_dir()


@pytest.mark.parametrize("words", [[], ["rexnet_100"], ["--data", "."]])
def test_evaluate_needs_models_and_data(words, capsys):
    """Without a model or without data `evaluate` is misused."""
    assert main(["evaluate", *words]) == 2
    assert "--data DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rexnet_100", "--data", ".", "--seed", "3"], "no use for seed"),
        (
            ["rexnet_100", "--data", ".", "--explain", "--compile", "--dtype", "bf16"],
            "for dtype, compile",
        ),
        (["rexnet_100", "--compare", "a", "b"], "no use for names"),
        (["--compare", "a", "b", "--record", "c", "--explain"], "no use for record, explain"),
        (["--compare", "a", "b", "--sample", "0", "--explain", "0"], "no use for sample, explain"),
    ],
)
def test_an_option_that_would_not_be_heeded_is_misuse(words, said, capsys):
    """What says nothing in a kind of run is refused by its name, all of it at once."""
    assert main(["evaluate", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_official_labels_are_named_on_the_command_line(pictures, own_index, tmp_path, capsys):
    """A flat folder with the official ground truth and the devkit's ids is counted as class folders are."""
    (tmp_path / "flat").mkdir()
    for file in pictures.rglob("*.*"):
        shutil.copy(file, tmp_path / "flat")
    shuffled = sorted(read_classes(), key=lambda row: row.synset[::-1])
    ids = {row.index: number for number, row in enumerate(shuffled, start=1)}
    (tmp_path / "truth.txt").write_text("".join(f"{ids[label]}\n" for label, _ in read_table()))
    (tmp_path / "ids.txt").write_text("".join(f"{ids[row.index]} {row.synset}\n" for row in shuffled))

    words = ["evaluate", "rexnet_100", "--subset", "--json", "--data"]
    flat = [*words, str(tmp_path / "flat"), "--labels", str(tmp_path / "truth.txt")]
    assert main(flat) == 1
    assert "--class-ids FILE" in capsys.readouterr().err
    assert main([*flat, "--class-ids", str(tmp_path / "ids.txt")]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [claim["verdict"] for claim in found["claims"]] == ["not measured", "not measured"]
    assert all("not a run that can decide" in claim["note"] for claim in found["claims"])
    counts = ("images", "top1_count", "top5_count")
    for data in (pictures, tmp_path / "flat"):
        assert main([*words, str(data)]) == 0
        (expected,) = json.loads(capsys.readouterr().out)
        assert [found[name] for name in counts] == [expected[name] for name in counts]


@pytest.mark.slow
def test_explain_asks_for_the_claim_by_default(pictures, own_index, capsys):
    """Without a percentage `--explain` seeks the index's own top-1; with one, that one."""
    words = ["evaluate", "rexnet_100", "--data", str(pictures), "--subset", "--sample", "2", "--json"]
    assert main([*words, "--explain"]) == 0
    assert json.loads(capsys.readouterr().out)["expected_percent"] == 77.86
    assert main([*words, "--explain=-1"]) == 2
    assert "-1.0 is no percentage" in capsys.readouterr().err


def forge(record, out, folder, right):
    """Alter the answers to so many images so that they are right, and what the record says of them."""
    folder.mkdir(parents=True)
    kept = read_predictions(out / "rexnet_100.predictions")
    top5 = kept.top5.copy()
    for at in np.flatnonzero(top5[:, 0] != kept.labels)[:right]:
        label = kept.labels[at]
        top5[at] = [label, *[each for each in top5[at] if each != label][:4]]
    forged = replace(kept, top5=top5)
    data = render_predictions(forged)
    (folder / "rexnet_100.predictions").write_bytes(data)
    told = replace(
        record,
        top1_count=forged.top1_count,
        top5_count=forged.top5_count,
        predictions_sha256=hashlib.sha256(data).hexdigest(),
    )
    (folder / "rexnet_100.record.json").write_text(render_record(told))
    return folder / "rexnet_100.record.json"


@pytest.mark.slow
def test_an_audit_finds_a_forged_record(kept, pictures, staged, own_index, tmp_path, capsys):
    """Random weights that "hold" 79 % are found by a few images run anew; of a true record all agree."""
    record, out = kept
    forged = forge(record, out, tmp_path / "forged", right=19 - record.top1_count)
    assert recount(forged).top1_count == 19
    words = ["verify", "rexnet_100", "--repo", str(staged), "--data", str(pictures), "--audit", "8", "--json"]
    for file, verdict in ((out / "rexnet_100.record.json", "holds"), (forged, "false")):
        main([*words, "--record", str(file), "--seed", "1"])
        (audit,) = (f for f in json.loads(capsys.readouterr().out) if f["claim"] == "audit")
        assert audit["verdict"] == verdict
        assert "seed 1; 95% of audits find" in audit["note"]
    assert main([*words, "--record", str(forged)]) == 1  # with a seed that nobody knew
    true = (out / "rexnet_100.predictions").read_bytes()
    forged.with_name("rexnet_100.predictions").write_bytes(true)
    other = replace(record.preprocessing, crop_fraction=1.0)
    forged.write_text(render_record(replace(record, preprocessing=other)))  # nor of its settings
    assert audit_record(forged, pictures, repo=staged, size=IMAGES, seed=0).verdict == "false"


def test_an_audit_is_of_the_record_s_own_images(kept, pictures, staged, own_index, tmp_path):
    """Other images, or more than there are, are refused."""
    _, out = kept
    file = out / "rexnet_100.record.json"
    fewer = shutil.copytree(pictures, tmp_path / "val")
    next(fewer.glob("*/*.png")).unlink()
    with pytest.raises(RecordError, match="23 with their classes are there, 24 in it"):
        audit_record(file, fewer, repo=staged, size=4, seed=0)
    with pytest.raises(UsageError, match="cannot be drawn"):
        audit_record(file, pictures, repo=staged, size=IMAGES + 1, seed=0)


#: Classes of equal size, and one that has nine of ten images.
EQUAL, LOPSIDED = range(400), [*range(40), *[0] * 360]


@pytest.mark.slow
@pytest.mark.parametrize("places", [EQUAL, LOPSIDED], ids=["equal", "lopsided"])
@pytest.mark.parametrize("size", [20, 100])
def test_an_audit_finds_as_much_as_it_says(size, places):
    """In 1,000 audits of a set with the least share that is named, spread or in few classes, 95 % meet it."""
    labels, of = [place % 40 for place in places], len(places)
    rows = [LabelledImage(name=f"{n:04d}", read=bytes, label=label) for n, label in enumerate(labels)]
    data = Dataset(root=Path(), layout="flat", images=tuple(rows))
    least = fewest_found(size, of)
    spread = {row.name for row in rows[:: of // least][:least]}
    dense = {row.name for row in sorted(rows, key=lambda row: row.label)[:least]}
    for altered in (spread, dense):
        drawn = (sample_dataset(data, size, seed=seed).images for seed in range(1000))
        found = sum(any(image.name in altered for image in images) for images in drawn)
        assert found >= 930, found


def test_a_true_claim_of_unequal_classes_is_seldom_called_false():
    """Where the large class is right and the small ones are not, 95 % of samples do not exclude the truth."""
    rows = [LabelledImage(name=f"{n:04d}", read=bytes, label=label) for n, label in enumerate(LOPSIDED)]
    data = Dataset(root=Path(), layout="flat", images=tuple(rows))
    share = 100 * LOPSIDED.count(0) / len(rows)
    words = Counter[Word]()
    for seed in range(400):
        drawn = sample_dataset(data, 100, seed=seed).images
        right = sum(image.label == 0 for image in drawn)
        words[judge_sample(right, 100, share, of=len(rows)).word] += 1
    assert words[Word.NOT_CONSISTENT] <= 20, words


CLAIMS = """\
Models:
- Name: net
  Metadata:
    ID: rexnet_100
INPUT
  Results:
  - {Task: Image Classification, Dataset: ImageNet, Metrics: {Top 1 Accuracy: 77.86}}
  - {Task: Image Classification, Dataset: ImageNet ReaL, Metrics: {Top 1 Accuracy: 83.5}}
  - {Task: Image Classification, Dataset: ImageNetV2, Metrics: {Top 1 Accuracy: 65.5}}
  - {Task: Image Classification, Dataset: ImageNet-A, Metrics: {Top 1 Accuracy: 20}}
""".replace("INPUT\n", INPUT)


@pytest.mark.parametrize("dataset", ["ImageNet", "ImageNet-ReaL", "imagenet-v2", "ImageNet-A"])
def test_a_run_is_held_to_the_claim_of_its_own_set_and_input(dataset, tmp_path):
    """A run on one set says nothing of another's claims; one with another input decides none."""
    (tmp_path / "index.yml").write_text(CLAIMS)
    entry = load_index(tmp_path).find("net")
    stated = {score.name: score for score in list_scores(entry) if score.dataset}
    benchmark = Benchmark(dataset=dataset, split="validation" if dataset == "ImageNet" else None)
    (own,) = [score for score in stated.values() if is_same_place(score.place, benchmark.place)]
    facts = {
        "images": 10_000,
        "top1_count": int(own.value * 100),
        "top5_count": 9_900,
        "benchmark": benchmark,
    }
    record = made_up_run(entry.preprocessing, **facts)
    assert [(f.claim, f.verdict) for f in compare_with_claims(entry, record)] == [(own.name, HOLDS)]
    false = replace(record, top1_count=100)
    assert [(f.claim, f.verdict) for f in compare_with_claims(entry, false)] == [(own.name, FALSE)]
    other = replace(entry.preprocessing, input_px=288, interpolation="nearest", crop_fraction=1.0)
    (finding,) = compare_with_claims(entry, replace(record, preprocessing=other))
    assert finding.verdict == NOT_MEASURED
    assert (
        "input_px 288, not 224, crop_fraction 1.0, not 0.875, interpolation nearest, not bicubic"
        in finding.note
    )
