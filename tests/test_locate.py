"""A model is found by what people write for it: a name, a folder, a Hub id, as timm and the shell do."""

import json
import re
import shutil
from typing import Any

import pytest
import timm

from rexnet_hub.auto import AutoModel, create_model
from rexnet_hub.cli import main
from rexnet_hub.errors import CheckpointError, FileProblem, RepoError, UsageError
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.locate import _wanted, find_entry, find_repo, find_repo_config, name_of, read_source

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("written", ["~/{}", "~/{}/", "local-dir:{home}/{}", "local-dir:~/{}", "{home}/{}/"])
def test_a_folder_is_found_however_it_is_written(repo, monkeypatch, written):
    """A folder is the same one below `~`, with a slash at its end, and as timm writes it."""
    monkeypatch.setenv("HOME", str(repo.parent))
    source = written.format(repo.name, home=repo.parent)
    assert find_repo(source).folder.samefile(repo)
    assert find_repo_config(source).architecture == "rexnet_100"
    assert name_of(source) == "rexnet_100"
    with pytest.raises(UsageError, match="has no use for revision"):
        find_repo(source, Access(revision="main"))


@pytest.mark.parametrize("nothing", ["", " ", "local-dir:", "hf-hub:"])
def test_nothing_is_not_the_current_folder(repo, monkeypatch, nothing):
    """Who names no model is told so, though there is a repo in the current folder."""
    monkeypatch.chdir(repo)
    with pytest.raises(UsageError, match="no model is named"):
        AutoModel.from_pretrained(nothing)
    assert find_repo(".").config.architecture == "rexnet_100"


@pytest.mark.parametrize("source", ["./model", "org/model", "."])
def test_what_can_be_no_name_is_not_looked_up_in_the_index(source, monkeypatch, tmp_path):
    """A path or a Hub id is asked of no index, not even of one that is not there; a name is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "none.yml"))
    assert find_entry(source) is None
    with pytest.raises(FileProblem, match=r"none\.yml"):
        find_entry("model")


def test_a_name_may_end_in_a_slash(own_index):
    """A slash behind a name or a Hub id says nothing where there is no such folder."""
    assert read_source("rexnet_100/") == "rexnet_100"
    assert _wanted(read_source("org/name/"), Access()).repo_id == "org/name"


@pytest.mark.parametrize(
    ("written", "revision"),
    [("hf-hub:org/name", None), (f"hf-hub:org/name@{COMMIT}", COMMIT), ("org/name@v1.0", "v1.0")],
)
def test_a_hub_id_is_read_as_timm_writes_it(written, revision):
    """A Hub id may have timm's scheme and a revision; two revisions are refused."""
    wanted = _wanted(read_source(written), Access())
    assert (wanted.repo_id, wanted.revision) == ("org/name", revision)
    assert name_of(written) == "name"
    if revision:
        with pytest.raises(UsageError, match="has no use for revision"):
            _wanted(read_source(written), Access(revision="main"))


def test_an_empty_revision_is_refused():
    """Who ends an id in @ asked for something: the newest is not taken without a word."""
    with pytest.raises(UsageError, match="org/name@: names no revision after the @"):
        _wanted(read_source("org/name@"), Access())


def test_a_home_of_nobody_is_no_folder(repo):
    """`~name` of nobody on this machine is a folder that is not there."""
    with pytest.raises(FileProblem, match="~nobodyhere/x: there is no such folder"):
        find_repo("~nobodyhere/x")


