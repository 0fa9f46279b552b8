"""What indexes of tests state alike, and which file has the seed's four models."""

from rexnet_hub.layout import find_index_dir

SEEDS = find_index_dir() / "rexnet.yml"

#: The input settings of a model, as lines of its Metadata.
INPUT = """\
    Image Size: 224
    Crop Pct: 0.875
    Interpolation: bicubic
    Image Mean: [0.485, 0.456, 0.406]
    Image Std: [0.229, 0.224, 0.225]
"""
