"""What the tests of imagenet share."""

import secrets

import pytest


@pytest.fixture
def fresh_seed():
    """Give a seed that no run had before; a failure shows it, so that it can be run again."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return seed


def pytest_collection_modifyitems(config, items):
    """Leave out what needs an accelerator where there is none."""
    import torch

    if torch.cuda.is_available():
        return
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing:
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]
