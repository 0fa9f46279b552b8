"""Find which lines of a card are ours, and which people wrote into it."""

from __future__ import annotations

from difflib import SequenceMatcher

#: Of a card that is compared; comparing takes longer than in proportion.
MAX_LINES = 5000


def lost_lines(base: str, there: str, new: str) -> tuple[str, ...]:
    """List the lines that somebody added to what we published (`base`) and that `new` has not."""
    kept = {*base.splitlines(), *new.splitlines()}
    return tuple(line for line in dict.fromkeys(there.splitlines()) if line.strip() and line not in kept)


def first_difference(own: str, there: str) -> tuple[str, str] | None:
    """Find the first of a card's own lines that is not there, and what stands in its place.

    Lines that people added between are theirs, and are no difference, up to a length that no card has.
    """
    lines, theirs = own.splitlines(), there.splitlines()[:MAX_LINES]
    for kind, start, end, place, until in SequenceMatcher(None, lines, theirs, autojunk=False).get_opcodes():
        if kind in ("replace", "delete") and start < end:
            return lines[start], theirs[place] if place < until else "no such line"
    return None
