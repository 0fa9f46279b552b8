"""Weights whose only home is a repo of the Hub, at a commit: added there, fetched, loaded, and lied about."""

import hashlib

import jsonschema
import pytest
import timm
import torch
import yaml
from loopback import READ, TRANSPORTS, WRITE
from safetensors.torch import load_file, save_file

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import FetchError, HubError, MismatchError
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.index.schema import build_schema
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.publish import publish_all
from rexnet_hub.repo.folder import fetch_released
from rexnet_hub.weights.receipt import read_receipt

#: One model of ten classes, up to where its own Metadata begin.
HEAD = """\
Type: model-index
Collections:
- Name: Pets
  License: MIT
  Metadata:
    Num Classes: 10
    Image Size: 64
    Crop Pct: 0.875
    Interpolation: bicubic
    Image Mean: [0.485, 0.456, 0.406]
    Image Std: [0.229, 0.224, 0.225]
Models:
- Name: net
  In Collection: Pets
"""
INDEX = (
    HEAD
    + """\
  Metadata: {{ID: rexnet_100}}
  Weights: {weights}
  SHA256: '{sha256}'
"""
)
WEIGHTS = "model.safetensors"
SCHEMA = jsonschema.Draft202012Validator(build_schema())


def tensors(seed):
    """A network of ten classes that is no stand-in, as timm has it."""
    torch.manual_seed(seed)
    return timm.create_model("rexnet_100", num_classes=10).state_dict()


def as_bytes(state, folder, metadata):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "x", metadata=metadata)
    return (folder / "x").read_bytes()


@pytest.fixture(scope="module")
def canonical(tmp_path_factory):
    """The weights in the bytes that this package writes too."""
    return as_bytes(tensors(1), tmp_path_factory.mktemp("canonical"), {"format": "pt"})


@pytest.fixture
def told(hub, canonical, tmp_path, monkeypatch):
    """Write an index whose only model has its weights on the Hub, where a change may be a lie."""
    hub.create("timm/net", {WEIGHTS: canonical})

    def tell(weights=None, data=canonical):
        address = weights or f"hf:timm/net@{hub.repos['timm/net'].head}#{WEIGHTS}"
        text = INDEX.format(weights=address, sha256=hashlib.sha256(data).hexdigest())
        (tmp_path / "index").mkdir(exist_ok=True)
        (tmp_path / "index" / "pets.yml").write_text(text)
        monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "index"))
        return load_index()

    return tell


def fetch(index, **options):
    return fetch_released(
        index.find("net"), cache_dir=find_cache_dir(), measured=read_lock().of("net"), **options
    )


by_both = pytest.mark.parametrize("transport", TRANSPORTS)


@by_both
def test_weights_on_the_hub_are_loaded_at_their_commit(hub, told, canonical, capsys):
    """They are fetched at the commit, whatever the head is now, digested, loaded; nobody converts them."""
    index = told()
    assert index.problems == ()
    assert list(SCHEMA.iter_errors(yaml.safe_load(index.find("net").location.file.read_text()))) == []
    commit = hub.repos["timm/net"].head
    hub.push("timm/net", {WEIGHTS: b"others"})
    model, state = AutoModel.from_pretrained("net"), tensors(1)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert hub.requests("resolve") == [line for line in hub.requests("resolve") if commit in line] != []
    (folder,) = (find_cache_dir() / "repos").glob("net-*")
    receipt = read_receipt(folder / "receipt.json")
    assert (receipt.source.format, receipt.is_unchanged) == ("safetensors", True)
    assert (folder / WEIGHTS).read_bytes() == canonical


