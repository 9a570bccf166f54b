"""Writes fixtures/vit-token.safetensors and fixtures/vit-mean.safetensors.

Each holds a small vision transformer, one batch, and what PyTorch computes from them in float64:
logits, loss, every gradient, and three steps of two optimisers. Given tensors (weights.*, input)
are float32 and are rounded before anything is computed, so that they are exact in float64;
expected tensors are float64. README.md names every tensor.

    python vit_fixture.py                     writes the two fixtures
    python vit_fixture.py --check FILE        compares this code with another such file
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vit import Config, Parameters, forward, shapes

FIXTURES = Path(__file__).parent / "fixtures"
STEPS = 3
TOKEN = Config(image=16, patch=4, width=18, depth=2, heads=3, classes=5, pool="token")
MEAN = Config(image=16, patch=4, width=18, depth=2, heads=3, classes=5, pool="avg")


def random_parameters(config: Config, generator: torch.Generator) -> Parameters:
    """Every parameter far from its usual start, so that no gradient is zero by accident."""
    result = {}
    for name, shape in shapes(config).items():
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        if "norm" in name:
            values = values * 0.1 + name.endswith("weight")
        elif name.endswith("weight"):
            values *= values[0].numel() ** -0.5
        else:
            values *= 0.2
        result[name] = values.float().double()
    return result


def loss_of(
    parameters: Parameters, images: Tensor, labels: Tensor, config: Config, smoothing: float
) -> tuple[Tensor, Tensor]:
    logits = forward(parameters, images, config)
    return logits, F.cross_entropy(logits, labels, label_smoothing=smoothing)


def leaves(parameters: Parameters) -> Parameters:
    return {name: value.clone().requires_grad_() for name, value in parameters.items()}


def train(parameters, images, labels, config, smoothing, optimizer_of, max_norm=None):
    """STEPS steps on one batch: the losses before each step, the norms, the final parameters."""
    trained = leaves(parameters)
    optimizer = optimizer_of(list(trained.values()))
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        _, loss = loss_of(trained, images, labels, config, smoothing)
        loss.backward()
        if max_norm is not None:
            norms.append(torch.nn.utils.clip_grad_norm_(trained.values(), max_norm))
        optimizer.step()
        losses.append(loss.detach())
    after = {name: value.detach() for name, value in trained.items()}
    return torch.stack(losses), torch.stack(norms) if norms else None, after


def write(path: Path, config: Config, smoothing: float, max_norm: float | None, sgd: dict) -> None:
    generator = torch.Generator().manual_seed(1)
    parameters = random_parameters(config, generator)
    size = (3, 3, config.image, config.image)
    images = torch.randn(size, generator=generator, dtype=torch.float64).float().double()
    labels = torch.tensor([3, 0, 2])
    tensors = {f"weights.{name}": value.float() for name, value in parameters.items()}
    tensors |= {"input": images.float(), "labels": labels.int()}

    differentiable = leaves(parameters)
    logits, loss = loss_of(differentiable, images, labels, config, smoothing)
    loss.backward()
    tensors |= {"logits": logits.detach(), "loss": loss.detach()}
    tensors |= {f"grad.{name}": value.grad for name, value in differentiable.items()}

    adamw = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.05}
    run = (parameters, images, labels, config, smoothing)
    for name, optimizer_of in {
        "sgd": lambda values: torch.optim.SGD(values, **sgd),
        "adamw": lambda values: torch.optim.AdamW(values, **adamw),
    }.items():
        losses, norms, after = train(*run, optimizer_of, max_norm)
        tensors[f"{name}.losses"] = losses
        if norms is not None:
            assert max_norm is not None and (norms > max_norm).all(), norms
            tensors[f"{name}.norms"] = norms
        tensors |= {f"{name}.after3.{key}": value for key, value in after.items()}

    metadata = config.metadata() | {"smoothing": str(smoothing), "source": "PyTorch, float64"}
    metadata |= {f"sgd.{key}": str(value) for key, value in sgd.items()}
    metadata |= {f"adamw.{key}": str(value) for key, value in adamw.items()}
    if max_norm is not None:
        metadata["max_norm"] = str(max_norm)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata)
    path.chmod(0o644)


def check(path: Path) -> None:
    """Prints the greatest difference per kind of tensor; for the file layout of vit-32x8-d48."""
    with safe_open(path, "pt") as file:
        stored = {name: file.get_tensor(name).double() for name in file.keys()}
        meta = file.metadata()
    sizes = (int(meta[key]) for key in ("image", "patch", "dim", "depth", "heads", "classes"))
    config = Config(*sizes, pool="token", eps=float(meta["layernorm_eps"]))
    parameters = {name: stored[f"weights.{name}"] for name in shapes(config)}
    images, labels = stored["input"], stored["labels"].long()
    differentiable = leaves(parameters)
    logits, loss = loss_of(differentiable, images, labels, config, 0.0)
    loss.backward()
    computed = {"logits": logits, "loss": loss.reshape(1)}
    computed |= {f"grad.{name}": value.grad for name, value in differentiable.items()}
    optimizers = {
        "sgd": lambda values: torch.optim.SGD(values, lr=0.05, momentum=0.9, weight_decay=1e-4),
        "adamw": lambda values: torch.optim.AdamW(values, lr=1e-3, weight_decay=0.05),
    }
    for name, optimizer_of in optimizers.items():
        losses, _, after = train(parameters, images, labels, config, 0.0, optimizer_of)
        computed[f"{name}.losses"] = losses
        computed |= {f"{name}.after3.{key}": value for key, value in after.items()}
    greatest: dict[str, float] = {}
    for name, value in computed.items():
        parts = name.split(".")
        kind = ".".join(parts[:2] if parts[0] in optimizers else parts[:1])
        difference = (value.detach() - stored[name]).abs().max().item()
        greatest[kind] = max(greatest.get(kind, 0.0), difference)
    missing = set(stored) - set(computed) - {"input", "labels"}
    assert all(name.startswith("weights.") for name in missing), missing
    for kind, difference in greatest.items():
        print(f"{kind:14s} {difference:.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.check is not None:
        check(arguments.check)
        return
    momentum = {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}
    write(FIXTURES / "vit-token.safetensors", TOKEN, 0.1, 0.5, momentum)
    write(FIXTURES / "vit-mean.safetensors", MEAN, 0.0, None, {"lr": 0.05})


if __name__ == "__main__":
    main()
