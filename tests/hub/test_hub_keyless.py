"""A repo that a CI signs as itself, without a key, passes as that identity's, and as nobody else's."""

import base64
import json
import random
import re
import shutil
import sys
import threading

import pytest
from cases import slow
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from keyless import ISSUER, WORKFLOW, LoopbackSigstore, write_token
from loopback import REQUEST_TOKEN

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import (
    FetchError,
    FileProblem,
    MismatchError,
    PublishError,
    RexnetHubError,
    SignatureProblem,
    UsageError,
)
from rexnet_hub.index import load_index
from rexnet_hub.keys import CertifiedIdentity, read_signer
from rexnet_hub.layout import SIGNATURE_FILES
from rexnet_hub.publish import publish_all
from rexnet_hub.signing import sign_repo, verify_signature
from rexnet_hub.verify import FALSE, HOLDS, verify_model
from rexnet_hub.verify.finding import NOT_REACHED

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
IDENTITY = f"{WORKFLOW}@{ISSUER}"


@pytest.fixture(scope="module")
def instance():
    """A running Sigstore, the same for all tests of this file."""
    with LoopbackSigstore() as running:
        yield running


@pytest.fixture
def sigstore(instance, monkeypatch, tmp_path):
    """That Sigstore, trusted, and this process a job that may prove who it is."""
    (tmp_path / "trust.json").write_text(instance.trust())
    monkeypatch.setenv("REXNET_HUB_SIGSTORE", str(tmp_path / "trust.json"))
    for name, value in instance.job().items():
        monkeypatch.setenv(name, value)
    instance.asked.clear()
    yield instance
    instance.workflow, instance.refuse = WORKFLOW, {}


@pytest.fixture
def entry(small_index):
    return load_index(small_index).find("small")


@pytest.fixture
def signed(staged, sigstore, entry):
    """The small repo, signed as the workflow, version 3."""
    sign_repo(staged, "sigstore", entry=entry, version=3)
    return staged


@pytest.fixture
def key(tmp_path):
    """A private key's file; the public one lies beside it."""
    return write_key(tmp_path / "key")


def write_key(stem):
    """Write a key pair, the private half as PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem, kinds = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    kind = serialization.PrivateFormat.PKCS8
    stem.with_suffix(".pem").write_bytes(private.private_bytes(pem, kind, serialization.NoEncryption()))
    stem.with_suffix(".pub").write_bytes(private.public_key().public_bytes(pem, kinds))
    return stem.with_suffix(".pem")


def one_line(caught):
    """Return what an error says, which is one line and holds no secret."""
    said = str(caught.value)
    assert "\n" not in said
    assert "SENTINEL" not in said
    assert "eyJ" not in said
    return said


def change_bundle(folder, change):
    """Let a function change the signature's JSON."""
    bundle = json.loads((folder / "model.sig").read_text())
    change(bundle)
    (folder / "model.sig").write_text(json.dumps(bundle))


def test_what_a_workflow_signed_is_its_own(signed, caplog):
    """Verified, loaded and described by the identity; the version is remembered, and the secret nowhere."""
    statement = verify_signature(signed, IDENTITY, name="small")
    assert (statement.name, statement.version) == ("small", 3)
    assert "small, version 3: no version by this identity is remembered here" in caplog.text
    assert AutoModel.from_pretrained(signed, trusted_key=IDENTITY).num_classes == 10
    assert AutoImageProcessor.from_pretrained(signed, trusted_key=IDENTITY).preprocessing.input_px == 224
    assert caplog.text.count("is remembered here") == 1
    assert not any(b"SENTINEL" in file.read_bytes() for file in signed.iterdir())


