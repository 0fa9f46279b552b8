"""An accuracy is in the lock by its record and predictions alone, and both travel with the repo."""

import hashlib
import json
import re
import runpy
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from receipts import retell
from runs import keep_run

from rexnet_hub import witness
from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import build_parser, main
from rexnet_hub.errors import IndexReadError, RecordError
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.imagenet.data.classes import Benchmark
from rexnet_hub.imagenet.evidence.record import read_record
from rexnet_hub.imagenet.run.runner import digest_tensors
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.locate import find_repo
from rexnet_hub.publish import publish_all, stage
from rexnet_hub.site_source import collect_generated
from rexnet_hub.verify import verify_model
from rexnet_hub.weights.safetensors_file import read_tensors

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CLAIM = """\
  - Task: Image Classification
    Dataset: Pets
    Split: test
    Metrics: {Top 1 Accuracy: 75%}
"""


@pytest.fixture(scope="module")
def trained(small_index, tmp_path_factory):
    """An index whose small model has weights that are no stand-in, and its repo staged from them."""
    folder = tmp_path_factory.mktemp("trained")
    draw, index = torch.Generator().manual_seed(3), shutil.copytree(small_index, folder / "index")
    tensors = entry_plan(load_index(index).find("small")).tensors
    state = {
        name: torch.rand(shape, generator=draw) if dtype == "float32" else torch.zeros(shape).long()
        for name, (dtype, shape) in tensors.items()
    }
    torch.save(state, folder / "small.pth")
    sha256 = hashlib.sha256((folder / "small.pth").read_bytes()).hexdigest()
    released = (folder / "small.pth").rename(folder / f"small-{sha256[:8]}.pth")
    text = (index / "small.yml").read_text()
    text = re.sub("Weights: .*", f"Weights: {released.as_uri()}\n  SHA256: '{sha256}'", text)
    (index / "small.yml").write_text(text + CLAIM)
    entry = load_index(index).find("small")
    return index, released, stage(entry, released, folder / "small", measured=read_lock(None).of("none"))


@pytest.fixture
def zoo(trained, tmp_path, monkeypatch):
    """A copy of that index, its own zoo."""
    index = shutil.copytree(trained[0], tmp_path / "index")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(index))
    return index


@pytest.fixture
def run_of(trained, zoo, tmp_path):
    """Keep a made-up run of the model's own weights, but for the facts."""
    weights = trained[2] / "model.safetensors"
    own = {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "tensors_sha256": digest_tensors(read_tensors(weights)),
    }

    def keep(**facts):
        return keep_run(tmp_path / "run", load_index(zoo).find("small"), **own | facts)

    return keep


def lock(file, trained):
    return main(["lock", "small", "--repo", str(trained[2]), "--record", str(file)])


#: Whatever prints or judges an accuracy, each command as it is typed.
READERS = {
    "card": ["card", "small"],
    "list": ["list"],
    "show": ["show", "small"],
    "validate": ["validate"],
    "verify": ["verify", "small"],
    "lock": ["lock", "small"],
    "check": ["lock", "small", "--check"],
}


def test_a_number_that_was_typed_is_an_error_everywhere(trained, zoo, capsys, tmp_path):
    """Without its evidence no command, page or staging goes by it; its line and what to do are said."""
    assert main(["lock", "small"]) == 0
    document = json.loads((zoo / "lock.json").read_text())
    typed = {"record_sha256": 64 * "0", "dataset": "Pets", "split": "test", "images": 50000}
    document["models"]["small"]["evaluations"] = [typed | {"top1_count": 49999, "top5_count": 50000}]
    (zoo / "lock.json").write_text(json.dumps(document, indent=2))
    capsys.readouterr()
    for words in READERS.values():
        assert main(words) == 1
        said = capsys.readouterr()
        assert "49,999" not in said.out
        assert "stated without its evidence" in said.err
        assert "rexnet-hub lock NAME --record FILE" in said.err
        assert re.search(r"lock\.json:\d+:\d+: models\.small\.evaluations\[0\]", said.err)
    with pytest.raises(IndexReadError, match="without its evidence"):
        collect_generated({}, build_parser(), print)
    (outcome,) = publish_all(["small"], tmp_path / "out")
    assert "without its evidence" in outcome.problem


