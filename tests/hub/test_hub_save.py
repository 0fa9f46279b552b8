"""A network is saved and pushed with its names, its card and what it was loaded from."""

import copy
import io
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from rexnet_hub.auto import AutoImageProcessor, AutoModel, create_model
from rexnet_hub.cli import main
from rexnet_hub.errors import (
    CheckpointError,
    FileProblem,
    OutputExistsError,
    PublishError,
    StateDictError,
    UsageError,
)
from rexnet_hub.index import load_index
from rexnet_hub.locate import find_repo_config
from rexnet_hub.weights.receipt import read_receipt

PETS = tuple(f"pet {number}" for number in range(37))


def loaded(source, **options) -> Any:
    return AutoModel.from_pretrained(source, **options)


def drawn(name, **options) -> Any:
    return create_model(name, **options)


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A drawn network of 37 classes, and the folder that it was saved to."""
    torch.manual_seed(1)
    model = drawn("rexnet_100", num_classes=37, drop_rate=0.3).eval()
    folder = tmp_path_factory.mktemp("saved") / "pets"
    card = {"License": "apache-2.0", "Description": "Tells 37 pets apart.", "Image Size": 96}
    return model, model.save_pretrained(folder, labels=PETS, card=card)


def parent_of(folder):
    return read_receipt(folder / "receipt.json").parent


@torch.inference_mode()
def test_a_drawn_network_is_saved_whole(pets):
    """Logits, names, input and options are those that were saved; the receipt says that it was drawn."""
    model, folder = pets
    again, pixels = loaded(folder), torch.randn(1, 3, 64, 64)
    assert torch.equal(again(pixels), model(pixels))
    processor = AutoImageProcessor.from_pretrained(folder)
    assert (processor.labels, processor.preprocessing.input_px, again.drop_rate) == (PETS, 96, 0.3)
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "receipt.json",
    ]  # fmt: skip
    assert (parent_of(folder).name, parent_of(folder).sha256) == ("drawn", None)


def test_its_card_speaks_of_its_own(pets):
    """The card has what was said, and never that the classes are ImageNet's."""
    text = (pets[1] / "README.md").read_text()
    for words in (
        "license: apache-2.0",
        "Tells 37 pets apart.",
        "into the 37 classes",
        "centre square of 96 px",
    ):
        assert words in text
    assert "ImageNet" not in text
    assert "1,000" not in text


def test_what_is_fine_tuned_says_from_what(pets, tmp_path, caplog):
    """The receipt states name and digest of what was loaded; names of other classes are not taken over."""
    model = loaded(pets[1], num_classes=4)
    folder = model.save_pretrained(tmp_path / "four")
    parent, output = parent_of(folder), read_receipt(pets[1] / "receipt.json").output
    assert (parent.name, parent.commit, parent.sha256) == ("pets", None, output.sha256)
    assert "Fine-tuned From: pets" in (folder / "README.md").read_text()
    assert find_repo_config(folder).label_names == ()
    assert "the names of its 37 classes are not those of the 4 here" in caplog.text
    assert loaded(pets[1]).save_pretrained(tmp_path / "same") is not None
    assert find_repo_config(tmp_path / "same").label_names == PETS
    assert "Fine-tuned" not in (tmp_path / "same" / "README.md").read_text()  # no bit is another


def test_a_copy_saves_itself(pets, tmp_path):
    """A deep copy and an unpickled one save their own numbers, not those of what they are of."""
    model = copy.deepcopy(loaded(pets[1]))
    model.head.fc.bias.data.fill_(7)
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    for each in (model, torch.load(stream, weights_only=False)):
        each.save_pretrained(tmp_path / "copy")  # the second replaces the first
        assert loaded(tmp_path / "copy").head.fc.bias.unique().tolist() == [7.0]
    assert not pets[0].head.fc.bias.eq(7).any()


