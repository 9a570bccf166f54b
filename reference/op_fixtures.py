"""Writes fixtures/ops.safetensors: single ops and optimisers, as PyTorch computes them in float64.

Given tensors are rounded to float32 before anything is computed; all floats are stored as float64.
Names are `case.tensor`; `d_x` is the gradient of sum(out * d_out) with respect to x. README.md
lists them. B batch, N tokens, D width, H heads, P patch size, C classes.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from vit import attention, attention_scores

FIXTURES = Path(__file__).parent / "fixtures"
Tensors = dict[str, Tensor]
generator = torch.Generator().manual_seed(7)


def rounded(values: Tensor) -> Tensor:
    """To float32 and back: exact in both."""
    return values.float().double()


def normal(*shape: int, scale: float = 1.0) -> Tensor:
    return rounded(torch.randn(shape, generator=generator, dtype=torch.float64) * scale)


def case(op: Callable[..., Tensor], d_out: Tensor | None = None, **inputs: Tensor) -> Tensors:
    """Inputs, `out`, `d_out` (random unless given) and the gradient of every input."""
    given = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    out = op(**given)
    if d_out is None:
        d_out = normal(*out.shape)
    out.backward(d_out)
    gradients = {f"d_{name}": value.grad for name, value in given.items()}
    return inputs | {"out": out.detach(), "d_out": d_out} | gradients


def layer_norm() -> Tensors:
    x = normal(2, 5, 12, scale=2) + 0.5  # [B, N, D]
    x[0, 0] = 3.0  # no variance: eps alone decides
    x[0, 1] = rounded(1000 + 1e-2 * x[0, 1])  # mean far above the spread
    gamma, beta = rounded(1 + normal(12, scale=0.3)), normal(12)
    return case(
        lambda x, gamma, beta: F.layer_norm(x, (12,), gamma, beta, 1e-6),
        x=rounded(x),
        gamma=gamma,
        beta=beta,
    )


def gelu() -> Tensors:
    special = [0.0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 0.5, -0.75, 1.0, -1.0, 3.0, -3.0, 5.5, -5.5]
    special += [8.0, -8.0, 12.0, -12.0]
    x = torch.cat([torch.tensor(special, dtype=torch.float64), normal(46, scale=2)])
    return case(F.gelu, x=rounded(x))


def cross_entropy(smoothing: float) -> Tensors:
    logits = normal(6, 7, scale=3)  # [B, C]
    logits[5] = rounded(logits[5] * 30)  # one class is certain: exp underflows for others
    labels = torch.tensor([0, 6, 3, 3, 1, 2])
    result = case(
        lambda logits: F.cross_entropy(logits, labels, label_smoothing=smoothing),
        d_out=torch.tensor(1.0, dtype=torch.float64),
        logits=logits,
    )
    each = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return result | {"labels": labels.int(), "each": each}


def fused_attention(batch: int, tokens: int, heads: int, head_width: int) -> Tensors:
    qkv = normal(batch, tokens, 3 * heads * head_width)
    qkv[0, 0] *= 8  # one token with sharp scores
    result = case(lambda qkv: attention(qkv, heads), qkv=rounded(qkv))
    scores, _ = attention_scores(result["qkv"], heads)
    parts = result["qkv"].reshape(batch, tokens, 3, heads, head_width).permute(2, 0, 3, 1, 4)
    library = F.scaled_dot_product_attention(*parts.unbind(0)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(result["out"], library, rtol=1e-12, atol=1e-12)
    heads_tensor = torch.tensor(heads, dtype=torch.int32)
    return result | {"heads": heads_tensor, "log_sum_exp": scores.logsumexp(dim=-1)}


def patch_embed() -> Tensors:
    def embed(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        grid = F.conv2d(images, weight, bias, stride=weight.shape[-1])
        return grid.flatten(2).transpose(1, 2)  # [B, patches, D], row by row

    images, weight = normal(2, 3, 8, 12), normal(5, 3, 4, 4, scale=0.3)
    result = case(embed, images=images, weight=weight, bias=normal(5))
    # [B, patches, 3·P·P]: the rows whose product with weight.reshape(D, 3·P·P) is `out`
    return result | {"patches": F.unfold(images, 4, stride=4).transpose(1, 2)}


def sequence(optimizer_of: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Tensors:
    """Five steps on given gradients: `grad` [5, 11] in, `after` [5, 11] out."""
    start, gradients = normal(11), normal(5, 11)
    gradients[:, 0] = 0  # only weight decay moves this one
    gradients[:, 1] = rounded(gradients[:, 1] * 1e-7)  # near AdamW's eps
    parameter = start.clone().requires_grad_()
    optimizer = optimizer_of([parameter])
    after = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        after.append(parameter.detach().clone())
    return {"start": start, "grad": gradients, "after": torch.stack(after)}


def clip(max_norm: float) -> Tensors:
    """clip_grad_norm_ over three tensors: factor = min(1, max_norm / (norm + 1e-6))."""
    gradients = [normal(4, 3), normal(3), normal(2, 2, 2)]
    parameters = [torch.zeros_like(value).requires_grad_() for value in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    result = {f"grad.{index}": value for index, value in enumerate(gradients)}
    result |= {f"clipped.{index}": value.grad for index, value in enumerate(parameters)}
    return result | {"norm": norm, "max_norm": torch.tensor(max_norm, dtype=torch.float64)}


SGD = {
    "sgd.plain": {"lr": 0.1},
    "sgd.decay": {"lr": 0.1, "weight_decay": 0.01},
    "sgd.momentum": {"lr": 0.1, "momentum": 0.9},
    "sgd.momentum_decay": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "sgd.nesterov_decay": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
}
ADAMW = {
    "adamw.plain": {"lr": 1e-2, "weight_decay": 0.0},
    "adamw.decay": {"lr": 1e-2, "weight_decay": 0.05},
    "adamw.betas": {"lr": 1e-2, "weight_decay": 0.05, "betas": (0.8, 0.95), "eps": 1e-6},
}


def main() -> None:
    cases = {
        "layer_norm": layer_norm(),
        "gelu": gelu(),
        "cross_entropy": cross_entropy(0.0),
        "cross_entropy_smooth": cross_entropy(0.1),
        "attention": fused_attention(batch=2, tokens=7, heads=3, head_width=8),
        "attention_long": fused_attention(batch=1, tokens=37, heads=2, head_width=5),
        "linear": case(F.linear, input=normal(2, 5, 6), weight=normal(4, 6), bias=normal(4)),
        "patch_embed": patch_embed(),
        "clip": clip(1.0),
        "clip_unused": clip(100.0),
    }
    metadata = {"source": "PyTorch, float64", "layer_norm.eps": "1e-6"}
    for kind, configs in {torch.optim.SGD: SGD, torch.optim.AdamW: ADAMW}.items():
        for name, config in configs.items():
            cases[name] = sequence(lambda values: kind(values, **config))
            metadata[name] = json.dumps(config)
    tensors = {
        f"{name}.{key}": value.contiguous()
        for name, result in cases.items()
        for key, value in result.items()
    }
    path = FIXTURES / "ops.safetensors"
    save_file(tensors, path, metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