def test_a_record_enters_and_is_counted_by_every_reader(trained, zoo, run_of, capsys, monkeypatch, tmp_path):
    """The evidence lies beside the lock; the claim holds by it, and the card's own lines count the same."""
    assert lock(run_of(), trained) == 0
    (run,) = read_lock().of("small").evaluations
    assert (run.top1_count, run.images, run.place) == (150, 200, ("Pets", "test"))
    there = {file.name for file in (zoo / "evidence").glob("evaluation-*")}
    assert there == {*run.file_names}
    for words in READERS.values():
        assert main(words) == 0, words
    capsys.readouterr()
    assert main(["verify", "small", "--json"]) == 0
    findings = {(f["claim"], f["verdict"]) for f in json.loads(capsys.readouterr().out)}
    assert {("evaluation", "holds"), ("record", "holds"), ("top1@Oxford-IIIT Pets/test", "holds")} <= findings
    assert main(["card", "small"]) == 0
    card = capsys.readouterr().out
    assert all(f"]({name})" in card for name in run.file_names)
    lines = card[card.index("import array") :].partition("```")[0]
    (tmp_path / "lines.py").write_text(lines)
    monkeypatch.chdir(zoo / "evidence")
    runpy.run_path(str(tmp_path / "lines.py"))
    assert capsys.readouterr().out == "top-1: 150 top-5: 200 of 200\n"
    assert witness.main([str(zoo / "evidence" / run.file_names[0])]) == 0  # without any weights
    assert "150 and 200 of 200 images" in capsys.readouterr().out
    pages = collect_generated({}, build_parser(), print)
    assert all(f"](../evidence/{name})".encode() in pages["models/small.md"] for name in run.file_names)
    evidence = {path: data for path, data in pages.items() if path.startswith("evidence/")}
    assert evidence == {f"evidence/{f.name}": f.read_bytes() for f in (zoo / "evidence").iterdir()}


def test_a_later_run_takes_the_place_of_the_earlier(trained, zoo, run_of):
    """Of one data set and split there is one run, and no evidence of another stays."""
    assert lock(run_of(), trained) == 0
    assert lock(run_of(right=149), trained) == 0
    (run,) = read_lock().of("small").evaluations
    assert run.top1_count == 149
    there = {file.name for file in (zoo / "evidence").glob("evaluation-*")}
    assert there == {*run.file_names}


def test_a_folder_in_the_place_of_evidence_stops_all_or_nothing(trained, zoo, run_of, capsys):
    """Where one file cannot be written neither is; a folder that is called as one no more stated stays."""
    assert lock(run_of(), trained) == 0
    before, (run,) = (zoo / "lock.json").read_bytes(), read_lock().of("small").evaluations
    for name in (*run.file_names, "lock.json"):
        (zoo / ("evidence", "")[name == "lock.json"] / name).unlink()
    for name, other in (run.file_names, run.file_names[::-1]):
        (zoo / "evidence" / name).mkdir()
        capsys.readouterr()
        assert lock(run_of(), trained) == 1
        assert f"{name}: cannot be written" in capsys.readouterr().err
        assert not (zoo / "evidence" / other).exists()
        assert not (zoo / "lock.json").exists()
        (zoo / "evidence" / name).rmdir()
    (zoo / "evidence" / f"evaluation-{16 * '0'}.record.json").mkdir()
    assert lock(run_of(), trained) == 0
    assert (zoo / "lock.json").read_bytes() == before


def test_several_records_enter_all_or_none(trained, zoo, run_of, capsys, tmp_path):
    """A second run on one data set, or one of other weights, leaves lock and evidence as they were."""
    first = shutil.copytree(run_of().parent, tmp_path / "first") / "small.record.json"
    words = ["lock", "small", "--repo", str(trained[2]), "--record", str(first), "--record"]
    assert main([*words, str(run_of(right=149))]) == 2
    assert "is a second run of small on Oxford-IIIT Pets/test" in capsys.readouterr().err
    assert main([*words, str(run_of(weights_sha256=64 * "c"))]) == 1
    assert not (zoo / "lock.json").exists()
    assert not (zoo / "evidence").exists()


@pytest.mark.parametrize("how", ["remove", "update"])
def test_evidence_goes_with_what_it_is_of(how, trained, zoo, run_of, tmp_path):
    """A model that is removed, or has other weights, leaves none of its evidence."""
    assert lock(run_of(), trained) == 0
    state = {name: tensor + 1 for name, tensor in torch.load(trained[1]).items()}
    torch.save(state, tmp_path / "other.pth")
    words = {"remove": [], "update": [str(tmp_path / "other.pth")]}
    assert main([how, "small", *words[how]]) == 0
    assert not read_lock().of("small").evaluations
    assert not [*(zoo / "evidence").iterdir()]