def test_a_network_of_timms_is_saved(tmp_path):
    """A network of timm's has the same methods, and the input that timm made it for."""
    model = drawn("test_resnet", num_classes=3, in_chans=1)
    folder = model.save_pretrained(tmp_path / "small", labels={2: "c", 1: "b", 0: "a"})
    config = find_repo_config(folder)
    assert (config.label_names, config.in_chans, config.preprocessing.input_px) == (("a", "b", "c"), 1, 160)
    state = loaded(folder).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_options_that_change_logits_are_kept(pets, tmp_path):
    """A network with another output stride is saved as one."""
    model = drawn("rexnet_100", num_classes=5, output_stride=16).eval()
    model.save_pretrained(tmp_path / "dilated")
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(AutoModel.from_pretrained(tmp_path / "dilated")(pixels), model(pixels))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": ["a", "b"]}, "labels has 2 names, the network 37 classes"),
        ({"labels": "pets"}, "labels has 4 names"),
        ({"labels": ["", *PETS[1:]]}, "labels are one line"),
        ({"card": {"License": "mine"}}, "the Hub has no licence 'mine'"),
        ({"card": {"Model Args": {"depth": 3}}}, "Model Args is the network's own"),
        ({"card": {"parameters": 5, "Labels": "x"}}, "parameters is the network's own; Labels is given as"),
        ({"card": {"Weights": "https://example.org/x.pth"}}, "Weights is said by an index alone"),
        ({"card": {"License File": "LICENSE"}}, "License File is a file beside an index; give an https"),
        ({"card": {"License": "mit", "license": "mit"}}, "license is there twice"),
        ({"card": {"Epochs": {3}}}, "Epochs holds what no card can say: set is no text"),
        ({"card": {"LR": float("nan")}}, "LR holds what no card can say"),
        ({"card": ["mit"]}, "card is a mapping"),
        ({"labels": {*PETS}}, "one for each, in their order"),
        ({"labels": [None, *PETS[1:]]}, "labels are one line of text each, and these are not: 0: None"),
    ],
)
def test_what_no_entry_can_say_is_refused(pets, tmp_path, options, words):
    """Names that are not the classes' and words that no card has are refused, and nothing is written."""
    with pytest.raises(UsageError, match=words):
        pets[0].save_pretrained(tmp_path / "wrong", **options)
    assert not (tmp_path / "wrong").exists()


def test_what_is_no_repo_of_ours_is_not_replaced(pets, tmp_path):
    """A folder with anything else in it stays; so does a network whose tensors are others now."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    with pytest.raises(OutputExistsError):
        pets[0].save_pretrained(tmp_path / "mine")
    other = copy.deepcopy(pets[0])
    other.head.fc = torch.nn.Sequential(other.head.fc)
    with pytest.raises(StateDictError, match=r"head\.fc\.0\.weight"):
        other.save_pretrained(tmp_path / "other")


def test_feature_maps_are_not_saved(pets, tmp_path):
    """A network without its end is refused, in one line that says what to do."""
    maps = loaded(pets[1], features_only=True)
    for save in (maps.save_pretrained, maps.push_to_hub):
        with pytest.raises(UsageError, match="save the whole network"):
            save(tmp_path / "maps")


@pytest.mark.slow
@torch.inference_mode()
def test_it_is_pushed_and_loads_by_its_id(hub, pets, tmp_path):
    """It is one commit with a tag; what is trained further names repo and commit, and takes its place."""
    model = pets[0]
    published = model.push_to_hub("org/pets", labels=PETS, card={"License": "mit"})
    assert published.place == "hf:org/pets"
    head = hub.repos["org/pets"].head
    assert published.commit == head
    again, pixels = loaded("org/pets"), torch.randn(1, 3, 64, 64)
    assert torch.equal(again(pixels), model(pixels))
    assert AutoImageProcessor.from_pretrained("org/pets").labels == PETS
    assert model.push_to_hub("org/pets", labels=PETS, card={"License": "mit"}).commit == head  # found done
    again.head.fc.bias.fill_(1)
    again.push_to_hub("org/better", private=True)
    receipt = json.loads(hub.repos["org/better"].files()["receipt.json"])
    assert (receipt["parent"]["name"], receipt["parent"]["commit"]) == ("org/pets", head)
    assert "base_model: org/pets" in hub.repos["org/better"].files()["README.md"].decode()
    again.push_to_hub("org/pets")
    assert hub.repos["org/pets"].head != head


def test_a_push_that_may_not_be_is_one_error(hub, pets):
    """A card that others wrote is not overwritten, and what is no repo's id is refused."""
    hub.create("org/theirs", {"README.md": b"---\nlicense: gpl-3.0\n---\n\n# Ours\n"})
    with pytest.raises(PublishError, match="the card would lose 2 lines that somebody wrote there"):
        pets[0].push_to_hub("org/theirs")
    with pytest.raises(UsageError, match="no OWNER/NAME"):
        pets[0].push_to_hub("pets")
    assert load_index().find("rexnet_100")  # the zoo's own index is the chosen one again


ZOO = """
Collections:
- Name: Pets
  License: MIT
"""


