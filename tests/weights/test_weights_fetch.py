"""Fetching: whatever the server does, the cache holds the right file or none."""

import contextlib
import hashlib
import os
import random
import socket
import ssl
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from typing import Any

import pytest
from lying_server import serving

from rexnet_hub.addresses import ALLOW, redact_url
from rexnet_hub.errors import FetchError, FileProblem, MismatchError, RexnetHubError, UsageError
from rexnet_hub.identity import Identity, StatedFile
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.weights.digest import FileDigest
from rexnet_hub.weights.download import FetchPolicy
from rexnet_hub.weights.fetch import fetch

DATA = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
WRONG = "0" * 64


@pytest.fixture(autouse=True)
def _allow_this_machine(monkeypatch):
    """Let the servers be on the loopback address."""
    monkeypatch.setenv(ALLOW, "127.0.0.1")


@pytest.fixture
def policy(certificate):
    """Trust the loopback server, and be impatient."""
    return FetchPolicy(
        step_seconds=2,
        total_seconds=20,
        attempts=3,
        wait_seconds=0.01,
        ssl_context=ssl.create_default_context(cafile=certificate),
    )


@pytest.fixture
def cache(tmp_path):
    """Name a cache that is not there yet."""
    return tmp_path / "cache"


def stated(**facts):
    """Give an identity that the caller states."""
    return Identity((StatedFile(by="the caller", **facts),))


def bring(server, cache, policy, progress=None, **facts):
    """Fetch the server's file as `f.pth`, stated to be so."""
    identity = stated(**facts)
    return fetch(
        server.url, file_name="f.pth", cache_dir=cache, policy=policy, progress=progress, identity=identity
    )


def lock_name(cache):
    """Give the name of the one lock of a cache."""
    (lock,) = (cache / "released").glob(".*.lock")
    return lock.name


def is_clean(cache):
    """Say whether a cache holds nothing but locks."""
    return not any(file.is_file() for file in cache.rglob("*"))


def test_an_honest_server_gives_the_file(certificate, policy, cache):
    """The file arrives whole, digested, with progress told; a second fetch asks nobody."""
    told = []
    with serving(DATA, certificate) as server:
        found = bring(
            server,
            cache,
            policy,
            size_bytes=len(DATA),
            sha256=SHA256[:8],
            progress=lambda done, total: told.append((done, total)),
        )
        again = bring(server, cache, policy, size_bytes=len(DATA), sha256=SHA256[:8])
        assert len(server.requests) == 1

    assert found == again
    assert (found.sha256, found.size_bytes) == (SHA256, len(DATA))
    assert found.path.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert found.path.relative_to(cache).parts[::2] == ("released", SHA256)
    assert [file.name for file in cache.rglob("*") if file.is_file()] == ["f.pth"]
    assert all("SECRET" not in str(file) for file in cache.rglob("*"))


@pytest.mark.parametrize("etag", ["1", ""])
@pytest.mark.parametrize("modes", [["cut", "honest"], [*["cut"] * 4, "honest"], ["cut", "whole"]])
def test_a_cut_connection_goes_on(modes, etag, certificate, policy, cache):
    """After a cut the rest is asked for by range; a server that sends all again is taken at its word."""
    with serving(DATA, certificate, *modes, etag=etag) as server:
        assert bring(server, cache, policy, sha256=SHA256).path.read_bytes() == DATA
        headers = server.requests[1][1]

    assert headers["Range"] == f"bytes={len(DATA) // 2}-"
    assert headers.get("If-Range") == ('"1"' if etag else None)


def test_without_proof_a_cut_file_starts_anew(certificate, policy, cache):
    """No digest and no tag of the server: the two halves could be of two files, so both are fetched."""
    with serving(DATA, certificate, "cut", "honest", etag="") as server:
        assert bring(server, cache, policy).path.read_bytes() == DATA
        assert "Range" not in server.requests[1][1]


def test_a_file_that_changed_meanwhile_is_fetched_whole(certificate, policy, cache):
    """When the tag changes between the halves, the server sends all, and nothing is mixed."""
    with serving(DATA, certificate, "cut", "honest") as server:
        original = server.modes

        class Changing(list[str]):
            def pop(self, index=-1):
                mode = list.pop(self, index)
                if len(self) == 1:
                    server.data, server.etag = DATA, "1"
                return mode

        server.data, server.etag = bytes(len(DATA)), "0"
        server.modes = Changing(original)
        # The first request is served from the old data: the tag is read after the mode is popped.
        server.modes.insert(0, "cut")
        assert bring(server, cache, policy).path.read_bytes() == DATA