def test_a_run_with_an_input_of_before_is_an_error(trained, zoo, run_of, capsys):
    """Once the entry has another input, or the lock other weights, who shows or checks a number says so."""
    assert lock(run_of(), trained) == 0
    assert main(["edit", "small", "Image Size=256"]) == 0
    for name in ("card", "validate", "check"):
        capsys.readouterr()
        assert main(READERS[name]) == 1, name
        assert "is a run with input_px 224, now it is 256; take it out, or" in capsys.readouterr().err
    with pytest.raises(RecordError, match="now it is 256"):
        collect_generated({}, build_parser(), print)
    assert main(["edit", "small", "Image Size=224"]) == 0
    assert main(READERS["check"]) == 0
    text, weights = (zoo / "lock.json").read_text(), read_lock().of("small").safetensors
    (zoo / "lock.json").write_text(text.replace(weights.sha256, 64 * "d"))
    capsys.readouterr()
    assert main(READERS["check"]) == 1
    assert "is a run with weights_sha256" in capsys.readouterr().err


#: What lies in a record's place, under its own digest.
NO_RECORDS = {"text": b"xx", "list": b"[]", "null": b"null", "nan": b'{"images": NaN}', "deep": 99_999 * b"["}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NO_RECORDS)
def test_what_is_no_record_is_said(kind, trained, zoo, run_of, capsys):
    """Its place is named, without a traceback."""
    assert lock(run_of(), trained) == 0
    (run,) = read_lock().of("small").evaluations
    other = replace(run, record_sha256=hashlib.sha256(NO_RECORDS[kind]).hexdigest())
    for old, new in zip(run.file_names, other.file_names, strict=True):
        (zoo / "evidence" / old).rename(zoo / "evidence" / new)
    (zoo / "evidence" / other.file_names[0]).write_bytes(NO_RECORDS[kind])
    text = (zoo / "lock.json").read_text()
    (zoo / "lock.json").write_text(text.replace(run.record_sha256, other.record_sha256))
    assert main(["list"]) == 1
    assert f"is not what {zoo / 'evidence' / other.file_names[0]} states" in capsys.readouterr().err


