"""One model, two sources: the released pickle at an https address, the same tensors in a repo of the Hub.

Either serves, each is checked by what is stated of it; where both are here their tensors must be the same.
Oracles: timm made both files, hashlib digested them.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import timm
import torch
import yaml
from loopback import READ
from lying_server import serving
from test_hub_home import HEAD, SCHEMA, WEIGHTS, as_bytes, tensors

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import FetchError, MismatchError, RepoError
from rexnet_hub.index import Lock, load_index, read_lock
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.pages.site import render_site
from rexnet_hub.weights.receipt import read_receipt

INDEX = (
    HEAD
    + """\
  Metadata: {{ID: rexnet_100, File Size: {size}}}
  Weights: {url}
  Witnesses:
  - Place: {place}
    Of: {of}
    Algorithm: {algorithm}
    Digest: '{digest}'
"""
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same tensors as torch's pickle and as timm pushes them, and a file of other tensors, by name."""
    folder = tmp_path_factory.mktemp("sources")
    torch.save(tensors(1), folder / "any", _use_new_zipfile_serialization=False)
    pickled = (folder / "any").read_bytes()
    made = {f"net-{hashlib.sha256(pickled).hexdigest()[:8]}.pth": pickled}
    return made | {
        "same": as_bytes(tensors(1), folder, None),
        "other": as_bytes(tensors(2), folder, None),
    }


