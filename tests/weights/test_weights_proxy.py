"""Fetching through a proxy, or where names have made-up addresses: it works, or one line says what to do."""

import hashlib
import os
import random
import ssl
import time
import traceback
from contextlib import nullcontext

import pytest
from connect_proxy import URL_CREDENTIALS, proxying
from huggingface_hub import close_session, get_session
from lying_server import serving

from rexnet_hub.addresses import find_private
from rexnet_hub.errors import FetchError
from rexnet_hub.identity import Identity, StatedFile
from rexnet_hub.terminal import printable
from rexnet_hub.weights.download import FetchPolicy
from rexnet_hub.weights.fetch import fetch

DATA = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def bring(certificate, tmp_path, monkeypatch):
    """Fetch a server's file, impatiently, with no proxy but a test's own."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    policy = FetchPolicy(
        step_seconds=0.5,
        total_seconds=10,
        attempts=2,
        wait_seconds=0.01,
        ssl_context=ssl.create_default_context(cafile=certificate),
    )
    identity = Identity((StatedFile(by="the caller", sha256=SHA256),))

    def fetch_it(url):
        return fetch(url, file_name="f.pth", cache_dir=tmp_path, policy=policy, identity=identity)

    return fetch_it


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_password_is_given_to_the_proxy_and_to_nobody_else(variable, certificate, bring, monkeypatch):
    """Each variable is heeded; user and password are decoded and sent with CONNECT alone."""
    with serving(DATA, certificate) as server, proxying("password", credentials=URL_CREDENTIALS) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        assert bring(server.url).sha256 == SHA256
        assert proxy.requests == [f"CONNECT 127.0.0.1:{server.server_address[1]}"]
        assert not {"Proxy-Authorization", "Authorization"} & set(server.requests[0][1])


def test_no_proxy_is_heeded(certificate, bring, monkeypatch):
    """A host that NO_PROXY names is asked without the proxy, and then its address counts."""
    with serving(DATA, certificate) as server, proxying() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with pytest.raises(FetchError, match="private address"):
            bring(server.url)
        assert proxy.requests == []


@pytest.mark.parametrize(
    ("mode", "seconds", "words"),
    [
        ("password", 1, "answers 407; .*USER:PASSWORD and an @ before the host"),
        ("status 403 Forbidden", 1, "answers 403"),
        ("status 502 Bad Gateway", 2, "answers 502, 2 times in a row"),
        ("close", 2, "the connection was cut through .*, 2 times in a row"),
        ("reset", 2, "the connection was cut through .*, 2 times in a row"),
        ("garbage", 1, r"what answers does not speak HTTP through .* of ALL_PROXY\Z"),
        ("silent", 4, "no answer in time through .*, 2 times"),
        ("drip", 5, "the connection was cut through .*, 2 times in a row"),
    ],
)
def test_a_proxy_that_fails_is_named_in_one_line(mode, seconds, words, certificate, bring, monkeypatch):
    """Whatever the proxy does, the line says that it was the proxy, and where it is named; none hangs."""
    started = time.monotonic()
    with serving(DATA, certificate) as server, proxying(mode, credentials="me:SECRET") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with pytest.raises(FetchError, match=words) as caught:
            bring(server.url)
        assert server.requests == []
    assert time.monotonic() - started < seconds
    assert f"the proxy http://127.0.0.1:{proxy.server_address[1]} of ALL_PROXY" in str(caught.value)
    assert printable(str(caught.value)) == str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_proxy_that_is_not_there_is_named(certificate, bring, monkeypatch):
    """A refused connection is the proxy's."""
    with serving(DATA, certificate) as server:
        with proxying() as proxy:
            monkeypatch.setenv("https_proxy", proxy.url)
        with pytest.raises(FetchError, match=r"the proxy http://127\.0\.0\.1:\d+ of https_proxy"):
            bring(server.url)


MALFORMED = {
    ":8080": "names no host",
    "http://": "names no host",
    "http://:3128": "names no host",
    "http://[::1": "cannot be read",
    "http://host:99999": "cannot be read",
    "http://host:0": "cannot be read",
    "http://host:port": "cannot be read",
    "http://a b:1": "a space or another character",
    "http://host:1\r\nX: SECRET": "a space or another character",
    "http://höst:1": "a space or another character",
    "http://me:SECRET#1@host:1": "cannot be read",
    "http://me:1/SECRET@host:1": "cannot be read",
    "ftp://me:SECRET@host:1": "is of no kind that is known",
    "socks4://me:SECRET@host:1": "is of no kind that is known",
    "socks5h://me:SECRET@127.0.0.1:1": "is a SOCKS proxy",
    "https://me:SECRET@127.0.0.1:1": "speaks TLS itself",
}


