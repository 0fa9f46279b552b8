"""A repo folder is written whole or not at all, the same each time, and read strictly."""

import json
import shutil
from typing import Any

import pytest

from rexnet_hub.errors import CheckpointError, FileProblem, OutputExistsError, RepoError, StateDictError
from rexnet_hub.index import Measured, read_lock
from rexnet_hub.layout import REPO_FILES
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.repo.folder import fetch_released, read_repo


def read_files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_repo_holds_its_four_files(staged):
    """A staged repo is card, config, weights and receipt, and nothing else."""
    assert sorted(read_files(staged)) == sorted(REPO_FILES)


def test_staging_twice_gives_the_same_bytes(standins, staged, tmp_path):
    """The same entry, lock and checkpoint give the same folder, to the byte; another lock another card."""
    index, entry, checkpoint = standins
    measured = read_lock(index / "lock.json").of(entry.name)
    again = write_staged(entry, checkpoint, tmp_path / "again", measured=measured)
    assert read_files(again.folder) == read_files(staged)
    other = read_files(write_staged(entry, checkpoint, tmp_path / "other").folder)
    differing = {name for name, data in read_files(staged).items() if other[name] != data}
    assert differing == {"README.md", "receipt.json"}  # which states the card


def test_a_folder_that_is_not_empty_is_left_alone(entry, checkpoint, tmp_path):
    """Staging refuses a folder that holds something, and changes nothing in it."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="is not empty"):
        write_staged(entry, checkpoint, tmp_path / "full")
    assert read_files(tmp_path / "full") == {"mine.txt": b"mine"}


def test_a_failed_staging_leaves_nothing(entry, checkpoint, tmp_path):
    """A damaged checkpoint is refused by name, and no folder appears, whole or half."""
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"damaged\.pth"):
        write_staged(entry, damaged, tmp_path / "out" / "repo")
    assert list((tmp_path / "out").iterdir()) == []


def test_another_models_checkpoint_is_refused(index, checkpoint, tmp_path):
    """A checkpoint of another width is refused, naming tensors of another shape."""
    with pytest.raises(StateDictError, match=r"of another shape"):
        write_staged(index.find("rexnet_130"), checkpoint, tmp_path / "repo")


def test_the_released_file_is_fetched_and_checked(entry, checkpoint, tmp_path):
    """Fetching brings the released file, byte for byte, into the cache."""
    fetched = fetch_released(entry, cache_dir=tmp_path, measured=Measured())
    assert fetched.name == entry.released.file_name
    assert fetched.is_relative_to(tmp_path / "released")
    assert fetched.read_bytes() == checkpoint.read_bytes()


def test_a_repo_without_its_parts_is_refused_by_name(repo):
    """A folder without config.json, without weights or with neither says what is missing."""
    (repo / "model.safetensors").unlink()
    with pytest.raises(RepoError, match=r"has no model\.safetensors"):
        read_repo(repo)
    (repo / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RepoError, match=r"rexnet-hub convert .*pytorch_model\.bin"):
        read_repo(repo)
    (repo / "config.json").unlink()
    with pytest.raises(RepoError, match=r"no config\.json"):
        read_repo(repo)
    shutil.rmtree(repo)
    with pytest.raises(FileProblem, match="no such folder"):
        read_repo(repo)


@pytest.mark.parametrize(
    "key", ["architecture", "num_classes", "input_size", "crop_pct", "interpolation", "mean"]
)
def test_a_config_that_lacks_something_names_it(repo, key):
    """Each key that a network needs is missed by name."""
    config = json.loads((repo / "config.json").read_text())
    for mapping in (config, config["pretrained_cfg"]):
        mapping.pop(key, None)
    (repo / "config.json").write_text(json.dumps(config))
    with pytest.raises(RepoError, match=f"missing: {key}"):
        read_repo(repo)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN'])
def test_a_config_that_is_no_json_object_is_refused(repo, text):
    """A config.json that is not a JSON object is one line, with the file's name."""
    (repo / "config.json").write_text(text)
    with pytest.raises(RepoError, match=r"config\.json: ") as caught:
        read_repo(repo)
    assert "\n" not in str(caught.value)


HOSTILE: dict[str, list[Any]] = {
    "pretrained_cfg": [1, "a"],
    "model_args": [[1], "s", {"in_chans": "3"}, {"in_chans": -1}, {"in_chans": 10**9}, {"global_pool": None}],
    "num_classes": [True, -1, 10**12, "1000", None],
    "label_names": [["one"], [None] * 1000, ["\x1b[2J"] * 1000],
    "input_size": [[0, 224, 224], [3, 224.0, 224.0], [3, 224, 225], [3, 10**9, 10**9], [3.0, 224, 224], "x"],
    "crop_pct": [True, 0, 1.5, "0.9"],
    "interpolation": ["quintic", None, 3],
    "mean": [[0.1, 0.2], ["a", 0, 0], [10**400] * 3, [True] * 3],
    "std": [[0, 1, 1], [float("nan")] * 3, [float("inf")] * 3],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, row in HOSTILE.items() for value in row])
def test_a_hostile_config_is_refused_by_its_key(repo, key, value):
    """Whatever a config.json says of the wrong kind or size is one line of ours."""
    config = json.loads((repo / "config.json").read_text())
    inner = key in config["pretrained_cfg"] and key not in ("num_classes", "label_names")
    (config["pretrained_cfg"] if inner else config)[key] = value
    (repo / "config.json").write_text(json.dumps(config))
    with pytest.raises(RepoError, match=r"config\.json: ") as caught:
        read_repo(repo)
    assert "\n" not in str(caught.value)
