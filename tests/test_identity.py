"""What a file must be: gathered from all that states it, a contradiction refused, one check for everybody."""

from dataclasses import replace

import pytest
import torch
from receipts import retell
from safetensors.torch import load_file

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import MismatchError
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, MeasuredFile, read_lock, write_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.locate import find_repo
from rexnet_hub.weights.digest import digest_file

ENTRY = """\
- Name: {name}
  Metadata: {{ID: rexnet_100, Num Classes: 1000, Image Size: 224, Crop Pct: 0.875, Interpolation: bicubic,
    Image Mean: [0.485, 0.456, 0.406], Image Std: [0.229, 0.224, 0.225]{more}}}
  Weights: {url}
"""


@pytest.fixture(scope="session")
def twins(index, tmp_path_factory):
    """Two checkpoints of one network, other numbers, the same base name: a/weights.pth and b/weights.pth."""
    folder = tmp_path_factory.mktemp("twins")
    draw = torch.Generator().manual_seed(0)
    for name in "ab":
        tensors = {
            tensor: torch.rand(shape, generator=draw) if dtype == "float32" else torch.zeros(shape).long()
            for tensor, (dtype, shape) in entry_plan(index.find("rexnet_100")).tensors.items()
        }
        (folder / name).mkdir()
        torch.save(tensors, folder / name / "weights.pth", _use_new_zipfile_serialization=False)
    return {f"net_{name}": folder / name / "weights.pth" for name in "ab"}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Write an index, and a lock beside it, that every command reads: give (folder, write)."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))

    def write(files, *, sha256=None, size_bytes=None, lock=None):
        more = f", File Size: {size_bytes}" if size_bytes else ""
        text = "".join(
            ENTRY.format(name=name, url=file.as_uri(), more=more)
            + (f"  SHA256: '{sha256}'\n" if sha256 else "")
            for name, file in files.items()
        )
        (folder / "index.yml").write_text(f"Models:\n{text}")
        if lock:
            write_lock(Lock(models=lock), folder / "lock.json")
        return folder

    return write


def same_weights(repo, file):
    """Say whether a repo's weights are those of a checkpoint."""
    theirs = torch.load(file, weights_only=True)
    return all(torch.equal(tensor, theirs[name]) for name, tensor in load_file(repo.weights).items())


def test_two_files_of_one_base_name_are_two_files(twins, zoo, capsys):
    """`fetch` gives each model its own bytes, and the file keeps its readable name."""
    zoo(twins)
    for name, file in twins.items():
        assert main(["fetch", name]) == 0
        path = type(file)(capsys.readouterr().out.strip())
        assert path.name == "weights.pth"
        assert path.read_bytes() == file.read_bytes()


def test_two_models_of_one_base_name_load_their_own_weights(twins, zoo):
    """A model never gets the weights of another whose released file has the same name."""
    zoo(twins)
    for name, file in twins.items():
        AutoModel.from_pretrained(name)
        assert same_weights(find_repo(name), file)


def test_a_model_of_another_index_is_another_model(twins, zoo):
    """The same name in another index, with other weights, is not served from the first one's cache."""
    first, second = twins.values()
    for file in (first, second):
        zoo({"net": file})
        assert same_weights(find_repo("net"), file)


WRONG = f"{1:064}"


@pytest.mark.parametrize("act", ["fetch", "convert", "stage", "load", "verify", "lock", "lock --check"])
def test_the_entrys_own_sha256_is_compared(act, twins, zoo, tmp_path, capsys):
    """An entry whose `SHA256` is another file's is refused, or found false, by all that have the file."""
    file = twins["net_a"]
    folder = zoo({"net_a": file}, sha256=WRONG)
    commands = {
        "fetch": ["fetch", "net_a"],
        "convert": ["convert", "net_a", "--out", str(tmp_path / "a.safetensors")],
        "stage": ["stage", "net_a", "--out", str(tmp_path / "repo"), "--weights", str(file)],
        "verify": ["verify", "net_a", "--weights", str(file)],
        "lock": ["lock", "net_a", "--weights", str(file)],
        "lock --check": ["lock", "net_a", "--weights", str(file), "--check"],
    }
    if act == "load":
        with pytest.raises(MismatchError, match=r"the index \(.*index\.yml:\d+:\d+.*\) states"):
            AutoModel.from_pretrained("net_a")
        return
    assert main(commands[act]) == 1
    told = "".join(capsys.readouterr())
    assert WRONG[:12] in told
    assert not (folder / "lock.json").exists()


