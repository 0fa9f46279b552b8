"""Name drawn pictures as images of ImageNet's validation set that are officially of their class."""

from rexnet_hub.imagenet.data.validation import read_table


def official_name(label, nth=0, suffix=".JPEG"):
    """Return the name of the nth image of a class."""
    numbers = [number for number, (own, _) in enumerate(read_table(), start=1) if own == label]
    return f"ILSVRC2012_val_{numbers[nth]:08d}{suffix}"