def test_a_git_lfs_pointer_is_named_as_one(repo):
    """Weights that git did not bring are said to be a pointer, with what brings them."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{1:064d}\nsize 19393316\n"
    (repo / "model.safetensors").write_text(text)
    (repo / "receipt.json").unlink()
    with pytest.raises(CheckpointError, match=r"is a git-lfs pointer.*git lfs pull"):
        AutoModel.from_pretrained(repo)


def test_the_advice_for_a_folder_with_a_pickle_ends_in_a_folder_that_loads(repo, checkpoint, capsys):
    """Who does what the message says has a folder that loads."""
    (repo / "model.safetensors").unlink()
    (repo / "receipt.json").unlink()
    shutil.copy(checkpoint, repo / "pytorch_model.bin")
    with pytest.raises(RepoError, match="convert its pickle first: rexnet-hub ") as caught:
        AutoModel.from_pretrained(repo)
    assert main(str(caught.value).partition("rexnet-hub ")[2].split()) == 0
    assert AutoModel.from_pretrained(repo).num_classes == 1000


def test_a_folder_stands_for_the_model_that_it_says(own_index, repo, capsys, monkeypatch):
    """`show`, `card`, `recipe` and `verify` take a repo folder by itself; `verify` checks it too."""
    monkeypatch.chdir(repo.parent.parent)
    answers = {}
    for word in ("rexnet_100", str(repo)):
        for command in ("show", "card", "recipe"):
            assert main([command, word]) == 0
            answers[command, word] = capsys.readouterr().out
    assert [answers[command, str(repo)] for command in ("show", "card", "recipe")] == [
        answers[command, "rexnet_100"] for command in ("show", "card", "recipe")
    ]
    assert main(["verify", "--repo", str(repo)]) == 0
    named = capsys.readouterr().out
    assert main(["verify", str(repo)]) == 0
    assert capsys.readouterr().out == named
    assert main(["verify", str(repo), "--repo", str(repo)]) == 2


def test_a_folder_of_a_model_that_the_index_has_not_is_said_to_be(own_index, repo, capsys):
    """Of what another index published the next step is named, where its card is too; no name is proposed."""
    config = json.loads((repo / "config.json").read_text())
    config["rexnet_hub"]["name"] = "theirs"
    (repo / "config.json").write_text(json.dumps(config))
    for command in ("show", "card", "recipe", "verify"):
        assert main([command, str(repo)]) == 1
        said = capsys.readouterr().err
        assert "is of 'theirs', which the index has not" in said
        assert f"rexnet-hub add {repo} --name theirs" in said


def test_a_folder_that_was_saved_stands_for_itself(own_index, tmp_path, capsys, monkeypatch):
    """What no index has is shown and verified by its own receipt, whatever the index has of that name."""
    monkeypatch.chdir(tmp_path)
    model: Any = create_model("test_resnet", num_classes=2)
    folder = model.save_pretrained("rexnet_100", labels=["a", "b"], card={"Epochs": 3, "License": "mit"})
    answers = {}
    for command in ("show", "card", "recipe", "verify"):
        assert main([command, "./rexnet_100"]) == 0, command
        answers[command] = capsys.readouterr().out
    assert "rexnet_100  (rexnet_100/receipt.json:3:11)" in answers["show"]
    lines = [line.strip(" ,") for line in (folder / "receipt.json").read_text().splitlines()]
    line = lines.index('"Epochs": 3') + 1
    assert f"receipt.json, line {line}\n" in answers["show"]
    card = (folder / "README.md").read_text()
    assert answers["card"] == card
    assert "--epochs 3" in answers["recipe"]
    assert " 0 false" in answers["verify"]
    assert "the model index" not in card
    assert "lock.json" not in card
    commands = re.findall(r"`(rexnet-hub verify [^`]*)`|^(rexnet-hub .*)$", card, re.MULTILINE)
    assert [*dict.fromkeys(one or other for one, other in commands)] == [
        "rexnet-hub predict ./rexnet_100 picture.jpg",
        "rexnet-hub verify ./rexnet_100",
    ]
    (folder / "README.md").write_text(card.replace("mit", "apache-2.0"))
    assert main(["verify", "./rexnet_100"]) == 1
    (folder / "README.md").unlink()
    capsys.readouterr()
    assert main(["card", "./rexnet_100"]) == 0
    assert capsys.readouterr().out.startswith("---\n")


def test_a_folder_that_names_no_model_is_refused(own_index, tmp_path, capsys):
    """A repo of another library does not say which model of the index it is, and that is said."""
    timm.models.save_for_hf(timm.create_model("rexnet_100"), tmp_path / "theirs", safe_serialization=True)
    for command in ("show", "card", "verify"):
        assert main([command, str(tmp_path / "theirs")]) == 2
        assert "does not say which model it is: name it" in capsys.readouterr().err
