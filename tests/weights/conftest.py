"""What the tests of weights share: the containers and a small file in each."""

import pytest
from checkpoints import save, small_state


@pytest.fixture(params=["legacy", "zip"])
def container(request):
    """Name each of torch's two containers."""
    return request.param


@pytest.fixture
def small_file(tmp_path, container):
    """Save the small state dict in each container."""
    return save(small_state(), tmp_path / "small.pth", container)
