"""Check a web address before it is used, and print it without secrets."""

from __future__ import annotations

import base64
import importlib.util
import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

#: The hosts and networks that a person allows: they may be private, and a Hub may lead to the hosts.
ALLOW = "REXNET_HUB_ALLOW"
#: What proxies in fake-ip mode give for every name, by default: those of clash, mihomo and sing-box.
_FAKE_IP = tuple(map(ipaddress.ip_network, ("198.18.0.0/15", "fc00::/18", "fdfe:dcba:9876::/64")))
_HOST = re.compile(r"(?:[\w-]+\.)*[a-z_][\w-]*", re.ASCII | re.IGNORECASE)
#: A commit by all its digits, since branches and tags move.
HUB_FILE = re.compile(r"hf:(\w[\w.-]*/\w[\w.-]*)@([0-9a-f]{40})#(\w[\w.+-]*\.safetensors)", re.ASCII)
#: Of a proxy, by its kind.
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class SettingError(ValueError):
    """A variable of the environment cannot be read; its value is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that the environment or the system names.

    Attributes:
        variable: Where it is named, such as HTTPS_PROXY.
        authorization: The header's value for the user and password that its address has.
    """

    variable: str
    scheme: str
    host: str
    port: int
    authorization: str | None = field(repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"the proxy {self.scheme}://{host}:{self.port} of {self.variable}"

    def explain(self, status: int) -> str:
        """Render that the proxy refused, and what to do where it wants to know who asks."""
        advice = "; write your user and password there, as USER:PASSWORD and an @ before the host"
        return f"{self} answers {status}{advice if status == 407 else ''}"


class HubFile(NamedTuple):
    """A file of a repo on the Hub, at one commit."""

    repo_id: str
    commit: str
    name: str

    def __str__(self) -> str:
        return f"hf:{self.repo_id}@{self.commit}#{self.name}"

    @property
    def page(self) -> str:
        """The address of its page on the public Hub."""
        return f"https://huggingface.co/{self.repo_id}/blob/{self.commit}/{self.name}"

    @property
    def download(self) -> str:
        """The address of its bytes on the public Hub."""
        return self.page.replace("/blob/", "/resolve/")


def parse_hub_file(address: str) -> HubFile | None:
    """Parse `hf:OWNER/NAME@COMMIT#FILE.safetensors`; None for an address of another kind."""
    match = HUB_FILE.fullmatch(address)
    return HubFile(*match.groups()) if match else None


def redact_url(url: str) -> str:
    """Return an address without credentials, query and fragment, which may be secrets."""
    try:
        if parse_hub_file(url):
            return url
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


def cite(url: str, date: str = "") -> str:
    """Return what a page is called: a file on GitHub by whose it is, its name and its day or commit."""
    at = re.fullmatch(r"https://github\.com/([^/]+/([^/]+))/blob/([^/]+)/(?:.*/)?([^/#]+)(?:#.*)?", url)
    if at is None:
        return ", ".join(filter(None, (url.partition("://")[2] or url, date)))
    whose = "timm" if at[2] == "pytorch-image-models" else at[1]
    return f"{whose}'s {at[4]}, {date or at[3][:8]}"


def _parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


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
    return ip.is_loopback if (ip := _parse_ip(host)) else host == "localhost"


def find_proxy(host: str, *kinds: str) -> Proxy | None:
    """Find the proxy for a host: the first of these kinds (`https`, `all`) that the environment names.

    Raises:
        SettingError: What it names is no proxy's address; in words that do not show it.
    """
    from urllib.request import getproxies, proxy_bypass  # Not on the way of a list, which asks nobody.

    proxies = getproxies()
    kind = next((kind for kind in kinds if proxies.get(kind)), None)
    return None if kind is None or proxy_bypass(host) else _parse_proxy(kind, proxies[kind])


def _parse_proxy(kind: str, value: str) -> Proxy:
    names = (name for name in (f"{kind}_proxy", f"{kind}_proxy".upper()) if os.environ.get(name))
    variable = next(names, "the system's settings")
    try:
        at = urlsplit(value if "://" in value else f"http://{value}")
        port = _PORTS.get(at.scheme, 1) if at.port is None else at.port
    except ValueError:
        at, port = urlsplit("http:"), 0
    problems = {
        "has a space or another character that it cannot have": not re.fullmatch(r"[!-~]+", value),
        f"is of no kind that is known: {', '.join(_PORTS)}": at.scheme not in _PORTS,
        "cannot be read": not port or "@" in at.path + at.query + at.fragment,
        "names no host": not at.hostname,
    }
    for problem in (problem for problem, is_found in problems.items() if is_found):
        raise SettingError(
            f"{variable}: the address of the proxy {problem}. Write http://HOST:PORT; where it asks for them "
            "with USER:PASSWORD and an @ before HOST, and %XX for what is no letter or digit in them"
        )
    user = f"{unquote(at.username or '')}:{unquote(at.password or '')}".encode()
    authorization = f"Basic {base64.b64encode(user).decode()}" if "@" in at.netloc else None
    return Proxy(
        variable=variable, scheme=at.scheme, host=str(at.hostname), port=port, authorization=authorization
    )


def read_allowed() -> tuple[list[str], list[ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    """Read the hosts, in small letters, and the networks that `REXNET_HUB_ALLOW` names.

    Raises:
        SettingError: What is in it that is neither a host nor a network.
    """
    hosts, networks = [], []
    words = re.split(r"[\s,]+", os.environ.get(ALLOW, "").strip(" ,"))
    for number, word in enumerate(filter(None, words), 1):
        try:
            networks.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            if not _HOST.fullmatch(word):
                problem = f"entry {number} is neither a host nor a network such as 198.18.0.0/15"
                raise SettingError(f"{ALLOW}: {problem}") from None
            hosts.append(word.lower())
    return hosts, networks


def is_allowed(host: str, address: str = "") -> bool:
    """Return whether `REXNET_HUB_ALLOW` names a host, one that it is below, or a network of its address.

    Raises:
        SettingError: As of `read_allowed`.
    """
    hosts, networks = read_allowed()
    ips = [ip for text in (host, address) if (ip := _parse_ip(text))]
    is_named = any(host == each or host.endswith(f".{each}") for each in hosts)
    return is_named or any(ip in network for ip in ips for network in networks)


def find_private(host: str, address: str) -> str | None:
    """Return why a host's address must not be asked, and how to allow it; None where it may.

    Raises:
        SettingError: As of `is_allowed`.
    """
    if is_public(address) or is_allowed(host, address):
        return None
    fake = next((network for network in _FAKE_IP if _parse_ip(address) in network), None)
    made_up = " (as a proxy in fake-ip mode makes it up)" if fake else ""
    return f"the private address {address}{made_up}; if that is right, set {ALLOW}={fake or host}"


def require_proxies() -> None:
    """Check each proxy that the Hub's client will read as soon as it is used, whatever is asked.

    Raises:
        SettingError: One is no address, or speaks SOCKS, for which the client needs a package.
    """
    from urllib.request import getproxies

    proxies = getproxies()
    for proxy in (_parse_proxy(kind, proxies[kind]) for kind in ("http", "https", "all") if kind in proxies):
        if proxy.scheme.startswith("socks") and not importlib.util.find_spec("socksio"):
            raise SettingError(
                f"{proxy} speaks SOCKS, for which the Hub's client needs a package: pip install socksio, or "
                "name an http:// proxy in its place"
            )


def find_private_address(host: str) -> str | None:
    """Find an address of a host that must not be asked, as `find_private` says it.

    Behind a proxy nothing is looked up here: the check is the proxy's. A host that is not found has none.
    """
    if find_proxy(host, "https", "all"):
        return None
    import socket

    try:
        addresses = {str(row[4][0]) for row in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return None
    return next(filter(None, (find_private(host, address) for address in sorted(addresses))), None)
