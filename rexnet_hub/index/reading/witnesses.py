"""Make a witness of an entry's weights from its claims, or say what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rexnet_hub.index.entry import ALGORITHMS, DIGESTED_FILES, Claim, Witness


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
    text = f"{algorithm}:{texts['digest']}"
    claim = replace(claims["digest"], field="witnesses", label="Witness", text=text, source=texts["place"])
    return Witness(claim=claim, of=of, algorithm=algorithm, commit=texts.get("commit"))
