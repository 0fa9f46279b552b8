"""A loopback Hub, a huggingface_hub that talks to it and to nothing else, and a small model of 0.4 MB."""

import json
import shutil
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import small
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from loopback import CLAIMS, WRITE, LoopbackHub, identity
from lying_server import serving
from world import World

from rexnet_hub.hub.client import THREAD_NAME


@pytest.fixture
def transport():
    """How the client sends and brings big files: over LFS, unless a test asks for Xet too."""
    return "lfs"


@pytest.fixture
def hub(monkeypatch, tmp_path, transport):
    """A loopback Hub, empty; the client's cache is new and the environment's token may write."""
    from rexnet_hub.hub import remote

    remote._ask_whoami.cache_clear()
    with LoopbackHub() as running:
        point_client_at(running, monkeypatch, tmp_path / "hf")
        if transport == "xet":
            use_xet(running, monkeypatch, tmp_path / "hf")
        yield running
        from huggingface_hub import close_session

        close_session()
    for thread in threading.enumerate():  # what was given up would close the session of the next test
        if thread.name == THREAD_NAME:
            thread.join(5)


def use_xet(hub, monkeypatch, home):
    """Let the client use Xet, its default: with a new session that knows no other store, and hastily."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _xet

    hub.speaks_xet = True
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    settings = {
        "CACHE": home / "xet",
        "XORB_COMPRESSION_POLICY": "none",  # so that the store can be read with the standard library
        "CLIENT_RETRY_BASE_DELAY": "10ms",
        "CLIENT_RETRY_MAX_ATTEMPTS": 2,
        "CLIENT_READ_TIMEOUT": "500ms",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"HF_XET_{name}", str(value))


def point_client_at(hub, monkeypatch, home):
    """Set what HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_DISABLE_XET set when the client is imported."""
    from huggingface_hub import constants

    from rexnet_hub.hub import snapshot

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setenv("HF_TOKEN", WRITE)
    # The client's own back-off has no parameter; only its modules get a clock that does not wait.
    hasty = SimpleNamespace(
        **{name: getattr(time, name) for name in dir(time)} | {"sleep": lambda seconds: None}
    )
    monkeypatch.setattr("huggingface_hub.utils._http.time", hasty)
    monkeypatch.setattr("huggingface_hub.file_download.time", hasty)
    monkeypatch.setattr("rexnet_hub.hub.snapshot.PATIENCE", replace(snapshot.PATIENCE, wait_seconds=0))


@pytest.fixture(scope="session")
def small_index(tmp_path_factory):
    """The folder of an index with one model of ten classes, its released file a stand-in."""
    return small.write_index(tmp_path_factory.mktemp("small"), "test_efficientnet")


@pytest.fixture(scope="session")
def small_staged(small_index, tmp_path_factory):
    """Its staged repo, not to be changed."""
    return small.stage(small_index, tmp_path_factory.mktemp("staged"))


@pytest.fixture
def own_small_index(small_index, monkeypatch, tmp_path):
    """Every function reads a copy of that index, which a test may change."""
    copy = shutil.copytree(small_index, tmp_path / "index")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(copy))
    return copy


@pytest.fixture
def two_models(own_small_index, tmp_path):
    """That copy, with a second model of other weights."""
    small.add_second(own_small_index, tmp_path / "released")
    return own_small_index


@pytest.fixture
def staged(small_staged, tmp_path):
    """A copy of the staged repo, which a test may change."""
    return shutil.copytree(small_staged, tmp_path / "work" / "small")


@pytest.fixture
def files(small_staged):
    """The staged repo's files: name -> bytes."""
    return {file.name: file.read_bytes() for file in small_staged.iterdir()}


@pytest.fixture(scope="session")
def measured_once():
    """What measuring the claims of the same weights and card came to: it is measured once a session."""
    return {}


@pytest.fixture
def quick_claims(measured_once, monkeypatch):
    """Tests of faults publish the same files over and over; their claims are really measured, but once."""
    from rexnet_hub.layout import find_index_dir
    from rexnet_hub.publish import plan

    measure = plan._false_claims

    def remembered(repo):
        of = [*repo.folder.iterdir(), *find_index_dir().iterdir()]
        key = tuple(sorted((file.name, file.read_bytes()) for file in of))
        if key not in measured_once:
            measured_once[key] = measure(repo)
        return measured_once[key]

    monkeypatch.setattr(plan, "_false_claims", remembered)


@pytest.fixture
def world(hub, certificate, tmp_path, monkeypatch):
    """All that the index names, on this machine; every command reads the copy of the index. See world.py."""
    from rexnet_hub import drift
    from rexnet_hub.weights import download, fetch

    for name in ("PATIENCE", "POLICY"):
        monkeypatch.setattr(drift, name, replace(getattr(drift, name), wait_seconds=0))
    monkeypatch.setattr(fetch, "FetchPolicy", partial(download.FetchPolicy, wait_seconds=0))
    with serving(b"", certificate) as web:
        made = World(hub, web, tmp_path)
        for name, value in {"INDEX": made.index, "ALLOW": "127.0.0.1"}.items():
            monkeypatch.setenv(f"REXNET_HUB_{name}", str(value))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        yield made


@pytest.fixture
def github():
    """What ACTIONS_ID_TOKEN_REQUEST_URL names: it gives the proof, or what `away` says."""

    class Handler(BaseHTTPRequestHandler):
        server: Any

        def log_message(self, *words):
            pass

        def do_GET(self):
            self.server.asked.append((self.path, self.headers["Authorization"]))
            claims = self.server.claims | {"aud": parse_qs(urlsplit(self.path).query)["audience"][0]}
            body = json.dumps({"value": identity(**claims)}).encode()
            self.send_response(307 if self.server.away else 200)
            self.send_header("Location", self.server.away)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server: Any
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.away, server.claims = [], "", dict(CLAIMS)
        server.url = f"http://localhost:{server.server_port}/idtoken?api-version=2.0"  # another host
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def keys(tmp_path):
    """A key pair to sign with, and to check by."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem, private, public = serialization.Encoding.PEM, tmp_path / "private.pem", tmp_path / "public.pem"
    formats = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, *formats))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public
