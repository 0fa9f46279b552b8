"""rexnet_hub: the ReXNet model zoo that can be believed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # What type checkers see of the names below.
    from rexnet_hub.auto import AutoImageProcessor, AutoModel, create_model
    from rexnet_hub.imagenet.run.evaluate import evaluate_models
    from rexnet_hub.index import load_index
    from rexnet_hub.index.query import list_models
    from rexnet_hub.publish import apply_plan, plan_publish
    from rexnet_hub.verify import verify_model
    from rexnet_hub.weights.convert import convert_checkpoint

__version__ = "0.1.0"

# Each name is one door to one module, opened on first use: `import rexnet_hub` stays light.
_DOORS = {
    "AutoImageProcessor": "rexnet_hub.auto",
    "AutoModel": "rexnet_hub.auto",
    "apply_plan": "rexnet_hub.publish",
    "convert_checkpoint": "rexnet_hub.weights.convert",
    "create_model": "rexnet_hub.auto",
    "evaluate_models": "rexnet_hub.imagenet.run.evaluate",
    "list_models": "rexnet_hub.index.query",
    "load_index": "rexnet_hub.index",
    "plan_publish": "rexnet_hub.publish",
    "verify_model": "rexnet_hub.verify",
}

__all__ = [
    "AutoImageProcessor",
    "AutoModel",
    "__version__",
    "apply_plan",
    "convert_checkpoint",
    "create_model",
    "evaluate_models",
    "list_models",
    "load_index",
    "plan_publish",
    "verify_model",
]


def __getattr__(name: str) -> object:
    if name not in _DOORS:
        raise AttributeError(f"module 'rexnet_hub' has no attribute {name!r}")
    return getattr(importlib.import_module(_DOORS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
