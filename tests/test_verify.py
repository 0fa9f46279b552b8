"""`verify` says yes to the truth and no, by name, to each single lie."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from xml.etree import ElementTree

import pytest
import timm
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from receipts import digest_of, retell
from runs import made_up_run
from safetensors.torch import load_file

from rexnet_hub.errors import FileProblem, RexnetHubError, UsageError
from rexnet_hub.golden import measure_golden, render_golden
from rexnet_hub.imagenet.data.dataset import Sample
from rexnet_hub.imagenet.run.runner import digest_tensors
from rexnet_hub.index import Measured
from rexnet_hub.index.entry import Witness
from rexnet_hub.index.lock import MeasuredFile, MeasuredMacs
from rexnet_hub.index.network import entry_plan
from rexnet_hub.layout import DEMO_PICTURE, GOLDEN_FILE, GOLDEN_PICTURE, PACKAGE_DIR
from rexnet_hub.pages.card import derive_card
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.signing import sign_repo
from rexnet_hub.verify import (
    FALSE,
    HOLDS,
    NOT_MEASURED,
    Finding,
    require_truth,
    verify_model,
)
from rexnet_hub.verify.finding import render_json, render_junit
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.fingerprint import TensorDigest, fingerprint_of


@pytest.fixture
def record(entry, staged):
    """A run on the whole set whose counts are the claimed percentages."""
    weights = staged / "model.safetensors"
    return made_up_run(
        entry.preprocessing,
        model="rexnet_100",
        weights_sha256=digest_file(weights).sha256,
        tensors_sha256=digest_tensors(load_file(weights)),
        top1_count=38930,
        top5_count=46940,
    )


def state_card(repo):
    """Let the receipt state the card that is there, as if it had been staged."""
    digest = digest_of(repo / "README.md")
    retell(repo / "receipt.json", lambda told: told["files"].update({"README.md": digest}))


@pytest.fixture
def truth(entry, checkpoint, repo, record):
    """The arguments of a `verify_model` that finds every claim measured and true."""
    weights, released = digest_file(repo / "model.safetensors"), digest_file(checkpoint)
    measured = Measured(
        released=MeasuredFile(sha256=released.sha256, size_bytes=released.size_bytes),
        safetensors=MeasuredFile(sha256=weights.sha256, size_bytes=weights.size_bytes),
        macs={"conv_linear": MeasuredMacs(count=398370392, input_px=224, counter="rexnet_hub")},
    )
    files = {"checkpoint": checkpoint, "repo": repo}
    entry = witnessed(hashlib.sha384(checkpoint.read_bytes()).hexdigest())({"entry": entry})["entry"]
    card = derive_card(entry, weights, measured=measured, standin=True, repo_id=None)
    (repo / "README.md").write_text(card)
    state_card(repo)
    return {"entry": entry, **files, "measured": measured, "records": [record]}


def verify(told):
    return verify_model(told["entry"], **{key: value for key, value in told.items() if key != "entry"})


def claim(name, value):
    """Change one claim of the entry's metadata."""

    def lie(told):
        entry = told["entry"]
        changed = entry.metadata[name]._replace(value=value, text=str(value))
        return {**told, "entry": replace(entry, metadata={**entry.metadata, name: changed})}

    return lie


def prefix(told):
    """Change the digest prefix in the address of the weights."""
    entry = told["entry"]
    address = entry.weights.value.replace(entry.released.digest_prefix, "00000000")
    return {**told, "entry": replace(entry, weights=entry.weights._replace(value=address))}


def metric(name, value):
    """Change a metric of the entry's result."""

    def lie(told):
        (result,) = told["entry"].results
        changed = result.metrics[name]._replace(value=Decimal(value), text=f"{value}%")
        results = (result._replace(metrics={**result.metrics, name: changed}),)
        return {**told, "entry": replace(told["entry"], results=results)}

    return lie


