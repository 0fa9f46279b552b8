"""Evaluate as timm's validate.py does: the oracle."""

import warnings
from typing import Any

import torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.utils import accuracy


def timm_settings(spec):
    """Say settings in timm's words."""
    return resolve_data_config(
        {
            "input_size": (3, spec.input_px, spec.input_px),
            "crop_pct": spec.crop_fraction,
            "interpolation": spec.interpolation,
            "mean": spec.mean,
            "std": spec.std,
        }
    )


def timm_top5(model, folder, class_map, *, batch_size=16, num_workers=0):
    """Give each file's five likeliest classes by its name, and timm's counts of top-1 and top-5."""
    config = timm_settings(model.preprocessing)
    file: Any = str(class_map)  # timm takes its name, though its annotation wants a mapping
    dataset = create_dataset("", str(folder), class_map=file)
    loader = create_loader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        use_prefetcher=False,
        input_size=config["input_size"],
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
        device=torch.device("cpu"),
        pin_memory=False,
    )
    network, rows, right1, right5 = model.network.eval(), [], 0.0, 0.0
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # timm leaves its files open
        for pixels, target in loader:
            logits = network(pixels)
            top1, top5 = accuracy(logits, target, topk=(1, 5))
            right1, right5 = (
                right1 + top1.item() * len(target) / 100,
                right5 + top5.item() * len(target) / 100,
            )
            rows += logits.topk(5).indices.tolist()
    names = [name.rpartition("/")[2] for name in dataset.filenames(basename=True)]
    return dict(zip(names, rows, strict=True)), round(right1), round(right5)
