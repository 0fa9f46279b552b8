"""The Hub through a proxy, or a mirror with a store of its own: it works, or one line says what to do."""

import os
import re
import ssl
import traceback
from dataclasses import replace

import pytest
from cases import slow
from connect_proxy import URL_CREDENTIALS, proxying
from huggingface_hub import close_session

from rexnet_hub.auto import AutoModel
from rexnet_hub.errors import HubError
from rexnet_hub.hub import snapshot
from rexnet_hub.hub.guard import find_foreign

pytestmark = pytest.mark.usefixtures("own_small_index")
GET_WEIGHTS = r"GET /org/small/[0-9a-f]{64}$"


@pytest.fixture
def no_proxy(monkeypatch):
    """No proxy but a test's own; nothing is waited for that a test does not want."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    quick = replace(snapshot.PATIENCE, step_seconds=1, total_seconds=4, wait_seconds=0)
    monkeypatch.setattr("rexnet_hub.hub.snapshot.PATIENCE", quick)


@pytest.fixture
def published(hub, files, no_proxy, certificate, monkeypatch):
    """The small repo on a Hub that speaks TLS, as the real one does."""
    from huggingface_hub import constants

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    for server in (hub.api, hub.store):
        server.socket = context.wrap_socket(server.socket, server_side=True)
    hub.url, hub.store_url, hub.token_url = (
        url.replace("http:", "https:") for url in (hub.url, hub.store_url, hub.token_url)
    )
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    hub.create("org/small", files)
    close_session()
    return hub


@pytest.mark.parametrize("speaks_tls", [False, True])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_hub_is_asked_through_a_proxy(variable, speaks_tls, published, certificate, monkeypatch):
    """Every request goes through the proxy, the store's too, with the decoded password."""
    tls = {"certificate": certificate} if speaks_tls else {}
    with proxying("password", credentials=URL_CREDENTIALS, **tls) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        AutoModel.from_pretrained("org/small")
        hosts = {f"CONNECT 127.0.0.1:{server.server_port}" for server in (published.api, published.store)}
        assert set(proxy.requests) == hosts


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("password", r"answers 407; write your user and password there"),
        ("status 403 Forbidden", "answers 403"),
        ("status 502 Bad Gateway", "answers 502"),
        ("close", "does not answer"),
        ("silent", "does not answer|is too slow"),
        slow("drip", "does not answer|is too slow"),
    ],
)
def test_a_proxy_that_fails_is_named_in_one_line(mode, words, published, monkeypatch):
    """The line says that it was the proxy, and which variable names it; its password is not in it."""
    with proxying(mode, credentials="me:SECRET") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(HubError, match=words) as caught:
            AutoModel.from_pretrained("org/small")
        assert f"the proxy http://127.0.0.1:{proxy.server_address[1]} of HTTPS_PROXY" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))
    assert published.requests() == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (":8080", "names no host"),
        ("http://me:SECRET@host:99999", "cannot be read"),
        ("http://a\tb:1", "a space or another character"),
        ("ftp://me:SECRET@host:1", "is of no kind that is known"),
        ("socks5://me:SECRET@127.0.0.1:1", "pip install socksio, or name"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_line(variable, value, words, published, monkeypatch):
    """The client reads all of these variables at once; the one that is wrong is named, at once."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv(variable, value)
    with pytest.raises(HubError, match=words) as caught:
        AutoModel.from_pretrained("org/small")
    assert variable in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_mirror_may_lead_to_its_store_by_name(hub, files, no_proxy, monkeypatch, tmp_path):
    """A store on another host is refused; named by the switch it is asked, and gets no token."""
    hub.create("org/small", files)
    hub.store_url = f"http://localhost:{hub.store.server_port}"
    with pytest.raises(HubError, match=r"leads to http://localhost"):
        AutoModel.from_pretrained("org/small")
    monkeypatch.setenv("REXNET_HUB_ALLOW", "store.example")
    with pytest.raises(HubError, match=r"leads to http://localhost"):
        AutoModel.from_pretrained("org/small")
    assert hub.requests(GET_WEIGHTS) == []
    monkeypatch.setenv("REXNET_HUB_ALLOW", "localhost")
    AutoModel.from_pretrained("org/small")
    assert len(hub.requests(GET_WEIGHTS)) == 1  # the store refuses whoever sends it a token


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://store.example/x", ""),
        ("https://eu.store.example/x", ""),
        ("https://10.1.2.3/x", ""),
        ("https://astore.example/x", r"is neither of .* set REXNET_HUB_ALLOW=astore\.example"),
        ("https://10.2.0.1/x", "is neither of"),
        ("http://store.example/x", "is not https"),
        ("https://u:p@store.example/x", "has credentials in it"),
        ("http://localhost/x", "is not https"),
    ],
)
def test_what_the_switch_allows(url, words, monkeypatch, no_proxy):
    """The host that is named, those below it, and a network's addresses; over https, without credentials."""
    monkeypatch.setenv("REXNET_HUB_ALLOW", "store.example, 10.1.0.0/16,localhost")
    found = find_foreign(url, "https://mirror.example", may_leave=False)
    assert found is None if not words else re.search(words, found)


def test_a_switch_that_cannot_be_read_is_one_line(hub, files, no_proxy, monkeypatch):
    """What is neither a host nor a network is said, before any host is asked that it may concern."""
    hub.create("org/small", files)
    hub.store_url = f"http://localhost:{hub.store.server_port}"
    monkeypatch.setenv("REXNET_HUB_ALLOW", "a.example https://me:SECRET@mirror.example")
    with pytest.raises(HubError, match=r"REXNET_HUB_ALLOW: entry 2 is neither") as caught:
        AutoModel.from_pretrained("org/small")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("value", ["garbage/99", "*.example", "http://x.example"])
def test_an_unreadable_switch_is_refused_before_the_hub_is_asked(value, hub, files, no_proxy, monkeypatch):
    """A Hub whose every answer would do is not asked while the switch cannot be read."""
    hub.create("org/small", files)
    asked = len(hub.log)
    monkeypatch.setenv("REXNET_HUB_ALLOW", value)
    with pytest.raises(HubError, match="REXNET_HUB_ALLOW: entry 1 is neither a host nor a network"):
        AutoModel.from_pretrained("org/small")
    assert len(hub.log) == asked
