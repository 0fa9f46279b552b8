"""A load that demands a signature uses what that key signed, under that name, and nothing else."""

import json
import os
import random
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rexnet_hub.auto import AutoImageProcessor, AutoModel, read_weights
from rexnet_hub.cli import main
from rexnet_hub.errors import FileProblem, MismatchError, RepoError, SignatureProblem, UsageError
from rexnet_hub.evaluation import ready_model
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, Measured, MeasuredFile, MeasuredHub, write_lock
from rexnet_hub.index.schema import build_schema
from rexnet_hub.keys import read_signer
from rexnet_hub.layout import SIGNATURE_FILES, find_state_dir
from rexnet_hub.locate import find_repo
from rexnet_hub.publish import publish_all
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.signing import require_signature, sign_repo, verify_signature
from rexnet_hub.verify import FALSE, HOLDS, NOT_MEASURED, verify_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ALL_FILES = ("README.md", "config.json", "model.safetensors", "model.sig", "receipt.json", "statement.json")


def make_keys(folder, curve):
    """Write a key pair on a curve."""
    key = ec.generate_private_key(curve)
    pem = serialization.Encoding.PEM
    kinds = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
    folder.mkdir()
    private, public = folder / "key.pem", folder / "key.pub"
    private.write_bytes(key.private_bytes(pem, kinds[0], serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, kinds[1]))
    return SimpleNamespace(private=private, public=public, text=public.read_text())


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("signed") / "ours", ec.SECP256R1())


@pytest.fixture(scope="module")
def other_key(tmp_path_factory):
    return make_keys(tmp_path_factory.mktemp("signed") / "theirs", ec.SECP384R1())


@pytest.fixture(scope="module")
def versions(small_staged, small_index, key, tmp_path_factory):
    """The small repo, signed as version 1, 2 and 3: version -> folder."""
    entry, places = load_index(small_index).find("small"), {}
    for version in (1, 2, 3):
        folder = tmp_path_factory.mktemp(f"version{version}") / "small"
        places[version] = shutil.copytree(small_staged, folder)
        sign_repo(folder, key.private, entry=entry, version=version)
    return places


@pytest.fixture
def signed(versions, tmp_path):
    """A copy of version 2, which a test may change."""
    return shutil.copytree(versions[2], tmp_path / "signed" / "small")


def read_files(folder):
    """Read a folder: name -> bytes."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def flip(file, at, bit=0):
    """Flip one bit."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    file.write_bytes(data)


def demand(index, key):
    """Write a key into the index as the collection's `Trusted Key`."""
    file = index / "small.yml"
    lines = "".join(f"    {line}\n" for line in key.text.splitlines())
    file.write_text(
        file.read_text().replace("  License: MIT\n", f"  License: MIT\n  Trusted Key: |\n{lines}")
    )
    return load_index(index).find("small")


def lock_at(index, hub, **more):
    """Lock the small model at the head of its repo."""
    measured = Measured(hub=MeasuredHub(repo_id="org/small", commit=hub.repos["org/small"].head), **more)
    write_lock(Lock(models={"small": measured}), index / "lock.json")


def test_a_signed_folder_loads_by_its_key(signed, key, caplog):
    """By the key's file or its text; a file beside it is not looked at, and the first contact is said."""
    (signed / "notes.txt").write_text("not signed, not used")
    assert AutoModel.from_pretrained(signed, trusted_key=key.public).num_classes == 10
    assert "small, version 2: no version by this key is remembered here" in caplog.text
    assert AutoImageProcessor.from_pretrained(signed, trusted_key=key.text).preprocessing.input_px == 224


def test_an_unsigned_folder_and_another_key_are_refused(staged, signed, key, other_key):
    """Neither a repo without signature nor one that somebody else signed is loaded, nor described."""
    for load in (AutoModel, AutoImageProcessor):
        with pytest.raises(SignatureProblem, match=r"statement\.json: cannot be read .*nothing vouches"):
            load.from_pretrained(staged, trusted_key=key.public)
        with pytest.raises(SignatureProblem, match=r"not what this key's signature.*is not by this key"):
            load.from_pretrained(signed, trusted_key=other_key.public)
        with pytest.raises(FileProblem, match="is no public key"):
            load.from_pretrained(signed, trusted_key=key.private)


def test_two_keys_in_one_text_are_refused(signed, key, other_key):
    """Which of them would be trusted is not left to their order."""
    for first, second in ((key, other_key), (other_key, key)):
        with pytest.raises(FileProblem, match="holds 2 public keys"):
            AutoModel.from_pretrained(signed, trusted_key=first.text + second.text)