def config(change):
    """Change the repo's config.json."""

    def lie(told):
        file = told["repo"] / "config.json"
        given = json.loads(file.read_text())
        change(given)
        file.write_text(json.dumps(given, indent=2, ensure_ascii=False) + "\n")
        return told

    return lie


def text(old, new):
    """Change a text of the repo's card."""

    def lie(told):
        file = told["repo"] / "README.md"
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new, 1))
        return told

    return lie


def flip(told):
    """Flip one bit of the repo's weights."""
    file = told["repo"] / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    return told


def lose_a_tensor(told):
    """Leave one tensor out of the repo's weights."""
    from safetensors.torch import load_file, save_file

    file = told["repo"] / "model.safetensors"
    tensors = load_file(file)
    del tensors["features.3.conv_pwl.bn.running_mean"]
    save_file(tensors, file, metadata={"format": "pt"})
    return told


def another_tensor(told):
    """Change one tensor's digest in the receipt, and its fingerprint so that it agrees with itself."""

    def change(receipt):
        receipt["tensors"][7]["sha256"] = "0" * 64
        keys = ("name", "dtype", "sha256")
        digests = [
            TensorDigest(shape=tuple(line["shape"]), **{key: line[key] for key in keys})
            for line in receipt["tensors"]
        ]
        receipt["output"]["fingerprint"] = fingerprint_of(digests)

    retell(told["repo"] / "receipt.json", change)
    return told


def another_file(name):
    """Let the receipt state another digest of a file."""

    def lie(told):
        retell(told["repo"] / "receipt.json", lambda receipt: receipt["files"].update({name: "0" * 64}))
        return told

    return lie


def foreign(told):
    """Stage weights of the right shapes that are neither the released file's nor a stand-in's."""
    tensors = torch.load(told["checkpoint"], weights_only=True)
    changed = {name: tensor * 0 if tensor.ndim == 0 else tensor for name, tensor in tensors.items()}
    torch.save(changed, told["repo"].parent / "foreign.pth")
    folder, measured = told["repo"].parent, told["measured"]
    repo = write_staged(told["entry"], folder / "foreign.pth", folder / "foreign", measured=measured)
    return {**told, "repo": repo.folder}


def forge(told):
    """Forge a repo: weights of another seed, in whose receipt the released file is the source."""
    other = {
        name: tensor + 1 if tensor.ndim else tensor
        for name, tensor in torch.load(told["checkpoint"], weights_only=True).items()
    }
    folder, measured = told["repo"].parent, told["measured"]
    torch.save(other, folder / "other.pth")
    forged = write_staged(told["entry"], folder / "other.pth", folder / "forged", measured=measured).folder
    source = json.loads((told["repo"] / "receipt.json").read_text())["source"]
    retell(forged / "receipt.json", lambda receipt: receipt | {"source": source})
    return {**told, "repo": forged}


def own_digest(value):
    """Give the entry a `SHA256`."""

    def state(told):
        entry = told["entry"]
        digest = entry.weights._replace(field="sha256", label="SHA256", value=value, text=value)
        return {**told, "entry": replace(entry, extra={**entry.extra, "sha256": digest})}

    return state


def witnessed(sha384):
    """Give the entry a witness of the released file, in place of its own of other files."""

    def state(told):
        claim = told["entry"].weights._replace(value=sha384, text=f"sha384:{sha384}", source="https://a.org")
        witness = Witness(claim=claim, of="released", algorithm="sha384", commit=None)
        return {**told, "entry": replace(told["entry"], witnesses=(witness,))}

    return state


