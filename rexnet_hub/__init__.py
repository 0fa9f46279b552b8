"""rexnet_hub: the ReXNet model zoo that can be believed."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

# Each name is one door to one module, opened on first use: `import rexnet_hub` stays light.
_DOORS = {
    "AutoImageProcessor": "rexnet_hub.auto",
    "AutoModel": "rexnet_hub.auto",
    "apply_plan": "rexnet_hub.publish",
    "convert_checkpoint": "rexnet_hub.weights.convert",
    "create_model": "rexnet_hub.auto",
    "evaluate_models": "rexnet_hub.imagenet.run.evaluate",
    "list_models": "rexnet_hub.auto",
    "load_index": "rexnet_hub.index",
    "plan_publish": "rexnet_hub.publish",
    "verify_model": "rexnet_hub.verify",
}

__all__ = ["__version__", *_DOORS]


def __getattr__(name: str) -> object:
    if name not in _DOORS:
        raise AttributeError(f"module 'rexnet_hub' has no attribute {name!r}")
    return getattr(importlib.import_module(_DOORS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
