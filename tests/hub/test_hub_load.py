"""A model loads from a Hub, each byte of it checked, from one commit, offline too."""

import errno
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import slow
from huggingface_hub import constants
from loopback import READ, TRANSPORTS, WRITE
from receipts import retold, with_config
from safetensors.torch import load_file

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.errors import (
    CheckpointError,
    FileProblem,
    HubError,
    MismatchError,
    RepoError,
    UnknownModelError,
    UsageError,
)
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.index.lock import Lock, Measured, MeasuredFile, MeasuredHub, write_lock
from rexnet_hub.layout import PACKAGE_DIR, find_cache_dir
from rexnet_hub.locate import find_repo
from rexnet_hub.patience import Patience

GET_WEIGHTS = r"GET /(org/small|xorb)/[0-9a-f]{64}$"  # the bytes themselves, over LFS and over Xet
by_both = pytest.mark.parametrize("transport", TRANSPORTS)


def same_weights(model, file):
    expected = load_file(file)
    return all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


@pytest.fixture
def published(hub, files):
    """The small repo on the Hub."""
    hub.create("org/small", files)
    return hub


@by_both
def test_a_repo_loads_bit_for_bit_by_id(published, small_staged):
    """Cold: one HEAD and one GET a file, over Xet two more; the weights are the published ones."""
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")
    assert len(published.requests("HEAD /org/small/resolve")) == 3
    more = published.requests("GET .*(xet-read-token|reconstructions)")
    assert len(more) == (2 if published.speaks_xet else 0)
    assert len(published.requests("GET .")) == 3 + len(more)


@by_both
def test_a_warm_load_asks_once_and_a_pinned_or_offline_one_never(published, monkeypatch):
    """From a warm cache: one request for a branch, none for a commit, with local files only, or offline."""
    AutoModel.from_pretrained("org/small")
    for count, options in ((1, {}), (0, {"revision": published.repos["org/small"].head})):
        published.log.clear()
        AutoModel.from_pretrained("org/small", **options)
        assert len(published.log) == count
    published.log.clear()
    AutoModel.from_pretrained("org/small", local_files_only=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    AutoModel.from_pretrained("org/small")
    AutoImageProcessor.from_pretrained("org/small")
    assert published.log == []


def test_a_repo_without_receipt_is_warm_too(hub, files):
    """That a repo has no receipt is remembered: a second load of its commit asks nothing."""
    del files["receipt.json"]
    hub.create("org/bare", files)
    AutoModel.from_pretrained("org/bare", revision=hub.repos["org/bare"].head)
    hub.log.clear()
    AutoModel.from_pretrained("org/bare", revision=hub.repos["org/bare"].head)
    assert hub.log == []


def test_a_processor_brings_no_weights(published):
    """An image processor needs config.json alone."""
    assert AutoImageProcessor.from_pretrained("org/small").preprocessing.input_px == 224
    assert published.requests("GET .") == ["GET /org/small/resolve/main/config.json"]


def test_every_kind_of_revision_loads(published, files):
    """A branch, a tag, a commit, a short one and a pull request each give their own files."""
    repo = published.repos["org/small"]
    first = repo.head
    repo.tags["v1"] = first
    changed = json.dumps(json.loads(files["config.json"]), indent=7)
    second = published.push("org/small", with_config(files, changed.encode()))
    repo.prs["7"] = first
    repo.branches["dev"] = second
    for revision, commit in {"v1": first, first: first, first[:9]: first, "refs/pr/7": first,
                             "dev": second, "main": second, None: second}.items():  # fmt: skip
        assert find_repo("org/small", Access(revision=revision)).folder.name == commit


def test_all_files_are_of_one_commit(published, files):
    """A commit that lands while a repo is loaded changes nothing: the first file settles the commit."""
    before = published.repos["org/small"].head

    def land():
        published.push("org/small", {"model.safetensors": b"another", "receipt.json": b"{}"})

    published.fault("HEAD .*model.safetensors", "before", call=land)
    assert find_repo("org/small").folder.name == before
    assert published.repos["org/small"].head != before


def test_a_name_loads_what_the_lock_says(published, own_small_index, small_staged):
    """A published name comes from its Hub repo at the locked commit, whatever main is since."""
    locked = published.repos["org/small"].head
    sha256 = json.loads((small_staged / "receipt.json").read_text())["output"]["sha256"]
    size_bytes = (small_staged / "model.safetensors").stat().st_size
    measured = Measured(
        hub=MeasuredHub(repo_id="org/small", commit=locked),
        safetensors=MeasuredFile(sha256=sha256, size_bytes=size_bytes),
    )
    write_lock(Lock(models={"small": measured}), own_small_index / "lock.json")
    published.push("org/small", {"config.json": b"{}"})
    assert same_weights(AutoModel.from_pretrained("small"), small_staged / "model.safetensors")
    published.log.clear()
    AutoModel.from_pretrained("small")
    assert published.log == []
    with pytest.raises(RepoError, match="not usable here: missing: architecture"):
        AutoModel.from_pretrained("small", revision="main")


def test_a_name_that_the_lock_contradicts_is_refused(published, own_small_index):
    """Other weights at the locked commit than the locked ones are refused before they are read."""
    measured = Measured(
        hub=MeasuredHub(repo_id="org/small", commit=published.repos["org/small"].head),
        safetensors=MeasuredFile(sha256="f" * 64, size_bytes=1),
    )
    write_lock(Lock(models={"small": measured}), own_small_index / "lock.json")
    with pytest.raises(MismatchError, match=r"the lock \(.*lock\.json:\d+, small\.safetensors\) states"):
        AutoModel.from_pretrained("small")


def test_an_unpublished_name_loads_its_released_file(hub, own_small_index, small_staged):
    """Without a published repo the released file is converted; a revision makes no sense then."""
    assert same_weights(AutoModel.from_pretrained("small"), small_staged / "model.safetensors")
    assert hub.log == []
    with pytest.raises(UsageError, match="not on a Hub yet"):
        AutoModel.from_pretrained("small", revision="v1")


def test_our_own_cache_mends_itself(hub, own_small_index, small_staged):
    """A damaged converted file is made again unless all must be local; an older one is not used."""
    AutoModel.from_pretrained("small")
    (weights,) = (find_cache_dir() / "repos").glob("*/model.safetensors")
    flip(weights)
    with pytest.raises(MismatchError):
        AutoModel.from_pretrained("small", local_files_only=True)
    assert same_weights(AutoModel.from_pretrained("small"), small_staged / "model.safetensors")
    index = own_small_index / "small.yml"
    index.write_text(index.read_text().replace("0.875", "0.9"))
    assert find_repo("small").config.preprocessing.crop_fraction == 0.9
    assert weights.parent != find_repo("small").folder


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.slow
@by_both
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "receipt.json"])
@pytest.mark.parametrize("with_receipt", [True, False])
def test_a_damaged_cache_entry_is_fetched_again_once(hub, files, name, with_receipt, small_staged, tmp_path):
    """One flipped bit in a cached file: online it is mended, offline it is refused."""
    if not with_receipt:
        del files["receipt.json"]
        if name == "receipt.json":
            return
    hub.create("org/small", files)
    AutoModel.from_pretrained("org/small")
    (cached,) = (tmp_path / "hf").glob(f"hub/models--org--small/snapshots/*/{name}")
    flip(cached.resolve())
    with pytest.raises(MismatchError):
        AutoModel.from_pretrained("org/small", local_files_only=True)
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")
    AutoModel.from_pretrained("org/small", local_files_only=True)


