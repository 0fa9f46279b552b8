"""Make a witness of an entry's weights from its claims, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping

from rexnet_hub.addresses import parse_hub_file
from rexnet_hub.index.entry import ALGORITHMS, DIGESTED_FILES, SAME_WEIGHTS, Claim, Witness


def make_witness(claims: Mapping[str, Claim]) -> Witness | str:
    """Return the witness that these claims are, or the problem: what it lacks, or what nothing can be."""
    texts = {name: str(claim.value) for name, claim in claims.items()}
    if lacking := {"place", "algorithm", "digest"} - texts.keys():
        return f"does not say its {' and '.join(sorted(lacking))} in a way that can be read"
    algorithm, of = texts["algorithm"], texts.get("of", "")
    digits = ALGORITHMS.get(algorithm)
    if digits is None:
        return f"has the algorithm {algorithm[:40]!r}; there are {', '.join(ALGORITHMS)}"
    if len(texts["digest"]) != digits:
        return f"has {len(texts['digest'])} digits, a digest by {algorithm} has {digits}"
    if of not in (files := ("",) if algorithm == "fingerprint" else DIGESTED_FILES):
        there = ", ".join(files) or "none of a fingerprint"
        return f"is Of {of[:40] or 'no file'!r}; there are {there}"
    if (at := parse_hub_file(texts["place"])) and algorithm != "sha256":
        return f"is a file of a Hub repo, which is fetched: its digest is by sha256, not {algorithm}"
    if at and of not in SAME_WEIGHTS:
        return f"is a file of a Hub repo, which is fetched: it is Of {' or '.join(SAME_WEIGHTS)}, not {of}"
    if at and "commit" in texts:
        return "has its commit in its address: leave Commit out"
    text = f"{algorithm}:{texts['digest']}"
    claim = claims["digest"]._replace(field="witnesses", label="Witness", text=text, source=texts["place"])
    return Witness(claim=claim, of=of, algorithm=algorithm, commit=texts.get("commit"))
