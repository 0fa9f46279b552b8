"""A new checkpoint becomes a complete entry, measured, and the rest of the index keeps its bytes."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
import yaml
from cases import slow
from closeness import assert_same_numbers

from rexnet_hub.add import NewModel, add_entry, update_entry
from rexnet_hub.auto import AutoModel, create_model
from rexnet_hub.cli import main
from rexnet_hub.errors import (
    CheckpointError,
    FileProblem,
    IndexReadError,
    StateDictError,
    UnknownModelError,
    UsageError,
)
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import MeasuredHub, read_lock, update_lock
from rexnet_hub.locate import find_repo_config
from rexnet_hub.publish import apply_plan, plan_publish, staged_repo
from rexnet_hub.recipe import make_recipe
from rexnet_hub.whole_files import locked

INDEX = """\
# The family: kept as it is.
Type: model-index
Collections:
- Name: Small
  License: MIT      # of the weights
  Metadata:
    Image Mean: [0.485, 0.456, 0.406]
    Image Std: [0.229, 0.224, 0.225]
Models:
- Name: first
  In Collection: Small
  Metadata: {ID: rexnet_100, Num Classes: 10, Image Size: 224, Crop Pct: 0.875, Interpolation: bicubic}
  # A comment at the end.
"""
SAID: dict[str, Any] = {
    "collection": "Small",
    "license": "MIT",
    "image_size": 224,
    "crop_pct": "0.875",
    "interpolation": "bicubic",
    "architecture": "rexnet_100",  # without it every network that there is would be tried
}
LOG = {
    "model": "rexnet_100", "num_classes": 10, "opt": "sgd", "lr": 0.5, "epochs": 400,
    "momentum": 0.9,
    "weight_decay": 1e-05, "smoothing": 0.1, "drop": 0.2, "sched": "cosine", "warmup_epochs": 5,
    "reprob": 0.2, "aa": "rand-m9-mstd0.5", "img_size": 224, "crop_pct": 0.875, "interpolation": "bicubic",
    "mean": None,
    "std": None, "batch_size": 128, "resume": "",
}  # fmt: skip


@pytest.fixture
def index_dir(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "small.yml").write_text(INDEX)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two checkpoints as timm's train.py saves them, wrapped, of ten classes."""
    folder = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        network = timm.create_model("rexnet_100", num_classes=10)
        torch.save(
            {"epoch": 1, "arch": "rexnet_100", "state_dict": network.state_dict()}, folder / f"{name}.pth"
        )
    return folder


def add(trained, name="new", checkpoint="one", **options):
    return add_entry(trained / f"{checkpoint}.pth", NewModel(name=name, **(SAID | options)))


@pytest.mark.slow
def test_an_entry_is_complete_and_everything_else_stays(index_dir, trained):
    """Network, classes, counts, bytes and digest are the checkpoint's; every old byte stays where it was."""
    added = add(
        trained, top1_percent="12.5", top5_percent="60", dataset="Flowers", split="test", architecture=None
    )
    text = (index_dir / "small.yml").read_text()
    assert added.architecture == "rexnet_100"
    assert "    Crop Pct: 0.875\n" in text  # a number, as the collection's
    at = text.index("- Name: new")
    assert text[:at] == INDEX  # the comment of the last model stays with it
    assert text[at:].endswith("60%\n    Split: test\n")
    entry = load_index().find("new")
    assert load_index().errors == ()
    network = timm.create_model("rexnet_100", num_classes=10)
    assert entry.value("parameters") == sum(p.numel() for p in network.parameters())
    assert entry.value("file_size") == (trained / "one.pth").stat().st_size
    assert entry.value("num_classes") == 10
    assert [(result.dataset, str(result.metrics["top1"].value)) for result in entry.results] == [
        ("Flowers", "12.5")
    ]
    measured = read_lock().of("new")
    assert measured.parameters == entry.value("parameters")
    assert measured.released.sha256 == entry.extra["sha256"].value
    assert measured.tensors.count == 413