def signed(told):
    """Sign the repo, by the key that the entry trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = told["repo"].parent / "key.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    trusted = told["entry"].weights._replace(field="trusted_key", label="Trusted Key", value=public)
    entry = replace(told["entry"], trusted_key=trusted)
    sign_repo(told["repo"], file, entry=entry, version=1)
    return {**told, "entry": entry}


def signed_by_another(told):
    """Sign the repo, by another key than the entry trusts."""
    trusted = signed(told)["entry"]
    return {**signed(told), "entry": trusted}


def unreadable(field):
    """Give the entry a claim that nobody can read."""

    def state(told):
        entry = told["entry"]
        claim = entry.weights._replace(field=field, value=None, text="4.8M", problem="is no number")
        return {**told, "entry": replace(entry, unread=(claim,))}

    return state


def locked(**changes):
    """Change what the lock says."""

    def lie(told):
        return {**told, "measured": replace(told["measured"], **changes)}

    return lie


def run(**changes):
    """Change what the run counted."""

    def lie(told):
        return {**told, "records": [replace(told["records"][0], **changes)]}

    return lie


def golden(**facts):
    """Put golden logits into the repo, true but for the facts; a stand-in's no command measures."""

    def state(told):
        own = measure_golden(read_repo(told["repo"]), picture=DEMO_PICTURE, dtype=torch.float64)
        shutil.copy(DEMO_PICTURE, told["repo"] / GOLDEN_PICTURE)
        (told["repo"] / GOLDEN_FILE).write_bytes(render_golden(replace(own, **facts)))
        return told

    return state


OTHER_FILE = MeasuredFile(sha256="f" * 64, size_bytes=1)
OTHER_SIZE = {"file_size", "receipt_source", "card"}
OTHER_BYTES = {"weights_digest", "weights_locked", "receipt", "conversion", "record"}
OTHER_CONFIG = {"config", "files"}
OTHER_MACS = {"conv_linear": MeasuredMacs(count=398370393, input_px=224, counter="rexnet_hub")}

# A number of the entry or the lock that changes is another number on the card.
# One lie per claim: (the lie, the claims that it makes false). A claim that `verify` checks without a lie
# here fails test_every_claim_has_a_lie, so no check can exist that was never seen to say no.
LIES = {
    "parameters": (claim("parameters", 4810000), {"parameters", "card"}),
    "macs": (locked(macs=OTHER_MACS), {"macs", "card"}),
    "file_size": (claim("file_size", 19417551), OTHER_SIZE),
    "digest_prefix": (prefix, {"digest_prefix", "receipt_source"}),
    "sha256": (own_digest("0" * 64), {"sha256", "receipt_source"}),
    "witness": (witnessed(96 * "0"), {"witness"}),
    "released_digest": (locked(released=OTHER_FILE), {"released_digest", "receipt_source"}),
    "top1_cited": (metric("top1", "77.97"), {"top1_cited", "top1", "card"}),
    "top5_cited": (metric("top5", "93.70"), {"top5_cited", "top5", "card"}),
    "top1": (run(top1_count=38800), {"top1"}),
    "top5": (run(top5_count=46000), {"top5"}),
    "tensors": (lose_a_tensor, {"tensors", *OTHER_BYTES}),
    "weights_digest": (flip, OTHER_BYTES),
    "receipt": (another_tensor, {"receipt", "weights_digest", "conversion"}),
    "conversion": (forge, {"weights_locked", "conversion", "record"}),
    "record": (run(tensors_sha256="0" * 64), {"record"}),
    "receipt_source": (foreign, {"receipt_source", "weights_locked", "conversion", "record"}),
    "weights_locked": (locked(safetensors=OTHER_FILE), {"weights_locked"}),
    "architecture": (config(lambda c: c.update(architecture="rexnetr_100")), {"architecture", *OTHER_CONFIG}),
    "num_classes": (
        config(lambda c: c.update(num_classes=999, label_names=[])),
        {"num_classes", "labels", *OTHER_CONFIG},
    ),
    "labels": (config(lambda c: c["id2label"].update({"7": "hen"})), {"labels", *OTHER_CONFIG}),
    "crop_mode": (
        config(lambda c: c["pretrained_cfg"].update(crop_mode="squash")),
        {"crop_mode", *OTHER_CONFIG},
    ),
    "image_size": (
        config(lambda c: c["pretrained_cfg"].update(input_size=[3, 256, 256])),
        {"image_size", *OTHER_CONFIG},
    ),
    "crop_pct": (config(lambda c: c["pretrained_cfg"].update(crop_pct=0.9)), {"crop_pct", *OTHER_CONFIG}),
    "interpolation": (
        config(lambda c: c["pretrained_cfg"].update(interpolation="bilinear")),
        {"interpolation", *OTHER_CONFIG},
    ),
    "image_mean": (
        config(lambda c: c["pretrained_cfg"].update(mean=[0.5, 0.5, 0.5])),
        {"image_mean", *OTHER_CONFIG},
    ),
    "image_std": (
        config(lambda c: c["pretrained_cfg"].update(std=[0.5, 0.5, 0.5])),
        {"image_std", *OTHER_CONFIG},
    ),
    "config": (config(lambda c: c.update(model_args=None)), OTHER_CONFIG),
    "files": (another_file("config.json"), {"files"}),
    "license": (text("license: mit", "license: apache-2.0"), {"license", "card"}),
    "golden": (golden(tolerance={"cpu": 1.0}), {"golden"}),
    "card": (text("numbers in this repo are random", "numbers in this repo are trained"), {"card"}),
    "signature": (signed_by_another, {"signature"}),
}


