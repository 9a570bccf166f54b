"""Writes fixtures/swin-shifted.safetensors and fixtures/swin-whole.safetensors.

Each holds a small Swin transformer, one batch, and what PyTorch computes from them in float64:
logits, loss, every gradient, and three steps of SGD. Given tensors (weights.*, input) are float32 and
are rounded before anything is computed, so that they are exact in float64; expected tensors are
float64. README.md names every tensor.

    python swin_fixture.py
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from swin import Config, Parameters, forward, shapes
from vit_fixture import STEPS, leaves

FIXTURES = Path(__file__).parent / "fixtures"
# Windows shifted by 2 in both stages, 16 and 4 windows; 5 per head, which fills no SIMD vector.
SHIFTED = Config(image=32, patch=2, width=10, depths=(2, 2), heads=(2, 4), window=4, classes=5)
# Windows of 36 tokens shifted by 3; the second stage is one window, where nothing shifts.
WHOLE = Config(image=24, patch=2, width=8, depths=(2, 2), heads=(2, 4), window=6, classes=5)


def random_parameters(config: Config, generator: torch.Generator) -> Parameters:
    """Every parameter far from its usual start, so that no gradient is zero by accident."""
    result = {}
    for name, shape in shapes(config).items():
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        if "norm" in name:
            values = values * 0.1 + name.endswith("weight")
        elif name.endswith("weight"):
            values *= values[0].numel() ** -0.5
        elif name.endswith("table"):
            values *= 0.5
        else:
            values *= 0.2
        result[name] = values.float().double()
    return result


def loss_of(
    parameters: Parameters, images: Tensor, labels: Tensor, config: Config, smoothing: float
) -> tuple[Tensor, Tensor]:
    logits = forward(parameters, images, config)
    return logits, F.cross_entropy(logits, labels, label_smoothing=smoothing)


def write(name: str, config: Config, smoothing: float, sgd: dict) -> None:
    generator = torch.Generator().manual_seed(1)
    parameters = random_parameters(config, generator)
    size = (2, 3, config.image, config.image)
    images = torch.randn(size, generator=generator, dtype=torch.float64).float().double()
    labels = torch.tensor([3, 1])
    tensors = {f"weights.{name}": value.float() for name, value in parameters.items()}
    tensors |= {"input": images.float(), "labels": labels.int()}

    trained = leaves(parameters)
    optimizer = torch.optim.SGD(list(trained.values()), **sgd)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits, loss = loss_of(trained, images, labels, config, smoothing)
        loss.backward()
        if step == 0:
            tensors |= {"logits": logits.detach(), "loss": loss.detach()}
            tensors |= {f"grad.{key}": value.grad.clone() for key, value in trained.items()}
        optimizer.step()
        losses.append(loss.detach())
    tensors["sgd.losses"] = torch.stack(losses)
    tensors |= {f"sgd.after3.{key}": value.detach() for key, value in trained.items()}

    metadata = config.metadata() | {"smoothing": str(smoothing), "source": "PyTorch, float64"}
    metadata |= {f"sgd.{key}": str(value) for key, value in sgd.items()}
    path = FIXTURES / f"swin-{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata)
    path.chmod(0o644)
    print(path.name, path.stat().st_size, [loss.item() for loss in losses])


def main() -> None:
    momentum = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}
    write("shifted", SHIFTED, 0.1, momentum)
    write("whole", WHOLE, 0.0, {"lr": 0.05})


if __name__ == "__main__":
    main()