@pytest.mark.slow
def test_the_rest_of_the_way_needs_no_hand(index_dir, trained, tmp_path):
    """After adding: staged, verified and published by name, with nothing edited."""
    add(trained)
    with staged_repo("new") as folder:
        plan = plan_publish(folder, tmp_path / "hub", name="new")
        assert plan.stops == ()
        apply_plan(plan)
    receipt = json.loads((tmp_path / "hub" / "new" / "receipt.json").read_text())
    assert receipt["output"]["sha256"] == read_lock().of("new").safetensors.sha256


def test_a_training_log_says_recipe_and_input(index_dir, trained, tmp_path):
    """A training log, args.yaml, gives recipe and input settings; null and empty values are left out."""
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(LOG))
    new = NewModel(name="new", collection="Small", license="MIT", training_log=tmp_path / "args.yaml")
    add_entry(trained / "one.pth", new)
    entry = load_index().find("new")
    assert entry.preprocessing.input_px == 224
    assert entry.preprocessing.mean == (0.485, 0.456, 0.406)
    command = make_recipe(entry).command
    for part in (
        "--opt sgd",
        "--lr 0.5",
        "--epochs 400",
        "--sched cosine",
        "--warmup-epochs 5",
        "--reprob 0.2",
    ):
        assert part in command
    assert entry.value("batch_size") is None


def test_what_is_not_said_is_named(index_dir, trained):
    """Input settings that nobody states are listed, not guessed."""
    with pytest.raises(
        UsageError,
        match=r"Image Size \(--image-size\), Crop Pct \(--crop-pct\), Interpolation \(--interpolation\) not "
        "stated.* give --license; the collection's is MIT",
    ):
        add_entry(trained / "one.pth", NewModel(name="new", collection="Small", architecture="rexnet_100"))
    assert (index_dir / "small.yml").read_text() == INDEX


@pytest.mark.parametrize(("key", "value"), [slow("model", "rexnet_130"), ("num_classes", 1000)])
def test_a_log_of_another_training_is_refused(index_dir, trained, tmp_path, key, value):
    """A log that contradicts the checkpoint is refused, with both."""
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(LOG | {key: value}))
    with pytest.raises(UsageError, match=str(value)):
        add(trained, training_log=tmp_path / "args.yaml")


@pytest.mark.parametrize("text", ["[1", "- 1", "!!python/object:os.system {}"])
def test_a_log_that_is_none_is_refused(index_dir, trained, tmp_path, text):
    """What is no YAML mapping is one line with the file's name."""
    (tmp_path / "args.yaml").write_text(text)
    with pytest.raises(FileProblem, match=r"args\.yaml"):
        add(trained, training_log=tmp_path / "args.yaml")


def test_again_changes_nothing(index_dir, trained):
    """The same checkpoint under the same name is there already."""
    add(trained)
    before = {file.name: file.read_bytes() for file in index_dir.iterdir()}
    assert add(trained).was_there
    assert {file.name: file.read_bytes() for file in index_dir.iterdir()} == before


def test_again_with_other_claims_is_refused(index_dir, trained):
    """What an option says otherwise than the entry is said, with what changes it; a spelling is the same."""
    add(trained, top1_percent="79.50", dataset="Toys")
    before = {file.name: file.read_bytes() for file in index_dir.iterdir()}
    assert add(trained, top1_percent="79.5%", dataset="Toys").was_there
    with pytest.raises(UsageError) as caught:
        add(trained, top1_percent="79.51", dataset="Toys", license="apache-2.0", title="New")
    for said in (
        "License is MIT there, not apache-2.0",
        "there are no such Title",
        "Top 1 Accuracy is 79.50% there, not 79.51%",
        "rexnet-hub edit new 'FIELD=VALUE'",
    ):
        assert said in str(caught.value)
    assert {file.name: file.read_bytes() for file in index_dir.iterdir()} == before


