"""Sign a repo folder, and check one against its signature.

A statement says which model this is, which version, and what its files, counts and metrics are. It is
written into the folder as `statement.json`; then the whole folder, statement included, is signed with
the OpenSSF's model-signing and a key of one's own, offline. So the signature covers every byte, and
neither another model nor an older version passes under a name. A load that demands a signature uses the
very bytes that were compared with it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem, MismatchError, SignatureProblem, UsageError
from rexnet_hub.identity import gather
from rexnet_hub.index import Entry
from rexnet_hub.keys import NEEDS_PACKAGES, read_private_key, read_public_key
from rexnet_hub.layout import (
    CONFIG_FILE,
    LICENSE_FILE,
    RECEIPT_FILE,
    REPO_FILES,
    SIGNATURE_FILE,
    SIGNATURE_FILES,
    STATEMENT_FILE,
    WEIGHTS_FILE,
    find_cache_dir,
    find_state_dir,
)
from rexnet_hub.nets.shapes import count_planned_parameters
from rexnet_hub.records import Count, Sha256, parse_record
from rexnet_hub.repo.config import read_config
from rexnet_hub.repo.folder import Repo, read_repo, repo_names
from rexnet_hub.terminal import printable
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.receipt import read_receipt
from rexnet_hub.whole_files import write_whole

FORMAT = 1
log = logging.getLogger(__name__)


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

    Whatever goes wrong before the end leaves neither statement nor signature.

    Args:
        key: A private elliptic-curve key, PEM; it is not copied anywhere.
        entry: Whose repo it is.
        version: At least 1, and more than that of any earlier publication.

    Raises:
        UsageError: The version is none, or the `sign` extra is not installed.
        FileProblem, RepoError: The folder is not a whole repo, or the key is none to sign with.
        MismatchError: The key is not the one that the index trusts.
    """
    if version < 1:
        raise UsageError(f"a version counts from 1, {version} is none")
    require_one_key(entry, read_private_key(key))
    folder = folder.resolve()  # the library takes a relative path to ignore as one inside the folder
    statement = _make_statement(folder, entry, version)
    text = json.dumps({"statement": FORMAT} | asdict(statement), indent=1, sort_keys=True) + "\n"
    library = _library()
    with contextlib.ExitStack() as undo:
        for name in SIGNATURE_FILES:
            undo.callback((folder / name).unlink, missing_ok=True)
        write_whole(folder / STATEMENT_FILE, text.encode())
        config = library.signing.Config().use_elliptic_key_signer(private_key=key)
        with tempfile.TemporaryDirectory() as made:
            config.set_hashing_config(_hashing(library, folder)).sign(folder, Path(made, SIGNATURE_FILE))
            write_whole(folder / SIGNATURE_FILE, Path(made, SIGNATURE_FILE).read_bytes())
        undo.pop_all()
    return statement


def verify_signature(
    folder: Path, public_key: Path | str, *, name: str | None = None, at_least_version: int | None = None
) -> Statement:
    """Check a repo folder against its signature, offline.

    The highest version that was seen of a model, by this key, is remembered: an older one is refused from
    then on. Where nothing is remembered, the log says so.

    Args:
        public_key: The signer's, from a place that is trusted: a file, or the PEM text itself.
        name: The model that it must be.
        at_least_version: The lowest version that is taken, instead of the highest that was seen here; then
            nothing is remembered.

    Returns:
        The statement; everything in it is signed, its files' digests were compared.

    Raises:
        SignatureProblem: The folder is not, byte for byte, what was signed; or it is another model, or an
            older version.
        FileProblem: The key cannot be read, or is none to check with.
        UsageError: The `sign` extra is not installed.
    """
    public = read_public_key(public_key)
    statement, _ = _read_signed(folder, public)
    plain = {path.name: path.is_file() and not path.is_symlink() for path in folder.iterdir()}
    expected = {*REPO_FILES, *SIGNATURE_FILES, *(statement.files.keys() & {LICENSE_FILE})}
    if odd := sorted(plain.items() ^ dict.fromkeys(expected, True).items()):
        names = ", ".join(dict(odd))
        problem = f"is not the {len(expected)} plain files of a signed repo: {names}"
        raise SignatureProblem(folder, problem)
    _require_current(folder, statement, public, name, at_least_version)
    return statement