@pytest.fixture
def zoo(hub, files, certificate, tmp_path, monkeypatch):
    """An index of one model whose two sources serve; what of it is told otherwise may be a lie."""
    pth = next(iter(files))
    hub.create("timm/net", {WEIGHTS: files["same"]})
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "index"))
    monkeypatch.setenv("REXNET_HUB_ALLOW", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    (tmp_path / "index").mkdir()
    with serving(files[pth], certificate) as server:

        class Zoo:
            web = server

            def tell(self, name="same", **told):
                commit = hub.push("timm/net", {WEIGHTS: files[name]}) or hub.repos["timm/net"].head
                facts = {
                    "size": len(files[pth]), "url": server.url.partition("/dir")[0] + f"/dir/{pth}",
                    "place": f"hf:timm/net@{commit}#{WEIGHTS}", "of": "safetensors", "algorithm": "sha256",
                    "digest": hashlib.sha256(files[name]).hexdigest(),
                }  # fmt: skip
                (tmp_path / "index" / "pets.yml").write_text(INDEX.format(**facts | told))
                return load_index()

        made = Zoo()
        made.tell()
        yield made


def is_of(seed, model):
    state = tensors(seed)
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def receipt():
    (folder,) = (find_cache_dir() / "repos").glob("net-*")
    return read_receipt(folder / "receipt.json")


def left():
    """What of files a cache holds, locks aside."""
    return [file for file in find_cache_dir().rglob("*") if file.is_file() and file.suffix != ".lock"]


def test_the_hub_serves_and_no_pickle_is_needed(hub, zoo, files):
    """By name the file of the Hub is fetched at its commit, and its tensors are kept bit for bit."""
    index = load_index()
    assert index.problems == ()
    assert list(SCHEMA.iter_errors(yaml.safe_load(index.find("net").location.file.read_text()))) == []
    commit = hub.repos["timm/net"].head
    hub.push("timm/net", {WEIGHTS: b"others"})
    assert is_of(1, AutoModel.from_pretrained("net"))
    assert zoo.web.requests == []
    assert all(commit in line for line in hub.requests("resolve"))
    made = receipt()
    assert (made.source.format, made.source.name) == ("safetensors", WEIGHTS)
    assert made.source.sha256 == hashlib.sha256(files["same"]).hexdigest()
    assert {(line.source_dtype, line.source_shape) for line in made.tensors} == {
        (line.dtype, line.shape) for line in made.tensors
    }
    before = len(hub.log)
    assert is_of(1, AutoModel.from_pretrained("net"))  # from the cache: nobody is asked
    assert len(hub.log) == before


@pytest.mark.slow
def test_a_load_reads_no_pickle(hub, zoo, tmp_path):
    """A process that loads from the Hub imports no reader of pickles, and starts none either."""
    script = (
        "import sys, rexnet_hub\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, told: seen.append(told) if event == 'subprocess.Popen' else None)\n"
        "rexnet_hub.AutoModel.from_pretrained('net')\n"
        "readers = [name for name in sys.modules if 'pickle_reader' in name]\n"
        "print(readers, sum('sandbox' in str(told) for told in seen))"
    )
    environment = {
        "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home"),
        "REXNET_HUB_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip

    def run():
        words = [sys.executable, "-c", script]
        own = {**os.environ, **environment}
        done = subprocess.run(words, check=False, env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run() == "[] 0\n"
    assert zoo.web.requests == []
    hub.repos.clear()
    shutil.rmtree(tmp_path / "cache")
    assert run() == "[] 1\n"


GONE = {
    "gone": (lambda hub: hub.repos.pop("timm/net"), "no such repo, or it is private"),
    "gated": (lambda hub: setattr(hub.repos["timm/net"], "gated", True), "it is gated; ask for access"),
    "refused": (lambda hub: hub.fault("resolve", "status", status=403, times=-1), "403"),
    "bad token": (lambda hub: hub.fault("resolve", "status", status=401, times=-1), "401|no such repo"),
    "no commit": (lambda hub: hub.repos["timm/net"].commits.clear(), "has no branch, tag, commit"),
    "broken": (lambda hub: hub.fault("resolve", "status", status=503, times=-1), "the Hub failed"),
    "led away": (
        lambda hub: hub.fault("resolve", "redirect", location="https://a.example/x", times=-1),
        r"a\.example",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", GONE)
def test_a_source_that_is_not_to_be_had_is_passed_over(hub, zoo, caplog, monkeypatch, what):
    """One line says why, with the repo's name, and the released file serves; if not, that is said too."""
    spoil, words = GONE[what]
    monkeypatch.setenv("HF_TOKEN", READ)
    spoil(hub)
    zoo.web.modes = ["status 404"]
    with pytest.raises(FetchError, match="the server answers 404"):
        AutoModel.from_pretrained("net")
    assert left() == []
    zoo.web.modes = ["honest"]
    caplog.clear()
    assert is_of(1, AutoModel.from_pretrained("net"))
    said = [line for line in caplog.messages if "the next of net's sources is asked" in line]
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "timm/net could not be fetched" in said[0]
    assert re.search(words, said[0])
    assert receipt().source.format == "legacy"


def test_a_repo_that_moved_is_followed(hub, zoo):
    """The Hub leads to the new name; commit and digest say that it is the same file."""
    commit = hub.repos["timm/net"].head
    hub.repos["timm/renamed"] = hub.repos["timm/net"]
    hub.fault("/timm/net/resolve", "redirect", location=f"/timm/renamed/resolve/{commit}/{WEIGHTS}", times=-1)
    assert is_of(1, AutoModel.from_pretrained("net"))
    assert zoo.web.requests == []


def test_a_digest_that_changed_is_refused(hub, zoo, files):
    """Both statements and their places in one line, nothing kept, and no other source asked in its place."""
    digest = hashlib.sha256(b"another").hexdigest()
    zoo.tell(digest=digest)
    with pytest.raises(MismatchError, match="the Hub's own record") as caught:
        AutoModel.from_pretrained("net")
    said = str(caught.value)
    assert re.search(rf"witness hf:timm/net@\w+#{WEIGHTS} \(\S+pets\.yml:21:13, .*{digest}", said)
    assert f"timm/net@{hub.repos['timm/net'].head[:12]}" in said
    assert hashlib.sha256(files["same"]).hexdigest() in said
    assert "\n" not in said
    assert zoo.web.requests == []
    assert left() == []
    hub.fault(r"GET /timm/net/[0-9a-f]{64}$", "flip")
    zoo.tell()
    with pytest.raises(MismatchError, match="SHA-256"):
        AutoModel.from_pretrained("net")
    assert left() == []
    assert is_of(1, AutoModel.from_pretrained("net"))


def test_sources_that_deny_each_other_are_refused(hub, zoo, capsys, tmp_path):
    """Other weights of the right shape: where both are here nothing is loaded, and both places are named."""
    zoo.tell("other")
    assert main(["fetch", "net"]) == 0
    assert main(["fetch", "net", "--all"]) == 1
    said = capsys.readouterr().err
    assert said.count("error: ") == 1
    with pytest.raises(MismatchError) as caught:
        AutoModel.from_pretrained("net")
    for text in (said.splitlines()[-1], str(caught.value)):
        assert "the file at hf:timm/net@" in text
        assert "the file at https://127.0.0.1" in text
        assert text.count("states fingerprint") == 2
        assert text.count("pets.yml:") == 2
    assert not list((find_cache_dir() / "repos").glob("net-*"))
    assert main(["verify", "net"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if " false " in line]
    assert any(line.split()[0] == "sources" for line in lines)


@pytest.mark.slow
def test_both_are_compared_wherever_both_are(hub, zoo, files, capsys, tmp_path):
    """`fetch --all` brings both; load, stage, verify and lock compare them; the lock keeps it."""
    assert main(["fetch", "net", "--all"]) == 0
    said = capsys.readouterr()
    assert [line.rpartition("/")[2] for line in said.out.split()] == [WEIGHTS, next(iter(files))]
    assert "1 of 1 witnesses agreed" in said.err
    assert main(["fetch", "net", "--all", "--to", str(tmp_path / "to")]) == 0
    assert (tmp_path / "to" / WEIGHTS).read_bytes() == files["same"]
    capsys.readouterr()
    assert is_of(1, AutoModel.from_pretrained("net"))
    staged = str(tmp_path / "staged")
    assert main(["stage", "net", "--out", staged]) == 0
    assert read_receipt(tmp_path / "staged" / "receipt.json").source.format == "safetensors"
    assert main(["verify", "net", "--repo", staged, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    verdicts = {row["claim"]: row["verdict"] for row in rows}
    assert {verdicts[claim] for claim in ("sources", "witness", "conversion", "receipt_source")} == {"holds"}
    hub_file = ["--weights", str(tmp_path / "to" / WEIGHTS)]
    assert main(["verify", "net", "--repo", staged, *hub_file]) == 0
    assert main(["stage", "net", "--out", str(tmp_path / "again"), *hub_file]) == 0
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (tmp_path / "staged" / WEIGHTS).read_bytes()
    own = ["--repo", staged, "--weights", str(tmp_path / "to" / next(iter(files)))]
    for words in (["lock", "net"], ["lock", "--check", "net"]):
        assert main([*words, *own]) == 0
    assert list(read_lock().of("net").witnesses) == [f"sha256:{hashlib.sha256(files['same']).hexdigest()}"]
    shutil.rmtree(find_cache_dir())
    assert main(["lock", "--check", "net", *own]) == 0


def test_what_is_in_the_cache_serves_first(hub, zoo, monkeypatch):
    """A source that was fetched is not fetched again from another place, and offline it is enough."""
    assert main(["fetch", "net"]) == 0
    hub.log.clear()
    assert is_of(1, AutoModel.from_pretrained("net"))
    assert hub.log == []
    assert receipt().source.format == "legacy"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert is_of(1, AutoModel.from_pretrained("net"))
    shutil.rmtree(find_cache_dir())
    with pytest.raises(RepoError, match="not in the cache"):
        AutoModel.from_pretrained("net")


UNFIT = {
    "a branch": ({"place": f"hf:timm/net@main#{WEIGHTS}"}, "not-a-url"),
    "a short commit": ({"place": f"hf:timm/net@1234567#{WEIGHTS}"}, "not-a-url"),
    "no commit": ({"place": f"hf:timm/net#{WEIGHTS}"}, "not-a-url"),
    "a pickle": ({"place": f"hf:timm/net@{'a' * 40}#pytorch_model.bin"}, "not-a-url"),
    "another file": ({"of": "other"}, "unfit-witness"),
    "another digest": ({"algorithm": "sha384", "digest": "a" * 96}, "unfit-witness"),
    "the commit twice": ({"digest": "a" * 64 + "'\n    Commit: 'abcdef0"}, "unfit-witness"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_source_that_is_none_is_named_at_its_place(zoo, capsys, what):
    """`validate` says what is wrong where, and nobody loads as if it had not been stated."""
    told, code = UNFIT[what]
    zoo.tell(**told)
    assert main(["validate"]) == 1
    said = capsys.readouterr().out
    assert f"error[{code}]" in said
    assert "pets.yml:1" in said
    with pytest.raises(MismatchError, match=r"pets\.yml:1"):
        AutoModel.from_pretrained("net")


def test_a_mirror_serves_where_the_repo_of_weights_does_not(hub, zoo, caplog):
    """A source may be the very file at Weights in another repo; it is known by the same digest."""
    hub.create("org/mirror", {WEIGHTS: b"not this one"})
    entry = zoo.tell(url=f"hf:org/mirror@{hub.repos['org/mirror'].head}#{WEIGHTS}", size=1).find("net")
    assert [source.url.partition("@")[0] for source in entry.sources] == ["hf:org/mirror", "hf:timm/net"]
    hub.repos.pop("org/mirror")
    assert is_of(1, AutoModel.from_pretrained("net"))
    assert "org/mirror could not be fetched" in caplog.text


def test_the_page_leads_to_the_file(zoo):
    """A source is linked to its page on the Hub, at its commit."""
    page = render_site(load_index().models, Lock())["models/net.md"]
    (at,) = re.findall(r"\]\(https://huggingface\.co/timm/net/blob/(\w+)/model\.safetensors\)", page)
    assert f"@{at}#" in load_index().find("net").sources[0].url


def test_watch_asks_for_a_source_at_its_commit(hub, zoo, capsys):
    """A later commit changes nothing; another digest than is stated, and a repo that is gone, are false."""
    hub.push("timm/net", {WEIGHTS: b"others"})
    assert main(["watch", "net"]) == 0
    capsys.readouterr()
    zoo.tell(digest="a" * 64)
    assert main(["watch", "net"]) == 1
    assert f"witness is false: stated sha256:{'a' * 64}" in capsys.readouterr().out
    zoo.tell()
    hub.repos.pop("timm/net")
    assert main(["watch", "net"]) == 1
    assert re.search(r"witness is false: .*timm/net", capsys.readouterr().out)


def test_what_the_sources_have_is_kept_and_swept(hub, zoo, capsys):
    """Each source's file is one that the model needs, until the index names it no more."""
    assert main(["fetch", "net", "--all"]) == 0
    capsys.readouterr()
    assert main(["cache", "--check"]) == 0
    assert capsys.readouterr().out.count("needed") == 2
    file = load_index().find("net").location.file
    file.write_text(file.read_text().partition("  Witnesses:")[0])
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.count("unneeded") == 1


def test_a_repo_is_added_by_the_address_of_its_weights(hub, zoo, tmp_path, capsys):
    """`add` takes a repo at a commit, however it is named; another file of it, or a branch, is refused."""
    network = timm.create_model("rexnet_100", num_classes=10)
    network.load_state_dict(tensors(3))
    config = {"architecture": "rexnet_100", "num_classes": 10, "pretrained_cfg": {
        "input_size": [3, 64, 64], "crop_pct": 0.9, "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
    }}  # fmt: skip
    data = as_bytes(network.state_dict(), tmp_path, None)
    hub.create("timm/pets", {WEIGHTS: data, "config.json": json.dumps(config).encode()})
    commit = hub.repos["timm/pets"].head
    hub.push("timm/pets", {WEIGHTS: b"others"})
    options = ["--collection", "Pets", "--license", "MIT"]
    address = f"hf:timm/pets@{commit}#{WEIGHTS}"
    assert main(["add", address, "--name", "pets", *options]) == 0
    entry = load_index().find("pets")
    assert (entry.weights.value, entry.extra["sha256"].value) == (address, hashlib.sha256(data).hexdigest())
    assert is_of(3, AutoModel.from_pretrained("pets"))
    capsys.readouterr()
    for wrong, said in {
        f"hf:timm/pets@{commit}#pytorch_model.bin": "of a repo its model.safetensors is added",
        f"hf:timm/pets@{'0' * 40}": "has no branch, tag, commit",
        "hf:timm/none": "no such repo",
    }.items():
        assert main(["add", wrong, "--name", "more", *options]) != 0
        assert re.fullmatch(rf"error: .*{said}.*\n", capsys.readouterr().err)
    assert load_index().get("more") is None