def test_a_mistake_is_updated_and_what_is_published_is_not(index_dir, trained):
    """Another checkpoint takes the place of one that nobody loads: entry and lock say what it is."""
    add(trained)
    before = (index_dir / "small.yml").read_text()
    update_entry("new", trained / "two.pth")
    entry, measured = load_index().find("new"), read_lock().of("new")
    digest = hashlib.sha256((trained / "two.pth").read_bytes()).hexdigest()
    assert (entry.extra["sha256"].value, measured.released.sha256) == (digest, digest)
    assert entry.weights.value == (trained / "two.pth").as_uri()
    changed = set((index_dir / "small.yml").read_text().splitlines()) - set(before.splitlines())
    assert {line.split(":")[0].strip() for line in changed} == {"Weights", "SHA256"}
    hub = MeasuredHub(repo_id="org/new", commit=40 * "c")
    update_lock(lambda lock: lock.with_model("new", replace(measured, hub=hub)))
    with pytest.raises(UsageError, match=r"new was published as org/new.*--supersedes new"):
        update_entry("new", trained / "one.pth")


def test_an_update_leaves_no_witness_of_other_weights_alone(index_dir, trained):
    """What states other weights goes, under each name, else a load would fetch those; what agrees stays."""
    add(trained)
    update_entry("new", trained / "two.pth")
    file, fingerprint = index_dir / "small.yml", read_lock().of("new").safetensors.fingerprint
    text = file.read_text()
    place = "  Witnesses:\n  - Place: hf:o/n@{}#m.safetensors\n    Of: safetensors\n"
    other = place.format(40 * "c") + f"    Algorithm: sha256\n    Digest: '{64 * 'c'}'\n"
    tag = "- Name: new.tag\n  Same As: new\n"
    agreeing = "  Witnesses:\n  - Place: https://example.org\n    Algorithm: fingerprint\n"
    agreeing += f"    Digest: '{fingerprint}'\n"
    for changed in (
        f"{text}{other}{tag}{other.replace('o/n', 'o/m')}",
        text.replace("- Name: new\n", f"{tag}{other}- Name: new\n") + other.replace("o/n", "o/m"),
    ):
        file.write_text(changed)
        assert (load_index().errors, len(load_index().find("new").witnesses)) == ((), 2)
        update_entry("new", trained / "one.pth")
        assert (load_index().problems, load_index().find("new").witnesses) == ((), ())
        assert load_index().find("new.tag").weights.value == (trained / "one.pth").as_uri()
    file.write_text(text + tag + agreeing)
    update_entry("new", trained / "two.pth")
    assert len(load_index().find("new").witnesses) == 1