def false_claims(findings):
    return {finding.claim for finding in findings if finding.verdict == FALSE}


#: What stays unmeasured of stand-ins where a run decides nothing.
UNDECIDED = {"flops", "origin", "top1", "top5"}


def test_the_truth_holds(truth):
    """With all evidence at hand the FLOPs stay unmeasured, and stand-ins are said to be that."""
    findings = verify(truth)
    assert false_claims(findings) == set()
    assert {f.claim for f in findings if f.verdict == NOT_MEASURED} == {"flops", "origin"}


CARD_LIES = {
    "metadata": (
        text("library_name: timm", "library_name: ours"),
        "library_name: timm",
        "library_name: ours",
    ),
    "a tag less": (
        text("- rexnet_hub\n", ""),
        "tags: image-classification, timm, transformers, rexnet_hub",
        "tags: image-classification, timm, transformers",
    ),
    "a figure": (
        text("| ○ 77.86 % |", "| ○ 78.86 % |"),
        "| Top-1 accuracy | ○ 77.86 % |",
        "| Top-1 accuracy | ○ 78.86 % |",
    ),
    "a line less": (text("## Limits and intended use\n", ""), "## Limits and intended use", "no such line"),
    "another place": (text("## Use it", "## Licence"), "## Use it", "## Licence"),
    "another repo": (
        text("\nrexnet-hub verify ./rexnet_100\n", "\nrexnet-hub verify hf:a/b\n"),
        'AutoModel.from_pretrained("a/b")',
        None,
    ),
}


@pytest.mark.parametrize("lie", CARD_LIES)
def test_the_first_line_of_a_card_that_differs_is_named(lie, truth):
    """The card is derived anew and held line by line: what is stated and what is found are said."""
    tell, stated, found = CARD_LIES[lie]
    (finding,) = (f for f in verify(tell(truth)) if f.claim == "card")
    assert finding.verdict == FALSE
    assert stated in finding.stated
    assert found is None or finding.found == found


def test_lines_that_people_added_to_a_card_are_theirs(truth):
    """What somebody wrote between the lines is no lie of the card; it is counted, and excuses nothing."""
    text("## Use it", "Fine-tuned on pictures of our own.\n\n## Use it")(truth)
    (finding,) = (f for f in verify(truth) if f.claim == "card")
    assert finding.verdict == HOLDS
    assert finding.note.endswith("lines that people added: 1, the first: Fine-tuned on pictures of our own.")
    text("library_name: timm", "language: en\nlibrary_name: timm")(truth)
    (finding,) = (f for f in verify(truth) if f.claim == "card")
    assert finding.verdict == HOLDS
    assert finding.note.endswith("lines that people added: 2, the first: language: en")
    text("## Input", "## In")(truth)
    assert false_claims(verify(truth)) == {"card"}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_and_named(lie, truth):
    """Evidence with one lie in it is wrong in exactly the claims that the lie is about."""
    tell, wrong = LIES[lie]
    assert false_claims(verify(tell(truth))) == wrong


