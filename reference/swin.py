"""A Swin transformer in plain PyTorch functions, with timm's parameter names.

Reference for the fixtures, so written to be read. Windows are taken by index: `window_index` says
which token of the image stands where, and its inverse puts the tokens back. The bias of attention and
the mask of shifted windows are built pair by pair from the tokens' coordinates. Runs in the dtype of
its parameters.

B batch, R tokens along a side of the image, D width of a stage, w window, N = w w tokens of a window,
H heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = dict[str, Tensor]
MASK = -100.0  # as in the published model


@dataclass(frozen=True)
class Config:
    image: int
    patch: int
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    classes: int
    eps: float = 1e-5

    def side(self, stage: int) -> int:
        return self.image // self.patch // 2**stage

    def window_of(self, stage: int) -> int:
        return min(self.window, self.side(stage))

    def shift_of(self, stage: int, block: int) -> int:
        whole = self.side(stage) <= self.window
        return 0 if whole or block % 2 == 0 else self.window // 2

    def metadata(self) -> dict[str, str]:
        text = {name: str(value) for name, value in vars(self).items()}
        lists = {"depths": self.depths, "heads": self.heads}
        return text | {name: ",".join(map(str, values)) for name, values in lists.items()}


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter."""
    result: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        result[f"{name}.weight"] = shape
        if bias:
            result[f"{name}.bias"] = shape[:1]

    layer("patch_embed.proj", config.width, 3, config.patch, config.patch)
    layer("patch_embed.norm", config.width)
    for stage, depth in enumerate(config.depths):
        width = config.width * 2**stage
        if stage > 0:
            layer(f"layers.{stage}.downsample.norm", 2 * width)
            layer(f"layers.{stage}.downsample.reduction", width, 2 * width, bias=False)
        for index in range(depth):
            block = f"layers.{stage}.blocks.{index}"
            table = ((2 * config.window_of(stage) - 1) ** 2, config.heads[stage])
            result[f"{block}.attn.relative_position_bias_table"] = table
            layer(f"{block}.norm1", width)
            layer(f"{block}.attn.qkv", 3 * width, width)
            layer(f"{block}.attn.proj", width, width)
            layer(f"{block}.norm2", width)
            layer(f"{block}.mlp.fc1", 4 * width, width)
            layer(f"{block}.mlp.fc2", width, 4 * width)
    layer("norm", config.width * 2 ** (len(config.depths) - 1))
    layer("head.fc", config.classes, config.width * 2 ** (len(config.depths) - 1))
    return result


def forward(parameters: Parameters, images: Tensor, config: Config) -> Tensor:
    """Images [B, 3, image, image] to logits [B, C]."""

    def norm(x: Tensor, name: str) -> Tensor:
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, config.eps)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))

    weight, bias = parameters["patch_embed.proj.weight"], parameters["patch_embed.proj.bias"]
    x = F.conv2d(images, weight, bias, stride=config.patch).permute(0, 2, 3, 1)  # [B, R, R, D]
    x = norm(x, "patch_embed.norm")
    for stage, depth in enumerate(config.depths):
        side, window = config.side(stage), config.window_of(stage)
        if stage > 0:
            corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
            x = torch.cat(corners, dim=-1)
            name = f"layers.{stage}.downsample"
            x = linear(norm(x, f"{name}.norm"), f"{name}.reduction")
        for index in range(depth):
            block = f"layers.{stage}.blocks.{index}"
            order = window_index(side, window, config.shift_of(stage, index))  # [windows, N]
            tokens = norm(x, f"{block}.norm1").flatten(1, 2)  # [B, R R, D]
            qkv = linear(tokens[:, order], f"{block}.attn.qkv")  # [B, windows, N, 3 D]
            table = parameters[f"{block}.attn.relative_position_bias_table"]
            extra = position_bias(table, window)[None, :]  # [1, H, N, N]
            extra = extra + mask(order, side)[:, None].to(table.dtype)  # [windows, H, N, N]
            mixed = linear(attention(qkv, extra, config.heads[stage]), f"{block}.attn.proj")
            back = order.flatten().argsort()
            x = x + mixed.flatten(1, 2)[:, back].unflatten(1, (side, side))
            hidden = F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
            x = x + linear(hidden, f"{block}.mlp.fc2")
    return linear(norm(x, "norm").mean(dim=(1, 2)), "head.fc")


def window_index(side: int, window: int, shift: int) -> Tensor:
    """[windows, N]: the token of the image (row * side + column) at each place of each window, when
    the windows start `shift` rows and columns into the image and continue round its edges."""
    starts = range(shift, shift + side, window)
    rows = [[(top + i) % side for i in range(window)] for top in starts]
    return torch.tensor(
        [[r * side + c for r in down for c in across] for down in rows for across in rows]
    )


def mask(order: Tensor, side: int) -> Tensor:
    """[windows, N, N]: MASK where two tokens of a window are no neighbours in the image: somewhere
    between them a coordinate has jumped from the last row or column back to the first."""
    rows, columns = order // side, order % side
    passed = [place < place[:, :1] for place in (rows, columns)]  # beyond the edge of the image
    apart = [side_[:, :, None] != side_[:, None, :] for side_ in passed]
    return torch.where(apart[0] | apart[1], MASK, 0.0).double()


def position_bias(table: Tensor, window: int) -> Tensor:
    """[H, N, N] from the table [(2 w - 1)(2 w - 1), H]: one row for each displacement."""
    place = torch.arange(window * window)
    down = place[:, None] // window - place[None, :] // window + window - 1
    right = place[:, None] % window - place[None, :] % window + window - 1
    return table[down * (2 * window - 1) + right].permute(2, 0, 1)


def attention(qkv: Tensor, extra: Tensor, heads: int) -> Tensor:
    """softmax(q kᵀ / √(D/H) + extra) v per head: [..., N, 3 D] to [..., N, D]."""
    parts = qkv.unflatten(-1, (3, heads, -1)).movedim(-3, 0).transpose(-3, -2)  # [3, ..., H, N, d]
    query, key, value = parts
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + extra
    return (scores.softmax(dim=-1) @ value).transpose(-3, -2).flatten(-2)
