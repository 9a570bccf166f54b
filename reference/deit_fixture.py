"""Writes fixtures/deit-distilled.safetensors: timm's VisionTransformerDistilled in float64, with both classifiers,
label smoothing, and the cross-entropy of the mean of their logits.

`weights.NAME` and `input` are exact in float32; `logits`, `loss` and `grad.NAME` are float64.
packages/core/test/deit.test.ts reads it.
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.deit import VisionTransformerDistilled

SIZES = dict(img_size=16, patch_size=4, embed_dim=18, depth=1, num_heads=3, num_classes=5)
SMOOTHING = 0.1


def main():
    torch.manual_seed(3)
    model = VisionTransformerDistilled(**SIZES).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_gain = "norm" in name and name.endswith("weight")
            noise = torch.randn(parameter.shape) * (0.1 if "norm" in name else 0.25)
            parameter.copy_(noise.double() + is_gain)
    for parameter in model.parameters():
        parameter.data = parameter.data.float().double()
    x = torch.randn(3, 3, 16, 16).double()
    labels = torch.tensor([3, 0, 2])
    logits = model(x)  # in evaluation: the mean of both classifiers
    loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
    loss.backward()
    tensors = {"input": x.float(), "labels": labels.int(), "logits": logits.detach(), "loss": loss.detach()}
    for name, parameter in model.named_parameters():
        tensors[f"weights.{name}"] = parameter.detach().float()
        tensors[f"grad.{name}"] = parameter.grad
    path = Path(__file__).parent / "fixtures" / "deit-distilled.safetensors"
    metadata = {"image": "16", "patch": "4", "width": "18", "depth": "1", "heads": "3", "classes": "5", "eps": "1e-6",
                "smoothing": str(SMOOTHING)}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata)
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
