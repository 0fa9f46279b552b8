"""What the tests of the index share: a cache of their own, and a way to write and read files."""

import pytest

from rexnet_hub.index import load_index


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep copies of readings out of the person's own cache."""
    monkeypatch.setenv("REXNET_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def read(tmp_path):
    """Write files and read the first, or the one named by its suffix, as an index."""

    def read_files(text, *, file="index.yml", root=None, **beside):
        for name, body in {file: text, **beside}.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
            path.write_bytes(data)
        return load_index(tmp_path / file, root=root, cached=False)

    return read_files


@pytest.fixture
def codes():
    """Give the codes of an index's problems, in order."""
    return lambda index: [problem.code for problem in index.problems]
