"""State the exact number of trainable parameters of each architecture, for 1000 classes.

Counted on the networks of `rexnet_hub.nets`; the index may not import them, so a test there
compares.
"""

from __future__ import annotations

PARAMETERS = {
    "rexnet_100": 4_796_873,
    "rexnet_130": 7_557_091,
    "rexnet_150": 9_728_593,
    "rexnet_200": 16_366_620,
    "rexnet_300": 34_708_792,
    "rexnetr_100": 4_883_304,
    "rexnetr_130": 7_608_080,
    "rexnetr_150": 9_782_256,
    "rexnetr_200": 16_522_432,
    "rexnetr_300": 34_810_008,
}