@by_both
@pytest.mark.parametrize("on", [GET_WEIGHTS, "GET .*config.json", "GET .*receipt.json"])
def test_a_byte_flipped_on_the_way_is_mended_or_refused(published, on, small_staged):
    """A flipped byte under the right name: once, it is fetched again; each time, it is refused."""
    published.fault(on, "flip")
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")
    assert len(published.requests(on)) == 2


@by_both
@pytest.mark.parametrize("on", [GET_WEIGHTS, "GET .*config.json", "GET .*receipt.json"])
def test_a_byte_flipped_each_time_is_refused(published, on):
    """What differs twice is not loaded."""
    published.fault(on, "flip", times=9)
    with pytest.raises((MismatchError, CheckpointError)):
        AutoModel.from_pretrained("org/small")
    assert len(published.requests(on)) == 2


def test_a_lying_receipt_is_refused_by_the_hubs_record(hub, files):
    """Weights that are not what the receipt says are refused though the Hub's own record holds."""
    files["receipt.json"] = retold(
        files["receipt.json"], lambda receipt: receipt["output"].update(sha256="e" * 64)
    )
    hub.create("org/small", files)
    with pytest.raises(MismatchError, match="the Hub's own record"):
        AutoModel.from_pretrained("org/small")


@by_both
@pytest.mark.parametrize(
    ("on", "after_bytes"),
    [(GET_WEIGHTS, n) for n in (0, 1, 70_000, 13_000_000)]
    + [("GET .*config.json", 5), ("GET .*receipt.json", 99)],
)
def test_a_cut_download_goes_on(published, on, after_bytes, small_staged):
    """A connection that ends early is taken up again, and the whole is what was published."""
    published.fault(on, "drop", after_bytes=after_bytes)
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")


@by_both
@pytest.mark.parametrize("on", ["HEAD .*config.json", "HEAD .*model.safetensors", GET_WEIGHTS])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_waited_for(published, on, status, small_staged):
    """One 429 or 503 in the way of each kind of request does not end a load."""
    published.fault(on, "status", status=status)
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")


