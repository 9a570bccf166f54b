"""Writes fixtures/positions.safetensors: position embeddings resized as timm does it.

`from` [1, 1 + 14*14, 8]; `to_8` [1, 1 + 8*8, 8] (smaller) and `to_16` [1, 1 + 16*16, 8] (larger);
the first row is the class token's and stays. float64, stored as float32.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

SIDE, WIDTH = 14, 8


def resized(positions: torch.Tensor, side: int) -> torch.Tensor:
    grid = positions[:, 1:].reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    grid = grid.permute(0, 2, 3, 1).reshape(1, side * side, WIDTH)
    return torch.cat([positions[:, :1], grid], dim=1)


def main() -> None:
    torch.manual_seed(7)
    positions = torch.randn(1, 1 + SIDE * SIDE, WIDTH, dtype=torch.float64)
    tensors = {"from": positions, "to_8": resized(positions, 8), "to_16": resized(positions, 16)}
    path = Path(__file__).parent / "fixtures" / "positions.safetensors"
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, path)


if __name__ == "__main__":
    main()