def test_a_range_of_another_place_is_not_taken(certificate, policy, cache):
    """A server that answers with other bytes than asked is not believed; the file starts anew."""
    with serving(DATA, certificate, "cut", "elsewhere", "honest") as server:
        assert bring(server, cache, policy, sha256=SHA256).path.read_bytes() == DATA


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_waited_for(status, certificate, policy, cache):
    """429 and 5xx are tried again; Retry-After is obeyed to the second."""
    with serving(DATA, certificate, f"status {status}", "honest") as server:
        assert bring(server, cache, policy).sha256 == SHA256
        assert len(server.requests) == 2


def test_retry_after_is_obeyed(certificate, policy, cache):
    """The wait that the server asks for is kept; one that is too long is an error that says so."""
    with serving(DATA, certificate, "status 429 1", "honest") as server:
        started = time.monotonic()
        bring(server, cache, policy)
        assert time.monotonic() - started >= 1
    for value in ("1000", "Fri, 01 Jan 2100 00:00:00 GMT"):
        with (
            serving(DATA, certificate, f"status 503 {value}") as server,
            pytest.raises(FetchError, match="asks to wait longer"),
        ):
            fetch(server.url, file_name="g.pth", cache_dir=cache, policy=policy)


@pytest.mark.parametrize(
    ("mode", "options", "error", "words"),
    [
        ("longer", {"size_bytes": len(DATA)}, MismatchError, "size"),
        ("shorter", {"size_bytes": len(DATA)}, MismatchError, "size"),
        ("unsized", {"size_bytes": len(DATA) - 1}, MismatchError, "more than"),
        ("unsized", {"size_bytes": len(DATA) + 1}, MismatchError, "size"),
        ("damaged", {"sha256": SHA256}, MismatchError, "SHA-256"),
        ("damaged", {"sha256": SHA256[:8]}, MismatchError, "32 bits"),
        ("page", {"sha256": SHA256[:8]}, MismatchError, "32 bits"),
        ("packed", {}, FetchError, "packs the file"),
        ("cut", {"size_bytes": 7}, MismatchError, "size"),
        ("status 404", {}, FetchError, "404"),
        ("status 503", {}, FetchError, "503, 3 times"),
        ("hang", {}, FetchError, "no answer in time"),
        ("drip", {}, FetchError, "slower than|ended after"),
        ("redirect http://127.0.0.1/x", {}, FetchError, "is not https"),
        ("redirect file:///etc/hostname", {}, FetchError, "is not https"),
        ("redirect https://user:SECRET@127.0.0.1/", {}, FetchError, "credentials"),
        ("redirect /again", {}, FetchError, "redirects"),
        ("redirect https://[bad", {}, FetchError, "no address|connection|redirect"),
    ],
)
def test_a_server_that_lies_is_refused(mode, options, error, words, certificate, policy, cache):
    """Wrong size, digest, place or pace: one line, no secret of the address in it, nothing left."""
    policy = replace(policy, step_seconds=0.5)
    with serving(DATA, certificate, mode) as server, pytest.raises(error, match=words) as caught:
        bring(server, cache, policy, **options)

    assert is_clean(cache)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_private_host_is_not_connected_to(certificate, policy, cache):
    """Nothing in here hears of it, whether it is asked for itself or a host that is allowed leads to it."""
    with contextlib.closing(socket.create_server(("127.0.0.2", 0))) as private:
        private.settimeout(0.2)
        url = f"https://127.0.0.2:{private.getsockname()[1]}/f.pth"
        with serving(b"", certificate, f"redirect {url}") as server:
            for address in (url, server.url):
                with pytest.raises(FetchError, match=r"leads to the private address 127\.0\.0\.2"):
                    fetch(address, file_name="f.pth", cache_dir=cache, policy=policy)
            assert len(server.requests) == 1
        with pytest.raises(TimeoutError):
            private.accept()
    assert is_clean(cache)