@pytest.mark.parametrize("on", ["HEAD .*config.json", "HEAD .*model.safetensors", "HEAD .*receipt"])
def test_an_answer_that_is_cut_is_asked_for_again(published, on, small_staged):
    """A request whose answer never comes is sent once more."""
    published.fault(on, "lost")
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")


@by_both
@pytest.mark.parametrize("on", [*map(slow, ("HEAD .*config.json", "GET .*config.json")), GET_WEIGHTS])
def test_a_stalled_download_ends(published, monkeypatch, on):
    """A Hub that falls silent is given up after the time limit, in one line."""
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hasty = Patience(step_seconds=0.2, attempts=2, wait_seconds=0)
    monkeypatch.setattr("rexnet_hub.hub.snapshot.PATIENCE", hasty)
    published.fault(on, "stall", after_bytes=60, times=99)
    monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.2)
    with pytest.raises(HubError, match="does not answer") as caught:
        AutoModel.from_pretrained("org/small")
    assert "\n" not in str(caught.value)


@by_both
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # what is given up ends unclosed
@pytest.mark.parametrize("on", ["GET .*config.json", GET_WEIGHTS])
def test_a_download_that_drips_ends(published, monkeypatch, on):
    """A Hub that sends a byte now and then, so that no wait is long, is given up after the file's limit."""
    monkeypatch.setattr("rexnet_hub.hub.snapshot.WEIGHTS_SECONDS", 0.3)
    hasty = Patience(total_seconds=0.3, attempts=2, wait_seconds=0)
    monkeypatch.setattr("rexnet_hub.hub.snapshot.PATIENCE", hasty)
    published.fault(on, "drip", times=99)
    started = time.monotonic()
    with pytest.raises(HubError, match="is too slow") as caught:
        AutoModel.from_pretrained("org/small")
    assert time.monotonic() - started < 20
    assert "\n" not in str(caught.value)


@by_both
def test_a_hub_that_is_gone_leaves_the_cache(published, small_staged, caplog):
    """With a warm cache a load works though the Hub is down."""
    AutoModel.from_pretrained("org/small")
    published.gone = True
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")