@pytest.mark.parametrize("field", ["parameters", "file_size", "sha256", "epochs"])
def test_a_claim_that_nobody_can_read_is_false(field, truth):
    """It can never hold, so it is no row of LIES; whatever else is stated of the model holds all the same."""
    is_on_card = field != "sha256"
    findings = verify(unreadable(field)(truth))
    assert false_claims(findings) == ({field, "card"} if is_on_card else {field})


def test_every_claim_has_a_lie(truth):
    """Every claim that can hold has been seen to be false."""
    stated = own_digest(digest_file(truth["checkpoint"]).sha256)(truth)
    findings = (*verify(truth), *verify(stated), *verify(signed(truth)), *verify(golden()(truth)))
    assert false_claims(findings) == set()
    assert {f.claim for f in findings if f.verdict == HOLDS} == set(LIES)


@pytest.mark.parametrize(("size", "verdict"), [(19417552, HOLDS), (19433870, NOT_MEASURED)])
def test_a_planned_size_is_no_verdict_on_another_container(index, size, verdict):
    """Without the file, the size of a plain legacy file holds; another may be of a file with more in it."""
    entry = claim("file_size", size)({"entry": index.find("rexnet_100")})["entry"]
    assert [f.verdict for f in verify_model(entry) if f.claim == "file_size_planned"] == [verdict]


def test_nothing_is_measured_without_files(index):
    """Without files and lock only what the network and the cited tables say is decided."""
    for entry in index.models:
        findings = verify_model(entry)
        decided = {f.claim for f in findings if f.verdict != NOT_MEASURED}
        assert decided == {"parameters", "file_size_planned", "top1_cited", "top5_cited"}
        assert false_claims(findings) == set()
        assert all(f.note for f in findings if f.verdict == NOT_MEASURED)


def test_a_run_that_cannot_decide_decides_nothing(truth, record):
    """A run of other weights, in another dtype, or with unreadable images leaves the claim unmeasured."""
    half = replace(record.machine, dtype="bf16")
    for changes in (
        {"weights_sha256": "9" * 64},
        {"machine": half, "top1_count": 1},
        {"unreadable": ("a.jpg",), "top1_count": 1},
        {"complete": False, "top1_count": 1},
        {"complete": False, "top1_count": 1, "sample": Sample(size=50000, seed=0, drawn_from=60000)},
    ):
        findings = verify(run(**changes)(truth))
        assert {f.claim for f in findings if f.verdict == NOT_MEASURED} == UNDECIDED, changes


@pytest.mark.parametrize(
    ("images", "top1", "verdict"),
    [(40000, 31150, HOLDS), (40000, 30800, FALSE), (500, 390, NOT_MEASURED), (500, 300, FALSE)],
)
def test_a_sample_gives_a_verdict(truth, images, top1, verdict):
    """A sample is consistent, not consistent or too small, and its finding says how many would tell."""
    sample = Sample(size=images, seed=0, drawn_from=50000)
    told = run(complete=False, sample=sample, images=images, top1_count=top1, top5_count=top1)(truth)
    (finding,) = (f for f in verify(told) if f.claim == "top1")
    assert finding.verdict == verdict
    assert f"{images:,} images" in finding.note


def test_a_record_of_another_model_is_no_evidence(truth):
    """A run of another model leaves accuracy unmeasured."""
    findings = verify(run(model="rexnet_200")(truth))
    assert {f.claim for f in findings if f.verdict == NOT_MEASURED} == UNDECIDED


def test_a_stand_in_is_told_from_the_released_file(index, staged):
    """Held against the zoo's own entry, a stand-in's source is unmeasured, never the released file."""
    (finding,) = (
        f for f in verify_model(index.find("rexnet_100"), repo=staged) if f.claim == "receipt_source"
    )
    assert finding.verdict == NOT_MEASURED
    assert "stand-in" in finding.note