@pytest.mark.slow
def test_what_was_pushed_gets_a_name(hub, pets, tmp_path, monkeypatch, capsys):
    """A repo of the Hub is added at its commit with its own input and names; staged and loaded by name."""
    published = pets[0].push_to_hub("org/pets", labels=PETS, card={"License": "mit"})
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "pets.yml").write_text(ZOO)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "zoo"))
    words = [
        "--collection",
        "Pets",
        "--license",
        "mit",
        "--top1",
        "91.5",
        "--dataset",
        "Pets of mine",
        "--split",
        "test",
    ]
    source = f"hf:org/pets@{published.tag}"
    assert main(["add", source, "--name", "breeds", *words]) == 0
    entry = load_index().find("breeds")
    assert str(entry.weights.value) == f"hf:org/pets@{published.commit}#model.safetensors"
    assert main(["list", "name:breeds"]) == 0
    assert main(["stage", "breeds", "--out", str(tmp_path / "staged")]) == 0
    assert "91.5" in (tmp_path / "staged" / "README.md").read_text()
    assert AutoImageProcessor.from_pretrained("breeds").labels == PETS
    assert torch.equal(loaded("breeds").head.fc.bias, pets[0].head.fc.bias)
    assert main(["add", source, "--name", "more", *words, "--weights-url", "https://example.org/x.pth"]) == 2
    assert "has no use for weights_url" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (["a", "", "c"], "1: ''"),
        (["a\nb", "c", "d"], r"0: 'a\nb'"),
        (["a", "b", "c\r"], r"2: 'c\r'"),
        (["a\x00", "b", "\ud800"], r"0: 'a\x00', 2: '\ud800'"),
        ({1: "a", 2: "b", 3: "c"}, "0: ''"),
        ({"a": 0, "b": 1, "c": 2}, "0: '', 1: '', 2: ''"),
    ],
)
def test_a_name_that_is_no_line_of_text_is_said(tmp_path, labels, problem):
    """What a file of names could not hold is refused by number, and nothing is written."""
    with pytest.raises(UsageError) as refused:
        drawn("rexnet_100", num_classes=3).save_pretrained(tmp_path / "names", labels=labels)
    assert str(refused.value) == f"labels are one line of text each, and these are not: {problem}"
    assert not list(tmp_path.iterdir())


def test_a_folder_is_the_one_that_loading_finds(tmp_path, monkeypatch):
    """`~` is the home folder, and what a link leads to is replaced, not the link."""
    monkeypatch.setenv("HOME", str(tmp_path))
    model = drawn("rexnet_100", num_classes=2)
    assert model.save_pretrained("~/kept") == tmp_path / "kept"
    (tmp_path / "link").symlink_to("kept")
    model.save_pretrained(tmp_path / "link", labels=["new", "names"])
    assert (tmp_path / "link").is_symlink()
    assert AutoImageProcessor.from_pretrained("~/kept").labels == ("new", "names")


def test_what_cannot_be_saved_is_said(tmp_path):
    """A name too long for a file, values that are nowhere, and a section in place of fields are refused."""
    model = drawn("rexnet_100", num_classes=2)
    with pytest.raises(UsageError, match="has 250 characters, of 1 to 200"):
        model.save_pretrained(tmp_path / ("x" * 250))
    with pytest.raises(UsageError, match="Metadata is several fields: give each itself"):
        model.save_pretrained(tmp_path / "card", card={"Metadata": {"License": "mit"}})
    with pytest.raises(UsageError, match="Name is the folder's"):
        model.save_pretrained(tmp_path / "card", card={"Name": "other"})
    with pytest.raises(UsageError, match="holds no values"):
        model.to("meta").save_pretrained(tmp_path / "meta")


CARD = {
    "License": "apache-2.0",
    "Description": "Tells beasts apart.\n\nBy drawing.",
    "Limitations": ["Not by night."],
    "Training Data": ["My pets"],
    "Epochs": np.int64(2),
    "LR": Decimal("0.10"),
    "My Own": "kept",
    "Results": [
        {"Task": "Image Classification", "Dataset": name, "Metrics": {"Top 1 Accuracy": "91.5%"}}
        for name in ("beasts", "birds")
    ],
}


