"""Fetching: whatever the server does, the cache holds the right file or none."""

import hashlib
import json
import os
import random
import ssl
import subprocess
import sys
import time
import traceback
from dataclasses import replace

import pytest
from checkpoints import names_in
from lying_server import make_certificate, serving

from rexnet_hub.addresses import bare
from rexnet_hub.errors import FetchError, FileProblem, MismatchError, RexnetHubError, UsageError
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.weights.download import FetchPolicy
from rexnet_hub.weights.fetch import fetch

DATA = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
WRONG = "0" * 64


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Make a certificate that nobody trusts but these tests."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def policy(certificate):
    """Trust the loopback server, and be impatient."""
    return FetchPolicy(
        step_seconds=2,
        total_seconds=20,
        attempts=3,
        backoff_seconds=0.01,
        ssl_context=ssl.create_default_context(cafile=certificate),
        private_hosts=frozenset({"127.0.0.1"}),
    )


@pytest.fixture
def cache(tmp_path):
    """Name a cache that is not there yet."""
    return tmp_path / "cache"


def bring(server, cache, policy, **options):
    """Fetch the server's file as `f.pth`."""
    return fetch(server.url, file_name="f.pth", cache_dir=cache, policy=policy, **options)


def is_clean(cache):
    """Say whether a cache holds nothing but locks."""
    return not cache.exists() or names_in(cache) == []


def test_an_honest_server_gives_the_file(certificate, policy, cache):
    """The file arrives whole, digested, with progress told; a second fetch asks nobody."""
    told = []
    with serving(DATA, certificate) as server:
        found = bring(
            server,
            cache,
            policy,
            size_bytes=len(DATA),
            digest_prefix=SHA256[:8].upper(),
            progress=lambda done, total: told.append((done, total)),
        )
        again = bring(server, cache, policy)
        assert len(server.requests) == 1

    assert found == again
    assert (found.sha256, found.size_bytes) == (SHA256, len(DATA))
    assert found.path.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert names_in(cache) == ["f.pth", "f.pth.fetched.json"]
    assert "SECRET" not in (cache / "f.pth.fetched.json").read_text()


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
        ("damaged", {"digest_prefix": SHA256[:8]}, MismatchError, "32 bits"),
        ("page", {"digest_prefix": SHA256[:8]}, MismatchError, "32 bits"),
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


def test_a_redirect_to_a_private_address_is_refused(certificate, policy, cache):
    """A trusted host may not send us to a host in here, though its certificate would hold."""
    trusting = FetchPolicy(
        step_seconds=2,
        attempts=1,
        ssl_context=policy.ssl_context,
        private_hosts=frozenset(),
    )
    with serving(DATA, certificate) as server:
        with pytest.raises(FetchError, match=r"private address 127\.0\.0\.1"):
            bring(server, cache, trusting)
        assert server.requests == []
    assert is_clean(cache)


def test_a_redirect_is_followed(certificate, policy, cache):
    """One https address may lead to another."""
    with serving(DATA, certificate) as last, serving(b"", certificate, f"redirect {last.url}") as first:
        assert bring(first, cache, policy, sha256=SHA256).path.read_bytes() == DATA


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(certificate, cache):
    """Without the test's own authority the server is not spoken to, and not tried again."""
    policy = FetchPolicy(private_hosts=frozenset({"127.0.0.1"}))
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
    assert bare("https://u:p@host:8/a/b?sig=1#x") == "https://host:8/a/b"
    assert bare("https://[bad") == "an address that cannot be read"


@pytest.mark.parametrize(
    "options",
    [
        {"file_name": "../f"},
        {"file_name": "a/b"},
        {"file_name": ".hidden"},
        {"file_name": ""},
        {"file_name": "x" * 300},
        {"digest_prefix": ""},
        {"digest_prefix": "1b4dddf"},
        {"digest_prefix": "xxxxxxxx"},
        {"sha256": "12"},
    ],
)
def test_names_and_digests_that_can_be_none_are_misuse(options, cache, tmp_path):
    """A name that leaves the cache, a prefix that checks nothing: refused before anything is done."""
    with pytest.raises(UsageError):
        fetch("file:///x", **({"file_name": "f", "cache_dir": cache} | options))
    assert not cache.exists()


@pytest.fixture
def local(tmp_path):
    """Put the file on the disk; give its address."""
    (tmp_path / "a file.pth").write_bytes(DATA)
    return (tmp_path / "a file.pth").as_uri()


