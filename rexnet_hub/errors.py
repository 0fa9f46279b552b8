"""Define the errors that this package raises.

RexnetHubError
├── UsageError             the request itself makes no sense, whatever the files say
├── IndexReadError         a model-index file does not say what it must
├── UnknownModelError      no model of the index has that name
├── NetworkError           a network that is known cannot be built, or does not run
├── FileProblem            a file or folder is missing, unreadable or in the way
│   ├── NotAnImageError    a file is not a picture that can be decoded
│   ├── OutputExistsError  the place to write to already holds something
│   ├── DatasetError       a folder or archive is not the labelled images that it must be
│   ├── RecordError        a record, its predictions and what they are of do not agree
│   ├── SignatureProblem   a repo is not what a signature vouches for
│   └── CheckpointError    a checkpoint is damaged, foreign or not plain tensors
│       └── StateDictError the tensors are not the ones that the network has
├── EvaluationError        a network's answers cannot be counted
├── MismatchError          a file is not, byte for byte, what is stated of it
├── FetchError             a file could not be fetched
├── HubError               a Hub did not answer, or refused
├── RepoError              a repo folder or Hub repo is not one that can be loaded
└── PublishError           publishing was refused, and nothing was changed
"""

from __future__ import annotations

import contextlib
import copyreg
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

#: Answers that settle that something is not there; any other may be another one tomorrow.
GONE = frozenset({404, 410, 451})


def suggest(word: str, known: Sequence[str]) -> str:
    """Render a hint: the known word that was probably meant, else all that there are."""
    import difflib
    from itertools import takewhile

    def likeness(other: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, word.lower(), other.lower()).ratio()
        same_start = takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False))
        return ratio, len(list(same_start))

    best = max(known, key=likeness, default=None)
    if best is not None and likeness(best)[0] >= 0.6:
        return f"Did you mean {best!r}?"
    return f"There are: {list_some(known, 30) or 'none'}."


def list_some(texts: Collection[str], shown: int = 10, *, between: str = ", ") -> str:
    """Join texts in one line; of very many, the first and how many more."""
    more = [f"and {len(texts) - shown:,} more"] if len(texts) > shown else []
    return between.join([*list(texts)[:shown], *more])


class RexnetHubError(Exception):
    """The root of every error that a person can cause or fix."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Be made again, in another process, of the words: not by `__init__`, which takes other arguments."""
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class UsageError(RexnetHubError):
    """The request itself makes no sense, whatever the files say."""

    exit_code = 2


def refuse_unused(where: str, **options: object) -> None:
    """Refuse options that would change nothing where they are given.

    Args:
        where: What has no use for them.
        options: By name; None, False and an empty list are not given. Where a command has the option under
            another name than the function, by the command's.

    Raises:
        UsageError: Some are given; all of them are named.
    """
    said = (name for name, value in options.items() if value is not False and value not in (None, [], ()))
    if unused := list(said):
        raise UsageError(f"{where} has no use for {', '.join(unused)}; leave it out")


class IndexReadError(RexnetHubError):
    """A model-index file does not say what it must."""


class UnknownModelError(RexnetHubError):
    """No model of the index has that name."""

    def __init__(self, name: str, known: Sequence[str], *, kind: str = "model", hint: str = "") -> None:
        self.name, self.known = name, tuple(known)
        there = ", and there is no such folder" if kind == "model" and "/" in name else ""
        super().__init__(f"no {kind} is named {name!r}{there}. {suggest(name, known)} {hint}".rstrip())


class NetworkError(RexnetHubError):
    """A network that is known cannot be built, or does not run."""


@contextlib.contextmanager
def network_problems(network: str) -> Iterator[None]:
    """Raise whatever a network's own code raises as one line, but what is a message of ours."""
    try:
        yield
    except RexnetHubError:
        raise
    except (Exception, SystemExit) as error:  # an exit of theirs is no verdict of ours
        raise NetworkError(f"{network} cannot be built or run: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """Return what an error says first; whoever catches it keeps no name for its cause: that were a cycle."""
    cause = error.__cause__ or error  # an exporter's own words are about itself
    return ": ".join((type(cause).__name__, *str(cause).splitlines()[:1]))


class FileProblem(RexnetHubError):  # noqa: N818 - a problem is what it is, not an error of ours
    """A file or folder is missing, unreadable or in the way."""

    def __init__(self, file: Path | str, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"{file}: {problem}")


@contextlib.contextmanager
def file_problems(file: Path | str, problem: str, *, then: str = "") -> Iterator[None]:
    """Raise what the system refuses as a problem of a file: in words, the system's reason, what follows."""
    try:
        yield
    except OSError as error:
        raise FileProblem(file, f"{problem}: {error.strerror or error}{then}") from error


class NotAnImageError(FileProblem):
    """A file is not a picture that can be decoded."""


class OutputExistsError(FileProblem):
    """The place to write to already holds something."""


class DatasetError(FileProblem):
    """A folder or archive is not the labelled images that it must be."""


class RecordError(FileProblem):
    """A record, its predictions and what they are of do not agree."""


class SignatureProblem(FileProblem):
    """A repo is not what a signature vouches for."""


class CheckpointError(FileProblem):
    """A checkpoint is damaged, foreign or not plain tensors."""


class StateDictError(CheckpointError):
    """The tensors are not the ones that the network has."""


class EvaluationError(RexnetHubError):
    """A network's answers cannot be counted."""


class MismatchError(RexnetHubError):
    """A file is not, byte for byte, what is stated of it, or no file can be.

    Attributes:
        differences: Each statement that is not met, with who made it, and what was found.
    """

    def __init__(self, file: Path | str, differences: Sequence[str], *, advice: str) -> None:
        self.file, self.differences = file, tuple(differences)
        super().__init__(f"{file} is not what is stated of it: {'; '.join(differences)}. {advice}")


class FetchError(RexnetHubError):
    """A file could not be fetched.

    Attributes:
        status: Of the answer that settled it, such as 404; None where there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)

    @property
    def is_gone(self) -> bool:
        """Whether the answer settles that what was asked for is not there, or is for nobody."""
        return self.status in GONE


class HubError(RexnetHubError):
    """A Hub did not answer, or refused.

    Attributes:
        kind: `no-answer`, `busy` (5xx), `limited` (429, or it asked to wait), `no-repo`, `no-revision`,
            `no-file`, `gone` (gated, disabled, 404), `moved` (412), `exists` (409), `bad-token` (401),
            `led-away` (to another host) or `refused`.
        wait_seconds: How long the Hub asks to wait, where it says so.
    """

    def __init__(
        self, repo_id: str, message: str, *, kind: str = "refused", wait_seconds: float | None = None
    ) -> None:
        self.repo_id, self.kind, self.wait_seconds = repo_id, kind, wait_seconds
        super().__init__(message)

    @property
    def is_transient(self) -> bool:
        """Whether the same request may fare better later."""
        return self.kind in {"no-answer", "busy", "limited"}

    @property
    def is_gone(self) -> bool:
        """Whether the answer settles that what was asked for is not there, or not for us."""
        return self.kind in {"no-repo", "no-revision", "no-file", "gone"}


class RepoError(RexnetHubError):
    """A repo folder or Hub repo is not one that can be loaded."""


class PublishError(RexnetHubError):
    """Publishing was refused, and nothing was changed."""