def test_an_update_takes_what_add_takes(index_dir, tmp_path):
    """Of a saved folder the picture, the network's arguments and the names of the classes come with it."""
    model: Any = create_model("test_resnet", num_classes=3, in_chans=1)
    names = ["red", "green", "blue"]
    saved = model.save_pretrained(tmp_path / "three", labels=names, card={"Crop Mode": "squash"})
    other: Any = create_model("test_resnet", num_classes=2)
    pair = other.save_pretrained(tmp_path / "pair", labels=["on", "off"], card={"Image Size": 96})
    add_entry(saved, NewModel(name="new", collection="Small", license="MIT", title="Kept"))
    update_entry("new", str(pair))
    entry = load_index().find("new")
    assert load_index().errors == ()
    assert (entry.preprocessing.input_px, entry.preprocessing.crop_mode) == (96, "center")
    assert (entry.labels, entry.value("model_args")) == (("on", "off"), None)
    assert (entry.said("title"), entry.weights.value) == ("Kept", (pair / "model.safetensors").as_uri())
    assert AutoModel.from_pretrained("new").num_classes == 2
    (index_dir / "new.labels.txt").rename(index_dir / "ours.txt")
    (index_dir / "small.yml").write_text(
        (index_dir / "small.yml").read_text().replace("new.labels.txt", "ours.txt")
    )
    update_entry("new", saved)
    assert load_index().find("new").labels == tuple(names)
    assert (index_dir / "ours.txt").read_text() == "on\noff\n"  # which may be others' too


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("index.json", '{"Collections": [{"Name": "Small"}]}'),
        ("index.json", '{"Collections": [{"Name": "Small"}], "Models": null}'),
        ("index.json", '{"Collections": [{"Name": "Small"}], "Models": [ {"Name": "a"} ]}'),
        ("index.yml", "{Collections: [{Name: Small}]}"),
        ("index.yml", "{Collections: [{Name: Small}], Models: }"),
        ("index.yml", "Collections: {Name: Small}"),
    ],
)
def test_an_index_of_any_style_is_added_to(tmp_path, monkeypatch, file, text):
    """JSON and flow style take a first model as block style does, whether Models is there or not."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / file).write_text(text)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "zoo"))
    model: Any = create_model("test_resnet", num_classes=2)
    saved = model.save_pretrained(tmp_path / "pair", card={"License": "mit"})
    add_entry(saved, NewModel(name="new", collection="Small"))
    assert load_index().errors == ()
    assert load_index().find("new").license_id == "mit"


def test_a_name_never_changes_its_weights(index_dir, trained):
    """Another checkpoint under an old name is refused; a new name can supersede the old one, which stays."""
    add(trained)
    before = (index_dir / "small.yml").read_text()
    with pytest.raises(UsageError, match="give a new --name and --supersedes new"):
        add(trained, checkpoint="two")
    assert (index_dir / "small.yml").read_text() == before
    for _ in range(2):
        add(trained, name="newer", checkpoint="two", supersedes="new")
    text = (index_dir / "small.yml").read_text()
    assert text.count("Superseded By: newer") == 1
    assert load_index().find("new").extra["superseded_by"].text == "newer"
    assert load_index().errors == ()
    there = iter(text.splitlines())
    assert all(line in there for line in before.splitlines())  # each, in its order
    with pytest.raises(UsageError, match="superseded by newer already"):
        add(trained, name="newest", checkpoint="two", supersedes="new")


def test_what_is_superseded_must_exist(index_dir, trained):
    """A model that supersedes nobody is not added."""
    with pytest.raises(UnknownModelError):
        add(trained, supersedes="nobody")
    assert (index_dir / "small.yml").read_text() == INDEX


def test_an_entry_that_would_not_be_valid_is_taken_back(index_dir, trained):
    """A value that the index refuses leaves the file as it was, with the reader's own message."""
    with pytest.raises((UsageError, IndexReadError), match=r"top|Accuracy|percent|%"):
        add(trained, top1_percent="many", dataset="Flowers")
    assert (index_dir / "small.yml").read_text() == INDEX


@pytest.mark.slow
def test_a_foreign_checkpoint_is_refused(index_dir, trained, tmp_path):
    """A checkpoint of no network of ours is refused by its file; so is a collection that does not exist."""
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "foreign.pth")
    with pytest.raises(StateDictError, match=r"foreign\.pth: its 1 tensors are those of no network"):
        add_entry(tmp_path / "foreign.pth", NewModel(name="new", **(SAID | {"architecture": None})))
    with pytest.raises(UsageError, match="no collection 'Other'; there are: Small"):
        add(trained, collection="Other")
    shutil.rmtree(index_dir / "small.yml", ignore_errors=True)


@pytest.mark.usefixtures("index_dir")
def test_an_accuracy_is_of_a_stated_data_set(trained):
    """Of a model that was not trained on ImageNet nobody is told that its accuracy is ImageNet's."""
    for trained_on in ("Oxford Flowers", "ImageNet"):
        with pytest.raises(UsageError, match="give --dataset"):
            add(trained, top1_percent="91.2", training_data=(trained_on,))
    for dataset, count in {"ILSVRC2012": 1000, "Oxford Flowers": 102, "cifar100": 100}.items():
        problem = f"the checkpoint has 10 classes, and {dataset} has {count}"
        with pytest.raises(UsageError, match=f"--dataset {dataset}: {problem}"):
            add(trained, top1_percent="91.2", dataset=dataset)
    add(trained, top1_percent="91.2", dataset="Town Flowers")
    (result,) = load_index().find("new").results
    assert (result.dataset, result.split) == ("Town Flowers", None)


