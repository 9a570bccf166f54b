"""Writes fixtures/image-ops.safetensors: small ops of convolutional networks, as PyTorch computes them in float64.

Given tensors are rounded to float32 before anything is computed; all floats are stored as float64.
Names are `case.tensor`: the operands, `out`, `d_out` and the gradients `d_operand` of sum(out * d_out). Images are
[B, H, W, C]. Metadata: `case.op`, `case.params` as the op calls them.
"""

import json
from collections.abc import Callable

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from conv_fixture import SIDES
from op_fixtures import FIXTURES, Tensors, case, normal, rounded

Case = tuple[str, dict[str, object], Tensors]


def values(*special: float) -> Tensor:
    """The numbers, and noise of both signs around them."""
    given = torch.tensor(special, dtype=torch.float64)
    return torch.cat([given, normal(60 - len(special), scale=4)])


def hard_sigmoid(x: Tensor) -> Tensor:
    """By its definition: the derivative of F.hardsigmoid is 1/6 as a float32, 3e-8 off."""
    y = F.relu6(x + 3) / 6
    torch.testing.assert_close(y, F.hardsigmoid(x), rtol=1e-12, atol=1e-12)
    return y


def pointwise(op: str, function: Callable[[Tensor], Tensor], *special: float, **params: object) -> Case:
    return op, params, case(lambda x: function(x), x=values(*special))


def pooled(op: str, shape: tuple[int, ...], kernel: int, stride: int, pads: tuple[int, ...], **params: object) -> Case:
    """Padding on each side by itself, then PyTorch's pooling without any."""
    top, left, bottom, right = pads
    around = (left, right, top, bottom)
    x = normal(*shape)
    x = (x * 2).round() / 2  # ties

    def maximum(x: Tensor) -> Tensor:
        images = F.pad(x.permute(0, 3, 1, 2), around, value=-torch.inf)
        return F.max_pool2d(images, kernel, stride).permute(0, 2, 3, 1)

    def mean(x: Tensor) -> Tensor:
        images = F.pad(x.permute(0, 3, 1, 2), around)
        average = F.avg_pool2d(images, kernel, stride)
        if not params["countPadding"]:
            inside = F.pad(torch.ones_like(x.permute(0, 3, 1, 2)), around)
            average = average / F.avg_pool2d(inside, kernel, stride)
        return average.permute(0, 2, 3, 1)

    named = {"kernel": kernel, "stride": stride} | dict(zip(SIDES, pads)) | params
    return op, named, case(maximum if op == "max_pool" else mean, x=x)


def symmetric(op: str, shape: tuple[int, ...], kernel: int, stride: int, pad: int, **params: object) -> Case:
    """With PyTorch's own padding."""

    def pool(x: Tensor) -> Tensor:
        images = x.permute(0, 3, 1, 2)
        if op == "max_pool":
            return F.max_pool2d(images, kernel, stride, pad).permute(0, 2, 3, 1)
        count = bool(params["countPadding"])
        return F.avg_pool2d(images, kernel, stride, pad, count_include_pad=count).permute(0, 2, 3, 1)

    named = {"kernel": kernel, "stride": stride} | {side: pad for side in SIDES} | params
    return op, named, case(pool, x=(normal(*shape) * 2).round() / 2)


def squeezed(activation: Callable[[Tensor], Tensor], gate: Callable[[Tensor], Tensor]) -> Tensors:
    """Squeeze-excitation of 10 channels by 4, as torchvision's, with weights [O, I, 1, 1]."""

    def scaled(x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor) -> Tensor:
        images = x.permute(0, 3, 1, 2)
        mean = F.adaptive_avg_pool2d(images, 1)
        narrow = activation(F.conv2d(mean, reduce, reduce_bias))
        return (gate(F.conv2d(narrow, expand, expand_bias)) * images).permute(0, 2, 3, 1)

    weights = {"reduce": normal(4, 10, 1, 1), "reduce_bias": normal(4)}
    weights |= {"expand": normal(10, 4, 1, 1), "expand_bias": normal(10)}
    return case(scaled, x=rounded(normal(2, 5, 4, 10) + 0.5), **weights)


def main() -> None:
    same = (0, 0, 1, 1)  # TensorFlow's 'SAME' of a window of 3 with stride 2 on even sides
    image = (2, 7, 8, 3)
    channels_last = case(lambda x: x.permute(0, 2, 3, 1), x=normal(2, 3, 4, 5))
    scaled = case(lambda x, s: x * s[:, None, None], x=normal(*image), s=normal(2, 3))
    joined = case(lambda a, b: torch.cat([a, b], -1), a=normal(2, 3, 4), b=normal(2, 3, 5))
    cases: dict[str, Case] = {
        "relu": pointwise("clamp", F.relu, 0.0, -0.0, 1e-30, -1e-30, low=0),
        "relu6": pointwise("clamp", F.relu6, 0.0, 6.0, low=0, high=6),
        "hardtanh": pointwise("clamp", lambda x: F.hardtanh(x, -2, 3.5), -2.0, 3.5, low=-2, high=3.5),
        "hardswish": pointwise("hard_swish", F.hardswish, -3.0, 3.0, 0.0),
        "hardsigmoid": pointwise("hard_sigmoid", hard_sigmoid, -3.0, 3.0, 0.0),
        "sigmoid": pointwise("sigmoid", torch.sigmoid, 0.0, 40.0, -40.0),
        "silu": pointwise("silu", F.silu, 0.0, 40.0, -40.0),
        "max": symmetric("max_pool", image, 3, 2, 1),
        "max_overlap": symmetric("max_pool", image, 3, 1, 1),
        "max_same": pooled("max_pool", (1, 6, 8, 4), 3, 2, same),
        "average": symmetric("average_pool", image, 3, 2, 1, countPadding=True),
        "average_inside": symmetric("average_pool", image, 3, 2, 1, countPadding=False),
        "average_same": pooled("average_pool", (1, 6, 8, 4), 3, 2, same, countPadding=False),
        "channels_last": ("channels_last", {"inverse": False}, channels_last),
        "scale_channels": ("scale_channels", {}, scaled),
        "concat_channels": ("concat_channels", {}, joined),
    }
    squeezes = {
        "squeeze.mobilenet": squeezed(F.relu, hard_sigmoid),
        "squeeze.efficientnet": squeezed(F.silu, torch.sigmoid),
    }
    kernels = case(lambda x: x.permute(2, 3, 1, 0), x=normal(7, 3, 2, 5))
    cases["hwio"] = ("hwio", {"inverse": False}, kernels)
    metadata = {"source": "PyTorch, float64"}
    for name, (op, params, _) in cases.items():
        metadata |= {f"{name}.op": op, f"{name}.params": json.dumps(params)}
    results = {name: result for name, (_, _, result) in cases.items()} | squeezes
    tensors = {
        f"{name}.{key}": value.contiguous()
        for name, result in results.items()
        for key, value in result.items()
    }
    path = FIXTURES / "image-ops.safetensors"
    save_file(tensors, path, metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
