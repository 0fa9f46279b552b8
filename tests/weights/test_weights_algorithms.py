"""Digests by other algorithms than SHA-256, which a witness asks for: made in the same pass."""

import hashlib
import random
import ssl

import pytest
from lying_server import serving

from rexnet_hub.addresses import ALLOW
from rexnet_hub.errors import MismatchError
from rexnet_hub.identity import Identity, StatedFile
from rexnet_hub.weights.digest import digest_file, private_copy
from rexnet_hub.weights.download import FetchPolicy
from rexnet_hub.weights.fetch import fetch

DATA = random.Random(1).randbytes(3_000_000)


@pytest.mark.parametrize("modes", [["honest"], ["cut", "honest"], ["cut", "whole"]], ids=" ".join)
@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_a_download_is_what_the_digest_states(algorithm, modes, certificate, tmp_path, monkeypatch):
    """Also after a cut; other bytes leave no file, and a file that rots in the cache is not taken again."""
    monkeypatch.setenv(ALLOW, "127.0.0.1")
    policy = FetchPolicy(
        attempts=3,
        wait_seconds=0.01,
        ssl_context=ssl.create_default_context(cafile=certificate),
    )
    right = hashlib.new(algorithm, DATA).hexdigest()

    def bring(data, digest):
        identity = Identity((StatedFile(by="a witness", digests={algorithm: digest}),))
        with serving(data, certificate, *modes) as server:
            return fetch(
                server.url, file_name="f.pth", cache_dir=tmp_path, identity=identity, policy=policy
            ).path

    with pytest.raises(MismatchError, match=f"a witness states SHA-{algorithm[3:]} {right}"):
        bring(DATA[::-1], right)
    assert not list(tmp_path.rglob("f.pth"))
    file = bring(DATA, right)
    assert file.read_bytes() == DATA
    with pytest.raises(MismatchError):
        Identity((StatedFile(by="a witness", digests={algorithm: right}),)).require(
            file, digest_file(_with_a_flipped_bit(file), [algorithm])
        )
    assert bring(DATA, right).read_bytes() == DATA


def _with_a_flipped_bit(file):
    """Flip a bit of a file, as a disk does."""
    file.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    return file


def test_only_what_is_asked_for_is_digested(tmp_path):
    """A file and its private copy have the digests of hashlib; unasked there is SHA-256 alone."""
    file = tmp_path / "file"
    file.write_bytes(DATA)
    with private_copy(file, also=["sha512", "sha384"]) as (_, copied):
        for found in (copied, digest_file(file, ["sha384", "sha512"])):
            assert found.sha256 == hashlib.sha256(DATA).hexdigest()
            assert found.digests == {name: hashlib.new(name, DATA).hexdigest() for name in found.digests}
            assert set(found.digests) == {"sha384", "sha512"}
    assert not digest_file(file).digests
