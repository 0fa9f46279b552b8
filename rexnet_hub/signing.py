"""Sign a repo folder, and check one against its signature.

A statement says which model this is, which version, and what its files, counts and metrics are. It is
written into the folder as `statement.json`; then the whole folder, statement included, is signed with
the OpenSSF's model-signing and a key of one's own, offline. So the signature covers every byte, and
neither another model nor an older version passes under a name.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem, SignatureProblem, UsageError
from rexnet_hub.index import Entry
from rexnet_hub.layout import REPO_FILES, SIGNATURE_FILE, STATEMENT_FILE, find_cache_dir
from rexnet_hub.records import Count, Sha256, parse_record
from rexnet_hub.repo.folder import read_repo
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.whole_files import write_whole

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Statement:
    """The statement that a signature is of.

    Attributes:
        version: Counts up with each publication of the model under this name.
        files: SHA-256 of each file but the statement and the signature.
        metrics: In percentage points, as text, by data set and name.
    """

    name: str
    version: Count
    files: Mapping[str, Sha256]
    tensors: Count
    parameters: Count
    metrics: Mapping[str, str] = field(default_factory=dict)


def sign_repo(folder: Path, key: Path, *, entry: Entry, version: int) -> Statement:
    """Sign a staged repo; run again with the same version, it is signed anew.

    Args:
        key: A private elliptic-curve key, PEM; it is not copied anywhere.
        entry: Whose repo it is.
        version: At least 1, and more than that of any earlier publication.

    Raises:
        UsageError: The version is none, or the `sign` extra is not installed.
        FileProblem, RepoError: The folder is not a whole repo, or the key cannot be read.
    """
    if version < 1:
        raise UsageError(f"a version counts from 1, {version} is none")
    folder = folder.resolve()  # the library takes a relative path to ignore as one inside the folder
    statement = _make_statement(folder, entry, version)
    text = json.dumps({"statement": FORMAT} | asdict(statement), indent=1, sort_keys=True) + "\n"
    library = _library()
    write_whole(folder / STATEMENT_FILE, text.encode())
    try:
        config = library.signing.Config().use_elliptic_key_signer(private_key=key)
        with tempfile.TemporaryDirectory() as made:
            config.set_hashing_config(_hashing(library, folder)).sign(folder, Path(made, SIGNATURE_FILE))
            signature = Path(made, SIGNATURE_FILE).read_bytes()
    except (OSError, ValueError, TypeError) as error:
        (folder / STATEMENT_FILE).unlink(missing_ok=True)
        (folder / SIGNATURE_FILE).unlink(missing_ok=True)
        raise FileProblem(key, f"is no private elliptic-curve key in PEM: {type(error).__name__}") from None
    write_whole(folder / SIGNATURE_FILE, signature)
    return statement


def verify_signature(
    folder: Path, public_key: Path, *, name: str | None = None, at_least_version: int | None = None
) -> Statement:
    """Check a repo folder against its signature, offline.

    The highest version that was seen of a model, by this key, is remembered in the cache folder: an older
    one is refused from then on.

    Args:
        public_key: The signer's, PEM, from a place that is trusted.
        name: The model that it must be.
        at_least_version: The lowest version that is taken, instead of the highest that was seen here; then
            nothing is remembered.

    Returns:
        The statement; everything in it is signed, its files' digests were compared.

    Raises:
        SignatureProblem: The folder is not, byte for byte, what was signed; or it is another model, or an
            older version.
        UsageError: The `sign` extra is not installed.
    """
    folder = folder.resolve()
    for file in (folder / SIGNATURE_FILE, folder / STATEMENT_FILE, public_key):
        if not file.is_file() or file.is_symlink():
            raise SignatureProblem(file, "there is no such file, so nothing vouches for the repo")
    _require_plain(folder)
    library = _library()
    try:
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        config.set_hashing_config(_hashing(library, folder)).verify(folder, folder / SIGNATURE_FILE)
    except Exception as error:  # the library raises what its parts raise, down to its own parsers
        raise SignatureProblem(
            folder, f"is not what the signature vouches for ({type(error).__name__}); do not load it"
        ) from None
    statement = _read_statement(folder / STATEMENT_FILE)
    seen = _seen_file(public_key, statement.name)
    lowest = _read_seen(seen) if at_least_version is None else at_least_version
    _require_statement(folder, statement, name, lowest)
    if at_least_version is None and statement.version > lowest:
        seen.parent.mkdir(parents=True, exist_ok=True)
        write_whole(seen, f"{statement.version}\n".encode())
    return statement


def _seen_file(public_key: Path, name: str) -> Path:
    """Return the file that remembers the highest version of a model under a key."""
    digest = hashlib.sha256(public_key.read_bytes() + b"\0" + name.encode()).hexdigest()
    return find_cache_dir() / "signed" / digest[:32]


def _read_seen(file: Path) -> int:
    """Return the version that was remembered; 0 where none was."""
    try:
        return int(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        raise SignatureProblem(
            file, "does not say which signed version was seen last; delete it, or name --at-least-version"
        ) from None


def _make_statement(folder: Path, entry: Entry, version: int) -> Statement:
    repo = read_repo(folder)
    if repo.receipt is None:
        raise FileProblem(folder, "has no receipt.json, so there is nothing to state of its weights")
    if strange := {file.name for file in folder.iterdir()} - {*REPO_FILES, STATEMENT_FILE, SIGNATURE_FILE}:
        raise FileProblem(folder, f"holds what belongs to no repo: {', '.join(sorted(strange))}")
    shapes = [(f".{tensor.name}", tensor.shape) for tensor in repo.receipt.tensors]
    metrics = {
        f"{result.dataset}: {name}": str(claim.value)
        for result in entry.results
        for name, claim in result.metrics.items()
    }
    return Statement(
        name=entry.name,
        version=version,
        files={name: digest_file(folder / name).sha256 for name in sorted(REPO_FILES)},
        tensors=len(repo.receipt.tensors),
        parameters=sum(prod(shape) for name, shape in shapes if name.endswith((".weight", ".bias"))),
        metrics=metrics,
    )


def _require_plain(folder: Path) -> None:
    """Refuse what the signing library would pass over: links, folders, files beyond the statement."""
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_file():
            raise SignatureProblem(path, "is no plain file; a signed repo has nothing else")


def _require_statement(folder: Path, statement: Statement, name: str | None, at_least: int) -> None:
    there = {file.name for file in folder.iterdir()} - {STATEMENT_FILE, SIGNATURE_FILE}
    if odd := sorted(there ^ statement.files.keys()):
        raise SignatureProblem(folder, f"has other files than were signed: {', '.join(odd)}")
    for file, sha256 in statement.files.items():
        if digest_file(folder / file).sha256 != sha256:
            raise SignatureProblem(folder / file, "is not the file that was signed")
    if name is not None and statement.name != name:
        raise SignatureProblem(folder, f"is {statement.name}, signed as such, not {name}")
    if statement.version < at_least:
        raise SignatureProblem(
            folder, f"is version {statement.version}, it was replaced: at least {at_least} is taken"
        )


def _read_statement(file: Path) -> Statement:
    try:
        return parse_record(Statement, file.read_bytes(), version=("statement", FORMAT))
    except ValueError as error:
        raise SignatureProblem(
            file, f"is no statement of format {FORMAT} ({error}); is rexnet_hub too old?"
        ) from None


def _hashing(library: Any, folder: Path) -> Any:
    """Hash every file but the signature itself; nothing else is passed over."""
    ignored = [os.fspath(folder / SIGNATURE_FILE)]
    return library.hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _library() -> Any:
    try:
        import model_signing
    except ImportError:
        raise UsageError("signing needs more packages: pip install 'rexnet-hub[sign]'") from None
    return model_signing
