"""Check a web address before it is used, and print it without secrets."""

from __future__ import annotations

import ipaddress
import re
import socket
import urllib.request
from urllib.parse import urlsplit


def redact_url(url: str) -> str:
    """Return an address without credentials, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"[:300]
    except ValueError:
        return "an address that cannot be read"


def find_url_problem(url: str, *, schemes: frozenset[str] = frozenset({"https"})) -> str | None:
    """Return why an address must not be asked: not readable, another scheme, credentials; None if it may."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - a bad port raises here
    except ValueError:
        return "is no address"
    if parts.scheme not in schemes or not parts.hostname:
        return "is not https"
    if parts.username is not None or parts.password is not None:
        return "has credentials in it"
    if not re.fullmatch(r"[!-~]+", url) or not re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", parts.hostname):
        return "has characters that an address cannot have"
    return None


def host_of(url: str) -> str:
    """Return an address's host in small letters; nothing where it has none or cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


#: IPv6 blocks that lead to the IPv4 address at some bit from the right: mapped, compatible, NAT64, 6to4.
_BLOCKS = (("::ffff:0:0/96", 0), ("::/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
_EMBEDDING = tuple((ipaddress.IPv6Network(block), bit) for block, bit in _BLOCKS)
#: NAT64 of a site's own (RFC 8215), and Teredo: where they lead is nobody's but that network's to say.
_LOCAL = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "2001::/32")))


def is_public(address: str) -> bool:
    """Return whether an IP address is of the public internet: not private, loopback, local or multicast.

    An IPv6 address that leads to an IPv4 one is as public as that.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    for block, bit in _EMBEDDING:
        if parsed in block:
            parsed = ipaddress.IPv4Address((int(parsed) >> bit) & 0xFFFFFFFF)
    return parsed.is_global and not parsed.is_multicast and not any(parsed in block for block in _LOCAL)


def is_loopback(url: str) -> bool:
    """Return whether an address is of this very machine."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def find_proxy(host: str, *kinds: str) -> str | None:
    """Find the proxy of one of these kinds (`https`, `all`) that the environment names for a host."""
    proxies = urllib.request.getproxies()
    proxy = next((proxies[kind] for kind in kinds if kind in proxies), None)
    return None if proxy is None or urllib.request.proxy_bypass(host) else proxy


def find_private_address(host: str) -> str | None:
    """Find an address of a host that is not of the public internet.

    Behind a proxy nothing is looked up here: the check is the proxy's. A host that is not found has none.
    """
    if find_proxy(host, "https", "all"):
        return None
    try:
        addresses = {str(row[4][0]) for row in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return None
    return min((address for address in addresses if not is_public(address)), default=None)