def test_what_the_card_said_goes_with_the_model(hub, tmp_path, monkeypatch):
    """What is saved or pushed is added with all that its card said, and published with it; options win."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "pets.yml").write_text(ZOO)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "zoo"))
    model = drawn("test_resnet", num_classes=2)
    model.push_to_hub("org/beasts", card=CARD)
    folder = model.save_pretrained(tmp_path / "beasts", card=CARD)
    usual = ["--collection", "Pets", "--name"]
    assert main(["add", "hf:org/beasts", *usual, "pushed"]) == 0
    assert main(["add", "hf:org/beasts", *usual, "pushed"]) == 0  # it says the same
    other = ["--license", "mit", "--top1", "93", "--dataset", "Beasts"]
    assert main(["add", str(folder), *usual, "saved", *other]) == 0
    for name, license, accuracy in (("pushed", "apache-2.0", "91.5"), ("saved", "mit", "93")):
        entry = load_index().find(name)
        assert (entry.license_id, entry.value("epochs"), str(entry.value("lr"))) == (license, 2, "0.10")
        assert entry.extra["My Own"].value == "kept"
        assert [str(result.metrics["top1"].value) for result in entry.results] == [accuracy, "91.5"]
        assert main(["stage", name, "--out", str(tmp_path / "staged" / name)]) == 0
        card = (tmp_path / "staged" / name / "README.md").read_text()
        for words in ("Tells beasts apart.\n\nBy drawing.", "- Not by night.", "Training Data: My pets"):
            assert words in card


def test_what_was_pushed_is_verified_by_whoever_reads_its_card(hub, tmp_path, monkeypatch, capsys):
    """The card's command works where no index has the model; who changes the card is found out."""
    model = drawn("test_resnet", num_classes=2)
    model.push_to_hub("org/beasts", card=CARD)
    card = hub.repos["org/beasts"].files()["README.md"].decode()
    assert "`rexnet-hub verify hf:org/beasts`" in card
    assert "rexnet-hub predict org/beasts picture.jpg" in card
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "hf:org/beasts"]) == 0
    assert "0 false" in capsys.readouterr().out
    hub.push("org/beasts", {"README.md": card.replace("91.5", "99.5").encode()})
    assert main(["verify", "hf:org/beasts"]) == 1
    assert main(["verify", "hf:org/nobody"]) == 1
    assert "no repo of a model of the index" in capsys.readouterr().err


def test_a_folder_that_was_saved_is_published_by_the_command(hub, tmp_path, capsys):
    """`publish DIR` does what `push_to_hub` does, byte for byte; there is no lock to record it in."""
    model = drawn("test_resnet", num_classes=2)
    model.push_to_hub("org/beasts", card=CARD)
    folder = model.save_pretrained(tmp_path / "beasts", card=CARD)
    assert main(["publish", str(folder), "--to", "hf:tester", "--apply", "--record"]) == 1
    assert "is of no index, so there is no lock to write" in capsys.readouterr().err
    assert main(["publish", str(folder), "--to", "hf:tester/beasts", "--apply"]) == 0
    mine, theirs = (hub.repos[f"{owner}/beasts"].files() for owner in ("tester", "org"))
    assert mine.keys() == theirs.keys()
    assert mine["README.md"] == theirs["README.md"].replace(b"org/beasts", b"tester/beasts")
    assert mine["config.json"] == theirs["config.json"]


@pytest.mark.parametrize(
    "names",
    [
        ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f468\u200d\U0001f469"],
        ["\u67f4\u3000\u72ac", "a\u00a0b"],
    ],
)
def test_names_of_other_scripts_come_back(tmp_path, names):
    """What joins letters or parts words is part of a name, in a folder and in an index."""
    folder = drawn("test_resnet", num_classes=2).save_pretrained(tmp_path / "names", labels=names)
    assert AutoImageProcessor.from_pretrained(folder).labels == tuple(names)


def test_what_is_only_unusual_is_saved(tmp_path, caplog):
    """No classifier is nothing to speak of; a name that the Hub would not take is said."""
    headless = drawn("test_resnet", num_classes=0).save_pretrained(tmp_path / "no head")
    assert loaded(headless).num_classes == 0
    assert "'no head' is none that the Hub takes" in caplog.text
    assert "Num Classes" not in caplog.text
    assert main(["verify", str(headless)]) == 0


def test_an_error_names_the_folder_and_the_tensor(tmp_path, monkeypatch):
    """What is wrong with the network is said of the folder asked for; the current one is not taken."""
    model = drawn("test_resnet", num_classes=2)
    monkeypatch.chdir(tmp_path)
    for folder in ("", "."):
        with pytest.raises(FileProblem, match="is the folder that this runs in"):
            model.save_pretrained(folder)
    with pytest.raises(UsageError, match="null byte"):
        model.save_pretrained("a\0b")
    model.fc.bias.data[0] = float("nan")
    with pytest.raises(CheckpointError, match=r"holds NaN.* in fc\.bias \(1\)") as refused:
        model.save_pretrained("nan")
    assert str(refused.value).startswith(f"{tmp_path / 'nan'}: ")
    assert "/rexnet-hub-" not in str(refused.value)
    assert not list(tmp_path.iterdir())
