"""Writes fixtures/network-{squeeze,same,v3,basic,bottleneck}.safetensors: small convolutional networks of timm, one
batch, and what PyTorch computes from them in float64, once with the statistics of the batch and once with frozen ones
(`train.` and `frozen.` in front): logits, loss, every gradient, and parameters and running statistics after three
steps of SGD. Given tensors (weights.*, input) are float32 and are rounded before anything is computed. Metadata
`config` is the configuration of the network in Thimble.

    python networks_fixture.py
"""

import copy
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

FIXTURES = Path(__file__).parent / "fixtures"
STEPS = 3
CLASSES = 5
SGD = {"lr": 0.05, "momentum": 0.9}
# Others put a value so near to a ReLU's zero that float32 has it on the other side.
SEEDS = {"basic": 2}
NORM = {"eps": 1e-5, "momentum": 0.1}


class HardSigmoid(nn.Module):
    """PyTorch's own has 1/6 in float32 in its gradient."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x + 3) / 6


def layer(width: int, activation: str) -> dict:
    return {"width": width, "activation": activation}


def block(made: nn.Module, activation: str, gate: dict | None) -> dict:
    """A block of timm's, by the sizes of its convolutions: timm rounds widths."""
    is_inverted = hasattr(made, "conv_pwl")
    depthwise, project = made.conv_dw, made.conv_pwl if is_inverted else made.conv_pw
    has_gate = isinstance(made.se, SqueezeExcite)
    return {
        "kernel": depthwise.kernel_size[0],
        "stride": depthwise.stride[0],
        "expansion": layer(made.conv_pw.out_channels, activation) if is_inverted else None,
        "activation": activation,
        "squeeze": {"width": made.se.conv_reduce.out_channels} | gate if gate and has_gate else None,
        "width": project.out_channels,
        "projection": "none",
    }


def stages_of(model: nn.Module, activations: list[list[str]], gate: dict | None) -> list:
    """The stages that `activations` says the activations of; MobileNetV3 counts its last convolution as one more."""
    return [
        [block(made, activation, gate) for made, activation in zip(stage, names, strict=True)]
        for stage, names in zip(model.blocks, activations)
    ]


def mobilenet(image: int, padding: str, stem: dict, stages: list, tail: dict | None, features: dict | None) -> dict:
    sizes = {"family": "mobilenet", "imageSize": image, "channels": 3, "classes": CLASSES}
    shared = {"padding": padding, "batchNorm": NORM}
    return sizes | shared | {"stem": stem, "stages": stages, "tail": tail, "features": features}


def resnet(image: int, kind: str, depths: list[int], widths: list[int]) -> dict:
    sizes = {"family": "resnet", "imageSize": image, "channels": 3, "classes": CLASSES, "batchNorm": NORM}
    return sizes | {"stem": "large", "stemWidth": 64, "block": kind, "depths": depths, "widths": widths}


def squeeze() -> tuple[nn.Module, dict]:
    """As EfficientNet: SiLU, squeeze-excitation of the block's input, kernels of 5."""
    stages = [["ds_r1_k3_s1_e1_c6_se0.25"], ["ir_r2_k5_s2_e2_c8_se0.25"]]
    model = EfficientNet(
        decode_arch_def(stages), CLASSES, num_features=14, stem_size=10, fix_stem=True, act_layer=nn.SiLU,
        round_chs_fn=lambda channels: int(channels), se_layer=lambda *args, **kwargs: SqueezeExcite(
            *args, **(kwargs | {"rd_round_fn": lambda channels: max(1, int(channels))}),
        ),
    )
    blocks = stages_of(model, [["silu"], ["silu"] * 2], {"activation": "silu", "gate": "sigmoid"})
    return model, mobilenet(17, "symmetric", layer(10, "silu"), blocks, layer(14, "silu"), None)


def same() -> tuple[nn.Module, dict]:
    """As MobileNetV2 with TensorFlow's padding, on sides that are odd somewhere."""
    stages = [["ds_r1_k3_s1_c6"], ["ir_r2_k3_s2_e3_c8"], ["ir_r1_k3_s2_e2_c9"]]
    model = EfficientNet(
        decode_arch_def(stages), CLASSES, num_features=14, stem_size=10, fix_stem=True, act_layer=nn.ReLU6,
        round_chs_fn=lambda channels: int(channels), pad_type="same",
    )
    blocks = stages_of(model, [["relu6"], ["relu6"] * 2, ["relu6"]], None)
    return model, mobilenet(26, "same", layer(10, "relu6"), blocks, layer(14, "relu6"), None)


