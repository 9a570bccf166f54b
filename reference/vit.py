"""A vision transformer in plain PyTorch functions, with timm's parameter names.

Reference for the fixtures, so written to be read: pre-norm blocks, fused qkv in timm's layout
[B, N, 3, H, D/H], exact (erf) GELU, biases everywhere. Runs in the dtype of its parameters.

B batch, N tokens, D width, H heads, P patch size, C classes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Config:
    image: int
    patch: int
    width: int
    depth: int
    heads: int
    classes: int
    pool: str  # "token": class token, then norm; "avg": mean of all tokens, then fc_norm, no token
    eps: float = 1e-6

    @property
    def patches(self) -> int:
        return (self.image // self.patch) ** 2

    def metadata(self) -> dict[str, str]:
        return {name: str(value) for name, value in vars(self).items()}


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, in timm's order."""
    width, token = config.width, config.pool == "token"
    result: dict[str, tuple[int, ...]] = {}
    if token:
        result["cls_token"] = (1, 1, width)
    result["pos_embed"] = (1, config.patches + token, width)
    result["patch_embed.proj.weight"] = (width, 3, config.patch, config.patch)
    result["patch_embed.proj.bias"] = (width,)
    for index in range(config.depth):
        for layer, shape in {
            "norm1": (width,),
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "norm2": (width,),
            "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width),
        }.items():
            result[f"blocks.{index}.{layer}.weight"] = shape
            result[f"blocks.{index}.{layer}.bias"] = shape[:1]
    norm = "norm" if token else "fc_norm"
    result[f"{norm}.weight"] = result[f"{norm}.bias"] = (width,)
    result["head.weight"] = (config.classes, width)
    result["head.bias"] = (config.classes,)
    return result


def forward(parameters: Parameters, images: Tensor, config: Config) -> Tensor:
    """Images [B, 3, image, image] to logits [B, C]."""

    def norm(x: Tensor, name: str) -> Tensor:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        return F.layer_norm(x, (config.width,), weight, bias, config.eps)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])

    weight, bias = parameters["patch_embed.proj.weight"], parameters["patch_embed.proj.bias"]
    x = F.conv2d(images, weight, bias, stride=config.patch)  # [B, D, image/P, image/P]
    x = x.flatten(2).transpose(1, 2)  # [B, patches, D]
    if config.pool == "token":
        x = torch.cat([parameters["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = x + parameters["pos_embed"]
    for index in range(config.depth):
        block = f"blocks.{index}"
        x = x + linear(
            attention(linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv"), config.heads),
            f"{block}.attn.proj",
        )
        hidden = F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + linear(hidden, f"{block}.mlp.fc2")
    x = norm(x, "norm")[:, 0] if config.pool == "token" else norm(x.mean(dim=1), "fc_norm")
    return linear(x, "head")


def attention(qkv: Tensor, heads: int) -> Tensor:
    """softmax(q kᵀ / √(D/H)) v per head: [B, N, 3D] to [B, N, D]."""
    scores, value = attention_scores(qkv, heads)
    context = scores.softmax(dim=-1) @ value  # [B, H, N, D/H]
    return context.transpose(1, 2).flatten(2)


def attention_scores(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Scaled scores [B, H, N, N] and values [B, H, N, D/H] of a fused projection."""
    batch, tokens, width = qkv.shape
    parts = qkv.reshape(batch, tokens, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4)
    query, key, value = parts.unbind(0)
    return query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5, value
