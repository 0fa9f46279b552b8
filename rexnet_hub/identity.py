"""Check a file against every size and digest stated of it.

The index states a file's size, its SHA-256 and, in the file's name, how that begins; the lock, a receipt, a
Hub's record, a witness, the caller and the first fetch state more. Two of them that contradict each other are
refused before a byte is fetched; a file is checked against all of them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Protocol

from rexnet_hub.errors import MismatchError

WHOLE_DIGITS = 64
FETCH_AGAIN = "Fetch it again; if it differs again, the file or the statement is wrong: do not use it unseen."
_BITS = "The digits in a file's name are 32 bits: they show a wrong file, they do not prove the right one."


class Facts(Protocol):
    """The facts of a file, as a `FileDigest`, the lock or a receipt has them; some have more digests."""

    @property
    def sha256(self) -> str:
        """All 64 hexadecimal digits, lower case; of a statement fewer, or none."""

    @property
    def size_bytes(self) -> int | None:
        """Its size; None where a statement does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedFile:
    """The facts that one place states of a file.

    Attributes:
        by: Who states it, such as `the lock`.
        place: Where, such as `model_index/zoo.yml:93:3, SHA256`; empty where there is no place.
        sha256: The digest, or its first digits, lower case; empty where it is not stated.
        fingerprint: Of weights, what no container changes.
        digests: Whole digests by other algorithms, such as `sha384`.
    """

    by: str
    place: str = ""
    sha256: str = ""
    size_bytes: int | None = None
    fingerprint: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def value(self) -> str:
        """The stated facts in words."""
        size = [] if self.size_bytes is None else [f"{self.size_bytes} bytes"]
        begins = "" if len(self.sha256) == WHOLE_DIGITS else "beginning "
        digest = [f"SHA-256 {begins}{self.sha256}"] if self.sha256 else []
        digest += [f"SHA-{name.removeprefix('sha')} {digits}" for name, digits in self.digests.items()]
        return ", ".join([*size, *digest, *([f"fingerprint {self.fingerprint}"] if self.fingerprint else [])])

    def __str__(self) -> str:
        return f"{self.by}{self.place and f' ({self.place})'} states {self.value}"

    def contradicts(self, other: Facts) -> bool:
        """Return whether no file can be what both state."""
        theirs = _digests_of(other)
        pairs = ((digits, theirs[name]) for name, digits in _digests_of(self).items() if name in theirs)
        sizes = {self.size_bytes, other.size_bytes} - {None}
        return len(sizes) > 1 or not all(one.startswith(two) or two.startswith(one) for one, two in pairs)

    def confirms(self, file: Facts) -> bool:
        """Return whether a file has every digest that is stated here, whole."""
        own = _digests_of(self)
        return bool(own) and own.items() <= _digests_of(file).items()


def _digests_of(facts: Facts) -> dict[str, str]:
    """Return what is known of a file's content, by algorithm."""
    known = {"sha256": facts.sha256, "fingerprint": getattr(facts, "fingerprint", None)}
    return {name: digits for name, digits in known.items() if digits} | dict(getattr(facts, "digests", {}))


