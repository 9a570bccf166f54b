"""Writes fixtures/batch_norm.safetensors: batch normalisation as PyTorch computes it in float64, in NHWC.

Given tensors are rounded to float32 before anything is computed; all floats are stored as float64.

The op: `case.tensor`: `x` [B, H, W, C], `gamma`, `beta`, `running_mean`, `running_var` [C], `out`, `d_out`, the
gradients `d_x`, `d_gamma`, `d_beta` of sum(out * d_out), and `running_mean_after`, `running_var_after`. Metadata:
`case.params` as the op calls them, and `momentum`.

Training: conv 3x3, batch norm with ReLU6, mean of the pixels, linear, cross-entropy; three steps of SGD with momentum
and weight decay of the two weights. `images` [step, B, C, H, W], `labels` [step, B], `start.<tensor>`, and for each of
`batch`, `frozen` and `passes` (half of the images in each of two passes, whose gradients are averaged)
`<mode>.losses`, for each pass, and `<mode>.<tensor>` after the last step. Convolution weights are [KH, KW, I, O].
"""

import json

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from op_fixtures import FIXTURES, Tensors, case, normal, rounded

ACTIVATIONS = {
    "none": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "hard-swish": F.hardswish,
    "silu": F.silu,
}
MOMENTUM, STEPS, BATCH, CHANNELS, WIDTH, CLASSES = 0.1, 3, 4, 3, 5, 3
SGD = {"lr": 0.1, "momentum": 0.9}
DECAY = 0.01


def channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def normalised(activation: str, batch: bool) -> tuple[Tensors, dict[str, object]]:
    eps, width = 1e-3, 6
    running = {"running_mean": normal(width), "running_var": rounded(1 + normal(width).abs())}
    after = {f"{name}_after": value.clone() for name, value in running.items()}
    # Wide enough for every kink of an activation.
    x = rounded(normal(3, 4, 5, width, scale=2) + normal(width))
    gamma, beta = normal(width, scale=3), normal(width)

    def op(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        statistics = (after["running_mean_after"], after["running_var_after"])
        y = F.batch_norm(channels_first(x), *statistics, gamma, beta, batch, MOMENTUM, eps)
        return ACTIVATIONS[activation](y).permute(0, 2, 3, 1)

    params = {"eps": eps, "batch": batch, "activation": activation}
    return case(op, x=x, gamma=gamma, beta=beta) | running | after, params


def kinks() -> Tensors:
    """Slopes where an activation has two."""
    x = torch.tensor([-3.0, 0.0, 3.0, 6.0], dtype=torch.float64)
    result = {"x": x}
    for name, activation in ACTIVATIONS.items():
        given = x.clone().requires_grad_()
        activation(given).sum().backward()
        result |= {name: activation(x).clone(), f"d_{name}": given.grad}
    return result


class Model(nn.Module):
    def __init__(self, start: Tensors) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, WIDTH, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH, momentum=MOMENTUM)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.double()
        state = {name: value.clone() for name, value in start.items()}
        state["conv.weight"] = state["conv.weight"].permute(3, 2, 0, 1)
        self.load_state_dict(state, strict=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.relu6(self.norm(self.conv(images))).mean((2, 3)))


def trained(start: Tensors, images: Tensor, labels: Tensor, frozen: bool, passes: int) -> Tensors:
    model = Model(start)
    if frozen:
        model.norm.eval()
    groups = [{"params": [], "weight_decay": DECAY}, {"params": [], "weight_decay": 0.0}]
    for parameter in model.parameters():
        groups[parameter.dim() == 1]["params"].append(parameter)
    optimizer = torch.optim.SGD(groups, **SGD)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        for some, their in zip(images[step].chunk(passes), labels[step].chunk(passes)):
            loss = F.cross_entropy(model(some), their)
            (loss / passes).backward()
            losses.append(loss.detach())
        optimizer.step()
    tensors = {name: value for name, value in model.state_dict().items() if value.dim() > 0}
    tensors["conv.weight"] = tensors["conv.weight"].permute(2, 3, 1, 0)
    return {"losses": torch.stack(losses)} | tensors


def training() -> Tensors:
    start = {
        "conv.weight": normal(3, 3, CHANNELS, WIDTH, scale=0.4),
        "norm.weight": rounded(2 + normal(WIDTH, scale=0.5)),
        "norm.bias": rounded(2 + normal(WIDTH)),
        "norm.running_mean": normal(WIDTH, scale=0.5),
        "norm.running_var": rounded(1 + normal(WIDTH).abs()),
        "head.weight": normal(CLASSES, WIDTH),
        "head.bias": normal(CLASSES),
    }
    images = normal(STEPS, BATCH, CHANNELS, 6, 5)
    labels = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1], [1, 0, 2, 0]])
    modes = {"batch": (False, 1), "frozen": (True, 1), "passes": (False, 2)}
    tensors = {"images": images, "labels": labels.int()}
    tensors |= {f"start.{name}": value for name, value in start.items()}
    for mode, (frozen, passes) in modes.items():
        result = trained(start, images, labels, frozen, passes)
        tensors |= {f"{mode}.{name}": value for name, value in result.items()}
    return tensors


def main() -> None:
    cases = {
        f"{activation}.{'batch' if batch else 'frozen'}": normalised(activation, batch)
        for activation in ACTIVATIONS
        for batch in (True, False)
    }
    metadata = {"source": "PyTorch, float64", "momentum": str(MOMENTUM)}
    metadata |= {f"{name}.params": json.dumps(params) for name, (_, params) in cases.items()}
    tensors = {
        f"{name}.{key}": value for name, (result, _) in cases.items() for key, value in result.items()
    }
    tensors |= {f"kinks.{name}": value for name, value in kinks().items()}
    tensors |= {f"training.{name}": value for name, value in training().items()}
    path = FIXTURES / "batch_norm.safetensors"
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, path, metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
