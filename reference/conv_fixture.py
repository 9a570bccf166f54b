"""Writes fixtures/conv.safetensors: convolutions as PyTorch computes them in float64, in NHWC.

Given tensors are rounded to float32 before anything is computed; all floats are stored as float64.
Names are `case.tensor`: `x` [B, H, W, C], `w` [KH, KW, C / groups, O], `bias` [O], `out`, `d_out` and the
gradients `d_x`, `d_w`, `d_bias` of sum(out * d_out). Metadata: `case.params`, as the op calls them.
"""

import json

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from op_fixtures import FIXTURES, Tensors, case, normal

SIDES = ("padTop", "padLeft", "padBottom", "padRight")


def convolution(x: Tensor, w: Tensor, bias: Tensor | None, params: dict[str, int]) -> Tensor:
    """Padding on each side by itself, then PyTorch's convolution, in NHWC."""
    top, left, bottom, right = (params[side] for side in SIDES)
    images = F.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom))
    step = {key: params[key] for key in ("stride", "dilation", "groups")}
    return F.conv2d(images, w.permute(3, 2, 0, 1), bias, **step).permute(0, 2, 3, 1)


def convolved(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    bias: bool = False,
    **step: int,
) -> tuple[Tensors, dict[str, int]]:
    params = {"stride": 1, "dilation": 1, "groups": 1} | step | dict(zip(SIDES, pads))
    given = {"x": normal(*shape), "w": normal(*kernel, scale=0.3)}
    if bias:
        given["bias"] = normal(kernel[3])
    result = case(lambda x, w, bias=None: convolution(x, w, bias, params), **given)
    return result, params


def main() -> None:
    same = (0, 0, 1, 1)  # TensorFlow's 'SAME' of a kernel of 3 with stride 2 on even sides
    cases = {
        "plain": convolved((2, 5, 6, 3), (3, 3, 3, 4), bias=True),
        "padded": convolved((1, 6, 5, 4), (3, 3, 4, 5), (1, 1, 1, 1)),
        "same": convolved((2, 8, 6, 3), (3, 3, 3, 4), same, bias=True, stride=2),
        "stem": convolved((1, 11, 10, 3), (7, 7, 3, 5), (3, 3, 3, 3), stride=2),
        "strided": convolved((2, 7, 6, 4), (1, 1, 4, 6), stride=2),
        "dilated": convolved((1, 7, 8, 3), (3, 3, 3, 4), (2, 2, 2, 2), dilation=2),
        "grouped": convolved((1, 6, 7, 6), (3, 3, 2, 9), (1, 1, 1, 1), groups=3, stride=2),
        "depthwise": convolved((2, 6, 5, 4), (3, 3, 1, 4), (1, 1, 1, 1), groups=4),
    }
    metadata = {"source": "PyTorch, float64"}
    metadata |= {f"{name}.params": json.dumps(params) for name, (_, params) in cases.items()}
    tensors = {
        f"{name}.{key}": value.contiguous()
        for name, (result, _) in cases.items()
        for key, value in result.items()
    }
    path = FIXTURES / "conv.safetensors"
    save_file(tensors, path, metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
