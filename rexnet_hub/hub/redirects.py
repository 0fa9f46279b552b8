"""Look at each request that the Hub's client sends, before it goes: none is led away from the Hub.

The client follows redirects by itself, to any address. Here each request must go to the Hub's own host, to
one below it, or to one of the public Hub and its stores: over https, without credentials, and not to a
private address, unless that is the host which the person named. An upload may go to any public https
address: the store's, which the Hub's API names, are of a cloud.

Xet's part of the client is not in Python. The two addresses that it starts from are looked at where the Hub
tells them: that of its store, and the one that gives tokens for it, which alone gets the Hub's own. What
the store answers is followed unseen by us; what it brings is held against the Hub's digest as every file is.
"""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from rexnet_hub.addresses import bare, is_loopback, is_public, problem_of

T = TypeVar("T")

#: The public Hub, and where its stores are: cdn-lfs.huggingface.co, cas-bridge.xethub.hf.co and the like.
PUBLIC_HUB = ("huggingface.co", "hf.co")
_SHOWN_CHARACTERS = 60
_lock = threading.Lock()


class StrayRequestError(PermissionError):
    """A request would have left the Hub."""


def require_at_home(request: Any) -> None:
    """Refuse a request of the client that leaves the Hub; made to be its event hook.

    Raises:
        StrayRequestError: What is wrong with its address.
    """
    _require(str(request.url), may_leave=request.method == "PUT")


def require_store_at_home(response: Any) -> None:
    """Refuse an answer of the Hub that sends Xet elsewhere; made to be the client's event hook.

    Raises:
        StrayRequestError: What is wrong with the address.
    """
    from huggingface_hub import constants

    link = response.links.get(constants.HUGGINGFACE_HEADER_LINK_XET_AUTH_KEY, {})
    headers = (constants.HUGGINGFACE_HEADER_X_XET_ENDPOINT, constants.HUGGINGFACE_HEADER_X_XET_REFRESH_ROUTE)
    for url in (link.get("url"), *map(response.headers.get, headers)):
        if url:
            _require(urljoin(str(response.url), url), may_leave=False)


def _require(url: str, *, may_leave: bool) -> None:
    from huggingface_hub import constants

    if problem := _stray(url, constants.ENDPOINT, may_leave=may_leave):
        raise StrayRequestError(
            f"it leads to {bare(url)[:_SHOWN_CHARACTERS]}, which {problem}; nothing was asked there. "
            "Check HF_ENDPOINT, or tell the Hub's people"
        )


def _stray(url: str, endpoint: str, *, may_leave: bool) -> str | None:
    """Say why an address is none that this Hub may lead to; None if it may."""
    home = urlsplit(endpoint)
    own, host = home.hostname or "", _host(url)
    is_own = host == own
    schemes = {"https"} | ({home.scheme} if is_own and is_loopback(endpoint) else set())
    if problem := problem_of(url, schemes=frozenset(schemes)):
        return problem
    if is_own:
        return None
    if not may_leave and not any(host == near or host.endswith(f".{near}") for near in (own, *PUBLIC_HUB)):
        return f"is neither of {own} nor of the public Hub"
    return _private(host)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _private(host: str) -> str | None:
    """Say whether a host has a private address; behind a proxy that is the proxy's to look at."""
    if {"https", "all"} & urllib.request.getproxies().keys() and not urllib.request.proxy_bypass(host):
        return None
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:  # then the client will not reach it either, and says so
        return None
    private = sorted(address for address in found if not is_public(address))
    return f"has the private address {private[0]}" if private else None


def watched(call: Callable[[], T]) -> T:
    """Give what a call of the client gives, each of its requests looked at; those of other threads are not.

    The client's shared session is as before when it is done.

    Raises:
        StrayRequestError: A request would have left the Hub.
        ConnectionError: The client replaced its session meanwhile, so that not every request was seen.
    """
    from huggingface_hub import get_session

    own, session = threading.get_ident(), get_session()

    def look(request: Any) -> None:
        if threading.get_ident() == own:
            require_at_home(request)

    def look_at_answer(response: Any) -> None:
        if threading.get_ident() == own:
            require_store_at_home(response)

    added = {"request": look, "response": look_at_answer}
    with _lock:  # new lists, since another thread may be going through the old ones
        session.event_hooks = {kind: [*session.event_hooks[kind], hook] for kind, hook in added.items()}
    try:
        result = call()
    finally:
        with _lock:
            session.event_hooks = {
                kind: [hook for hook in hooks if hook is not added[kind]]
                for kind, hooks in session.event_hooks.items()
            }
    if session.is_closed:
        raise ConnectionError("the client's session was closed meanwhile")
    return result