@pytest.mark.slow
def test_each_command_takes_them(hub, told, canonical, tmp_path, capsys):
    """`fetch`, `convert`, `stage`, `verify` and `lock` work on them, and the second fetch asks nobody."""
    told()
    for words in (
        ["fetch", "net", "--to", tmp_path / "to"],
        ["convert", "net", "--out", tmp_path / "made.safetensors"],
        ["convert", "net"],
        ["stage", "net", "--out", tmp_path / "staged", "--to", "hf:org"],
        ["verify", "net", "--repo", tmp_path / "staged", "--weights", tmp_path / "to" / WEIGHTS],
        ["lock", "net", "--repo", tmp_path / "staged", "--weights", tmp_path / "to" / WEIGHTS],
        ["lock", "--check"],
        ["cache", "--check"],
    ):
        assert main([str(word) for word in words]) == 0, words
    said = capsys.readouterr()
    assert said.err.count("nobody converted anything") == 2
    assert "damaged" not in said.out
    assert len(hub.requests("HEAD .*resolve")) == 1
    assert (
        (tmp_path / "to" / WEIGHTS).read_bytes() == canonical == (tmp_path / "made.safetensors").read_bytes()
    )
    assert "nobody converted it" in (tmp_path / "staged" / "README.md").read_text()


def test_a_file_that_is_not_canonical_keeps_its_tensors(hub, told, tmp_path):
    """A file without metadata, as of timm, keeps its tensors bit for bit; the receipt has both digests."""
    data = as_bytes(tensors(1), tmp_path, None)
    hub.push("timm/net", {WEIGHTS: data})
    told(data=data)
    assert main(["stage", "net", "--out", str(tmp_path / "staged")]) == 0
    receipt, state = read_receipt(tmp_path / "staged" / "receipt.json"), tensors(1)
    assert (receipt.source.format, receipt.is_unchanged) == ("safetensors", False)
    assert receipt.source.sha256 == hashlib.sha256(data).hexdigest()
    written = load_file(tmp_path / "staged" / WEIGHTS)
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], state[name]) for name in state)
    assert "nobody converted it" not in (tmp_path / "staged" / "README.md").read_text()


def test_a_file_on_disk_is_converted_too(canonical, tmp_path, capsys):
    """`convert FILE.safetensors` writes beside it and not over it; another network's is refused."""
    (tmp_path / "a.safetensors").write_bytes(canonical)
    assert main(["convert", str(tmp_path / "a.safetensors")]) == 0
    assert (tmp_path / "a.converted.safetensors").read_bytes() == canonical
    assert main(["convert", str(tmp_path / "a.safetensors"), "--model", "rexnet_100"]) == 1
    assert "head.fc" in capsys.readouterr().err


def other_repo(hub, data, commit):
    hub.create("timm/other", {WEIGHTS: data.replace(b"features", b"Features")})
    return f"hf:timm/other@{hub.repos['timm/other'].head}#{WEIGHTS}", data


def at(repo_id, commit=None, name=WEIGHTS):
    return lambda hub, data, head: (f"hf:{repo_id}@{commit or head}#{name}", data)