def test_an_entry_that_says_too_little_stops_no_other(index):
    """What an unknown network leaves unchecked is said with its place; neither that nor no count is false."""
    entry = index.find("rexnet_100")
    strange = entry.metadata["id"]._replace(value="resnet_18", text="resnet_18")
    unknown = replace(entry, metadata={**entry.metadata, "id": strange})
    few = replace(entry, metadata={k: v for k, v in entry.metadata.items() if k != "num_classes"})
    assert FALSE not in {f.verdict for told in (unknown, few) for f in verify_model(told)}
    left = [f.note for f in verify_model(unknown) if f.found == "not checked"]
    assert left
    assert all("no network is named 'resnet_18'" in note and "rexnet.yml:" in note for note in left)
    assert any("its own classes" in f.note for f in verify_model(few))


def test_a_run_of_unknown_weights_decides_nothing(truth):
    """Without a repo and without a lock a run cannot be said to be of the model's weights."""
    findings = verify_model(truth["entry"], records=truth["records"])
    assert {f.verdict for f in findings if f.claim in ("top1", "top5")} == {NOT_MEASURED}


def test_parameters_are_counted_as_timm_counts(index):
    """The count that claims are held against is timm's, for each model."""
    for entry in index.models:
        with torch.device("meta"):
            theirs = timm.create_model(entry.name)
        assert entry_plan(entry).parameters == sum(p.numel() for p in theirs.parameters())


ROUNDINGS = {4796873: True, 4796870: True, 4797000: True, 4800000: True}
WRONG_COUNTS = {4796874: False, 4790000: False, 5000000: False}


@pytest.mark.parametrize(("stated", "holds"), (ROUNDINGS | WRONG_COUNTS).items())
def test_a_rounded_count_holds_to_its_rounding(entry, stated, holds):
    """The exact count and its roundings to 10^4 hold; a wrong digit or a coarser rounding does not."""
    told = claim("parameters", stated)({"entry": entry})
    assert ("parameters" in false_claims(verify(told))) is not holds


def test_false_and_empty_findings_are_refused(truth):
    """Truth is required aloud: false claims are all named, and nothing to check is a failure."""
    findings = verify(LIES["license"][0](truth))
    with pytest.raises(
        RexnetHubError, match=r"license is false: stated mit, found apache-2\.0\n.*card is false"
    ):
        require_truth(findings)
    with pytest.raises(UsageError, match="nothing to verify"):
        require_truth([])


def test_a_named_file_must_exist(entry, tmp_path):
    """A checkpoint or repo that is named and missing is an error, not an unmeasured claim."""
    with pytest.raises(FileProblem, match="no such file"):
        verify_model(entry, checkpoint=tmp_path / "none.pth")
    with pytest.raises(FileProblem, match="no such folder"):
        verify_model(entry, repo=tmp_path / "none")


def test_a_repo_without_receipt_or_card_is_said(entry, repo):
    """A repo without receipt is unmeasured, not trusted; one without a card is false."""
    (repo / "receipt.json").unlink()
    (repo / "README.md").unlink()
    findings = {f.claim: f for f in verify_model(entry, repo=repo)}
    assert findings["weights_digest"].verdict == NOT_MEASURED
    assert findings["card"].verdict == FALSE
    assert findings["files"].verdict == FALSE  # config.json names a receipt
    assert "receipt.json, which config.json names, not as written" in findings["files"].found
    assert read_repo(repo).receipt is None


def test_every_file_that_the_receipt_states_is_compared(entry, repo):
    """Another digest of the card, a file that is not there, and one that lies outside are false, by name."""
    outside = {"none.md": "0" * 64, "../rexnet_100/config.json": digest_of(repo / "config.json")}
    another_file("README.md")({"repo": repo})
    retell(repo / "receipt.json", lambda receipt: receipt["files"].update(outside))
    (finding,) = (f for f in verify_model(entry, repo=repo) if f.claim == "files")
    assert finding.verdict == FALSE
    assert finding.found == "README.md, none.md, ../rexnet_100/config.json not as written"


