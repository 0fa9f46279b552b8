"""Sign a repo folder, and check one against its signature.

A statement says which model this is, which version, and what its files, counts and metrics are. It is
written into the folder as `statement.json`; then the whole folder, statement included, is signed by the
OpenSSF's model-signing: with a key of one's own, offline, or as the identity that a CI proves and Sigstore
certifies. So the signature covers every byte, and neither another model nor an older version passes under
a name. A load that demands a signature uses the very bytes that were compared with it.
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

from rexnet_hub.errors import (
    FetchError,
    FileProblem,
    MismatchError,
    PublishError,
    SignatureProblem,
    UsageError,
)
from rexnet_hub.hub.client import return_within
from rexnet_hub.hub.faults import clean
from rexnet_hub.identity import gather
from rexnet_hub.index import Entry
from rexnet_hub.index.network import entry_plan
from rexnet_hub.keys import (
    NEEDS_PACKAGES,
    SIGSTORE,
    PublicKey,
    Signer,
    name_claimed,
    read_private_key,
    read_signer,
)
from rexnet_hub.layout import (
    CONFIG_FILE,
    RECEIPT_FILE,
    REPO_FILES,
    SIGNATURE_FILE,
    SIGNATURE_FILES,
    STATEMENT_FILE,
    WEIGHTS_FILE,
    find_cache_dir,
    find_state_dir,
    find_trust_config,
    is_repo_file,
)
from rexnet_hub.records import Count, Sha256, parse_record
from rexnet_hub.repo.config import read_config
from rexnet_hub.repo.folder import Repo, read_repo, require_own_files
from rexnet_hub.terminal import printable
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.receipt import read_receipt
from rexnet_hub.whole_files import write_whole

FORMAT = 1
#: How long Sigstore is waited for, where the library would wait for ever.
SIGSTORE_SECONDS = 300.0
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


def sign_repo(
    folder: Path, key: Path | str, *, entry: Entry, version: int, earlier: Path | None = None
) -> Statement:
    """Sign a staged repo, or take over a signature that holds for it already.

    Whatever goes wrong before the end leaves statement and signature as they were.

    Args:
        key: The file of a private elliptic-curve key, PEM, which is not copied anywhere; or `sigstore`, to
            sign as the identity that the CI proves. That is logged in public, for ever, with the digests of
            the files.
        entry: Whose repo it is.
        version: From 1, and more than that of any earlier publication.
        earlier: Where statement and signature of the last publication are, if there was one. They stay, with
            their version, where the same signer, known by the key or the index, signed these very files.

    Raises:
        UsageError: The version is none, the `sign` extra is not installed, or nobody proves an identity.
        FileProblem, RepoError: The folder is not a whole repo, or the key is none to sign with.
        MismatchError: The key is not the one that the index trusts.
        SignatureProblem: The identity is not the one that the index trusts.
        PublishError: Sigstore did not sign.
    """
    if not 0 < version < 1 << 63:
        raise UsageError(f"a version counts from 1 to 2^63 - 1, {version} is none")
    given = None if key == SIGSTORE else read_private_key(key)
    trusted = require_one_signer(entry, given)
    if given is None and isinstance(trusted, PublicKey):
        wrong = "the index trusts a key, and sigstore signs as an identity"
        raise MismatchError(f"the trusted key of {entry.name}", [wrong], advice="Sign with --sign KEY.")
    folder = folder.resolve()  # the library takes a relative path to ignore as one inside the folder
    statement = _make_statement(folder, entry, version)
    text = json.dumps({"statement": FORMAT} | asdict(statement), indent=1, sort_keys=True) + "\n"
    library = _library()
    with contextlib.ExitStack() as undo:
        for file in (folder / name for name in SIGNATURE_FILES):
            if file.exists():
                undo.callback(write_whole, file, file.read_bytes())
            else:
                undo.callback(file.unlink, missing_ok=True)
        if earlier is not None and trusted is not None:
            with contextlib.suppress(FileNotFoundError, SignatureProblem):
                for name in SIGNATURE_FILES:
                    write_whole(folder / name, (earlier / name).read_bytes())
                kept, _ = _read_signed(folder, trusted)
                if replace(kept, version=version) == statement:
                    undo.pop_all()
                    log.warning("%s is signed as version %d, which stays", printable(kept.name), kept.version)
                    return kept
        write_whole(folder / STATEMENT_FILE, text.encode())
        config = library.signing.Config().set_hashing_config(_hashing(library, folder))
        with tempfile.TemporaryDirectory() as made:
            signature = Path(made, SIGNATURE_FILE)
            if given is None:
                _sign_as_identity(config, folder, signature)
            else:
                config.use_elliptic_key_signer(private_key=key).sign(folder, signature)
            write_whole(folder / SIGNATURE_FILE, signature.read_bytes())
        if given is None and trusted is not None:
            _read_signed(folder, trusted)
        undo.pop_all()
    return statement


def verify_signature(
    folder: Path, signer: Path | str, *, name: str | None = None, at_least_version: int | None = None
) -> Statement:
    """Check a repo folder against its signature: by a key offline, by an identity with Sigstore's keys.

    The highest version that was seen of a model, by this signer, is remembered: an older one is refused from
    then on. Where nothing is remembered, the log says so.

    Args:
        signer: From a place that is trusted: a public key's file or its PEM text, or an identity and who
            knew it, `IDENTITY@https://ISSUER`.
        name: The model that it must be.
        at_least_version: The lowest version that is taken, instead of the highest that was seen here; then
            nothing is remembered.

    Returns:
        The statement; everything in it is signed, its files' digests were compared.

    Raises:
        SignatureProblem: The folder is not, byte for byte, what was signed; or it is another model, or an
            older version.
        FileProblem: The key cannot be read, or is none to check with.
        FetchError: Sigstore's keys cannot be read.
        UsageError: The `sign` extra is not installed.
    """
    trusted = read_signer(signer)
    statement, _ = _read_signed(folder, trusted)
    plain = {path.name: path.is_file() and not path.is_symlink() for path in folder.iterdir()}
    expected = {*REPO_FILES, *SIGNATURE_FILES, *filter(is_repo_file, statement.files)}
    if odd := sorted(plain.items() ^ dict.fromkeys(expected, True).items()):
        names = ", ".join(dict(odd))
        raise SignatureProblem(folder, f"is not the {len(expected)} plain files of a signed repo: {names}")
    _require_current(folder, statement, trusted, name, at_least_version)
    return statement


def require_signature(repo: Repo, signer: Signer, *, name: str | None = None) -> Repo:
    """Return a repo as its signature has it: config and receipt of signed bytes, weights still to be read.

    Their reader compares the weights with the signature too. Other files of the folder are not looked at.
    Arguments and errors are those of `verify_signature`.
    """
    renew = repo.renew
    try:
        statement, files = _read_signed(repo.folder, signer)
    except SignatureProblem as error:
        statements = repo.identity.statements if renew else ()
        if renew is None or not any(each.contradicts(digest_file(repo.weights)) for each in statements):
            raise
        log.warning("%s; its weights are damaged and fetched again", printable(str(error)))
        return require_signature(replace(renew(), renew=None), signer, name=name)
    _require_current(repo.folder, statement, signer, name, None)
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
        renew=renew and (lambda: require_signature(renew(), signer, name=name)),
    )


def require_one_signer(entry: Entry | None, given: Signer | None) -> Signer | None:
    """Return whom a model must be signed by: the caller's, which must be the index's; None for nobody.

    Raises:
        MismatchError: They are two, or the index's cannot be read.
        FileProblem, UsageError: As of `read_signer`.
    """
    claim = entry.claim("trusted_key") if entry else None
    if entry is None or claim is None:
        return given
    stated = None if claim.problem else read_signer(claim.value)
    if stated is None or given not in (None, stated):
        wrong = str(claim) if claim.problem else f"the index ({claim.location}, {claim.label}) states another"
        advice = "Find out which key is the signer's, and correct the other place."
        raise MismatchError(f"the trusted key of {entry.name}", [wrong], advice=advice)
    return stated


def read_identity_token() -> str:
    """Read what a CI proves who runs this with: a secret for some minutes.

    Raises:
        UsageError: There is none, or the `sign` extra is not installed.
    """
    _library()
    try:
        from sigstore.oidc import detect_credential

        token, why = detect_credential(), "no CI proves one here"
    except Exception as error:  # down to the library's own client of the CI
        token, why = None, _words_of(error)
    if token is None:
        raise UsageError(f"--sign sigstore needs an identity, in GitHub Actions id-token: write ({why})")
    return str(token)


def _sign_as_identity(config: Any, folder: Path, signature: Path) -> None:
    """Sign by the library with a key that Sigstore certifies for this run."""
    token = read_identity_token()

    def sign() -> None:
        config.use_sigstore_signer(identity_token=token, trust_config=find_trust_config())
        config.sign(folder, signature)

    try:
        return_within(SIGSTORE_SECONDS, sign)
    except Exception as error:  # the library raises what its parts raise, down to its own parsers
        raise PublishError(f"{folder}: Sigstore did not sign it ({_words_of(error)})") from None


def _words_of(error: BaseException) -> str:
    """Shorten what the library, or its cause, says to one line without secrets."""
    said = [f"{type(each).__name__}: {each}" for each in (error, error.__cause__) if each is not None]
    return clean("; ".join(said))


def _require_current(
    folder: Path, statement: Statement, signer: Signer, name: str | None, at_least: int | None
) -> None:
    """Refuse another model, or a version that was replaced; remember the highest version."""
    if name is not None and statement.name != name:
        raise SignatureProblem(folder, f"is {statement.name}, signed as such, not {name}")
    key = hashlib.sha256(str(signer).encode() + b"\0" + statement.name.encode()).hexdigest()[:32]
    seen, formerly = (place / "signed" / key for place in (find_state_dir(), find_cache_dir()))
    lowest = max(_read_seen(seen), _read_seen(formerly)) if at_least is None else at_least
    if statement.version < lowest:
        problem = f"is version {statement.version}, it was replaced: at least {lowest} is taken"
        raise SignatureProblem(folder, problem + (f", as {seen} remembers" if at_least is None else ""))
    if at_least is not None or statement.version == lowest:
        return
    if lowest == 0:
        what = "%s, version %d: no version by this %s is remembered here; a newer one may have been withheld"
        log.warning(what, printable(statement.name), statement.version, signer.kind)
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
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        text = ""
    if not re.fullmatch(r"[0-9]{1,19}\n?", text):
        problem = "does not say which signed version was seen last; delete it, or name --at-least-version"
        raise SignatureProblem(file, problem)
    return int(text)


def _make_statement(folder: Path, entry: Entry, version: int) -> Statement:
    repo = read_repo(folder)
    if repo.receipt is None:
        raise FileProblem(folder, "has no receipt.json, so there is nothing to state of its weights")
    names = require_own_files(folder)
    metrics = {
        f"{result.dataset}: {name}": str(claim.value)
        for result in entry.results
        for name, claim in result.metrics.items()
    }
    return Statement(
        name=entry.name,
        version=version,
        files={name: digest_file(folder / name).sha256 for name in sorted(names)},
        tensors=len(repo.receipt.tensors),
        parameters=entry_plan(entry).parameters,
        metrics=metrics,
    )


def _read_signed(folder: Path, signer: Signer) -> tuple[Statement, dict[str, bytes]]:
    """Read the small files of a repo that this signer signed: what is returned are the signed bytes.

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
        signature, bundle = Path(made, SIGNATURE_FILE), files.pop(SIGNATURE_FILE)
        config = _use_signer(library.verifying.Config(), signer, Path(made))
        config.set_hashing_config(_hashing(library, folder).set_allow_symlinks(True))
        try:
            digests = _signed_digests(bundle)
            signature.write_text(json.dumps(json.loads(bundle)))  # no key twice, which two may read as two
            config.set_ignore_unsigned_files(True).verify(folder, signature)
        except Exception as error:  # the library raises what its parts raise, down to its own parsers
            fault = _find_fault(folder, bundle, signer, error)
            problem = f"is not what this {signer.kind}'s signature vouches for; do not load it ({fault})"
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