@dataclass(frozen=True, slots=True)
class Identity:
    """All that is stated of one file.

    Attributes:
        unread: Each statement that cannot be read, in words with its place: no file is known to meet it.
    """

    statements: tuple[StatedFile, ...] = ()
    unread: tuple[str, ...] = ()

    def __add__(self, other: Identity) -> Identity:
        return Identity((*self.statements, *other.statements), (*self.unread, *other.unread))

    @property
    def size_bytes(self) -> int | None:
        """The size, where one is stated."""
        return next((s.size_bytes for s in self.statements if s.size_bytes is not None), None)

    @property
    def sha256(self) -> str:
        """As many digits of the digest as are stated: 64, fewer, or none."""
        return max((statement.sha256 for statement in self.statements), key=len, default="")

    @property
    def is_whole(self) -> bool:
        """Whether the whole digest is stated."""
        return len(self.sha256) == WHOLE_DIGITS

    @property
    def digests(self) -> dict[str, str]:
        """The digests that are stated by other algorithms, by the algorithm's name."""
        return {name: digits for s in self.statements for name, digits in s.digests.items()}

    @property
    def of_tensors(self) -> Identity:
        """What is stated of the tensors alone, whatever file they are in."""
        return Identity(tuple(s for s in self.statements if s.fingerprint and not s.sha256))

    @property
    def doubt(self) -> str:
        """What makes it doubtful which file is meant, in words; empty where a whole digest is stated."""
        if self.is_whole or self.digests:
            return ""
        known = [f"the first {4 * len(self.sha256)} bits of its SHA-256"] if self.sha256 else []
        known += ["its size"] if self.size_bytes is not None else []
        return (
            "nobody states the whole digest of the released file: it is known by "
            f"{' and '.join(known) or 'its address'} alone. Anybody can make another file that agrees, "
            "within minutes on an ordinary computer. A witness that agrees, or SHA256 in the index, settles "
            "it; rexnet-hub lock keeps what was found"
        )

    def address(self, url: str) -> str:
        """Make the name that a cache files it under: its whole digest, else one of all that is known."""
        known = "\n".join((url, self.sha256, str(self.size_bytes), *sorted(self.digests.values())))
        return self.sha256 if self.is_whole else hashlib.sha256(known.encode()).hexdigest()

    def contradictions(self) -> tuple[str, ...]:
        """List each two statements that no file can meet, in words."""
        pairs = combinations(self.statements, 2)
        return tuple(f"{one}, but {other}" for one, other in pairs if one.contradicts(other))

    def agreed(self, file: Path | str) -> Identity:
        """Return this identity, if its statements can all be read and be true.

        Raises:
            MismatchError: Some cannot be read, or two contradict each other; all are named, with places.
        """
        if self.unread:
            advice = "Correct it: rexnet-hub validate names all that is wrong with the index."
            raise MismatchError(file, self.unread, advice=advice)
        if wrong := self.contradictions():
            advice = "They are of two files: find out which is meant and correct the other."
            raise MismatchError(file, wrong, advice=advice)
        return self

    def require(self, file: Path | str, found: Facts) -> None:
        """Check a file against every statement.

        Raises:
            MismatchError: It differs from some; each is named, with who states it and what was found. Or some
                cannot be read.
        """
        if self.unread:
            self.agreed(file)
        if wrong := [statement for statement in self.statements if statement.contradicts(found)]:
            is_short = any(0 < len(statement.sha256) < WHOLE_DIGITS for statement in wrong)
            has = f"it has {stated_file('it', found).value}"
            advice = f"{FETCH_AGAIN} ({_BITS})" if is_short else FETCH_AGAIN
            raise MismatchError(file, [*map(str, wrong), has], advice=advice)

    def wrong_size(self, file: Path | str, found: str) -> MismatchError:
        """Make the error of a file whose size alone shows that it is another."""
        wrong = [str(statement) for statement in self.statements if statement.size_bytes is not None]
        return MismatchError(file, [*wrong, f"its size in bytes is {found}"], advice=FETCH_AGAIN)


def gather(by: str, facts: Facts | str | None, place: str = "") -> Identity:
    """Gather what one place states of a file: its facts, or the digest alone; nothing where it states none.

    Args:
        by: Who states it, such as `the lock`, `the receipt`, `the Hub's own record` or `the caller`.
    """
    return Identity((stated_file(by, facts, place),) if facts else ())


def stated_file(by: str, facts: Facts | str, place: str = "") -> StatedFile:
    """Make the statement of all that is known of a file, or of the digest alone."""
    if isinstance(facts, str):
        return StatedFile(by=by, place=place, sha256=facts.lower())
    return StatedFile(
        by=by,
        place=place,
        sha256=facts.sha256.lower(),
        size_bytes=facts.size_bytes,
        fingerprint=getattr(facts, "fingerprint", None),
        digests=getattr(facts, "digests", {}),
    )
