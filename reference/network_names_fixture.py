"""Writes fixtures/network-names.json: published convolutional networks of timm, torchvision and transformers as these
libraries build them, with the names and shapes of all their tensors, config.json where the library writes one, and
the logits of one image in float64. Weights are not stored: element i of a tensor is a hash of its name and i, which
packages/core/test/network-names.test.ts computes too.

    python network_names_fixture.py
"""

import json
import math
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision.models as tv
import transformers
from torch import Tensor, nn

FIXTURES = Path(__file__).parent / "fixtures"
IMAGE = 64
CLASSES = 5


def hashed(name: str, count: int) -> np.ndarray:
    """In [-1, 1), 24 bits each."""
    start = 0
    for byte in name.encode():
        start = (start * 31 + byte) % 2**32
    x = (np.arange(count, dtype=np.uint64) * 0x9E3779B9 + start).astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1


def contents(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights that keep the variance of what they are applied to, in powers of two; norms around 1."""
    values = hashed(name, math.prod(shape)).reshape(shape)
    if name.endswith("running_var"):
        return 1 + values / 2
    if len(shape) > 1:
        return values * 2.0 ** math.floor(math.log2(math.sqrt(6 / math.prod(shape[1:]))) + 0.25)
    return values / 4 + (1 if name.endswith("weight") else 0)


def fill(model: nn.Module) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.from_numpy(contents(name, tuple(value.shape))))


def case(name: str, library: str, model: nn.Module, config: dict | None) -> dict:
    model = model.double().eval()
    fill(model)
    image = torch.from_numpy(hashed("image", 3 * IMAGE * IMAGE)).reshape(1, 3, IMAGE, IMAGE)
    with torch.no_grad():
        logits = model(image)
    logits = getattr(logits, "logits", logits)
    assert isinstance(logits, Tensor)
    print(library, name, logits[0].tolist())
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    return {"name": name, "library": library, "config": config, "tensors": shapes, "logits": logits[0].tolist()}


def of_timm(name: str) -> dict:
    model = timm.create_model(name, num_classes=CLASSES)
    config = {"architecture": name, "num_classes": CLASSES, "pretrained_cfg": {"input_size": [3, IMAGE, IMAGE]}}
    return case(name, "timm", model, config)


def of_torchvision(name: str) -> dict:
    return case(name, "torchvision", getattr(tv, name)(num_classes=CLASSES), None)


def of_transformers(name: str, model: type, config: transformers.PretrainedConfig) -> dict:
    config.num_labels = CLASSES
    config.image_size = IMAGE
    written = json.loads(config.to_json_string(use_diff=False))
    keys = ("model_type", "architectures", "image_size", "hidden_act", "tf_padding", "layer_norm_eps", "batch_norm_eps")
    keys += ("layer_type", "downsample_in_first_stage", "downsample_in_bottleneck")
    said = {key: written[key] for key in keys if written.get(key) is not None}
    return case(name, "hugging-face", model(config), said | {"num_labels": CLASSES})


def main() -> None:
    names = ("mobilenetv2_100", "mobilenetv2_050", "mobilenetv3_large_100", "tf_mobilenetv3_small_100")
    names += ("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_lite0", "resnet18", "resnet50")
    cases = [of_timm(name) for name in names]
    names = ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0")
    cases += [of_torchvision(name) for name in names]
    t = transformers
    cases += [
        of_transformers("mobilenet_v2", t.MobileNetV2ForImageClassification, t.MobileNetV2Config()),
        of_transformers(
            "efficientnet",
            t.EfficientNetForImageClassification,
            t.EfficientNetConfig(width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280),
        ),
        of_transformers(
            "resnet",
            t.ResNetForImageClassification,
            t.ResNetConfig(layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2]),
        ),
    ]
    path = FIXTURES / "network-names.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    path.chmod(0o644)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