#: What is wrong with an address or with what is there: how it is told, of what kind it is, and its words.
LIES = {
    "wrong SHA256": (lambda hub, data, commit: (None, b"another"), MismatchError, "the Hub's own record"),
    "another repo's file": (other_repo, MismatchError, "the Hub's own record"),
    "the commit is gone": (at("timm/net", "0" * 40), HubError, "has no branch, tag, commit"),
    "no such file": (at("timm/net", name="pets.safetensors"), HubError, "a file is missing at"),
    "no such repo": (at("timm/none"), HubError, "no such repo"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_one_error_and_leaves_nothing(hub, told, canonical, lie):
    """Both statements and their places are said, and the cache holds nothing of it."""
    plant, kind, words = LIES[lie]
    index = told(*plant(hub, canonical, hub.repos["timm/net"].head))
    with pytest.raises(kind, match=words) as caught:
        fetch(index)
    assert kind is MismatchError or "\n" not in str(caught.value)
    assert "pets.yml" in str(caught.value) or kind is HubError
    assert [file for file in find_cache_dir().rglob("*") if file.is_file() and file.suffix != ".lock"] == []


def test_what_a_token_may_not_read_is_said(hub, told, monkeypatch):
    """A gated and a private repo are one line each; a token that is given is the one that asks."""
    index = told()
    repo = hub.repos["timm/net"]
    monkeypatch.setenv("HF_TOKEN", READ)
    repo.gated = True
    with pytest.raises(HubError, match="it is gated; ask for access"):
        fetch(index)
    repo.gated, repo.private = False, True
    with pytest.raises(HubError, match="no such repo, or it is private"):
        AutoModel.from_pretrained("net", token=False)
    repo.gated = True
    AutoModel.from_pretrained("net", token=WRITE)


def test_a_renamed_repo_still_gives_them(hub, told, canonical):
    """The Hub leads to the new name; commit and digest say that it is the same file."""
    index = told()
    commit = hub.repos["timm/net"].head
    hub.repos["timm/renamed"] = hub.repos["timm/net"]
    hub.fault("/timm/net/resolve", "redirect", location=f"/timm/renamed/resolve/{commit}/{WEIGHTS}", times=-1)
    assert fetch(index).read_bytes() == canonical
    assert hub.requests("/timm/renamed/resolve")


def test_what_is_damaged_on_the_way_is_refused(hub, told, monkeypatch):
    """A flipped bit is seen by the digest; the next try gives the file; offline, only what is there does."""
    index = told()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match=r"is not in the cache .*, and this is offline"):
        fetch(index)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub.fault(r"GET /timm/net/[0-9a-f]{64}$", "flip")
    with pytest.raises(MismatchError, match="SHA-256"):
        fetch(index)
    fetch(index)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    fetch(index)


@pytest.mark.parametrize(
    "address",
    [
        f"hf:timm/net@main#{WEIGHTS}",
        f"hf:timm/net@1234567#{WEIGHTS}",
        f"hf:timm/net#{WEIGHTS}",
        f"hf:timm/net@{'a' * 40}#model.bin",
        f"hf:timm/net@{'a' * 40}#a/{WEIGHTS}",
        f"hf:timm/net@{'a' * 40}",
        f"hf:net@{'a' * 40}#{WEIGHTS}",
        f"hf:../net@{'a' * 40}#{WEIGHTS}",
        "hf:net",
    ],
)
def test_an_address_that_is_none_is_an_error_at_its_place(told, address, capsys):
    """`validate` names the place and what is expected, and so does whoever needs the weights."""
    told(weights=address)
    assert main(["validate"]) == 1
    said = capsys.readouterr().out
    assert "pets.yml:16:12: error[not-a-url]" in said
    with pytest.raises(MismatchError, match="all 40 digits of the commit"):
        fetch(load_index())
    assert list(SCHEMA.iter_errors(yaml.safe_load((load_index().find("net").location.file).read_text())))
    assert main(["fetch", "net"]) == 1
    assert "Traceback" not in capsys.readouterr().err


# add --to


@pytest.fixture
def trained(tmp_path):
    """A checkpoint as timm's train.py saves it."""
    torch.save({"epoch": 1, "arch": "rexnet_100", "state_dict": tensors(1)}, tmp_path / "model_best.pth")
    return tmp_path / "model_best.pth"


@pytest.fixture
def add(told, trained, capsys):
    """Run `add` for a new model beside that of the index; give exit code and what was said."""
    told()

    def run(*more, name="pet", checkpoint=trained):
        code = main(
            ["add", str(checkpoint), "--name", name, "--collection", "Pets", "--license", "MIT", *more]
        )
        return code, capsys.readouterr().err

    return run


def everything(tmp_path):
    return {file.name: file.read_bytes() for file in (tmp_path / "index").iterdir() if file.suffix != ".lock"}


@pytest.mark.slow
@by_both
def test_a_checkpoint_gets_a_home_and_the_rest_follows(hub, add, canonical, tmp_path, monkeypatch):
    """A private repo with one file, an entry that names it; published, it is kept; elsewhere it all loads."""
    assert add("--to", "hf:org") == (0, "next: rexnet-hub publish pet --to hf:org\n")
    repo, entry = hub.repos["org/pet"], load_index().find("pet")
    first = repo.head
    assert repo.private
    assert "not-yet-public" in repo.branches
    assert repo.files() == {WEIGHTS: canonical}
    assert entry.weights.value == f"hf:org/pet@{first}#{WEIGHTS}"
    assert entry.extra["sha256"].value == hashlib.sha256(canonical).hexdigest()
    assert entry.value("file_size") == len(canonical)
    assert read_lock().of("pet").released.sha256 == hashlib.sha256(canonical).hexdigest()
    before = everything(tmp_path)
    assert add("--to", "hf:org")[0] == 0
    assert (everything(tmp_path), repo.head) == (before, first)
    monkeypatch.setattr("rexnet_hub.publish.plan.is_loopback", lambda url: False)  # as on a real Hub
    (outcome,) = publish_all(["pet"], "hf:org", apply=True, record=True)
    assert outcome.problem is None
    assert not repo.private
    assert "not-yet-public" not in repo.branches
    kinds = {change.name: change.kind for change in outcome.plan.changes}
    assert kinds.pop(WEIGHTS) == "keep"
    assert set(kinds.values()) == {"add"}
    assert [sha for sha, _ in repo.history(repo.head)][1] == first
    monkeypatch.setenv("REXNET_HUB_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "elsewhere" / "hub"))
    state = AutoModel.from_pretrained("pet").state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors(1).items())
    for words in (["fetch", "pet"], ["verify", "pet"], ["stage", "pet", "--out", str(tmp_path / "again")]):
        assert main(words) == 0


STEPS = ("repos/create", "preupload", "objects/batch", "PUT ", "commit/main", "resolve")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on", "how"), [*((step, "status") for step in STEPS), ("commit/main", "lost"), ("commit/main", "yes")]
)
def test_an_upload_that_fails_leaves_the_index(hub, add, canonical, tmp_path, monkeypatch, on, how):
    """Whatever request fails for good, no file of ours is touched; run again, it ends in one commit."""
    monkeypatch.setattr("rexnet_hub.patience.time.sleep", lambda seconds: None)
    before = everything(tmp_path)
    hub.fault(on, how, times=200)
    code, said = add("--to", "hf:org")
    if how != "lost":  # of a commit whose answer is lost it is found that it landed
        assert (code, said.count("error: ")) == (1, 1)
        assert everything(tmp_path) == before
    hub.faults.clear()
    assert add("--to", "hf:org")[0] == 0
    repo = hub.repos["org/pet"]
    assert len(list(repo.history(repo.head))) == 2
    assert repo.files()[WEIGHTS] == canonical


