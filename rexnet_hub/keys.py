"""Read the keys that sign, and those that signatures are checked by."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rexnet_hub.errors import FileProblem, UsageError

NEEDS_PACKAGES = "signatures need more packages: pip install 'rexnet-hub[sign]'"
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


def read_private_key(file: Path) -> str:
    """Check that a file holds a key to sign with, and return its public half; errors as `read_public_key`."""
    return _read(file, "private", lambda pem, data: pem.load_pem_private_key(data, None).public_key())


def read_public_key(key: Path | str) -> str:
    """Read a key that signatures are checked by, a file or the PEM text itself: as PEM, in one spelling.

    Raises:
        FileProblem: It cannot be read, or is no elliptic-curve key of that kind.
        UsageError: The `sign` extra is not installed.
    """
    return _read(key, "public", lambda pem, data: pem.load_pem_public_key(data))


def _read(key: Path | str, kind: str, load: Callable[[Any, bytes], Any]) -> str:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization as pem
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise UsageError(NEEDS_PACKAGES) from None
    is_text = isinstance(key, str) and key.lstrip().startswith("-----BEGIN ")
    try:
        data = str(key).encode() if is_text else Path(key).read_bytes()
    except (OSError, ValueError) as error:
        raise FileProblem(key, f"cannot be read: {getattr(error, 'strerror', error)}") from None
    if kind == "public" and (keys := data.count(b"-----BEGIN ")) > 1:
        place = "the trusted key" if is_text else key
        raise FileProblem(place, f"holds {keys} keys; give the one that is trusted")
    try:
        public = load(pem, data)
        found = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else type(public).__name__
    except (ValueError, TypeError, UnsupportedAlgorithm):
        label = re.search(rb"-----BEGIN ([A-Z ]{1,40})-----", data)  # and no more of what may be a secret
        found = label[1].decode() if label else "no PEM" if data else "nothing"
    if found not in _CURVES:
        problem = f"is no {kind} key on P-256, P-384 or P-521, in PEM and not encrypted; found: {found}"
        raise FileProblem("the trusted key" if is_text else key, problem)
    return str(public.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo).decode())