# fmt: off
REFUSALS: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "missing repo": ("org/none", {}, HubError, "no such repo, or it is private"),
    "missing revision": ("org/small", {"revision": "v9"}, HubError, "no branch, tag, commit or .* named v9"),
    "wrong token": ("org/small", {"token": "hf_SENTINELwrong000"}, HubError, "token is not valid"),
    "gated": ("org/gated", {"token": READ}, HubError, "it is gated; ask for access at http"),
    "private": ("org/private", {"token": False}, HubError, "no such repo, or it is private"),
    "no config": ("org/empty", {}, RepoError, "is no model repo, it has no config.json"),
    "pickle": ("org/pickle", {}, RepoError, "hf download org/pickle config.json .* rexnet-hub convert"),
    "no weights": ("org/weightless", {}, RepoError, "has no model.safetensors"),
    "bad id": ("org/small/x", {}, UnknownModelError, "no model is named"),
    "odd id": ("org/-small", {}, UnknownModelError, "no model is named"),
    "forbidden id": ("org/a--b", {}, UnknownModelError, "no model is named"),
    "not cached": ("org/small", {"local_files_only": True}, HubError, "load it once online"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_says_what_to_do(hub, files, case):
    """One line of ours for each thing that a Hub or a caller can get wrong; no token in it."""
    source, options, kind, said = REFUSALS[case]
    hub.create("org/small", files)
    hub.create("org/gated", files, gated=True)
    hub.create("org/private", files, private=True)
    hub.create("org/empty", {"README.md": b"# empty"})
    config = {"config.json": files["config.json"]}
    hub.create("org/weightless", config)
    hub.create("org/pickle", config | {"pytorch_model.bin": b"never unpickled"})
    with pytest.raises(kind, match="(?s)" + said) as caught:
        AutoModel.from_pretrained(source, **options)
    assert "\n" not in str(caught.value)
    assert "SENTINEL" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not hub.requests("GET .*pytorch_model.bin")


def test_a_link_out_of_the_cache_is_refused(published, tmp_path):
    """A cached path that leads elsewhere is not read, whatever is there."""
    AutoModel.from_pretrained("org/small")
    (cached,) = (tmp_path / "hf").glob("hub/models--org--small/snapshots/*/config.json")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes(cached.read_bytes())
    cached.unlink()
    cached.symlink_to(elsewhere)
    with pytest.raises(RepoError, match="leads out of the cache"):
        AutoModel.from_pretrained("org/small", local_files_only=True)


def test_no_code_of_a_repo_is_run(hub, files, tmp_path):
    """A repo that brings code and asks for it to be run is loaded without either."""
    config = json.loads(files["config.json"])
    config["auto_map"] = {"AutoModel": "modeling.Evil", "AutoConfig": "modeling.Evil"}
    code = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    hub.create("org/small", with_config(files, json.dumps(config).encode()) | {"modeling.py": code})
    AutoModel.from_pretrained("org/small")
    assert not hub.requests("modeling")
    assert not (tmp_path / "ran").exists()


@by_both
def test_no_token_is_written_anywhere(published, tmp_path, caplog, capfd):
    """At debug level, with a failing Hub: no token in logs, outputs, cache or message."""
    caplog.set_level(logging.DEBUG)
    published.fault("HEAD .*config.json", "status", status=503)
    AutoModel.from_pretrained("org/small", token=WRITE)
    published.fault("GET", "status", status=403, times=99)
    published.push("org/small", {"config.json": b"{}"})
    with pytest.raises(HubError) as caught:
        AutoModel.from_pretrained("org/small", token=WRITE)
    told = caplog.text + "".join(capfd.readouterr()) + str(caught.value)
    assert "SENTINEL" not in told
    written = [file for file in tmp_path.rglob("*") if file.is_file() and b"SENTINEL" in file.read_bytes()]
    assert written == []


@by_both
def test_a_full_disk_is_said(published, small_staged):
    """No room for the weights: a message with the path; with room again the load ends right."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, hard))
    try:
        with pytest.raises(FileProblem, match="cannot be written: File too large") as caught:
            AutoModel.from_pretrained("org/small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")


@pytest.mark.filterwarnings("ignore:flock not supported:UserWarning")  # the client says so
def test_a_cache_on_a_disk_without_locks_is_filled(published, small_staged, monkeypatch):
    """Where the system gives no lock, a Hub repo loads all the same, within seconds, and so does a second."""

    def refuse(*arguments):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", refuse)
    start = time.monotonic()
    for _ in range(2):
        assert same_weights(AutoModel.from_pretrained("org/small"), small_staged / "model.safetensors")
    assert time.monotonic() - start < 30


def test_a_cache_that_is_none_is_said(published, tmp_path):
    """A file where the cache's folder would be is a message with its path."""
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    with pytest.raises(FileProblem, match=r"blocked.* cannot be written") as caught:
        AutoModel.from_pretrained("org/small", cache_dir=blocked)
    assert "\n" not in str(caught.value)


READER = """
import json, os, sys
from pathlib import Path
import torch
from huggingface_hub import constants
from rexnet_hub.auto import AutoImageProcessor, AutoModel

place, commit = Path(sys.argv[1]), sys.argv[2]
AutoModel.from_pretrained("org/small")  # online: the cache is filled
ways = [("org/small", {"local_files_only": True}), ("org/small", {"revision": commit}), ("small", {})]

def loaded():
    told = []
    for source, options in ways:
        picture = AutoImageProcessor.from_pretrained(source, **options)(place / "picture.png")
        with torch.inference_mode():
            told.append(AutoModel.from_pretrained(source, **options)(picture).tolist())
    return told

before = loaded()  # and whatever is imported late is there
everything = [place, *(file for file in place.rglob("*") if not file.is_symlink())]
for file in everything:
    file.chmod(0o555 if file.is_dir() else 0o444)
if os.getuid() == 0:  # whom no such bits stop
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
refused = 0
for file in everything:
    try:
        (file / "new").touch() if file.is_dir() else file.open("ab").close()
    except PermissionError:
        refused += 1
constants.HF_HUB_OFFLINE = True
print(json.dumps([len(everything), refused, before, loaded()]))
"""


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_loads_offline(published, files, small_index, picture):
    """Who may read the caches, and write nowhere in them, loads from them and gets the same logits."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(small_index, place / "index")
        shutil.copy(picture, place / "picture.png")
        # Another user may not be able to read a checkout.
        shutil.copytree(PACKAGE_DIR, place / PACKAGE_DIR.name)
        environment = dict(
            os.environ, HF_ENDPOINT=published.url, HF_HOME=str(place / "hf"), HF_HUB_DISABLE_XET="1",
            REXNET_HUB_CACHE=str(place / "own"), REXNET_HUB_INDEX=str(place / "index"), PYTHONPATH=folder,
        )  # fmt: skip
        commit = published.repos["org/small"].head
        child = subprocess.run(
            [sys.executable, "-c", READER, folder, commit],
            env=environment, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        for part in [place, *place.rglob("*")]:  # so that it can be removed
            part.chmod(0o755)
    assert child.returncode == 0, child.stderr
    things, refused, before, after = json.loads(child.stdout)
    assert refused == things > len(files)
    assert before == after
    assert len(before[0][0]) == 10
    assert before[0] == before[1] == before[2]