@pytest.mark.usefixtures("index_dir")
def test_a_part_of_one_is_asked_about(trained):
    """An accuracy of 0.912 is not written as 0.912 %; who means that says it with the sign."""
    with pytest.raises(
        UsageError, match=r"Top 1 Accuracy 0\.912: percentage points are meant: 91\.2, or 0\.912%"
    ):
        add(trained, top1_percent="0.912", dataset="Town Flowers")
    add(trained, top1_percent="0.912%", dataset="Town Flowers")
    assert str(load_index().find("new").results[0].metrics["top1"].value) == "0.912"


@pytest.mark.usefixtures("index_dir")
def test_all_of_a_log_is_carried_or_named(trained, tmp_path):
    """What was set is in the entry and in the recipe; of what is not, the name is returned."""
    log = LOG | {
        "mixup": 0.8, "cutmix": 1.0, "model_ema": True, "model_ema_decay": 0.9999, "clip_grad": 5.0,
        "hflip": 0.5, "scale": [0.35, 1.0], "amp": True, "min_lr": 0, "output": "runs", "workers": 4,
        "novel": 3, "pin_mem": False,
    }  # fmt: skip
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(log))
    added = add(trained, training_log=tmp_path / "args.yaml")
    assert sorted(added.not_carried) == ["batch_size", "novel", "output"]
    entry = load_index().find("new")
    assert [*entry.value("training_arguments")] == [
        "clip_grad", "scale", "mixup", "cutmix", "model_ema", "model_ema_decay", "amp",
    ]  # fmt: skip
    recipe = make_recipe(entry)
    for part in (
        "--mixup 0.8",
        "--scale 0.35 1.0",
        "--model-ema --model-ema-decay 0.9999 --amp",
        "--num-classes 10",
    ):
        assert part in recipe.command
    assert "--amp" not in [each.argument for each in recipe.unstated]


def save_as(file, state, **beside):
    torch.save({"state_dict": state, **beside} if beside else state, file)
    return file


@pytest.fixture
def publishes(tmp_path):
    """Add a checkpoint, publish it by its name to a folder, and give the repo."""

    def publish(source, name="new", **options):
        add_entry(source, NewModel(name=name, **(SAID | options)))
        with staged_repo(name) as folder:
            plan = plan_publish(folder, tmp_path / "hub", name=name)
            assert plan.stops == ()
            apply_plan(plan)
        return tmp_path / "hub" / name

    return publish


@pytest.mark.slow
@pytest.mark.usefixtures("index_dir")
@pytest.mark.parametrize("kind", ["ema", "lightning", "half", "grey", "four channels"])
def test_what_maintainers_have_is_taken(publishes, tmp_path, kind):
    """Each kind of checkpoint is added, staged by its name, and loads with its own numbers."""
    channels = {"grey": 1, "four channels": 4}.get(kind, 3)
    network = timm.create_model("rexnet_100", num_classes=10, in_chans=channels).eval()
    state, file, options = network.state_dict(), tmp_path / f"{kind[:4]}.pth", {}
    if kind == "ema":
        other = {name: tensor + 1 for name, tensor in state.items()}
        save_as(file, other, state_dict_ema=state, arch="rexnet_100")
        with pytest.raises(CheckpointError, match=r"holds 2 state dicts.*\(--weights-key\)"):
            add_entry(file, NewModel(name="new", **SAID))
        options["weights_key"] = "state_dict_ema"
    elif kind == "lightning":
        named = {f"model.{name}": tensor for name, tensor in state.items()}
        save_as(file, named, **{"pytorch-lightning_version": "2.4.0", "epoch": 3, "loops": {}})
    else:
        save_as(file, network.half().state_dict() if kind == "half" else state)
    repo = publishes(file, **options)
    network = network.float()
    pixels = torch.randn(1, channels, 64, 64)
    with torch.inference_mode():
        assert_same_numbers(AutoModel.from_pretrained(repo)(pixels), network(pixels))
    assert load_index().problems == ()