OTHER_INPUT: dict[str, Any] = {"crop_fraction": 1.0, "interpolation": "nearest", "input_px": 288}
#: What a run must not be, and what is said of it.
UNFIT: dict[str, Any] = {
    "other weights": ({"weights_sha256": 64 * "c"}, "weights_sha256 is"),
    "other tensors": ({"tensors_sha256": 64 * "c"}, "tensors_sha256 is"),
    "other classes": (
        {"benchmark": Benchmark(dataset="Pets", num_classes=11), "complete": False},
        "num_classes is 10, the record says 11",
    ),
    "half precision": ({"dtype": "bf16"}, "in fp32"),
    "another input": (OTHER_INPUT, "crop_fraction is 0.875, the record says 1.0; interpolation is bicubic"),
    "a part of the set": ({"complete": False}, "every image of the whole set"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_a_run_of_something_else_does_not_enter(kind, trained, zoo, run_of, capsys):
    """All that speaks against it is named; neither lock nor evidence changes."""
    facts, words = UNFIT[kind]
    own = read_record(run_of())
    if facts is OTHER_INPUT:
        facts = {"preprocessing": replace(own.preprocessing, **facts)}
    elif "dtype" in facts:
        facts = {"machine": replace(own.machine, **facts)}
    assert lock(run_of(**facts), trained) == 1
    assert words in capsys.readouterr().err
    assert not (zoo / "lock.json").exists()
    assert not (zoo / "evidence").exists()


def test_a_record_that_lies_of_its_predictions_is_found(trained, zoo, run_of, capsys):
    """With its own digest in the lock it is read, and whoever judges a number counts again and says so."""
    assert lock(run_of(), trained) == 0
    (run,) = read_lock().of("small").evaluations
    record, predictions = (zoo / "evidence" / name for name in run.file_names)
    lying = json.loads(record.read_text()) | {"top1_count": 199}
    text = json.dumps(lying)
    lied = replace(run, record_sha256=hashlib.sha256(text.encode()).hexdigest(), top1_count=199)
    for file, name in zip((record, predictions), lied.file_names, strict=True):
        file.rename(zoo / "evidence" / name)
    (zoo / "evidence" / lied.file_names[0]).write_text(text)
    file = zoo / "lock.json"
    told = file.read_text().replace(run.record_sha256, lied.record_sha256)
    file.write_text(told.replace('"top1_count": 150', '"top1_count": 199'))
    assert read_lock().of("small").evaluations == (lied,)
    for name in ("card", "validate", "check", "verify"):
        capsys.readouterr()
        assert main([*READERS[name], *(["--json"] if name == "verify" else [])]) == 1, name
        said = capsys.readouterr()
        assert "the top-1 count is 150, the record says 199" in said.out + said.err, name
    with pytest.raises(RecordError, match="the top-1 count is 150"):
        collect_generated({}, build_parser(), print)


def test_evidence_travels_with_the_repo(trained, zoo, run_of, hub, keys, tmp_path, capsys):
    """Staged, stated, published, signed, read back, downloaded and checked: by load, `verify` and witness."""
    assert lock(run_of(), trained) == 0
    (run,) = read_lock().of("small").evaluations
    private, public = keys
    (outcome,) = publish_all(["small"], "hf:org", apply=True, sign_key=private, sign_version=1)
    assert outcome.problem is None, outcome.problem
    names = {*run.file_names, "golden.json", "golden.png"}
    assert names < hub.repos["org/small"].files().keys()
    AutoModel.from_pretrained("org/small", trusted_key=public)
    folder = find_repo("org/small", Access(trusted_key=public)).folder
    assert {name for name in names if (folder / name).is_file()} == names
    for name in run.file_names:
        assert (folder / name).read_bytes() == (zoo / "evidence" / name).read_bytes()
    copy = shutil.copytree(folder, tmp_path / "copy")
    capsys.readouterr()
    assert witness.main([str(copy)]) == 0
    assert "150 and 200 of 200 images of Pets, test" in capsys.readouterr().out
    assert main(["verify", "hf:org/small", "--json"]) == 0
    findings = {(f["claim"], f["verdict"]) for f in json.loads(capsys.readouterr().out)}
    claims = ("evaluation", "files", "golden", "top1@Oxford-IIIT Pets/test")
    assert {(claim, "holds") for claim in claims} <= findings
    (again,) = publish_all(["small"], "hf:org", apply=True, sign_key=private, sign_version=2)
    assert again.word == "was there"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a byte", "a count", "gone", "all gone", "another run", "a stray"])
def test_damaged_evidence_in_a_repo_is_found(kind, trained, zoo, run_of, tmp_path, capsys):
    """By `verify`, by the witness, and by a publication, which forbids it."""
    assert lock(run_of(), trained) == 0
    (run,) = read_lock().of("small").evaluations
    entry = load_index().find("small")
    folder = stage(entry, trained[1], tmp_path / "staged" / "small", measured=read_lock().of("small"))
    record, predictions = (folder / name for name in run.file_names)
    if kind == "a byte":
        data = bytearray(predictions.read_bytes())
        data[-40] ^= 1
        predictions.write_bytes(data)
    elif kind == "a count":
        record.write_text(record.read_text().replace('"top1_count": 150', '"top1_count": 151'))
    elif kind == "a stray":  # stated by the receipt, and by no lock
        record = record.with_name("evaluation-" + "0" * 16 + ".record.json")
        record.write_text("{}")
        stated = {record.name: hashlib.sha256(b"{}").hexdigest()}
        retell(folder / "receipt.json", lambda told: told["files"].update(stated))
    elif kind == "another run":  # which agrees with itself
        other = run_of(right=199)
        shutil.copy(other, record)
        shutil.copy(other.with_name("small.predictions"), predictions)
    else:
        predictions.unlink()
        if kind == "all gone":
            record.unlink()
    findings = verify_model(entry, repo=folder, measured=read_lock().of("small"))
    only = {"all gone": {"files"}, "a stray": {"evaluation"}}  # what is gone is counted beside the lock
    said = only.get(kind, {"evaluation", "files"})
    assert said <= {f.claim for f in findings if f.verdict == "false"}
    assert witness.main([str(folder)]) == 1
    assert re.search(
        f"{record.stem[:20]}.*(digest|count|stated|found|cannot be read)", capsys.readouterr().out
    )
    (outcome,) = publish_all([str(folder)], tmp_path / "out", apply=True)
    assert outcome.word in ("must not", "error")
    assert not (tmp_path / "out").exists()