def test_a_local_file_is_fetched_as_any_other(local, cache):
    """A file: address, quoted as it is, gives the checked copy."""
    found = fetch(local, file_name="f.pth", cache_dir=cache, size_bytes=len(DATA), sha256=SHA256)

    assert found.path.read_bytes() == DATA
    with pytest.raises(MismatchError):
        fetch(local, file_name="g.pth", cache_dir=cache, sha256=WRONG)
    assert not (cache / "g.pth").exists()


def test_a_cached_file_that_changed_is_refused_and_left(local, cache):
    """One flipped bit in the cache is found at the next use, with what to do; nothing is deleted."""
    found = fetch(local, file_name="f.pth", cache_dir=cache)
    damaged = bytearray(DATA)
    damaged[1234] ^= 1
    found.path.write_bytes(damaged)

    for _ in range(2):
        with pytest.raises(MismatchError, match=r"SHA-256.*Delete it and fetch it again"):
            fetch(local, file_name="f.pth", cache_dir=cache)
    found.path.unlink()
    assert fetch(local, file_name="f.pth", cache_dir=cache).path.read_bytes() == DATA


def test_first_contact_binds(local, cache, tmp_path):
    """The digest that was written down holds for a later fetch, though its source says otherwise."""
    fetch(local, file_name="f.pth", cache_dir=cache).path.unlink()
    (tmp_path / "a file.pth").write_bytes(DATA[:-1] + b"x")

    with pytest.raises(MismatchError):
        fetch(local, file_name="f.pth", cache_dir=cache)
    (cache / "f.pth.fetched.json").unlink()
    assert fetch(local, file_name="f.pth", cache_dir=cache).sha256 != SHA256


def test_a_full_digest_wins_over_what_was_written_down(local, cache):
    """The caller's digest is binding, also for a cached file with a note that says otherwise."""
    fetch(local, file_name="f.pth", cache_dir=cache)
    with pytest.raises(MismatchError):
        fetch(local, file_name="f.pth", cache_dir=cache, sha256=WRONG)
    note = cache / "f.pth.fetched.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"sha256": WRONG, "stamp": [0, 0, 0]}))
    assert fetch(local, file_name="f.pth", cache_dir=cache, sha256=SHA256).sha256 == SHA256


def test_an_untouched_file_is_hashed_once(local, cache, monkeypatch):
    """The stamp spares the second hashing; a touched file is looked at again."""
    from rexnet_hub.weights import digest
    from rexnet_hub.weights import fetch as module

    hashed = []

    def digest_file(file):
        hashed.append(file)
        return digest.digest_file(file)

    monkeypatch.setattr(module, "digest_file", digest_file)
    path = fetch(local, file_name="f.pth", cache_dir=cache).path
    fetch(local, file_name="f.pth", cache_dir=cache)
    assert hashed == []
    os.utime(path, ns=(1, 1))
    fetch(local, file_name="f.pth", cache_dir=cache)
    fetch(local, file_name="f.pth", cache_dir=cache)
    assert hashed == [path]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": 1}', '{"a": 1}', "\x00"])
def test_a_note_that_cannot_be_read_is_as_good_as_none(text, local, cache):
    """A damaged note does not stop a fetch, and does not vouch for anything."""
    fetch(local, file_name="f.pth", cache_dir=cache)
    (cache / "f.pth.fetched.json").write_text(text)

    assert fetch(local, file_name="f.pth", cache_dir=cache).sha256 == SHA256


def test_a_link_in_the_cache_is_refused(local, cache, tmp_path):
    """A cached name that leads out of the cache is not followed."""
    cache.mkdir()
    (cache / "f.pth").symlink_to(tmp_path / "a file.pth")

    with pytest.raises(FileProblem, match="remove it"):
        fetch(local, file_name="f.pth", cache_dir=cache, sha256=SHA256)


def test_two_processes_fetch_once(certificate, policy, cache):
    """Four processes that want the same file at once make one request."""
    script = (
        "import ssl, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rexnet_hub.weights.download import FetchPolicy\n"
        "from rexnet_hub.weights.fetch import fetch\n"
        "context = ssl.create_default_context(cafile=sys.argv[4])\n"
        "policy = FetchPolicy(ssl_context=context, private_hosts=frozenset({'127.0.0.1'}))\n"
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
