"""`verify` says yes to the truth and no, by name, to each single lie."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
import timm

from rexnet_hub.errors import FileProblem, RexnetHubError, UsageError
from rexnet_hub.repo import read_repo
from rexnet_hub.verify import (
    FALSE,
    HOLDS,
    NOT_MEASURED,
    count_planned_parameters,
    require_truth,
    verify_model,
)


def claim(name, value):
    """Change one claim of an entry's metadata."""

    def lie(entry, repo):
        old = entry.metadata[name]
        return replace(entry, metadata={**entry.metadata, name: replace(old, value=value, text=str(value))})

    return lie


def weights(old, new):
    """Change the address of the weights."""

    def lie(entry, repo):
        return replace(
            entry, weights=replace(entry.weights, value=entry.weights.value.replace(old(entry), new))
        )

    return lie


def metric(name, value):
    """Change a metric of the entry's result."""

    def lie(entry, repo):
        (result,) = entry.results
        told = replace(result.metrics[name], value=Decimal(value), text=f"{value}%")
        return replace(entry, results=(replace(result, metrics={**result.metrics, name: told}),))

    return lie


def config(change):
    """Change the repo's config.json."""

    def lie(entry, repo):
        given = json.loads((repo / "config.json").read_text())
        change(given)
        (repo / "config.json").write_text(json.dumps(given, indent=2, ensure_ascii=False) + "\n")
        return entry

    return lie


def text(file, old, new):
    """Change a text of one of the repo's files."""

    def lie(entry, repo):
        before = (repo / file).read_text()
        assert old in before
        (repo / file).write_text(before.replace(old, new, 1))
        return entry

    return lie


def flip(offset):
    """Flip one bit of the repo's weights, counted from the end."""

    def lie(entry, repo):
        data = bytearray((repo / "model.safetensors").read_bytes())
        data[-offset] ^= 1
        (repo / "model.safetensors").write_bytes(data)
        return entry

    return lie


def lose_a_tensor(entry, repo):
    """Leave one tensor out of the repo's weights, with a receipt that agrees."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(repo / "model.safetensors")
    del tensors["features.3.conv_pwl.bn.running_mean"]
    save_file(tensors, repo / "model.safetensors", metadata={"format": "pt"})
    return entry


# One lie per claim: (the lie, the claims that it makes false). A claim that `verify` checks without a lie
# here fails test_every_claim_has_a_lie, so no check can exist that was never seen to say no.
LIES = {
    "parameters": (claim("parameters", 4810000), {"parameters"}),
    "file_size": (claim("file_size", 19417553), {"file_size"}),
    "digest_prefix": (weights(lambda e: e.released.digest_prefix, "00000000"), {"digest_prefix"}),
    "top1_cited": (metric("top1", "77.97"), {"top1_cited"}),
    "top5_cited": (metric("top5", "93.70"), {"top5_cited"}),
    "tensors": (lose_a_tensor, {"tensors", "weights_digest"}),
    "weights_digest": (flip(5), {"weights_digest"}),
    "architecture": (config(lambda c: c.update(architecture="rexnetr_100")), {"architecture", "config"}),
    "num_classes": (config(lambda c: c.update(num_classes=999)), {"num_classes", "config"}),
    "image_size": (
        config(lambda c: c["pretrained_cfg"].update(input_size=[3, 256, 256])),
        {"image_size", "config"},
    ),
    "crop_pct": (config(lambda c: c["pretrained_cfg"].update(crop_pct=0.9)), {"crop_pct", "config"}),
    "interpolation": (
        config(lambda c: c["pretrained_cfg"].update(interpolation="bilinear")),
        {"interpolation", "config"},
    ),
    "image_mean": (
        config(lambda c: c["pretrained_cfg"].update(mean=[0.5, 0.5, 0.5])),
        {"image_mean", "config"},
    ),
    "image_std": (config(lambda c: c["pretrained_cfg"].update(std=[0.5, 0.5, 0.5])), {"image_std", "config"}),
    "config": (config(lambda c: c.update(model_args=None)), {"config"}),
    "license": (text("README.md", "license: mit", "license: apache-2.0"), {"license", "card"}),
    "card": (text("README.md", "library_name: timm", "library_name: ours"), {"card"}),
}


def false_claims(findings):
    return {finding.claim for finding in findings if finding.verdict == FALSE}


def test_the_truth_holds(entry, checkpoint, staged):
    """A staged repo of a stand-in makes no claim false; FLOPs and accuracy stay unmeasured."""
    findings = verify_model(entry, checkpoint=checkpoint, repo=staged)
    assert false_claims(findings) == set()
    assert {f.claim for f in findings if f.verdict == NOT_MEASURED} == {"flops", "top1", "top5"}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_and_named(lie, entry, checkpoint, repo):
    """An entry or repo with one lie is wrong in exactly the claims that the lie is about."""
    tell, wrong = LIES[lie]
    told = tell(entry, repo)
    assert false_claims(verify_model(told, checkpoint=checkpoint, repo=repo)) == wrong


def test_every_claim_has_a_lie(entry, checkpoint, staged):
    """Every claim that can hold has been seen to be false."""
    findings = verify_model(entry, checkpoint=checkpoint, repo=staged)
    assert {f.claim for f in findings if f.verdict == HOLDS} == set(LIES)


def test_nothing_is_measured_without_files(index):
    """Without files only what the network and the cited tables say is decided."""
    for entry in index.models:
        findings = verify_model(entry)
        decided = {f.claim for f in findings if f.verdict != NOT_MEASURED}
        assert decided == {"parameters", "top1_cited", "top5_cited"}
        assert false_claims(findings) == set()
        assert all(f.note for f in findings if f.verdict == NOT_MEASURED)


def test_parameters_are_counted_as_timm_counts(index):
    """The count that claims are held against is timm's, for each model."""
    import torch

    for entry in index.models:
        with torch.device("meta"):
            theirs = timm.create_model(entry.name)
        assert count_planned_parameters(entry) == sum(p.numel() for p in theirs.parameters())


ROUNDINGS = {4796873: True, 4796870: True, 4797000: True, 4800000: True}
WRONG_COUNTS = {4796874: False, 4790000: False, 5000000: False}


@pytest.mark.parametrize(("stated", "holds"), (ROUNDINGS | WRONG_COUNTS).items())
def test_a_rounded_count_holds_to_its_rounding(entry, stated, holds):
    """The exact count and its roundings to 10^4 hold; a wrong digit or a coarser rounding does not."""
    told = claim("parameters", stated)(entry, None)
    assert ("parameters" in false_claims(verify_model(told))) is not holds


def test_false_and_empty_findings_are_refused(entry, repo):
    """Truth is required aloud: false claims are all named, and nothing to check is a failure."""
    LIES["license"][0](entry, repo)
    with pytest.raises(
        RexnetHubError, match=r"license is false: stated mit, found apache-2\.0\n.*card is false"
    ):
        require_truth(verify_model(entry, repo=repo))
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
    assert read_repo(repo).receipt is None
