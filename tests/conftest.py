"""What every test stands on: an index, a quiet torch, and no way out to a network."""

import gc
import itertools
import os
import secrets
import shutil
import signal
import socket
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a test process for each core
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that started us with & has it ignored
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")

gc.disable()  # until all is imported: searching that for cycles, again and again, was a third of collecting

LOOPBACK = ("127.", "::1", "localhost")
NUMBERS = itertools.count()
REAL_CONNECT = socket.socket.connect


def connect_on_loopback(self, address):
    """Connect as always, but only to this machine."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(LOOPBACK):
        raise AssertionError(f"a test tried to reach {address[0]}")
    return REAL_CONNECT(self, address)


def pytest_collection_finish():
    """Search for cycles in what the tests make, and not in what was imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _loopback_only(request, monkeypatch):
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setattr(socket.socket, "connect", connect_on_loopback)


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    """A test has the width of a terminal only where it says so."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _own_draws():
    """Start each test at the same random numbers of torch, whichever test ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(NUMBERS)}"  # made by whoever writes there
    monkeypatch.setenv("REXNET_HUB_CACHE", str(folder))
    state = folder.with_name(f"{folder.name}-state")
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    yield
    for place in (folder, state):
        shutil.rmtree(place, ignore_errors=True)  # thousands of tests would keep gigabytes


@pytest.fixture
def seen_by_others(tmp_path):
    """A folder that a user who is not root may look into."""
    for folder in (tmp_path, *tmp_path.parents):
        if len(folder.parts) > 2:
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


@pytest.fixture
def fresh_seed():
    """Give a seed that no run had before; a failure shows it, so that it can be run again."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return seed


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody trusts but these tests, with its key, in one file."""
    from certificates import make_certificate

    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def index():
    """The seed's four models, of the zoo's own index."""
    from entries import SEEDS

    from rexnet_hub.index import load_index

    return load_index(SEEDS)


@pytest.fixture
def seeds(monkeypatch):
    """Every command reads the index of the seed's four models."""
    from entries import SEEDS

    monkeypatch.setenv("REXNET_HUB_INDEX", str(SEEDS))


@pytest.fixture(scope="session")
def zoo():
    """The zoo's own index, whole."""
    from rexnet_hub.index import load_index

    return load_index()


@pytest.fixture(scope="session")
def standins(index, tmp_path_factory):
    """An index with a lock, whose weights are stand-ins on this disk: (folder, entry, the released file)."""
    from rexnet_hub.demo import write_index
    from rexnet_hub.index import load_index, read_lock
    from rexnet_hub.index.lock import Lock, write_lock

    out = tmp_path_factory.mktemp("standins")
    (small,) = (entry for entry in index.models if entry.name == "rexnet_100")
    written = write_index((small,), out, lambda what: None)
    for more in written.glob("rexnet_*.yml"):
        more.unlink()
    measured = read_lock().of("rexnet_100").of_standin()
    write_lock(Lock(models={"rexnet_100": measured}), written / "lock.json")
    return written, load_index(written).find("rexnet_100"), next((out / "released").iterdir())


@pytest.fixture(scope="session")
def checkpoint(standins):
    """The stand-in of rexnet_100's released file."""
    return standins[2]


@pytest.fixture(scope="session")
def entry(standins):
    """The entry of rexnet_100, its weights the stand-in."""
    return standins[1]


@pytest.fixture
def own_index(standins, monkeypatch):
    """Every command reads the index with the stand-in."""
    monkeypatch.setenv("REXNET_HUB_INDEX", str(standins[0]))
    return standins[0]


@pytest.fixture(scope="session")
def staged(standins, tmp_path_factory):
    """A staged repo of rexnet_100, not to be changed: copy it first."""
    from rexnet_hub.index import read_lock
    from rexnet_hub.publish.staging import write_staged

    index, entry, checkpoint = standins
    measured = read_lock(index / "lock.json").of("rexnet_100")
    out = tmp_path_factory.mktemp("repos") / "rexnet_100"
    return write_staged(entry, checkpoint, out, measured=measured).folder


@pytest.fixture
def repo(staged, tmp_path):
    """A staged repo of rexnet_100 that a test may change."""
    return shutil.copytree(staged, tmp_path / "rexnet_100")


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """A drawn picture, as a file."""
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, (77, 91, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp("pictures") / "noise.png"
    Image.fromarray(pixels).resize((320, 240)).save(file)
    return file


@pytest.fixture(scope="session")
def few_images(picture, tmp_path_factory):
    """A part of a validation set: one picture for each of three classes."""
    from officials import official_name

    from rexnet_hub.imagenet.data.classes import read_classes

    root = tmp_path_factory.mktemp("few")
    for row in read_classes()[:3]:
        (root / row.synset).mkdir()
        shutil.copy(picture, root / row.synset / official_name(row.index, suffix=".png"))
    return root


@pytest.fixture
def read(tmp_path):
    """Write files and read the first, or the one named by its suffix, as an index."""
    from rexnet_hub.index import load_index

    def read_files(text, *, file="index.yml", root=None, **beside):
        for name, body in {file: text, **beside}.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
            path.write_bytes(data)
        return load_index(tmp_path / file, root=root)

    return read_files


@pytest.fixture
def codes():
    """Give the codes of an index's problems, in order."""
    return lambda index: [problem.code for problem in index.problems]
