"""PyTorch in less memory, or faster where the processor can: what its own documentation advises.

`lean`, with activation checkpointing of every block (pytorch.py):
    A gradient is used as soon as it is there, by a hook, and freed: no two parameters' gradients are in memory together.
    Gradients of micro-batches add up in the momentum, which takes mean gradients anyway, so that they need no memory of
    their own. SGD with momentum, v <- m v + g, w <- w - lr v, as torch.optim.SGD has it.
`bf16`: autocast; weights, gradients and momentum stay fp32. Refused where the processor would emulate it.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


class LeanUpdate:
    """SGD with momentum whose update happens within the backward pass, or behind the last micro-batch."""

    def __init__(self, config: dict, model: nn.Module) -> None:
        if config["optimizer"] != "sgd" or config.get("weightDecay", 0.0) != 0.0:
            raise ValueError("lean: expected sgd without weight decay")
        self.lr, self.momentum = config["lr"], config.get("momentum", 0.0)
        self.in_backward = config["pytorch"].get("microBatches", 1) == 1
        self.velocities = {p: torch.zeros_like(p) for p in model.parameters()}
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(self._take)

    def zero_grad(self, set_to_none: bool) -> None:
        """Before the first gradient of an update; there are none left to be freed."""
        if not self.in_backward:
            torch._foreach_mul_(list(self.velocities.values()), self.momentum)

    @torch.no_grad()
    def _take(self, parameter: Tensor) -> None:
        velocity = self.velocities[parameter]
        if self.in_backward:
            velocity.mul_(self.momentum).add_(parameter.grad)
            parameter.add_(velocity, alpha=-self.lr)
        else:
            velocity.add_(parameter.grad)
        parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        if not self.in_backward:
            torch._foreach_add_(list(self.velocities), list(self.velocities.values()), alpha=-self.lr)


def autocast(bf16: bool) -> torch.autocast:
    if bf16 and not _has_bf16():
        raise RuntimeError(f"the processor has none of {', '.join(sorted(BF16_FLAGS))}")
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)


def _has_bf16() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and not BF16_FLAGS.isdisjoint(info.read_text().split())