def test_a_redirect_is_followed(certificate, policy, cache):
    """One https address may lead to another."""
    with serving(DATA, certificate) as last, serving(b"", certificate, f"redirect {last.url}") as first:
        assert bring(first, cache, policy, sha256=SHA256).path.read_bytes() == DATA


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(certificate, cache):
    """Without the test's own authority the server is not spoken to, and not tried again."""
    policy = FetchPolicy()
    started = time.monotonic()
    with serving(DATA, certificate) as server, pytest.raises(FetchError, match="certificate does not hold"):
        bring(server, cache, policy)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/f",
        "ftp://x/f",
        "f.pth",
        "",
        "https:///f",
        "https://a b/f",
        "https://h:99999/f",
        "file://host/f",
    ],
)
def test_an_address_that_is_not_fetched_is_refused(url, cache, policy):
    """Only https: and local file: addresses are followed."""
    with pytest.raises(FetchError):
        fetch(url, file_name="f.pth", cache_dir=cache, policy=policy)
    assert is_clean(cache)


def test_no_address_shows_its_secrets():
    """Credentials, query and fragment are not part of what errors show."""
    assert redact_url("https://u:p@host:8/a/b?sig=1#x") == "https://host:8/a/b"
    assert redact_url("https://[bad") == "an address that cannot be read"


@pytest.mark.parametrize("name", ["../f", "a/b", ".hidden", "", "x" * 300])
def test_a_name_that_leaves_the_cache_is_misuse(name, cache):
    """A name that is no plain one is refused before anything is done."""
    with pytest.raises(UsageError):
        fetch("file:///x", file_name=name, cache_dir=cache)
    assert not cache.exists()


def test_statements_of_two_files_are_refused_before_a_byte_is_fetched(certificate, policy, cache):
    """Two digests that contradict each other, or two sizes: both named, nobody asked, nothing made."""
    places = {"place": "a.yml:1:2"}, {"place": "lock.json:3"}
    contradictions: Any = (
        ({"sha256": SHA256}, {"sha256": WRONG[:8]}),
        ({"size_bytes": 1}, {"size_bytes": 2}),
    )
    for facts in contradictions:
        statements = (
            StatedFile(by="x", **one, place=at["place"]) for one, at in zip(facts, places, strict=True)
        )
        identity = Identity(tuple(statements))
        with serving(DATA, certificate) as server:
            with pytest.raises(MismatchError, match=r"x \(a\.yml:1:2\) .*, but x \(lock\.json:3\) "):
                fetch(server.url, file_name="f", cache_dir=cache, policy=policy, identity=identity)
            assert server.requests == []
    assert not cache.exists()


@pytest.fixture
def local(tmp_path):
    """Put the file on the disk; give its address."""
    (tmp_path / "a file.pth").write_bytes(DATA)
    return (tmp_path / "a file.pth").as_uri()


def test_a_local_file_is_fetched_as_any_other(local, cache):
    """A file: address, quoted as it is, gives the checked copy."""
    right = stated(size_bytes=len(DATA), sha256=SHA256)
    found = fetch(local, file_name="f.pth", cache_dir=cache, identity=right)

    assert found.path.read_bytes() == DATA
    with pytest.raises(MismatchError):
        fetch(local, file_name="g.pth", cache_dir=cache, identity=stated(sha256=WRONG))
    assert not list(cache.rglob("g.pth"))


def test_every_statement_that_is_not_met_is_named(local, cache):
    """Size and digest by three who state them: each with its name, what was found once."""
    wrong = Identity(
        (
            StatedFile(by="the index", place="a.yml:3:1", size_bytes=7),
            StatedFile(by="the lock", place="lock.json:9", size_bytes=7, sha256=WRONG),
            StatedFile(by="the receipt", sha256=WRONG),
        )
    )
    with pytest.raises(MismatchError) as caught:
        wrong.require(cache / "f.pth", FileDigest(sha256=SHA256, size_bytes=len(DATA)))
    assert caught.value.differences == (
        "the index (a.yml:3:1) states 7 bytes",
        f"the lock (lock.json:9) states 7 bytes, SHA-256 {WRONG}",
        f"the receipt states SHA-256 {WRONG}",
        f"it has {len(DATA)} bytes, SHA-256 {SHA256}",
    )


@pytest.mark.parametrize("facts", [{}, {"sha256": SHA256}, {"sha256": SHA256[:8]}])
def test_a_cached_file_that_changed_is_fetched_again(facts, local, cache, tmp_path, caplog):
    """One flipped bit is found though its times are kept; nothing is lost where the source has gone."""
    asked = {"file_name": "f.pth", "cache_dir": cache, "identity": stated(**facts)}
    path = fetch(local, **asked).path
    before, damaged = path.stat(), bytearray(DATA)
    damaged[1234] ^= 1
    path.write_bytes(damaged)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    (tmp_path / "a file.pth").rename(tmp_path / "gone.pth")
    with pytest.raises(FileProblem):
        fetch(local, **asked)
    assert path.read_bytes() == damaged
    (tmp_path / "gone.pth").rename(tmp_path / "a file.pth")
    assert fetch(local, **asked).path.read_bytes() == DATA
    assert "states SHA-256" in caplog.text