def v3() -> tuple[nn.Module, dict]:
    stages = [["ds_r1_k3_s1_e1_c10_nre"], ["ir_r1_k5_s2_e2_c8_se0.25_nre", "ir_r1_k3_s1_e2_c8"], ["cn_r1_k1_s1_c12"]]
    model = MobileNetV3(
        decode_arch_def(stages), CLASSES, num_features=14, stem_size=10, fix_stem=True, act_layer=nn.Hardswish,
        round_chs_fn=lambda channels: int(channels), se_layer=lambda *args, **kwargs: SqueezeExcite(
            *args, **(kwargs | {"gate_layer": HardSigmoid, "force_act_layer": nn.ReLU, "rd_ratio": 0.25}),
        ),
    )
    hard, gate = "hard-swish", {"activation": "relu", "gate": "hard-sigmoid"}
    blocks = stages_of(model, [["relu"], ["relu", hard]], gate)
    return model, mobilenet(16, "symmetric", layer(10, hard), blocks, layer(12, hard), layer(14, hard))


def basic() -> tuple[nn.Module, dict]:
    depths, widths = [2, 1, 1, 1], [6, 10, 9, 12]
    model = ResNet(BasicBlock, depths, channels=tuple(widths), num_classes=CLASSES)
    return model, resnet(65, "basic", depths, widths)


def bottleneck() -> tuple[nn.Module, dict]:
    depths, widths = [1, 2, 1, 1], [3, 4, 2, 3]
    model = ResNet(Bottleneck, depths, channels=tuple(widths), num_classes=CLASSES)
    return model, resnet(64, "bottleneck", depths, widths)


def randomise(model: nn.Module, generator: torch.Generator) -> None:
    """Every parameter and statistic far from its usual start, so that no gradient is zero by accident."""
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if name.endswith("running_var"):
            noise = 0.5 + noise.abs()
        elif value.dim() == 1:
            noise = noise * 0.2 + (name.endswith("weight") and "bn" in name or "downsample.1.weight" in name)
        else:
            noise *= (2 / value[0].numel()) ** 0.5
        value.copy_(noise.float().double())


def statistics(model: nn.Module, frozen: bool) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(not frozen)


def floats(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}


def trained(given: nn.Module, images: Tensor, labels: Tensor, frozen: bool) -> dict[str, Tensor]:
    model = copy.deepcopy(given)
    model.train()
    statistics(model, frozen)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    result: dict[str, Tensor] = {}
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        if step == 0:
            result |= {"logits": logits.detach(), "loss": loss.detach()}
            result |= {f"grad.{name}": value.grad.clone() for name, value in model.named_parameters()}
        optimizer.step()
        losses.append(loss.detach())
    return result | {"losses": torch.stack(losses)} | {f"after3.{name}": value for name, value in floats(model).items()}


def write(name: str, model: nn.Module, config: dict) -> None:
    generator = torch.Generator().manual_seed(SEEDS.get(name, 1))
    model = model.double()
    randomise(model, generator)
    side = config["imageSize"]
    images = torch.randn((4, 3, side, side), generator=generator, dtype=torch.float64).float().double()
    labels = torch.tensor([3, 1, 0, 3])
    tensors = {f"weights.{key}": value.float() for key, value in floats(model).items()}
    tensors |= {"input": images.float(), "labels": labels.int()}
    for mode in ("train", "frozen"):
        results = trained(model, images, labels, mode == "frozen")
        tensors |= {f"{mode}.{key}": value for key, value in results.items()}
    metadata = {"config": json.dumps(config), "source": "PyTorch, float64, timm"}
    metadata |= {f"sgd.{key}": str(value) for key, value in SGD.items()}
    path = FIXTURES / f"network-{name}.safetensors"
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path, metadata)
    path.chmod(0o644)
    print(path.name, path.stat().st_size, tensors["train.losses"].tolist())


def main() -> None:
    for make in (squeeze, same, v3, basic, bottleneck):
        write(make.__name__, *make())


if __name__ == "__main__":
    main()