def require_signature(repo: Repo, public_key: Path | str, *, name: str | None = None) -> Repo:
    """Return a repo as its signature has it: config and receipt of signed bytes, weights still to be read.

    Their reader compares the weights with the signature too. Other files of the folder are not looked at.
    Arguments and errors are those of `verify_signature`.
    """
    public, renew = read_public_key(public_key), repo.renew
    try:
        statement, files = _read_signed(repo.folder, public)
    except SignatureProblem as error:
        statements = repo.identity.statements if renew else ()
        if renew is None or not any(each.contradicts(digest_file(repo.weights)) for each in statements):
            raise
        log.warning("%s; its weights are damaged and fetched again", printable(str(error)))
        return require_signature(replace(renew(), renew=None), public, name=name)
    _require_current(repo.folder, statement, public, name, None)
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        for file, data in files.items():
            Path(scratch, file).write_bytes(data)
        config, receipt = read_config(Path(scratch, CONFIG_FILE)), read_receipt(Path(scratch, RECEIPT_FILE))
    signed = gather("the signature", statement.files[WEIGHTS_FILE], str(repo.folder / SIGNATURE_FILE))
    return replace(
        repo,
        config=config,
        receipt=receipt,
        identity=(repo.identity + signed).agreed(repo.weights),
        renew=renew and (lambda: require_signature(renew(), public, name=name)),
    )


def require_one_key(entry: Entry | None, given: Path | str | None) -> str | None:
    """Return the key that a model must be signed by: the caller's, which must be the index's; None for none.

    Raises:
        MismatchError: They are two keys, or the index's cannot be read.
        FileProblem, UsageError: As of `read_public_key`.
    """
    public = None if given is None else read_public_key(given)
    claim = entry.demand if entry else None
    if entry is None or claim is None:
        return public
    stated = None if claim.problem else read_public_key(claim.value)
    if stated is None or public not in (None, stated):
        wrong = str(claim) if claim.problem else f"the index ({claim.location}, {claim.label}) states another"
        advice = "Find out which key is the signer's, and correct the other place."
        raise MismatchError(f"the trusted key of {entry.name}", [wrong], advice=advice)
    return stated


def _require_current(
    folder: Path, statement: Statement, public: str, name: str | None, at_least: int | None
) -> None:
    """Refuse another model, or a version that was replaced; remember the highest version."""
    if name is not None and statement.name != name:
        raise SignatureProblem(folder, f"is {statement.name}, signed as such, not {name}")
    key = hashlib.sha256(public.encode() + b"\0" + statement.name.encode()).hexdigest()[:32]
    seen, formerly = (place / "signed" / key for place in (find_state_dir(), find_cache_dir()))
    lowest = max(_read_seen(seen), _read_seen(formerly)) if at_least is None else at_least
    if statement.version < lowest:
        problem = f"is version {statement.version}, it was replaced: at least {lowest} is taken"
        raise SignatureProblem(folder, problem + (f", as {seen} remembers" if at_least is None else ""))
    if at_least is not None or statement.version == lowest:
        return
    if lowest == 0:
        what = "%s, version %d: no version by this key is remembered here; a newer one may have been withheld"
        log.warning(what, printable(statement.name), statement.version)
    try:
        seen.parent.mkdir(parents=True, exist_ok=True)
        write_whole(seen, f"{statement.version}\n".encode())
    except (OSError, FileProblem) as error:
        problem = f"{error}; an older version of {statement.name} would pass here next time"
        log.warning("%s", printable(problem))


def _read_seen(file: Path) -> int:
    """Return the version that was remembered; 0 where none was."""
    try:
        text = file.read_text(encoding="ascii")
        if re.fullmatch(r"[0-9]{1,18}\n?", text):
            return int(text)
        raise ValueError(text)
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        problem = "does not say which signed version was seen last; delete it, or name --at-least-version"
        raise SignatureProblem(file, problem) from None