@pytest.mark.slow
def test_what_is_wrong_is_refused_before_anything_is_sent(hub, add, tmp_path):
    """Other weights, another home, no such collection: one line, and nothing is sent or changed."""
    hub.create("org/taken", {WEIGHTS: b"others"})
    refused = {
        "other weights": (["--to", "hf:org/taken"], "has other weights already"),
        "other home": (["--to", "hf:org"], "has Weights hf:timm/net@"),
        "no collection": (["--to", "hf:org", "--collection", "None"], "the index has no collection"),
        "a bad name": (["--to", "hf:org", "--name", "org/pet"], "'org/pet' can name no repo"),
        "a folder": (["--to", "folder"], "only a Hub is a home"),
        "two addresses": (
            ["--to", "hf:org", "--weights-url", "https://a.example/b.pth"],
            "no use for weights_url",
        ),
    }
    before = everything(tmp_path)
    for what, (words, said) in refused.items():
        code, line = add(*words, name="net" if what == "other home" else "pet")
        assert (code in (1, 2), line.count("\n"), said in line) == (True, 1, True), line
    assert everything(tmp_path) == before
    assert hub.requests("POST|PUT") == []


@pytest.mark.slow
def test_stand_ins_get_no_home_on_a_real_hub(hub, add, small_index, monkeypatch):
    """Random numbers are refused before a byte is sent."""
    monkeypatch.setattr("rexnet_hub.publish.plan.is_loopback", lambda url: False)
    code, said = add("--to", "hf:org", checkpoint=next(small_index.parent.glob("*.pth")))
    assert code == 1
    assert said.startswith("error: small-")
    assert "its weights are stand-ins" in said
    assert hub.log == []
