"""Say why a web address may not be asked, and how it may be shown."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def bare(url: str) -> str:
    """Give an address without credentials, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"[:300]
    except ValueError:
        return "an address that cannot be read"


def problem_of(url: str, *, schemes: frozenset[str] = frozenset({"https"})) -> str | None:
    """Say why an address may not be asked: not readable, another scheme, credentials; None if it may."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a bad port raises here
    except ValueError:
        return "is no address"
    if parts.scheme not in schemes or not parts.hostname:
        return "is not https"
    if parts.username is not None or parts.password is not None:
        return "has credentials in it"
    if not url.isascii() or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        return "has characters that an address cannot have"
    return None


def is_public(address: str) -> bool:
    """Say whether an IP address is of the public internet: not private, loopback, link-local or multicast."""
    told = ipaddress.ip_address(address.partition("%")[0])
    return told.is_global and not told.is_multicast


def is_loopback(url: str) -> bool:
    """Say whether an address is of this very machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
