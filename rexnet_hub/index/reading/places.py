"""Check what an entry names by path or address: whether it is there, and may be a file's name at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from rexnet_hub.index.entry import LEAST_DIGITS, Claim, split_released
from rexnet_hub.index.reading.source import Node
from rexnet_hub.layout import find_path_problem, is_file_name

Report = Callable[..., None]

_PAGES, _PICTURES = (".md", ".mdx"), (".png", ".jpg", ".jpeg", ".svg", ".gif")


def check_linked(
    claims: Mapping[str, Claim | None], exists: Callable[[Path, str], bool], report: Report
) -> None:
    """Report a README or picture that is not there; other text may be the README itself."""
    for name, endings in (("readme", _PAGES), ("image", _PICTURES)):
        claim = claims.get(name)
        path = "" if claim is None or claim.source == "" else str(claim.value)
        if claim is None or "://" in path or len(path) >= 256 or not path.lower().endswith(endings):
            continue
        if not exists(claim.location.file.parent, path):
            what = f"there is no file {path!r} beside this file or under the root"
            report("missing-file", claim.location, what)


def check_path(path: str, node: Node, report: Report, *, may_be_text: bool) -> None:
    """Report a path that is none on every system."""
    is_path = "://" not in path and (not may_be_text or path.lower().endswith(_PAGES))
    if is_path and (problem := find_path_problem(path)):
        report("unportable-name", node, f"the path {path[:80]!a} {problem}")


def check_released(claim: Claim | None, report: Report, *, has_digest: bool) -> list[Claim]:
    """Report a released file whose name the cache cannot keep, or gives too few digits to check it by.

    Returns:
        The claim as one that cannot be read, if of the file only the size would be checked.
    """
    if claim is None:
        return []
    name, digits = split_released(str(claim.value))
    if not is_file_name(name):
        what = (
            f"the file's name {name[:80]!a} is none that the cache keeps: ASCII letters, digits and - _ . +"
        )
        report("unportable-name", claim.location, what)
    if digits is None or len(digits) >= LEAST_DIGITS or has_digest:
        return []
    given = (
        f"the file's name {name[:80]!a} gives {len(digits)} of the {LEAST_DIGITS} digits that a digest needs"
    )
    report("short-digest", claim.location, f"{given}: its size alone would decide; state SHA256")
    return [replace(claim, problem=given)]