@pytest.mark.parametrize("name", SIGNATURE_FILES)
def test_what_is_no_plain_file_is_not_waited_for(signed, key, name):
    """A pipe in the place of signature or statement is refused at once."""
    (signed / name).unlink()
    os.mkfifo(signed / name)
    with pytest.raises(SignatureProblem, match="is no plain file"):
        AutoModel.from_pretrained(signed, trusted_key=key.public)


@pytest.mark.parametrize("text", ["-1", "2_0", "1\n2", ""])
def test_a_memory_that_is_no_version_is_refused(signed, key, text):
    """Only a whole number is a version: no other text lets an older repo pass."""
    AutoModel.from_pretrained(signed, trusted_key=key.public)
    (memory,) = (find_state_dir() / "signed").iterdir()
    memory.write_text(text)
    with pytest.raises(SignatureProblem, match="does not say which signed version was seen last"):
        AutoModel.from_pretrained(signed, trusted_key=key.public)


def test_no_flip_of_any_file_loads(signed, key):
    """Bits at random in each of the six files: 0 load silently."""
    draw = random.Random(14)
    for name in ALL_FILES:
        for _ in range(12):
            place = draw.randrange(8 * (signed / name).stat().st_size)
            flip(signed / name, place // 8, place % 8)
            with pytest.raises((SignatureProblem, MismatchError, RepoError, FileProblem)):
                AutoModel.from_pretrained(signed, trusted_key=key.public)
            flip(signed / name, place // 8, place % 8)
    assert AutoModel.from_pretrained(signed, trusted_key=key.public).num_classes == 10


def test_what_was_verified_is_what_is_loaded(signed, key):
    """Files that are swapped after the signature was checked change nothing, or are refused."""
    repo = find_repo(signed, Access(trusted_key=key.public))
    (signed / "config.json").write_text("{}")
    (signed / "receipt.json").write_text("{}")
    assert (repo.config.num_classes, len(repo.receipt.tensors)) == (10, 88)
    alone = replace(
        repo.identity, statements=tuple(s for s in repo.identity.statements if s.by == "the signature")
    )
    flip(signed / "model.safetensors", -1)
    with pytest.raises(MismatchError, match=r"the signature \(.*model\.sig\) states"):
        read_weights(replace(repo, identity=alone))


def test_what_was_read_before_the_signature_was_checked_is_not_believed(signed, key):
    """Files that were others when the repo was found, and are the signed ones now, are read again."""
    before = (signed / "config.json").read_text()
    (signed / "config.json").write_text(before.replace('"crop_pct": 0.875', '"crop_pct": 0.5'))
    found = read_repo(signed, as_stated=False)
    (signed / "config.json").write_text(before)
    assert found.config.preprocessing.crop_fraction == 0.5
    assert require_signature(found, read_signer(key.public)).config.preprocessing.crop_fraction == 0.875


def test_a_statement_of_other_files_than_were_signed_is_refused(signed, key):
    """Even by the right key: what the statement states of the files is what the signature states."""
    import model_signing

    told = json.loads((signed / "statement.json").read_text())
    told["files"]["model.safetensors"] = "0" * 64
    (signed / "statement.json").write_text(json.dumps(told))
    (signed / "model.sig").unlink()
    signer = model_signing.signing.Config().use_elliptic_key_signer(private_key=key.private)
    signer.sign(signed, signed / "model.sig")
    for check in (verify_signature, lambda folder, by: AutoModel.from_pretrained(folder, trusted_key=by)):
        with pytest.raises(SignatureProblem, match="are not of one repo"):
            check(signed, key.public)


@pytest.mark.slow
def test_a_signed_hub_repo_loads_from_one_commit_and_offline(hub, versions, key):
    """By id: what the key signed is fetched beside the rest, once, and holds offline too."""
    hub.create("org/small", read_files(versions[2]))
    AutoModel.from_pretrained("org/small", trusted_key=key.public)
    got = [line.rpartition("/")[2] for line in hub.requests("GET /org/small/resolve")]
    assert sorted(got) == sorted({*ALL_FILES} - {"model.safetensors"})  # those over LFS
    hub.log.clear()
    AutoModel.from_pretrained("org/small", trusted_key=key.public, local_files_only=True)
    AutoModel.from_pretrained("org/small", trusted_key=key.public, revision=hub.repos["org/small"].head)
    assert hub.log == []
    renewed = find_repo("org/small", Access(trusted_key=key.public)).renew()
    assert "the signature" in [statement.by for statement in renewed.identity.statements]


@pytest.mark.parametrize("name", ["model.safetensors", "README.md"])
def test_a_damaged_cache_is_mended_under_a_signature_too(hub, versions, key, name, tmp_path):
    """A flipped bit in the cache: offline refused, online fetched again, and the signature checked again."""
    hub.create("org/small", read_files(versions[2]))
    load = {"trusted_key": key.public}
    AutoModel.from_pretrained("org/small", **load)
    (cached,) = (tmp_path / "hf").glob(f"hub/models--org--small/snapshots/*/{name}")
    flip(cached.resolve(), -1)
    with pytest.raises((SignatureProblem, MismatchError)):
        AutoModel.from_pretrained("org/small", local_files_only=True, **load)
    assert AutoModel.from_pretrained("org/small", **load).num_classes == 10
    AutoModel.from_pretrained("org/small", local_files_only=True, **load)


def test_another_model_and_an_older_version_are_refused(hub, versions, key):
    """A Hub that serves what the key signed, but another model or an older version, is found out."""
    hub.create("org/other", read_files(versions[2]))
    with pytest.raises(SignatureProblem, match="is small, signed as such, not other"):
        AutoModel.from_pretrained("org/other", trusted_key=key.public)
    hub.create("org/small", read_files(versions[3]))
    AutoModel.from_pretrained("org/small", trusted_key=key.public)
    hub.push("org/small", read_files(versions[1]))
    with pytest.raises(SignatureProblem, match="is version 1, it was replaced: at least 3 is taken, as "):
        AutoModel.from_pretrained("org/small", trusted_key=key.public)


def test_the_index_demands_a_signature(hub, versions, own_small_index, key, other_key, files):
    """With a `Trusted Key` a name loads what it signed; what is unsigned, unpublished or another's is not."""
    entry = demand(own_small_index, key)
    assert entry.trusted_key is not None
    assert entry.trusted_key.inherited
    with pytest.raises(RepoError, match="small must be signed, and only what is published is"):
        AutoModel.from_pretrained("small")
    hub.create("org/small", files)
    lock_at(own_small_index, hub)
    with pytest.raises(SignatureProblem, match=r"statement\.json: cannot be read"):
        AutoModel.from_pretrained("small")
    hub.push("org/small", read_files(versions[2]))
    lock_at(own_small_index, hub)
    assert AutoModel.from_pretrained("small").num_classes == 10
    assert AutoModel.from_pretrained("small", trusted_key=key.text).num_classes == 10
    with pytest.raises(MismatchError, match=r"the index \(.*small\.yml:5:.*, Trusted Key\) states another"):
        AutoModel.from_pretrained("small", trusted_key=other_key.public)


#: What is written in place of the line `Trusted Key: |`, and nobody can read.
BROKEN = {
    "nothing": "Trusted Key:\n",
    "words": "Trusted Key: mine\n",
    "a file": "Trusted Key: key.pub\n",
    "a list": "Trusted Key: [a, b]\n",
    "a slip": "Trused Key: |\n{key}",
    "a plural": "Trusted Keys: |\n{key}",
    "another word": "Trust Key: |\n{key}",
    "one letter": "Trusted Key: |\n{wrong}",
    "misplaced": "Metadata:\n    Trusted Key: |\n{deeper}",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_key_that_nobody_can_read_is_named_and_demanded_all_the_same(how, read, key, monkeypatch, tmp_path):
    """`validate` names it with its line, and no load by the name goes on as if there were none."""
    lines = key.text.splitlines()
    other = [lines[0], lines[1][:50] + ("A" if lines[1][50] != "A" else "B") + lines[1][51:], *lines[2:]]
    block = "".join(f"    {line}\n" for line in lines)
    wrong = "".join(f"    {line}\n" for line in other)
    deeper = "".join(f"      {line}\n" for line in lines)
    text = "Models:\n- Name: net\n  " + BROKEN[how].format(key=block, wrong=wrong, deeper=deeper)
    index = read(text)
    assert [problem.location.line for problem in index.errors] == [4 if how == "misplaced" else 3] * len(
        index.errors
    )
    assert index.errors
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "index.yml"))
    with pytest.raises(MismatchError, match="the trusted key of net"):
        find_repo("net")


@pytest.mark.parametrize("how", ["whole", "nothing", "words", "a list"])
def test_the_schema_sees_what_the_reader_sees(how, read, key):
    """Editors refuse what is no PEM text as the reader does; only the reader sees a wrong letter."""
    block = "".join(f"    {line}\n" for line in key.text.splitlines())
    text = "Models:\n- Name: net\n  " + BROKEN.get(how, f"Trusted Key: |\n{block}")
    refused = list(jsonschema.Draft202012Validator(build_schema()).iter_errors(yaml.safe_load(text)))
    assert bool(refused) == bool(read(text).errors) == (how != "whole")


def test_without_the_packages_an_index_is_read_and_its_key_still_demanded(own_small_index, key, monkeypatch):
    """Whoever lacks them can list and show the model; a load says what to install."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    entry = demand(own_small_index, key)
    assert (entry.trusted_key.value, entry.unread) == (key.text, ())
    with pytest.raises(UsageError, match=r"rexnet-hub\[sign\]"):
        AutoModel.from_pretrained("small")


def test_show_lists_the_key(own_small_index, key, capsys):
    """As a claim with its place, and as JSON."""
    demand(own_small_index, key)
    assert main(["show", "small"]) == 0
    assert "Trusted Key " in capsys.readouterr().out
    assert main(["show", "small", "--json"]) == 0
    claims = {claim["field"]: claim["value"] for claim in json.loads(capsys.readouterr().out)["claims"]}
    assert claims["trusted_key"] == key.text


def test_publishing_and_verifying_heed_the_index(versions, staged, own_small_index, key, other_key, tmp_path):
    """Unsigned it is not published, by another key it is not signed, and `verify` says whether it holds."""
    entry = demand(own_small_index, key)
    (outcome,) = publish_all([str(staged)], tmp_path / "hub")
    assert "the index demands a signature: --sign KEY" in outcome.plan.stops[-1]
    with pytest.raises(MismatchError, match="Trusted Key"):
        sign_repo(staged, other_key.private, entry=entry, version=1)
    assert len(list(staged.iterdir())) == 4
    (outcome,) = publish_all([str(staged)], tmp_path / "hub", sign_key=key.private, sign_version=1)
    assert outcome.plan.stops == ()
    for repo, verdict in ((None, NOT_MEASURED), (versions[2], HOLDS)):
        found = {f.claim: f.verdict for f in verify_model(entry, repo=repo)}
        assert found["signature"] == verdict
    flip(staged / "README.md", -1)
    (finding,) = (f for f in verify_model(entry, repo=staged) if f.claim == "signature")
    assert finding.verdict == FALSE
    assert "README.md" in finding.note


@pytest.mark.parametrize("name", ["README.md", *SIGNATURE_FILES])
def test_a_signature_of_other_files_is_false_whoever_signed(name, signed, own_small_index, tmp_path):
    """Where the index trusts nobody, `verify` says so, and what has a broken signature is not published."""
    entry = load_index(own_small_index).find("small")
    (finding,) = (f for f in verify_model(entry, repo=signed) if f.claim == "signature")
    assert (finding.verdict, finding.found) == (NOT_MEASURED, "of these files")
    assert publish_all([str(signed)], tmp_path / "hub")[0].plan.stops == ()
    with (signed / name).open("ab") as file:
        file.write(b"\n" if name != "model.sig" else b"}")
    (finding,) = (f for f in verify_model(entry, repo=signed) if f.claim == "signature")
    assert (finding.verdict, name in finding.found) == (FALSE, True)
    (outcome,) = publish_all([str(signed)], tmp_path / "hub")
    assert "signature is false" in str(outcome)
    assert name in str(outcome)


def test_commands_take_a_trusted_key(versions, staged, key, picture, capsys, tmp_path):
    """`predict`, `export` and `evaluate` refuse what is unsigned in one line, and take what is signed."""
    words = ("--trusted-key", str(key.public))
    assert main(["predict", str(versions[2]), str(picture), *words]) == 0
    capsys.readouterr()
    for line in (
        ["predict", str(staged), str(picture)],
        ["export", str(staged), "--out", str(tmp_path / "a.onnx")],
    ):
        assert main([*line, *words]) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        assert "nothing vouches" in said
    with pytest.raises(SignatureProblem, match="nothing vouches"):
        ready_model("small", str(staged), trusted_key=key.public)
    assert ready_model("small", str(versions[2]), trusted_key=key.public).weights_sha256


def test_weights_that_are_fetched_again_meet_the_lock_too(hub, files, own_small_index):
    """Where neither receipt nor LFS record states the weights, those that are fetched anew are held too."""
    del files["receipt.json"]
    repo = hub.create("org/small", files)
    plain = repo.put(files["model.safetensors"])
    repo.branches["main"] = repo.commit(
        repo.head, {**repo.commits[repo.head].tree, "model.safetensors": plain}
    )
    size = len(files["model.safetensors"])
    lock_at(own_small_index, hub, safetensors=MeasuredFile(sha256="f" * 64, size_bytes=size))
    with pytest.raises(MismatchError, match="the lock"):
        AutoModel.from_pretrained("small")