def test_a_folder_that_was_saved_brings_its_own(index_dir, publishes, tmp_path):
    """Input, names, channels and origin of a saved network are the entry's; only the licence is asked for."""
    model: Any = create_model("test_resnet", num_classes=3, in_chans=1)
    names = ["red", "green", "blue"]
    saved = model.save_pretrained(tmp_path / "first_three", labels=names, card={"Crop Mode": "squash"})
    again: Any = AutoModel.from_pretrained(saved)
    again.fc.bias.data.fill_(1)
    saved = again.save_pretrained(tmp_path / "saved")
    unsaid = dict.fromkeys(("image_size", "crop_pct", "interpolation", "architecture"))
    repo = publishes(saved, fine_tuned_from="first", **unsaid)
    entry = load_index().find("new")
    assert (entry.preprocessing.input_px, entry.preprocessing.crop_mode) == (160, "squash")
    assert (index_dir / "new.labels.txt").read_text().split() == names
    assert entry.extra["base_model"].value == ("first",)
    assert find_repo_config(repo).label_names == tuple(names)
    assert AutoModel.from_pretrained(repo).in_chans == 1


def test_an_origin_that_others_cannot_find_is_named(index_dir, tmp_path, capsys):
    """What a saved network began with elsewhere is not carried, which is said, and how to say it."""
    saved = create_model("test_resnet", num_classes=3).save_pretrained(
        tmp_path / "saved", card={"Fine-tuned From": ["elsewhere_1", "first"]}
    )
    options = ["--name", "new", "--collection", "Small", "--license", "MIT"]
    assert main(["add", str(saved), *options]) == 0
    assert load_index().find("new").extra["base_model"].value == ("first",)
    said = " ".join(capsys.readouterr().err.split())
    assert "saved: not carried: Fine-tuned From elsewhere_1, no model of this index nor a repo" in said
    assert "rexnet-hub edit new 'Fine-tuned From=OWNER/NAME'" in said


def test_names_come_from_a_file(index_dir, trained, tmp_path):
    """A file of names is copied beside the index; one of another length is refused, and nothing stays."""
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    with pytest.raises(UsageError, match="has 2 lines; it needs a name for each of 10"):
        add(trained, labels=tmp_path / "names.txt")
    assert sorted(file.name for file in index_dir.iterdir()) == ["small.yml"]
    (tmp_path / "names.txt").write_text("".join(f"{number}\n" for number in range(10)))
    add(trained, labels=tmp_path / "names.txt")
    assert load_index().find("new").labels == tuple("0123456789")


@pytest.mark.slow
def test_of_two_at_once_one_is_whole(index_dir, trained, tmp_path):
    """Of processes that add one name with other names of classes, one gets all that it brings."""
    words = [sys.executable, "-m", "rexnet_hub", "add", str(trained / "one.pth"), "--name", "new"]
    for option, value in SAID.items():
        words += [f"--{option.replace('_', '-')}", str(value)]
    for kind in "ab":
        (tmp_path / kind).write_text("".join(f"{kind}{number}\n" for number in range(10)))
    children = [subprocess.Popen([*words, "--labels", str(tmp_path / kind)]) for kind in "ab"]
    codes = [child.wait() for child in children]
    assert codes.count(0) == 1
    winner = tmp_path / "ab"[codes.index(0)]
    assert (index_dir / "new.labels.txt").read_bytes() == winner.read_bytes()
    assert sorted(file.name for file in index_dir.iterdir()) == ["lock.json", "new.labels.txt", "small.yml"]
    assert load_index().errors == ()


def functions(thread):
    """List the names of the functions that a thread is in."""
    return [frame.f_code.co_name for frame, _ in traceback.walk_stack(sys._current_frames()[thread.ident])]


def test_an_entry_that_moves_meanwhile_is_the_same(index_dir, trained):
    """While an `add` waits for another process its model may move in the file: it is found there."""
    add(trained)
    added: list[Any] = []
    adding = threading.Thread(target=lambda: added.append(add(trained)))
    with locked(index_dir.resolve() / "lock.json"):
        adding.start()
        while "_take" not in functions(adding):
            time.sleep(0.01)
        (index_dir / "small.yml").write_text(f"# moved\n{(index_dir / 'small.yml').read_text()}")
    adding.join()
    assert added[0].was_there
