"""What every test stands on: an index, a quiet torch, and no way out to a network."""

import os
import socket

import pytest

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")

LOOPBACK = ("127.", "::1", "localhost")
REAL_CONNECT = socket.socket.connect


def connect_on_loopback(self, address):
    """Connect as always, but only to this machine."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
        raise AssertionError(f"a test tried to reach {address[0]}")
    return REAL_CONNECT(self, address)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", connect_on_loopback)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("REXNET_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def index():
    """The zoo's own index."""
    from rexnet_hub.index import load_index

    return load_index()