@pytest.mark.parametrize("value", MALFORMED)
def test_a_proxy_that_cannot_be_used_is_one_line(value, bring, monkeypatch):
    """A value that makes no sense, or a kind that is not spoken, is refused at once, its variable named."""
    started = time.monotonic()
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(FetchError, match=MALFORMED[value]) as caught:
        bring("https://rexnet.example/f.pth")
    assert time.monotonic() - started < 1
    assert "HTTPS_PROXY" in str(caught.value)
    assert printable(str(caught.value)) == str(caught.value)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "value", ["127.0.0.1", "127.0.0.0/8", "::1, 127.0.0.1/32", "elsewhere.example,127.0.0.1"]
)
def test_a_private_address_is_allowed_by_name_or_network(value, certificate, bring, monkeypatch):
    """What is refused names the switch; with it set to the host, or to a network, the file is fetched."""
    with serving(DATA, certificate) as server:
        with pytest.raises(FetchError, match=r"private address 127\.0\.0\.1.*REXNET_HUB_ALLOW=127\.0\.0\.1"):
            bring(server.url)
        for other in ("10.0.0.0/8", "elsewhere.example", "27.0.0.1"):
            monkeypatch.setenv("REXNET_HUB_ALLOW", other)
            with pytest.raises(FetchError, match="private address"):
                bring(server.url)
        assert server.requests == []
        monkeypatch.setenv("REXNET_HUB_ALLOW", value)
        assert bring(server.url).sha256 == SHA256


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.18.0.7", "198.18.0.0/15"),
        ("198.19.255.1", "198.18.0.0/15"),
        ("fc00::7", "fc00::/18"),
        ("fdfe:dcba:9876::7", "fdfe:dcba:9876::/64"),
    ],
)
def test_an_address_that_a_proxy_makes_up_names_its_network(address, network, monkeypatch):
    """In fake-ip mode a proxy answers for every name: the message names the whole network."""
    said = find_private("rexnet.example", address)
    assert said.startswith(f"the private address {address} (as a proxy in fake-ip mode makes it up)")
    assert said.endswith(f"set REXNET_HUB_ALLOW={network}")
    monkeypatch.setenv("REXNET_HUB_ALLOW", network)
    assert find_private("rexnet.example", address) is None
    assert find_private("rexnet.example", "10.0.0.1").endswith("set REXNET_HUB_ALLOW=rexnet.example")


@pytest.mark.parametrize("value", ["198.18.0.0/33", "https://mirror.example", "a b", "*", "127.0.0.1:443"])
def test_a_switch_that_cannot_be_read_is_refused(value, certificate, bring, monkeypatch):
    """What is neither a host nor a network is not passed over."""
    monkeypatch.setenv("REXNET_HUB_ALLOW", f"rexnet.example,{value}")
    with serving(DATA, certificate) as server, pytest.raises(FetchError, match="REXNET_HUB_ALLOW"):
        bring(server.url)


def test_a_host_that_is_not_found_says_what_may_help(bring):
    """Without a network the message names the proxy's variable and how to go without one."""
    with pytest.raises(FetchError, match=r"HTTPS_PROXY.*HF_HUB_OFFLINE=1, 2 times in a row"):
        bring("https://nowhere.invalid/f.pth")


@pytest.mark.parametrize("value", ["garbage/99", "*.example", "http://x.example"])
def test_an_unreadable_switch_is_refused_before_a_name_is_looked_up(value, bring, monkeypatch):
    """Of a host that does not exist it is the switch that is named: nothing was asked for the host."""
    monkeypatch.setenv("REXNET_HUB_ALLOW", value)
    with pytest.raises(FetchError, match="REXNET_HUB_ALLOW: entry 1 is neither a host nor a network"):
        bring("https://nowhere.invalid/f.pth")


def test_a_company_certificate_is_trusted_by_its_file(certificate, bring, tmp_path, monkeypatch):
    """SSL_CERT_FILE is heeded by our download and by the Hub's client; REQUESTS_CA_BUNDLE by neither."""
    monkeypatch.setenv("REXNET_HUB_ALLOW", "127.0.0.1")
    policy = FetchPolicy(step_seconds=2, attempts=1)
    with serving(DATA, certificate) as server:
        for variable, is_heeded in (("REQUESTS_CA_BUNDLE", False), ("SSL_CERT_FILE", True)):
            monkeypatch.setenv(variable, str(certificate))
            with nullcontext() if is_heeded else pytest.raises(FetchError, match="certificate"):
                fetch(server.url, file_name="f.pth", cache_dir=tmp_path / "cache", policy=policy)
            with nullcontext() if is_heeded else pytest.raises(Exception, match=r"(?i)certificate"):
                close_session()  # so that a new one is made
                assert get_session().get(server.url).content == DATA
    close_session()
