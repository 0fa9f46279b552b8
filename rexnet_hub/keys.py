"""Read the keys and identities that sign, or are trusted."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rexnet_hub.errors import FileProblem, UsageError

NEEDS_PACKAGES = "signatures need more packages: pip install 'rexnet-hub[sign]'"
#: In the place of a private key: who runs this signs, as the CI proves it, with a key of a few minutes.
SIGSTORE = "sigstore"
#: What an index says: the PEM text, or an identity.
SIGNER_PATTERN = r"^\s*(-----BEGIN PUBLIC KEY-----[\w+/=\s]+-----END PUBLIC KEY-----|\S+@https://[^\s@]+)\s*$"
_ISSUER_OID = "1.3.6.1.4.1.57264.1.1"  # of Fulcio's certificates, with whom the issuer is as text
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_IDENTITY = re.compile(r"\s*(\S+)@(https://[^\s@]+)\s*")
#: What no message shows in the place of a file's name: nothing, and what may be a key itself.
_NO_NAME = re.compile(r"\A\Z|-----BEGIN |\A[\w+/=\s-]{64,}\Z")


@dataclass(frozen=True)
class PublicKey:
    """A public key, as PEM in one spelling."""

    pem: str
    kind: ClassVar = "key"

    def __str__(self) -> str:
        return self.pem


@dataclass(frozen=True)
class CertifiedIdentity:
    """Whom Sigstore certified, such as a workflow at a branch, and the issuer that knew who it is."""

    name: str
    issuer: str
    kind: ClassVar = "identity"

    def __str__(self) -> str:
        return f"{self.name}@{self.issuer}"


#: Whom a signature is trusted of.
Signer = PublicKey | CertifiedIdentity


def read_private_key(file: Path | str) -> PublicKey:
    """Check that a file holds a key to sign with, and return its public half; errors as of `read_signer`."""
    return _read(file, "private", lambda pem, data: pem.load_pem_private_key(data, None).public_key())


def read_signer(signer: Path | str) -> Signer:
    """Read whom signatures are checked by: a key's file, its PEM text, or `IDENTITY@https://ISSUER`.

    Raises:
        FileProblem: It cannot be read, or is no elliptic-curve key of that kind.
        UsageError: The `sign` extra is not installed.
    """
    if isinstance(signer, str) and (parts := _IDENTITY.fullmatch(signer)):
        return CertifiedIdentity(*parts.groups())
    return _read(signer, "public", lambda pem, data: pem.load_pem_public_key(data))


def name_claimed(material: Any) -> str:
    """Return whom a signature says that it is by, from what it brings to be checked with; nothing is.

    A key is named by the beginning of its SHA-256, an identity as the index writes it.
    """
    if "publicKey" in material:
        return f"the key {material['publicKey']['hint'][:12]}"
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(base64.b64decode(material["certificate"]["rawBytes"]))
    (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(_ISSUER_OID)).value
    return f"{name.value}@{issuer.public_bytes().decode()}"


def _read(key: Path | str, kind: str, load: Callable[[Any, bytes], Any]) -> PublicKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization as pem
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise UsageError(NEEDS_PACKAGES) from None
    is_text = kind == "public" and str(key).lstrip().startswith("-----BEGIN ")
    place = "the trusted key" if is_text else key
    try:
        data = str(key).encode() if is_text else Path(key).read_bytes()
    except (OSError, ValueError) as error:
        hint = "; an identity is written with its issuer: IDENTITY@https://ISSUER" if "@" in str(key) else ""
        if _NO_NAME.search(str(key)):
            place, hint = f"the {kind} key", "; give the name of its file"
        raise FileProblem(place, f"cannot be read: {getattr(error, 'strerror', error)}{hint}") from None
    if (keys := len(re.findall(rb"-----BEGIN [A-Z ]*%s KEY-" % kind.upper().encode(), data))) > 1:
        raise FileProblem(place, f"holds {keys} {kind} keys; give the one that is meant")
    try:
        public = load(pem, data)
        found = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else type(public).__name__
    except (ValueError, TypeError, UnsupportedAlgorithm):
        label = re.search(rb"-----BEGIN ([A-Z ]{1,40})-----", data)  # and no more of what may be a secret
        found = label[1].decode() if label else "no PEM" if data else "nothing"
    if found not in _CURVES:
        problem = f"is no {kind} key on P-256, P-384 or P-521, in PEM and not encrypted; found: {found}"
        raise FileProblem(place, problem)
    return PublicKey(public.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo).decode())