@pytest.mark.parametrize(
    "trusted",
    [
        f"{WORKFLOW}x@{ISSUER}",
        f"{WORKFLOW[:-1]}@{ISSUER}",
        f"{WORKFLOW.replace('org/zoo', 'org/fork')}@{ISSUER}",
        f"{WORKFLOW.replace('heads/main', 'heads/other')}@{ISSUER}",
        f"{WORKFLOW}@{ISSUER}.example",
        f"{WORKFLOW}@{ISSUER[:-1]}",
        f"me@example.org@{ISSUER}",
    ],
)
def test_another_identity_or_issuer_is_refused(signed, trusted):
    """Not a letter of it may differ: the workflow, its repository and branch, and who knew it."""
    for check in (verify_signature, lambda folder, by: AutoModel.from_pretrained(folder, trusted_key=by)):
        with pytest.raises(
            SignatureProblem, match=r"model\.sig is not by this identity, or damaged"
        ) as caught:
            check(signed, trusted)
        one_line(caught)


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors", "receipt.json"])
def test_a_changed_file_is_named(signed, name):
    """One byte of any file, and the refusal says which."""
    data = bytearray((signed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (signed / name).write_bytes(data)
    with pytest.raises(SignatureProblem, match=f"not the signed one: {name}"):
        verify_signature(signed, IDENTITY)


def _entry_of(bundle):
    return bundle["verificationMaterial"]["tlogEntries"][0]


def _double(text):
    data = bytearray(base64.b64decode(text))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


#: What somebody may do to a bundle whose envelope he leaves as it is.
TAMPERED = {
    "no log entry": lambda b: b["verificationMaterial"].update(tlogEntries=[]),
    "no proof": lambda b: _entry_of(b).pop("inclusionProof"),
    "no promise, so no time": lambda b: _entry_of(b).pop("inclusionPromise"),
    "no checkpoint": lambda b: _entry_of(b)["inclusionProof"].pop("checkpoint"),
    "no hashes": lambda b: _entry_of(b)["inclusionProof"].update(hashes=[]),
    "another root": lambda b: _entry_of(b)["inclusionProof"].update(
        rootHash=_double(_entry_of(b)["inclusionProof"]["rootHash"])
    ),
    "another promise": lambda b: _entry_of(b)["inclusionPromise"].update(
        signedEntryTimestamp=_double(_entry_of(b)["inclusionPromise"]["signedEntryTimestamp"])
    ),
    "another time": lambda b: _entry_of(b).update(integratedTime="1"),
    "another body": lambda b: _entry_of(b).update(
        canonicalizedBody=_double(_entry_of(b)["canonicalizedBody"])
    ),
    "no certificate": lambda b: b["verificationMaterial"].pop("certificate"),
    "a damaged certificate": lambda b: b["verificationMaterial"]["certificate"].update(
        rawBytes=_double(b["verificationMaterial"]["certificate"]["rawBytes"])
    ),
    "another signature": lambda b: b["dsseEnvelope"]["signatures"][0].update(
        sig=_double(b["dsseEnvelope"]["signatures"][0]["sig"])
    ),
    "the library's other spelling": lambda b: b.update(dsse_envelope=b["dsseEnvelope"]),
    "nothing": lambda b: b.clear(),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_bundle_that_lacks_a_part_is_refused(signed, how):
    """Certificate, time, proof and promise of the log are all demanded."""
    change_bundle(signed, lambda bundle: None)
    assert verify_signature(signed, IDENTITY).version == 3
    change_bundle(signed, TAMPERED[how])
    with pytest.raises(SignatureProblem) as caught:
        verify_signature(signed, IDENTITY)
    one_line(caught)


def test_a_key_that_stands_twice_is_refused(signed):
    """Two readers might each take another one: both are given the last, which must be what was signed."""
    bundle = json.loads((signed / "model.sig").read_text())
    envelope = bundle["dsseEnvelope"]
    body = base64.b64decode(envelope["payload"]).replace(b"README.md", b"README.MD")
    other = json.dumps(envelope | {"payload": base64.b64encode(body).decode()})
    text = json.dumps(bundle)
    for first, second in ((json.dumps(envelope), other), (other, json.dumps(envelope))):
        (signed / "model.sig").write_text(f'{text[:-1]}, "dsseEnvelope": {first}, "dsseEnvelope": {second}}}')
        if second == other:
            with pytest.raises(SignatureProblem):
                verify_signature(signed, IDENTITY)
    assert verify_signature(signed, IDENTITY).version == 3


def test_no_flip_of_the_signature_changes_what_is_signed(signed):
    """Bits at random: refused, but for a few of the proof, such as the log's name; none of what is signed."""
    before, data, draw = (
        verify_signature(signed, IDENTITY),
        (signed / "model.sig").read_bytes(),
        random.Random(5),
    )
    refused = 0
    for place in draw.sample(range(8 * len(data)), 150):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        (signed / "model.sig").write_bytes(flipped)
        try:
            assert verify_signature(signed, IDENTITY) == before
            assert json.loads(flipped)["dsseEnvelope"] == json.loads(data)["dsseEnvelope"]
        except SignatureProblem:
            refused += 1
    assert refused > 100


def test_what_another_sigstore_certified_is_refused(signed, monkeypatch, tmp_path):
    """Its certificates, logs and proofs are whole, but nobody here trusts its keys."""
    (tmp_path / "other.json").write_text(_trust_of_another())
    monkeypatch.setenv("REXNET_HUB_SIGSTORE", str(tmp_path / "other.json"))
    with pytest.raises(SignatureProblem, match="is not by this identity"):
        verify_signature(signed, IDENTITY)


def _trust_of_another():
    with LoopbackSigstore() as other:
        return other.trust()


def test_the_other_kind_of_signature_is_named(signed, entry, key, staged, tmp_path):
    """Checked by a key what an identity signed, and the other way round: one line each."""
    with pytest.raises(
        SignatureProblem, match=r"\(model\.sig is by an identity, not by this key\)$"
    ) as caught:
        verify_signature(signed, key.with_suffix(".pub"))
    one_line(caught)
    sign_repo(staged, key, entry=entry, version=1)
    with pytest.raises(
        SignatureProblem, match=r"\(model\.sig is by a key, not by this identity\)$"
    ) as caught:
        verify_signature(staged, IDENTITY)
    one_line(caught)


def test_versions_are_remembered_for_each_identity(signed, entry, sigstore, key, tmp_path):
    """An older one is refused from then on, by this identity alone; a key has a memory of its own."""
    older = shutil.copytree(signed, tmp_path / "older")
    sign_repo(older, "sigstore", entry=entry, version=2)
    assert verify_signature(older, IDENTITY).version == 2
    assert verify_signature(signed, IDENTITY).version == 3
    with pytest.raises(SignatureProblem, match="is version 2, it was replaced: at least 3"):
        verify_signature(older, IDENTITY)
    sigstore.workflow = WORKFLOW.replace("main", "beta")
    sign_repo(older, "sigstore", entry=entry, version=2)
    assert verify_signature(older, f"{sigstore.workflow}@{ISSUER}").version == 2
    sign_repo(older, key, entry=entry, version=1)
    assert verify_signature(older, key.with_suffix(".pub")).version == 1


#: Where nobody proves an identity, and what is said.
UNPROVEN = {
    "at home": (["GITHUB_ACTIONS"], "no CI proves one here"),
    "without the right": (["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], "insufficient OIDC token permissions"),
}


@pytest.mark.parametrize("where", UNPROVEN)
def test_without_an_identity_nothing_is_signed(where, staged, sigstore, entry, monkeypatch, tmp_path):
    """Said in one line before anything is staged or written; no browser opens."""
    missing, said = UNPROVEN[where]
    for name in missing:
        monkeypatch.delenv(name)
    for sign in (
        lambda: sign_repo(staged, "sigstore", entry=entry, version=1),
        lambda: publish_all([str(staged)], tmp_path / "out", apply=True, sign_key="sigstore", sign_version=1),
    ):
        with pytest.raises(UsageError, match=r"id-token: write \(") as caught:
            sign()
        assert said in one_line(caught)
    assert len(list(staged.iterdir())) == 4
    assert sigstore.asked == []


#: What goes wrong at Sigstore, by a word of the path: the error, and what it says.
REFUSED = {
    "idtoken": (UsageError, "OIDC token request failed"),
    "signingCert": (PublishError, "Sigstore did not sign it"),
    "log/entries": (PublishError, "Sigstore did not sign it"),
    "well-known": (PublishError, "Sigstore did not sign it"),
}


@pytest.mark.parametrize("on", REFUSED)
@pytest.mark.parametrize("status", [403, 500, 200])
def test_what_sigstore_refuses_leaves_nothing_and_shows_no_secret(
    on, status, staged, sigstore, entry, own_small_index, capsys
):
    """Its words may repeat the token that it was sent: it is blotted out, and the folder is as before."""
    kind, said = REFUSED[on]
    echo = write_token()
    sigstore.refuse = {on: (status, {"message": f"Bearer {REQUEST_TOKEN} {echo}", "code": status})}
    if on == "idtoken" and status == 200:
        said = "malformed"
    with pytest.raises(kind, match=said) as caught:
        sign_repo(staged, "sigstore", entry=entry, version=1)
    one_line(caught)
    assert len(list(staged.iterdir())) == 4
    words = ["publish", str(staged), "--to", str(staged.parent / "out"), "--apply"]
    assert main([*words, "--sign", "sigstore", "--version-counter", "1"]) != 0
    printed = "".join(capsys.readouterr())
    assert "SENTINEL" not in printed
    assert "eyJ" not in printed
    assert not (staged.parent / "out").exists()


@pytest.mark.parametrize("on", ["signingCert", slow("log/entries")])
def test_what_does_not_answer_is_not_waited_for(on, staged, sigstore, entry, monkeypatch):
    """The library bounds none of these requests: after some minutes, here less, one line says so."""
    answer, released = sigstore.answer, threading.Event()

    def silent(path, asked):
        return released.wait(60) if on in path else answer(path, asked)

    monkeypatch.setattr(sigstore, "answer", silent)
    monkeypatch.setattr("rexnet_hub.signing.SIGSTORE_SECONDS", 2.0)
    with pytest.raises(PublishError, match=r"did not sign it \(TimeoutError: not done within 2 seconds\)"):
        sign_repo(staged, "sigstore", entry=entry, version=1)
    released.set()
    assert len(list(staged.iterdir())) == 4


def test_what_fails_leaves_the_signature_that_was_there(staged, sigstore, entry, key):
    """A folder that is signed already stays as it was, whoever did not sign it again."""
    sign_repo(staged, key, entry=entry, version=1)
    before = {file.name: file.read_bytes() for file in staged.iterdir()}
    sigstore.refuse = {"signingCert": (500, {})}
    with pytest.raises(PublishError, match="Sigstore did not sign it"):
        sign_repo(staged, "sigstore", entry=entry, version=2)
    assert {file.name: file.read_bytes() for file in staged.iterdir()} == before


def test_missing_packages_are_named_by_their_extra(staged, sigstore, entry, monkeypatch):
    """Without the library one line says what to install."""
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(UsageError, match=r"pip install 'rexnet-hub\[sign\]'"):
        sign_repo(staged, "sigstore", entry=entry, version=1)


def test_an_identity_is_read_with_its_issuer():
    """What has none is told how it is written; spaces around it do not matter."""
    assert read_signer(f" {IDENTITY}\n") == CertifiedIdentity(WORKFLOW, ISSUER)
    assert read_signer(f"me@example.org@{ISSUER}") == CertifiedIdentity("me@example.org", ISSUER)
    for text in ("me@example.org", WORKFLOW, f"{WORKFLOW}@http://issuer", f"{WORKFLOW} @{ISSUER}"):
        with pytest.raises(FileProblem, match="written with its issuer: IDENTITY@https://ISSUER"):
            read_signer(text)


def test_sigstores_keys_that_cannot_be_read_are_no_verdict(signed, own_small_index, monkeypatch, tmp_path):
    """A missing or broken file, or no network: said as such, and the claim is not reached."""
    (tmp_path / "broken.json").write_text("{}")
    closed = "http://127.0.0.1:9"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HTTPS_PROXY", closed)
    demand(own_small_index)
    entry = load_index(own_small_index).find("small")
    for trust in (str(tmp_path / "missing.json"), str(tmp_path / "broken.json"), ""):
        monkeypatch.setenv("REXNET_HUB_SIGSTORE", trust)
        with pytest.raises(FetchError, match=r"Sigstore's keys .* cannot be read") as caught:
            verify_signature(signed, IDENTITY)
        assert (trust or "public instance") in one_line(caught)
        (finding,) = (f for f in verify_model(entry, repo=signed) if f.claim == "signature")
        assert finding.verdict == NOT_REACHED


def demand(index, signer=IDENTITY):
    """Write an identity into the index as the collection's `Trusted Key`."""
    file = index / "small.yml"
    text = file.read_text().replace("  License: MIT\n", f"  License: MIT\n  Trusted Key: {signer}\n")
    file.write_text(text)


def test_a_model_is_published_and_loaded_without_a_secret(
    hub, own_small_index, sigstore, capsys, monkeypatch
):
    """The whole road by commands: plan, publish, record, verify, load by id and by a name that demands it."""
    demand(own_small_index)
    words = ["publish", "small", "--to", "hf:org", "--sign", "sigstore", "--version-counter", "7"]
    assert main([*words[:4]]) == 1
    assert "the index demands a signature" in capsys.readouterr().out
    assert main([*words, "--apply", "--record"]) == 0
    assert "SENTINEL" not in "".join(capsys.readouterr())
    for name in sigstore.job():
        monkeypatch.delenv(name)
    assert AutoModel.from_pretrained("small").num_classes == 10
    assert AutoModel.from_pretrained("small", trusted_key=IDENTITY, local_files_only=True).num_classes == 10
    assert AutoModel.from_pretrained("org/small", trusted_key=IDENTITY).num_classes == 10
    with pytest.raises(MismatchError, match="states another"):
        AutoModel.from_pretrained("small", trusted_key=f"me@example.org@{ISSUER}")
    monkeypatch.delenv("REXNET_HUB_SIGSTORE")
    with pytest.raises(UsageError, match="offline, an identity is checked by Sigstore's keys in a file only"):
        AutoModel.from_pretrained("small", local_files_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["key", "identity"])
def test_a_run_that_changes_nothing_signs_nothing(by, hub, own_small_index, sigstore, key, capsys, caplog):
    """A signature that holds for the same files stays, whatever the counter; else it is made anew."""
    signer = str(key) if by == "key" else "sigstore"
    if by == "identity":
        demand(own_small_index)
    words = ["publish", "small", "--to", "hf:org", "--apply", "--sign", signer, "--version-counter"]
    assert main([*words, "7"]) == 0
    head, logged = hub.repos["org/small"].head, len(sigstore.entries)
    assert main([*words, "8"]) == 0
    assert "was there" in capsys.readouterr().out
    assert "small is signed as version 7, which stays" in caplog.text
    assert (hub.repos["org/small"].head, len(sigstore.entries)) == (head, logged)
    file = own_small_index / "small.yml"
    file.write_text(file.read_text().replace("77.86%", "77.85%"))
    assert main([*words, "9"]) == 0
    now = hub.repos["org/small"]
    assert now.head != head
    assert json.loads(now.files()["statement.json"])["version"] == 9
    unsigned = publish_all(["small"], "hf:org")[0].plan.stops
    assert any("the signature there would be lost" in stop for stop in unsigned)
    hub.push("org/small", {"model.sig": b"{}"})
    assert main([*words, "10"]) == 0
    assert json.loads(now.files()["statement.json"])["version"] == 10


#: Who signs after whom, and how the plan names them.
SIGNERS = {
    "key": r"the key [0-9a-f]{12}",
    "another key": r"the key [0-9a-f]{12}",
    "identity": re.escape(IDENTITY),
    "another identity": re.escape(IDENTITY.replace("main", "beta")),
}


@pytest.mark.slow
@pytest.mark.parametrize("first", ["key", "identity"])
@pytest.mark.parametrize("then", ["another key", "another identity"])
def test_another_signer_is_a_stop_that_names_both(first, then, hub, own_small_index, sigstore, tmp_path):
    """Whoever trusts the one would refuse the other: nothing is published until an option says so."""

    def publish(by, version, **more):
        sigstore.workflow = WORKFLOW.replace("main", "beta") if by == "another identity" else WORKFLOW
        file = write_key(tmp_path / by.replace(" ", "-")) if by.endswith("key") else "sigstore"
        settings = {"apply": True, "sign_key": file, "sign_version": version} | more
        return publish_all(["small"], "hf:org", **settings)[0].problem

    assert publish(first, 5) is None
    head = hub.repos["org/small"].head
    problem = publish(then, 6)
    assert re.search(f"is by {SIGNERS[first]}, this one by {SIGNERS[then]}; .*--drop-signature", problem)
    assert "\n" not in problem
    assert hub.repos["org/small"].head == head
    assert publish(then, 1, drop_signature=True) is None
    assert json.loads(hub.repos["org/small"].files()["statement.json"])["version"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("to", ["hf:org", "folder"])
def test_a_counter_that_does_not_count_up_is_a_stop(to, hub, own_small_index, key, tmp_path):
    """A lower number, or the same for other files, would be refused by whoever saw the last."""
    to = to if to.startswith("hf:") else tmp_path / "out"
    file = own_small_index / "small.yml"
    signed = {"apply": True, "sign_key": key}
    assert publish_all(["small"], to, sign_version=7, **signed)[0].problem is None
    file.write_text(file.read_text().replace("77.86%", "77.85%"))
    for version in (6, 7):
        problem = publish_all(["small"], to, sign_version=version, **signed)[0].problem
        assert f"version 7, this one version {version}; " in problem
        assert "--version-counter 8" in problem
    assert publish_all(["small"], to, sign_version=8, **signed)[0].problem is None


def test_a_run_of_the_same_number_may_be_run_again(hub, own_small_index, sigstore):
    """Whom no index trusts signs anew each time: the same files under the same number are no stop."""
    settings = {"apply": True, "sign_key": "sigstore", "sign_version": 7}
    for _ in range(2):
        assert publish_all(["small"], "hf:org", **settings)[0].problem is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "renamed"])
def test_a_release_that_was_signed_goes_back_signed_anew(name, hub, own_small_index, key):
    """As it was, those who saw a later one would refuse it: its files are signed as the newest version."""
    file = own_small_index / "small.yml"
    for version, tag in ((1, "v1"), (2, "v2")):
        signed = {"apply": True, "sign_key": key, "sign_version": version}
        assert publish_all(["small"], f"hf:org/{name}", tag=tag, **signed)[0].problem is None
        file.write_text(file.read_text().replace("77.86%", "77.85%"))
    repo = hub.repos[f"org/{name}"]
    back = {"back_to": "v1", "apply": True}
    assert "version 2, this one version 1; " in publish_all(["small"], f"hf:org/{name}", **back)[0].problem
    (outcome,) = publish_all(["small"], f"hf:org/{name}", sign_key=key, sign_version=3, **back)
    assert outcome.problem is None
    then = repo.commits[repo.tags["v1"]].tree
    now = repo.commits[repo.head].tree
    assert {name for name in now if now[name] != then.get(name)} == set(SIGNATURE_FILES)
    assert json.loads(repo.files()["statement.json"])["version"] == 3


def test_a_plan_is_not_signed_in_public(staged, sigstore, tmp_path):
    """What is logged stays for ever, so an identity signs only what is applied."""
    with pytest.raises(UsageError, match=r"a plan has no use for --sign sigstore"):
        publish_all([str(staged)], tmp_path / "out", sign_key="sigstore", sign_version=1)
    assert sigstore.asked == []


def test_verify_takes_an_identity(signed, own_small_index, capsys):
    """As an option, and as the index's claim: it holds, or is false."""
    demand(own_small_index)
    words = ["verify", "small", "--repo", str(signed), "--signature"]
    assert main([*words, IDENTITY]) == 0
    assert "signed: small, version 3" in capsys.readouterr().err
    assert main([*words, f"me@example.org@{ISSUER}"]) == 1
    assert "is not by this identity" in capsys.readouterr().err
    (finding,) = (f for f in _findings(own_small_index, signed) if f.claim == "signature")
    assert finding.verdict == HOLDS
    change_bundle(signed, TAMPERED["no proof"])
    (finding,) = (f for f in _findings(own_small_index, signed) if f.claim == "signature")
    assert finding.verdict == FALSE
    assert main(["show", "small", "--json"]) == 0
    assert IDENTITY in capsys.readouterr().out


def _findings(index, folder):
    return verify_model(load_index(index).find("small"), repo=folder)


def test_whom_the_index_does_not_trust_cannot_sign(staged, own_small_index, sigstore, key):
    """A workflow that is another one, a key in place of an identity, and the other way round."""
    demand(own_small_index)
    sigstore.workflow = WORKFLOW.replace("main", "beta")
    with pytest.raises(SignatureProblem, match="is not by this identity"):
        sign_repo(staged, "sigstore", entry=load_index(own_small_index).find("small"), version=1)
    with pytest.raises(MismatchError, match="states another"):
        sign_repo(staged, key, entry=load_index(own_small_index).find("small"), version=1)
    public = key.with_suffix(".pub").read_text().replace("\n", "\n    ")
    file = own_small_index / "small.yml"
    file.write_text(file.read_text().replace(IDENTITY, f"|\n    {public}"))
    sigstore.asked.clear()
    with pytest.raises(MismatchError, match="the index trusts a key"):
        sign_repo(staged, "sigstore", entry=load_index(own_small_index).find("small"), version=1)
    assert sigstore.asked == []
    assert not any((staged / name).exists() for name in SIGNATURE_FILES)


@pytest.mark.parametrize(
    "text", ["me@example.org", "models.yml@http://issuer.example", f"a b@{ISSUER}", f"@{ISSUER}"]
)
def test_an_identity_that_nobody_can_read_is_demanded_all_the_same(text, own_small_index):
    """`validate` names it, and no load by the name goes on as if there were none."""
    demand(own_small_index, json.dumps(text))
    assert [problem.code for problem in load_index(own_small_index).errors] == ["wrong-kind"]
    with pytest.raises(RexnetHubError, match="the trusted key of small"):
        AutoModel.from_pretrained("small")