def test_a_file_that_nobody_states_is_said(entry, repo):
    """A licence beside the weights and a receipt of an earlier release are named as not measured."""
    (repo / "LICENSE").write_text("MIT")
    (finding,) = (f for f in verify_model(entry, repo=repo) if f.claim == "other_files")
    assert (finding.verdict, finding.found) == (NOT_MEASURED, "LICENSE")
    retell(repo / "receipt.json", lambda receipt: receipt.pop("files") and receipt)
    findings = {f.claim: f for f in verify_model(entry, repo=repo)}
    assert findings["other_files"].found == "LICENSE, README.md, config.json"
    assert "files" not in findings


def test_junit_of_hostile_names_is_plain_xml():
    """What no XML can hold, or a terminal would obey, is escaped in names too."""
    finding = Finding(model="rexnet\x1b[31m_\u202e100", claim="a\x07\u202eb", verdict=HOLDS, stated="1")
    text = render_junit([finding])
    assert text.replace("\n", "").isprintable()
    (suite,) = ElementTree.fromstring(text)
    assert suite.get("name") == suite[0].get("classname") == r"rexnet\x1b[31m_\u202e100"
    assert suite[0].get("name") == r"a\x07\u202eb"


def test_a_config_that_the_receipt_no_longer_states_is_said(entry, repo):
    """Its row alone was dropped: verify names it, as not measured."""
    retell(repo / "receipt.json", lambda receipt: receipt["files"].pop("config.json") and receipt)
    findings = {f.claim: f for f in verify_model(entry, repo=repo)}
    assert (findings["other_files"].verdict, findings["other_files"].found) == (NOT_MEASURED, "config.json")


def test_junit_says_what_the_findings_say():
    """A JUnit reader sees each claim once: false as a failure, unmeasured as skipped, hostile text inert."""
    findings = (
        Finding(model="a", claim="one", verdict=HOLDS, stated="1", found="1"),
        Finding(model="a", claim="two", verdict=FALSE, stated="<1>", found='"\x00&2'),
        Finding(model="b", claim="one", verdict=NOT_MEASURED, stated="1", note="needs a file"),
    )
    root = ElementTree.fromstring(render_junit(findings))
    counts = [(s.get("name"), s.get("tests"), s.get("failures"), s.get("skipped")) for s in root]
    assert counts == [("a", "2", "1", "0"), ("b", "1", "0", "1")]
    (failure,) = root.iter("failure")
    assert "stated <1>, found" in failure.get("message")
    assert [row["verdict"] for row in json.loads(render_json(findings))] == [HOLDS, FALSE, NOT_MEASURED]


def test_a_card_as_it_was_staged_has_no_lines_of_people(entry, repo):
    """Where the entry changed since, the card is false, and what we wrote then is nobody else's."""
    (card,) = (f for f in verify_model(replace(entry, license=None), repo=repo) if f.claim == "card")
    assert (card.verdict, "people" in card.note) == ("false", False)


def test_verifying_a_repo_imports_neither_torch_nor_numpy_nor_what_fetches(staged):
    """Every number of a built-in network, its weights and the released file's size comes without them."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rexnet_hub.index import load_index, read_lock\n"
        "from rexnet_hub.verify import verify_model\n"
        "entry = load_index(Path(sys.argv[1], 'model_index')).find('rexnet_100')\n"
        "measured = read_lock(Path(sys.argv[1], 'model_index', 'lock.json')).of('rexnet_100')\n"
        "found = verify_model(entry, repo=Path(sys.argv[2]), measured=measured)\n"
        "heavy = {'torch', 'numpy', 'http.client', 'tqdm'} & sys.modules.keys()\n"
        "print({each.claim: each.verdict for each in found}['macs'], *heavy)"
    )
    arguments = [sys.executable, "-c", script, str(PACKAGE_DIR.parent), str(staged)]
    child = subprocess.run(arguments, check=True, capture_output=True, text=True)

    assert child.stdout.strip() == HOLDS
