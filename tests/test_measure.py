"""What the lock says is what is measured, and a lock that says otherwise is named."""

import hashlib
import shutil
from collections import OrderedDict
from dataclasses import replace

import pytest
import timm
import torch
from cases import slow

from rexnet_hub.errors import FileProblem, MismatchError
from rexnet_hub.index import Lock, Measured, read_lock
from rexnet_hub.index.lock import MeasuredFile, MeasuredHub
from rexnet_hub.measure import compare_lock, measure_model, merge_measured
from rexnet_hub.publish.staging import write_staged

FILE_SIZES = {"rexnet_100": 19417552, "rexnet_130": 30508197, "rexnet_150": 39227315, "rexnet_200": 65862221}


@pytest.mark.parametrize("of", ["index", slow("zoo")])
def test_the_lock_agrees_with_index_and_networks(of, request):
    """Every number in the zoo's lock comes out again when it is measured."""
    models = request.getfixturevalue(of).models
    assert compare_lock(models, read_lock(), everything=of == "zoo") == ()


def test_the_expected_legacy_size_is_each_claimed_file_size(index):
    """A legacy torch file of the network's tensors is as large as the index says the released file is."""
    for entry in index.models:
        sizes = read_lock().of(entry.name).expected_sizes
        assert sizes.legacy_bytes == entry.value("file_size") == FILE_SIZES[entry.name]


def test_a_staged_file_has_the_expected_size(index, staged):
    """The canonical safetensors file of a staged repo is as large as the lock expects."""
    sizes = read_lock().of("rexnet_100").expected_sizes
    assert (staged / "model.safetensors").stat().st_size == sizes.safetensors_bytes


def test_counters_count_what_they_say(index):
    """Torch counts two a multiply-add, and fvcore more than the convolutions and linear layers alone."""
    macs = measure_model(index.find("rexnet_100")).macs
    assert macs["torch_flop_counter"].count == 2 * macs["conv_linear"].count == 2 * 398370392
    assert 1.03 < macs["fvcore"].count / macs["conv_linear"].count < 1.05


def test_a_lock_that_says_otherwise_is_named(index):
    """A changed count, an absent one and a model that the index does not have are each named."""
    entry = index.find("rexnet_100")
    good = read_lock().of("rexnet_100")
    for told, named in (
        (replace(good, parameters=4796874), "parameters: the lock says 4796874, measured is 4796873"),
        (replace(good, tensors=None), "tensors.count: the lock says nothing, measured is 413"),
    ):
        found = compare_lock([entry], Lock(models={"rexnet_100": told}))
        assert named in " ".join(map(str, found))
    more = Lock(models={"rexnet_100": good, "rexnet_999": Measured()})
    assert [str(d) for d in compare_lock([entry], more)] == [
        "rexnet_999: the model: the lock says there is one, measured is none in the index"
    ]
    assert compare_lock([entry], more, everything=False) == ()


def test_a_stand_in_measures_nothing(index, checkpoint, staged):
    """Digests of stand-in weights never enter a lock."""
    with pytest.raises(FileProblem, match="stand-in"):
        measure_model(index.find("rexnet_100"), checkpoint=checkpoint)
    with pytest.raises(FileProblem, match="stand-in"):
        measure_model(index.find("rexnet_100"), repo=staged)


@pytest.fixture(scope="module")
def real(index, tmp_path_factory):
    """Weights that are no stand-in's, and an entry that names their file: (entry, file, repo)."""
    folder = tmp_path_factory.mktemp("real")
    torch.manual_seed(0)
    tensors = OrderedDict(timm.create_model("rexnet_100").state_dict().items())
    torch.save(tensors, folder / "real.pth", _use_new_zipfile_serialization=False)
    prefix = hashlib.sha256((folder / "real.pth").read_bytes()).hexdigest()[:8]
    entry = index.find("rexnet_100")
    address = entry.weights.value.replace(entry.released.digest_prefix, prefix)
    entry = replace(entry, weights=entry.weights._replace(value=address))
    return entry, folder / "real.pth", write_staged(entry, folder / "real.pth", folder / "repo")


def test_files_are_measured_by_their_bytes(real):
    """A released file and a staged repo give digest, size and fingerprint, as hashlib gives them."""
    entry, file, repo = real
    measured = measure_model(entry, checkpoint=file, repo=repo.folder)
    assert measured.released.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert measured.released.size_bytes == file.stat().st_size
    assert measured.safetensors.sha256 == hashlib.sha256(repo.weights.read_bytes()).hexdigest()
    assert measured.safetensors.fingerprint == repo.receipt.output.fingerprint


def test_files_that_the_lock_does_not_know_are_named(real):
    """A file's digest that the lock lacks or says otherwise is a disagreement; the right one is none."""
    entry, file, repo = real
    right = measure_model(entry, checkpoint=file, repo=repo.folder)
    files = {"everything": False, "checkpoint": file, "repo": repo.folder}
    assert compare_lock([entry], Lock(models={entry.name: right}), **files) == ()
    wrong = replace(right, released=MeasuredFile(sha256="0" * 64, size_bytes=1), safetensors=None)
    found = {d.what for d in compare_lock([entry], Lock(models={entry.name: wrong}), **files)}
    assert found >= {
        "released.sha256",
        "released.size_bytes",
        "safetensors.sha256",
        "safetensors.fingerprint",
    }


def test_another_file_is_not_recorded(real, index, tmp_path):
    """A file that is not the released one, and weights that are not their receipt's, enter no lock."""
    _, file, repo = real
    with pytest.raises(MismatchError, match=r"the index \(.*rexnet\.yml:\d+:\d+, Weights\) states SHA-256"):
        measure_model(index.find("rexnet_100"), checkpoint=file)
    changed = shutil.copytree(repo.folder, tmp_path / "changed")
    data = bytearray((changed / "model.safetensors").read_bytes())
    data[-7] ^= 1
    (changed / "model.safetensors").write_bytes(data)
    with pytest.raises(MismatchError):
        measure_model(index.find("rexnet_100"), repo=changed)


def test_what_is_not_measured_again_stays(entry):
    """New measurements replace old ones, and leave the others."""
    old = Measured(parameters=1, hub=MeasuredHub(repo_id="a/b", commit="0" * 40))
    new = Measured(parameters=2, released=MeasuredFile(sha256="1" * 64, size_bytes=3))
    merged = merge_measured(entry, old, new)
    assert (merged.parameters, merged.hub, merged.released) == (2, old.hub, new.released)
