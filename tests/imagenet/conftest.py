"""What the tests of imagenet share."""

import pytest


def pytest_collection_modifyitems(items):
    """Skip what needs an accelerator where there is none: the closing line counts it."""
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs an accelerator, there is none here"))
