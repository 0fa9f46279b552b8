"""The authors' network as a skeleton: the modules that own tensors, in the order that theirs has.

Written from the structure of ReXNetV1 and ReXNetV1_lite (rexnetv1.py and rexnetv1_lite.py of clovaai/rexnet,
MIT); there is no forward.
"""

from timm.layers import make_divisible
from torch import nn


def conv_norm(layers, inputs, outputs, kernel=1, groups=1, active=False):
    """Add a convolution, its batch norm and, if asked, a place for an activation."""
    layers += [nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    if active:
        layers.append(nn.Identity())


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels):
        super().__init__()
        few = channels // 12
        self.fc = nn.Sequential(
            nn.Conv2d(channels, few, 1),
            nn.BatchNorm2d(few),
            nn.ReLU(),
            nn.Conv2d(few, channels, 1),
            nn.Sigmoid(),
        )


class Block(nn.Module):
    """One linear bottleneck."""

    def __init__(self, inputs, outputs, *, expand, gate):
        super().__init__()
        layers: list[nn.Module] = []
        wide = inputs * (6 if expand else 1)
        if expand:
            conv_norm(layers, inputs, wide, active=True)
        conv_norm(layers, wide, wide, kernel=3, groups=wide)
        if gate:
            layers.append(Gate(wide))
        layers.append(nn.ReLU6())
        conv_norm(layers, wide, outputs)
        self.out = nn.Sequential(*layers)


class Network(nn.Module):
    """The whole, for one width."""

    def __init__(self, width):
        super().__init__()
        plain = [16 + 180 / 16 * index for index in range(16)]
        outputs = [round(channels * width) for channels in plain]
        inputs = [round(32 * width), *outputs[:-1]]
        features: list[nn.Module] = []
        conv_norm(features, 3, round(32 * width), kernel=3, active=True)
        for index in range(16):
            features.append(Block(inputs[index], outputs[index], expand=index > 0, gate=index > 2))
        conv_norm(features, outputs[-1], int(1280 * width), active=True)
        self.features = nn.Sequential(*features)
        self.output = nn.Sequential(nn.Dropout(), nn.Conv2d(int(1280 * width), 1000, 1))


class Lite(nn.Module):
    """The whole of a lite, for one width."""

    def __init__(self, width):
        super().__init__()
        plain = [16 + 164 / 15 * index for index in range(16)]
        outputs = [make_divisible(round(channels * width), 8) for channels in plain]
        inputs = [make_divisible(round(32 * width), 8), *outputs[:-1]]
        features: list[nn.Module] = []
        conv_norm(features, 3, inputs[0], kernel=3, active=True)
        for index in range(16):
            features.append(Block(inputs[index], outputs[index], expand=index > 0, gate=False))
        conv_norm(features, outputs[-1], int(1280 * width), active=True)
        self.features = nn.Sequential(*features)
        hidden: list[nn.Module] = [nn.Conv2d(int(1280 * width), 1024, 1), nn.BatchNorm2d(1024), nn.ReLU6()]
        self.output = nn.Sequential(*hidden, nn.Dropout(), nn.Conv2d(1024, 1000, 1))