def test_a_lock_that_contradicts_the_index_is_false_without_a_file(twins, zoo, capsys):
    """Index and lock that state two files are found by `lock --check` and `verify` with no file at hand."""
    right = digest_file(twins["net_a"])
    for sha256, size_bytes in ((WRONG, None), (None, right.size_bytes + 1)):
        measured = replace(
            read_lock().of("net_a"),
            released=MeasuredFile(sha256=right.sha256, size_bytes=right.size_bytes),
        )
        zoo({"net_a": twins["net_a"]}, sha256=sha256, size_bytes=size_bytes, lock={"net_a": measured})
        for command in (["lock", "net_a", "--check"], ["verify", "net_a"]):
            assert main(command) == 1
            told = capsys.readouterr().out
            assert "index.yml:" in told
            assert "lock.json:" in told


def test_a_contradiction_is_refused_before_a_byte_is_fetched(twins, zoo, tmp_path):
    """Nothing is fetched while index and lock state two files; both are named with their places."""
    right = digest_file(twins["net_a"])
    measured = replace(
        read_lock().of("net_a"), released=MeasuredFile(sha256=right.sha256, size_bytes=right.size_bytes)
    )
    folder = zoo({"net_a": tmp_path / "missing.pth"}, sha256=WRONG, lock={"net_a": measured})
    with pytest.raises(MismatchError) as caught:
        AutoModel.from_pretrained("net_a")
    line = (folder / "lock.json").read_text()[: (folder / "lock.json").read_text().find('"released"')]
    assert f"the lock ({folder / 'lock.json'}:{line.count(chr(10)) + 1}" in str(caught.value)
    assert f"the index ({folder / 'index.yml'}:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_the_cache_is_found_though_its_times_are_kept(entry, own_index, capsys, caplog):
    """`fetch` and `convert` hash the cached file each time, and fetch a damaged one again."""
    import os

    assert main(["fetch", entry.name]) == 0
    path = type(own_index)(capsys.readouterr().out.strip())
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-9] ^= 4
    good = path.read_bytes()
    for command in (["fetch", entry.name], ["convert", entry.name]):
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        caplog.clear()
        assert main(command) == 0
        assert load_index().find(entry.name).released.digest_prefix in caplog.text
        assert path.read_bytes() == good


def test_a_damaged_repo_of_the_cache_is_made_again(entry, own_index, caplog):
    """One flipped bit of the converted weights in the cache: they are made again, and the log says so."""
    weights = AutoModel.from_pretrained(entry.name).state_dict()
    (file,) = find_cache_dir().glob("repos/*/model.safetensors")
    data = bytearray(file.read_bytes())
    data[-9] ^= 4
    file.write_bytes(data)
    again = AutoModel.from_pretrained(entry.name).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
    assert "states SHA-256" in caplog.text or "the receipt" in caplog.text


def test_the_message_says_who_promised(repo):
    """A receipt's promise is the receipt's, not the index's."""
    retell(repo / "receipt.json", lambda receipt: receipt["output"].update(sha256=WRONG))
    with pytest.raises(MismatchError, match=r"the receipt \(.*receipt\.json.*\) states") as caught:
        AutoModel.from_pretrained(repo)
    assert "index" not in str(caught.value)


def test_a_copy_is_given_to_a_folder(entry, checkpoint, own_index, tmp_path, capsys):
    """`fetch --to` copies the checked file there; again it changes nothing, another file is left alone."""
    out = tmp_path / "out"
    for _ in range(2):
        assert main(["fetch", entry.name, "--to", str(out)]) == 0
        assert capsys.readouterr().out.strip() == str(out / checkpoint.name)
    assert [file.read_bytes() for file in out.iterdir()] == [checkpoint.read_bytes()]
    (out / checkpoint.name).write_text("mine")
    assert main(["fetch", entry.name, "--to", str(out)]) == 1
    assert "is another file" in capsys.readouterr().err
    assert (out / checkpoint.name).read_text() == "mine"