def test_offline_only_the_cache_gives_a_file(local, cache):
    """Offline an https: address is not asked, in one line that says so; a file: address is no network."""
    with pytest.raises(FetchError, match=r"is not in the cache .* and this is offline"):
        fetch("https://example.org/f.pth", file_name="f.pth", cache_dir=cache, offline=True)
    assert fetch(local, file_name="f.pth", cache_dir=cache, offline=True).path.read_bytes() == DATA


def test_first_contact_binds(local, cache, tmp_path):
    """The digest of the first fetch holds for a later one, though its source says otherwise."""
    path = fetch(local, file_name="f.pth", cache_dir=cache).path
    path.unlink()
    (tmp_path / "a file.pth").write_bytes(DATA[:-1] + b"x")

    with pytest.raises(MismatchError, match=rf"the first fetch \(.*{SHA256}\) states SHA-256"):
        fetch(local, file_name="f.pth", cache_dir=cache)
    path.parent.rmdir()
    assert fetch(local, file_name="f.pth", cache_dir=cache).sha256 != SHA256


def test_what_came_before_its_digest_was_stated_is_not_fetched_again(local, cache, tmp_path):
    """A digest that is stated later finds the file where it lies; one that is damaged there is replaced."""
    before = fetch(local, file_name="f.pth", cache_dir=cache).path
    (tmp_path / "a file.pth").rename(tmp_path / "gone.pth")
    asked = {"file_name": "f.pth", "cache_dir": cache, "identity": stated(sha256=SHA256)}
    assert fetch(local, **asked).path == before
    before.write_bytes(DATA[:-1])
    with pytest.raises(FileProblem):
        fetch(local, **asked)
    (tmp_path / "gone.pth").rename(tmp_path / "a file.pth")
    assert fetch(local, **asked).path == cache / "released" / SHA256 / "f.pth"


def test_an_old_cache_is_not_believed(local, cache):
    """A file where caches kept them by base name, with its note, is left alone."""
    cache.mkdir()
    (cache / "f.pth").write_bytes(b"another")
    (cache / "f.pth.fetched.json").write_text("{}")
    assert fetch(local, file_name="f.pth", cache_dir=cache).path.read_bytes() == DATA
    assert (cache / "f.pth").read_bytes() == b"another"


def test_a_link_in_the_cache_is_refused(local, cache, tmp_path):
    """A cached name that leads out of the cache is not followed."""
    (cache / "released" / SHA256).mkdir(parents=True)
    (cache / "released" / SHA256 / "f.pth").symlink_to(tmp_path / "a file.pth")

    with pytest.raises(FileProblem, match="remove it"):
        fetch(local, file_name="f.pth", cache_dir=cache, identity=stated(sha256=SHA256))


def test_two_processes_fetch_once(certificate, policy, cache):
    """Four processes that want the same file at once make one request."""
    script = (
        "import ssl, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rexnet_hub.weights.download import FetchPolicy\n"
        "from rexnet_hub.weights.fetch import fetch\n"
        "context = ssl.create_default_context(cafile=sys.argv[4])\n"
        "policy = FetchPolicy(ssl_context=context)\n"
        "print(fetch(sys.argv[2], file_name='f.pth', cache_dir=Path(sys.argv[3]), policy=policy).sha256)"
    )
    with serving(DATA, certificate) as server:
        arguments = [str(PACKAGE_DIR.parent), server.url, str(cache), str(certificate)]
        command = [sys.executable, "-c", script, *arguments]
        children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        said = {child.communicate()[0].strip() for child in children}
        assert len(server.requests) == 1
    assert said == {SHA256}


def test_every_refusal_is_one_of_ours(certificate, policy, cache):
    """A server that breaks off at once, or is not there at all, is a FetchError."""
    with serving(DATA, certificate) as server:
        url = server.url
    with pytest.raises(RexnetHubError, match="connection failed"):
        fetch(url, file_name="f.pth", cache_dir=cache, policy=policy)
    assert is_clean(cache)
