"""A network is saved and pushed with its names, its card and what it was loaded from."""

import copy
import io
import json
from typing import Any

import pytest
import torch

from rexnet_hub.auto import AutoImageProcessor, AutoModel, create_model
from rexnet_hub.cli import main
from rexnet_hub.errors import OutputExistsError, PublishError, StateDictError, UsageError
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
        ({"card": {"Model Args": {"depth": 3}}}, "it takes no depth"),
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
        "Pets",
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
    with pytest.raises(UsageError, match="Metadata: give its fields themselves"):
        model.save_pretrained(tmp_path / "card", card={"Metadata": {"License": "mit"}})
    with pytest.raises(UsageError, match="the card's Name is the folder's"):
        model.save_pretrained(tmp_path / "card", card={"Name": "other"})
    with pytest.raises(UsageError, match="holds no values"):
        model.to("meta").save_pretrained(tmp_path / "meta")
