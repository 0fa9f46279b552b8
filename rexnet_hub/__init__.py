"""rexnet_hub: the ReXNet model zoo that can be believed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# The module of each public name, imported on first use: `import rexnet_hub` stays light.
_PUBLIC = {
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

if TYPE_CHECKING:  # the same names, for type checkers and editors; a misspelt one is seen
    from rexnet_hub.auto import AutoImageProcessor as AutoImageProcessor
    from rexnet_hub.auto import AutoModel as AutoModel
    from rexnet_hub.auto import create_model as create_model
    from rexnet_hub.imagenet.run.evaluate import evaluate_models as evaluate_models
    from rexnet_hub.index import load_index as load_index
    from rexnet_hub.index.query import list_models as list_models
    from rexnet_hub.publish import apply_plan as apply_plan
    from rexnet_hub.publish import plan_publish as plan_publish
    from rexnet_hub.verify import verify_model as verify_model
    from rexnet_hub.weights.convert import convert_checkpoint as convert_checkpoint
else:

    def __getattr__(name: str) -> object:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'rexnet_hub' has no attribute {name!r}")
        return getattr(importlib.import_module(_PUBLIC[name]), name)


__all__ = ["__version__", *_PUBLIC]


def __dir__() -> list[str]:
    return sorted(__all__)