def _use_signer(config: Any, signer: Signer, made: Path) -> Any:
    """Configure whom the library checks by; Sigstore's keys are in a file, or asked for over the network."""
    if isinstance(signer, PublicKey):
        (made / "key.pem").write_text(signer.pem)
        return config.use_elliptic_key_verifier(public_key=made / "key.pem")
    trust = find_trust_config()
    try:
        return config.use_sigstore_verifier(
            identity=signer.name, oidc_issuer=signer.issuer, trust_config=trust
        )
    except Exception as error:  # as above
        place = trust or "of the public instance"
        raise FetchError(f"Sigstore's keys ({place}) cannot be read ({_words_of(error)})") from None


def read_claimed(folder: Path) -> tuple[str, Statement] | None:
    """Read who says to have signed a folder, and what, and check neither; None if that cannot be read.

    Raises:
        UsageError: The `sign` extra is not installed.
    """
    _library()
    try:
        text, bundle = (folder / STATEMENT_FILE).read_bytes(), (folder / SIGNATURE_FILE).read_bytes()
        who = name_claimed(json.loads(bundle)["verificationMaterial"])
        return printable(who), parse_record(Statement, text, version=("statement", FORMAT))
    except Exception:  # of what is no signature its parsers raise anything
        return None


def find_damage(folder: Path) -> str | None:
    """Name the files that a folder's signature is not of, whoever signed; None if it is of all.

    Nothing else that it says is believed.
    """
    try:
        stated = _signed_digests((folder / SIGNATURE_FILE).read_bytes())
        wrong = [
            printable(name)
            for name in sorted({*stated, *REPO_FILES, STATEMENT_FILE})
            if not is_repo_file(name) or digest_file(folder / name).sha256 != stated.get(name)
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, FileProblem):
        return f"{SIGNATURE_FILE} is damaged, or a file that it is of cannot be read"
    return f"not the signed {'one' if len(wrong) == 1 else 'ones'}: {', '.join(wrong)}" if wrong else None


def _find_fault(folder: Path, bundle: bytes, signer: Signer, error: Exception) -> str:
    """Return why a signature is refused, in words of ours."""
    if damage := find_damage(folder):
        return damage
    is_by_key = b'"publicKey"' in bundle
    if is_by_key != isinstance(signer, PublicKey):
        return f"{SIGNATURE_FILE} is by {'a key' if is_by_key else 'an identity'}, not by this {signer.kind}"
    more = "" if is_by_key else f": {printable(_words_of(error))}"
    return f"{SIGNATURE_FILE} is not by this {signer.kind}, or damaged{more}"


def _signed_digests(signature: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file out of a bundle; each of their bits counts."""
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