def _make_statement(folder: Path, entry: Entry, version: int) -> Statement:
    repo = read_repo(folder)
    if repo.receipt is None:
        raise FileProblem(folder, "has no receipt.json, so there is nothing to state of its weights")
    names = repo_names(folder)
    if strange := {file.name for file in folder.iterdir()} - {*names, *SIGNATURE_FILES}:
        raise FileProblem(folder, f"holds what belongs to no repo: {', '.join(sorted(strange))}")
    tensors = {tensor.name: (tensor.dtype, tensor.shape) for tensor in repo.receipt.tensors}
    metrics = {
        f"{result.dataset}: {name}": str(claim.value)
        for result in entry.results
        for name, claim in result.metrics.items()
    }
    return Statement(
        name=entry.name,
        version=version,
        files={name: digest_file(folder / name).sha256 for name in sorted(names)},
        tensors=len(tensors),
        parameters=count_planned_parameters(tensors),
        metrics=metrics,
    )


def _read_signed(folder: Path, public: str) -> tuple[Statement, dict[str, bytes]]:
    """Read the small files of a repo that this key signed: what is returned are the signed bytes.

    The weights, too large to keep, were the signed ones when the library read them.
    """
    files: dict[str, bytes] = {}
    try:
        for name in (*SIGNATURE_FILES, *(name for name in REPO_FILES if name != WEIGHTS_FILE)):
            if (folder / name).exists() and not (folder / name).is_file():
                raise SignatureProblem(folder / name, "is no plain file, so nothing vouches for the repo")
            files[name] = (folder / name).read_bytes()
    except OSError as error:
        problem = f"cannot be read ({error.strerror}), so nothing vouches for the repo"
        raise SignatureProblem(folder / name, problem) from None
    library = _library()
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as made:
        key, signature = Path(made, "key.pem"), Path(made, SIGNATURE_FILE)
        key.write_text(public)
        signature.write_bytes(bundle := files.pop(SIGNATURE_FILE))
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
        config.set_hashing_config(_hashing(library, folder).set_allow_symlinks(True))
        try:
            config.set_ignore_unsigned_files(True).verify(folder, signature)
            digests = _signed_digests(bundle)
        except Exception:  # the library raises what its parts raise, down to its own parsers
            fault = _find_fault(folder, bundle)
            problem = f"is not what this key's signature vouches for; do not load it ({fault})"
            raise SignatureProblem(folder, problem) from None
    try:
        statement = parse_record(Statement, files[STATEMENT_FILE], version=("statement", FORMAT))
    except ValueError as error:
        problem = f"is no statement of format {FORMAT} ({error}); is rexnet_hub too old?"
        raise SignatureProblem(folder / STATEMENT_FILE, problem) from None
    found = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    if not digests == digests | found == {**statement.files, STATEMENT_FILE: found[STATEMENT_FILE]}:
        raise SignatureProblem(folder, f"{SIGNATURE_FILE}, {STATEMENT_FILE} and files are not of one repo")
    return statement, files


def _find_fault(folder: Path, bundle: bytes) -> str:
    """Name the files that a refused signature is not of; nothing that it says is believed."""
    try:
        stated = _signed_digests(bundle)
        wrong = [
            printable(name)
            for name, sha256 in stated.items()
            if name not in (*REPO_FILES, *SIGNATURE_FILES, LICENSE_FILE)
            or digest_file(folder / name).sha256 != sha256
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, FileProblem):
        return f"{SIGNATURE_FILE} is damaged, or a file that it is of cannot be read"
    if not wrong:
        return f"{SIGNATURE_FILE} is not by this key, or damaged"
    return f"not the signed {'one' if len(wrong) == 1 else 'ones'}: {', '.join(wrong)}"


def _signed_digests(signature: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file out of a bundle that was verified; each of its bits counts."""
    envelope = json.loads(signature)["dsseEnvelope"]
    for text in (envelope["payload"], *(each["sig"] for each in envelope["signatures"])):
        if base64.b64encode(base64.b64decode(text, validate=True)).decode() != text:
            raise ValueError("its base64 has stray bits")
    rows = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["resources"]
    return {row["name"]: row["digest"] for row in rows if row["algorithm"] == "sha256"}


def _hashing(library: Any, folder: Path) -> Any:
    """Hash every file but the signature itself; nothing else is passed over."""
    ignored = [os.fspath(folder / SIGNATURE_FILE)]
    return library.hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _library() -> Any:
    try:
        import model_signing
    except ImportError:
        raise UsageError(NEEDS_PACKAGES) from None
    return model_signing
