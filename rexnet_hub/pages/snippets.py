"""The lines that load a model, library by library; each is run in a test as it is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rexnet_hub.pages.text import shell


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A few lines to copy: the library's name, the language for highlighting, the lines."""

    library: str
    language: str
    lines: str


def predicting(source: str, *, repo_id: str | None = None) -> tuple[Snippet, ...]:
    """Return the lines that classify a picture, for each library.

    Args:
        source: What rexnet_hub loads: a name of the index or a repo's id.
        repo_id: The repo on the Hub; without one, timm and transformers read a folder of the name.
    """
    command = f"rexnet-hub predict {shell(source)} picture.jpg"
    return (
        *_python(source, repo_id, rexnet_hub=OURS, timm=TIMM, transformers=TRANSFORMERS),
        Snippet(library="command line", language="console", lines=command),
    )


def extracting(source: str, *, repo_id: str | None = None) -> tuple[Snippet, ...]:
    """Return the lines that take features out of a picture instead of classes."""
    return _python(source, repo_id, rexnet_hub=OUR_FEATURES, timm=TIMM_FEATURES)


def tuning(source: str, *, repo_id: str | None = None) -> tuple[Snippet, ...]:
    """Return the lines that give the model another classifier and train it."""
    return _python(source, repo_id, rexnet_hub=OUR_TUNING, timm=TIMM_TUNING)


def _python(source: str, repo_id: str | None, **lines: str) -> tuple[Snippet, ...]:
    """Fill in what each library loads, quoted as Python writes it."""
    loaded = {
        "rexnet_hub": source,
        "timm": f"hf-hub:{repo_id}" if repo_id else f"local-dir:{source}",
        "transformers": repo_id or f"./{source}",
    }
    return tuple(
        Snippet(library=library, language="python", lines=text.format(json.dumps(loaded[library])))
        for library, text in lines.items()
    )


OURS = """\
from rexnet_hub import AutoImageProcessor, AutoModel

model = AutoModel.from_pretrained({0})
processor = AutoImageProcessor.from_pretrained({0})

logits = model(processor("picture.jpg"))
print(processor.labels[logits.argmax()])"""

TIMM = """\
import timm
import torch
from PIL import Image

model = timm.create_model({0}, pretrained=True).eval()
config = timm.data.resolve_model_data_config(model)
transform = timm.data.create_transform(**config, is_training=False)

picture = transform(Image.open("picture.jpg").convert("RGB")).unsqueeze(0)
with torch.inference_mode():
    probabilities = model(picture).softmax(dim=1)
print(probabilities.topk(5))"""

TRANSFORMERS = """\
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

processor = AutoImageProcessor.from_pretrained({0})
model = AutoModelForImageClassification.from_pretrained({0}).eval()

inputs = processor(Image.open("picture.jpg").convert("RGB"), return_tensors="pt")
with torch.inference_mode():
    logits = model(**inputs).logits
print(model.config.id2label[logits.argmax().item()])"""

OUR_FEATURES = """\
from rexnet_hub import AutoImageProcessor, AutoModel

picture = AutoImageProcessor.from_pretrained({0})("picture.jpg")

maps = AutoModel.from_pretrained({0}, features_only=True)(picture)
print([tuple(each.shape) for each in maps])  # five maps, strides 2 to 32

pooled = AutoModel.from_pretrained({0}, num_classes=0)(picture)
print(pooled.shape)  # one vector a picture"""

TIMM_FEATURES = """\
import timm
import torch

picture = torch.rand(1, 3, 224, 224)

maps = timm.create_model({0}, pretrained=True, features_only=True).eval()(picture)
print([tuple(each.shape) for each in maps])

pooled = timm.create_model({0}, pretrained=True, num_classes=0).eval()(picture)
print(pooled.shape)"""

OUR_TUNING = """\
import torch
from rexnet_hub import AutoModel

model = AutoModel.from_pretrained({0}, num_classes=10).train()  # a new classifier
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

pictures, labels = torch.rand(4, 3, 224, 224), torch.randint(10, (4,))  # yours
loss = torch.nn.functional.cross_entropy(model(pictures), labels)
loss.backward()
optimizer.step()"""

TIMM_TUNING = """\
import timm
import torch

model = timm.create_model({0}, pretrained=True, num_classes=10).train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

pictures, labels = torch.rand(4, 3, 224, 224), torch.randint(10, (4,))  # yours
loss = torch.nn.functional.cross_entropy(model(pictures), labels)
loss.backward()
optimizer.step()"""
