"""One digest travels: a bit flipped anywhere between fetch and use is seen or healed, never used."""

import os
import shutil
from dataclasses import replace

import pytest
from receipts import digest_of
from test_flips import flip

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.evaluation import ready_model
from rexnet_hub.imagenet.run.runner import digest_tensors
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.index.lock import Lock, MeasuredFile, write_lock
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.verify import require_truth, verify_model
from rexnet_hub.weights.digest import digest_file

NAME = "rexnet_100"


@pytest.fixture
def chain(standins, staged, tmp_path, monkeypatch):
    """An index whose lock states both digests, and a cache that holds released file and repo: its files."""
    index = shutil.copytree(standins[0], tmp_path / "index")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(index))
    weights = staged / "model.safetensors"
    digests = map(digest_file, (standins[2], weights))
    one, other = (MeasuredFile(sha256=each.sha256, size_bytes=each.size_bytes) for each in digests)
    measured = replace(read_lock().of(NAME), released=one, safetensors=other)
    write_lock(Lock(models={NAME: measured}), index / "lock.json")
    AutoModel.from_pretrained(NAME)
    (released,) = find_cache_dir().glob("released/*/*.pth")
    (repo,) = find_cache_dir().glob(f"repos/{NAME}-*")
    lock = index / "lock.json"
    return {
        "released": (released, released.stat().st_size - 9),
        "weights": (repo / "model.safetensors", 10**7),
        "config": (repo / "config.json", 30000),
        "receipt": (repo / "receipt.json", 70000),
        "lock: released": (lock, digit_of(lock, one.sha256)),
        "lock: safetensors": (lock, digit_of(lock, other.sha256)),
    }


def digit_of(lock, sha256):
    """Find a digit of a digest beyond those in any file's name, which one bit makes another digit."""
    at = next(at for at in range(20, 64) if sha256[at].isdecimal())
    return lock.read_text().index(sha256) + at


def run(*words):
    """Run a command; what it refuses is refused here too."""
    if code := main([str(word) for word in words]):
        raise RexnetHubError(f"{words[0]} exits with {code}")


def fetched(chain, out):
    """Digest the file that `fetch` gives."""
    run("fetch", NAME, "--to", out)
    return digest_of(next(out.iterdir()))


def converted(chain, out):
    """Digest what `convert` writes."""
    run("convert", NAME, "--out", out)
    return digest_of(out)


def verified(chain, out):
    """Verify the files of the cache by the lock; a card is not among them."""
    findings = verify_model(
        load_index().find(NAME),
        checkpoint=chain["released"][0],
        repo=chain["weights"][0].parent,
        measured=read_lock().of(NAME),
    )
    require_truth([finding for finding in findings if finding.claim not in ("card", "license")])


def staged_anew(chain, out):
    """Digest the weights that `stage` writes."""
    run("stage", NAME, "--out", out)
    return digest_of(out / "model.safetensors")


def loaded(chain, out, source=NAME):
    """Load tensors and preprocessing, by name."""
    tensors = AutoModel.from_pretrained(source).state_dict()
    return digest_tensors(tensors), AutoImageProcessor.from_pretrained(source)


def loaded_as_folder(chain, out):
    """Load the folder in the cache as any other."""
    return loaded(chain, out, chain["weights"][0].parent)


def evaluated(chain, out):
    """Make the model ready to be evaluated."""
    model = ready_model(NAME, NAME)
    return digest_tensors(model.network.state_dict()), model.weights_sha256, model.fingerprint


CACHE, LOCK = {"released", "weights", "config", "receipt"}, {"lock: released", "lock: safetensors"}
#: For each act the links that it mends, and those that it refuses; in the others it has no part.
ACTS = {
    fetched: ({"released"}, {"lock: released"}),
    converted: ({"released"}, {"lock: released"}),
    verified: (set(), CACHE | LOCK),
    staged_anew: ({"released"}, LOCK),
    loaded: (CACHE - {"released"}, LOCK),
    loaded_as_folder: (set(), CACHE - {"released"}),
    evaluated: (CACHE - {"released"}, LOCK),
}


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_a_flipped_bit_is_mended_or_refused(act, chain, tmp_path):
    """With its times kept, in each link that an act has a part in; whatever it gives is right."""
    expected, mended, refused = act(chain, tmp_path / "true"), set(), set()
    for link, (file, at) in chain.items():
        before, data = file.stat(), file.read_bytes()
        flip(file, at, 1)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        try:
            assert act(chain, tmp_path / link.replace(": ", "-")) == expected, link
        except RexnetHubError:
            refused.add(link)
        if file.read_bytes() == data:
            mended.add(link)
        file.write_bytes(data)
    assert (mended, refused) == ACTS[act]
