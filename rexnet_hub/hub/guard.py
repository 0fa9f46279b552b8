"""Check every request of the Hub's client before it is sent; refuse hosts that are not the Hub's.

The client follows redirects by itself, to any address. Here each request must go to the Hub's own host, to
one below it, or to one of the public Hub and its stores: over https, without credentials, and not to a
private address, unless that is the host which the person named. Other hosts, such as a mirror's own store,
and private addresses are named by `REXNET_HUB_ALLOW`. An upload may go to any public https address: the
store's, which the Hub's API names, are of a cloud. A CI that proves who it is names one address more, which
gives it the proof (Trusted Publishers).

Xet's part of the client is not in Python. The two addresses that it starts from are checked where the Hub
states them: that of its store, and the one that gives tokens for it, which alone gets the Hub's own. What
the store answers is followed unseen by us; what it sends is checked against the Hub's digest as any file is.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from rexnet_hub.addresses import (
    ALLOW,
    find_private_address,
    find_url_problem,
    host_of,
    is_allowed,
    is_loopback,
    read_allowed,
    redact_url,
    require_proxies,
)
from rexnet_hub.hub.limits import note_hold, wait_turn
from rexnet_hub.patience import Patience

#: The public Hub, and where its stores are: cdn-lfs.huggingface.co, cas-bridge.xethub.hf.co and the like.
PUBLIC_HUB = ("huggingface.co", "hf.co")
#: Where an answer of the Hub states an address for Xet: https://huggingface.co/docs/xet
_XET_HEADERS, _XET_LINK = ("X-Xet-Cas-Url", "X-Xet-Refresh-Route"), "xet-auth"
_SHOWN_CHARACTERS = 60
_lock = threading.Lock()


class ForeignHostError(PermissionError):
    """A request would have left the Hub."""


def refuse_foreign_host(request: Any) -> None:
    """Check a request of the client; made to be its event hook.

    Raises:
        ForeignHostError: It leaves the Hub; what is wrong with its address.
    """
    url = str(request.url)
    if request.method != "GET" or not _gives_identity(url):
        _check(url, may_leave=request.method == "PUT")


def refuse_foreign_store(response: Any) -> None:
    """Check what an answer of the Hub tells Xet to ask; made to be the client's event hook.

    Raises:
        ForeignHostError: It sends Xet elsewhere; what is wrong with the address.
    """
    link = response.links.get(_XET_LINK, {}).get("url")
    for url in (link, *map(response.headers.get, _XET_HEADERS)):
        if url:
            _check(urljoin(str(response.url), url), may_leave=False)


def _gives_identity(url: str) -> bool:
    """Return whether this is the address that gives GitHub's proof of who runs, and the proof is wanted.

    Like HF_ENDPOINT it is named by the environment, so it may be of any host: an Enterprise Server's too.
    """
    named = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
    schemes = frozenset({"https", "http"} if is_loopback(named) else {"https"})
    if not os.environ.get("HF_OIDC_RESOURCE") or find_url_problem(url, schemes=schemes):
        return False
    return redact_url(url) == redact_url(named)


def _check(url: str, *, may_leave: bool) -> None:
    from huggingface_hub import constants

    if problem := find_foreign(url, constants.ENDPOINT, may_leave=may_leave):
        raise ForeignHostError(
            f"it leads to {redact_url(url)[:_SHOWN_CHARACTERS]}, which {problem}; nothing was asked there. "
            "Check HF_ENDPOINT, or tell the Hub's people"
        )


def find_foreign(url: str, endpoint: str, *, may_leave: bool) -> str | None:
    """Return why an address is none that the Hub at `endpoint` may lead to; None if it may."""
    own, host = host_of(endpoint), host_of(url)
    is_named = host == own or is_allowed(host)
    is_here = is_named and is_loopback(endpoint) and is_loopback(url)
    schemes = {"https"} | ({endpoint.partition(":")[0]} if is_here else set())
    if problem := find_url_problem(url, schemes=frozenset(schemes)):
        return problem
    if is_named:
        return None
    if not may_leave and not any(host == near or host.endswith(f".{near}") for near in (own, *PUBLIC_HUB)):
        return f"is neither of {own} nor of the public Hub (a store of yours? set {ALLOW}={host})"
    private = find_private_address(host)
    return f"has {private}" if private else None


def _end_on_refusal(event: str, info: dict[str, Any]) -> None:
    """Raise where no connection is made, past the client: of its own error it would replace its session."""
    if event.endswith((".connect_tcp.failed", ".start_tls.failed")):
        raise ConnectionError(str(info["exception"]))


@contextlib.contextmanager
def guarded_client(patience: Patience, *, every_thread: bool) -> Iterator[None]:
    """Check the requests of the client's shared session while the block runs; after it, it is as before.

    A request that the client sends without a time limit gets one, waits its turn where the Hub asked to wait,
    and fails where no connection is made.

    Args:
        every_thread: Whether those of other threads are checked too: an upload is sent by several. Then a
            busy Hub ends the call, and the caller tries again; else the client does, within the patience.

    Raises:
        SettingError: The client cannot read a proxy that the environment names.
        ForeignHostError: A request would have left the Hub.
        HeldError: The Hub asked to wait for longer than the patience is.
        ConnectionError: The client replaced its session meanwhile, so that not every request was seen.
    """
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

    require_proxies()
    read_allowed()  # before all else: what cannot be read is refused
    own, session = threading.get_ident(), get_session()

    def check_request(request: Any) -> None:
        if every_thread or threading.get_ident() == own:
            limits, step = request.extensions.get("timeout", {}), patience.step_seconds
            limits = {kind: limits.get(kind) or step for kind in ("connect", "read", "write", "pool")}
            request.extensions = {**request.extensions, "timeout": limits, "trace": _end_on_refusal}
            refuse_foreign_host(request)
            wait_turn(request.url, patience.total_seconds)

    def check_response(response: Any) -> None:
        if every_thread or threading.get_ident() == own:
            refuse_foreign_store(response)
            hold = note_hold(response)
            is_busy = response.status_code in (408, 429) or response.status_code >= 500
            if is_busy and (every_thread or (hold and hold.wait_seconds > patience.total_seconds)):
                hf_raise_for_status(response)

    added = {"request": check_request, "response": check_response}
    with _lock:  # new lists, since another thread may be going through the old ones
        session.event_hooks = {kind: [*session.event_hooks[kind], hook] for kind, hook in added.items()}
    try:
        yield
    finally:
        with _lock:
            hooks = session.event_hooks.items()
            session.event_hooks = {kind: [h for h in now if h is not added[kind]] for kind, now in hooks}
    if session.is_closed:
        raise ConnectionError("the client's session was closed meanwhile")
