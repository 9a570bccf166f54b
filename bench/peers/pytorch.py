"""PyTorch on the CPU as a peer of the step benchmark: one JSON object per line, in and out.

First line in, the configuration:
    {"model": {"imageSize", "patch", "width", "depth", "heads", "classes", "pool": "token"|"avg"}
              or {"network": name of pytorch_networks.py, "imageSize", "classes"},
     "batch", "threads", "optimizer": "sgd"|"adamw", "lr", "momentum", "weightDecay", "warmup",
     "weights": path of a safetensors with timm's names, or null for random weights,
     "data": path of a safetensors with `images` F32 [B, 3, S, S] and `labels`, or null,
     "seed": of random weights and data,
     "pytorch": {"bf16", "lean", "microBatches"}, see pytorch_lean.py; absent: plain fp32}
First line out, after `warmup` steps:
    {"ready": true, "version", "threads", "parameters", "importBytes": peak memory of the bare import}
Then, for each line:
    {"run": n}                              {"ms": [n], "loss": [n], "rssPeakBytes"}
    {"infer": {"batch", "repeat"}}          {"ms": [repeat], "logits": [], "rssPeakBytes"}
    {"matmul": {"m", "n", "k", "repeat"}}   {"ms": [repeat]}, fp32 [m, k] x [k, n]
Bad input is answered by {"error": text}. Ends with its input.

A step is forward, mean cross entropy, backward, optimiser; every parameter learns, in fp32 unless
`pytorch` says otherwise, on the same batch each time. Settings, measured as CPU time (ViT-Ti/16, 224 px, batch 8, one thread,
PyTorch 2.13, AVX-512): fused attention (scaled_dot_product_attention) costs 8 % less than the
explicit one; the fused optimiser, flushed denormals and oneDNN differ from their opposites by at
most 2 %, within the noise, and are on. On processors of others than Intel, MKL is helped (mkl.py).
torch.compile is left out: it needs a C++ compiler at run time.

With two threads and a busy core a step takes ten times as long: OpenMP's threads wait for each
other at every op. Measure on a machine with idle cores only.
"""

import json
import resource
import sys
import time
from pathlib import Path

import mkl

mkl.at_its_best()

import torch
import torch.utils.checkpoint
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from pytorch_lean import LeanUpdate, autocast
from pytorch_networks import network_of

mkl.clean_up()

LAYER_NORM_EPS = 1e-6
MLP_RATIO = 4


class Block(nn.Module):
    """Pre-norm transformer block; the attributes give timm's names of parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        hidden = MLP_RATIO * width
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.attn["qkv"](self.norm1(x)).reshape(batch, tokens, 3, self.heads, -1)
        context = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4).unbind(0))
        x = x + self.attn["proj"](context.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class VisionTransformer(nn.Module):
    """Class token and final norm, or mean over the tokens and fc_norm."""

    def __init__(self, model: dict) -> None:
        super().__init__()
        width, patch = model["width"], model["patch"]
        self.has_token = model.get("pool", "token") == "token"
        patches = (model["imageSize"] // patch) ** 2
        if self.has_token:
            self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, patches + self.has_token, width) * 0.02)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(Block(width, model["heads"]) for _ in range(model["depth"]))
        norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.add_module("norm" if self.has_token else "fc_norm", norm)
        self.head = nn.Linear(width, model["classes"])
        self.recomputes = False

    def forward(self, images: Tensor) -> Tensor:
        x = self.patch_embed["proj"](images).flatten(2).transpose(1, 2)
        if self.has_token:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        x = x + self.pos_embed
        for block in self.blocks:
            x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False) if self.recomputes else block(x)
        return self.head(self.norm(x[:, 0]) if self.has_token else self.fc_norm(x.mean(dim=1)))


class Trainer:
    """The model, its optimiser and the one batch."""

    def __init__(self, config: dict) -> None:
        torch.manual_seed(config.get("seed", 0))
        self.model = model_of(config)
        self.images, self.labels = batch_of(config)
        if "network" in config["model"]:
            self.images = self.images.to(memory_format=torch.channels_last)
        how = config.get("pytorch", {})
        self.micro_batches = how.get("microBatches", 1)
        self.bf16 = how.get("bf16", False)
        self.model.recomputes = how.get("lean", False)
        self.optimizer = LeanUpdate(config, self.model) if how.get("lean") else optimizer_of(config, self.model)

    def step(self) -> tuple[float, float]:
        """Milliseconds and loss (before the update) of one step."""
        start = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        loss = sum(self.backward(*part) for part in self.parts())
        self.optimizer.step()
        return (time.perf_counter() - start) * 1e3, loss

    def parts(self) -> zip:
        return zip(self.images.chunk(self.micro_batches), self.labels.chunk(self.micro_batches))

    def backward(self, images: Tensor, labels: Tensor) -> float:
        """A micro-batch's share of the loss, its gradients added to the others'."""
        with autocast(self.bf16):
            loss = F.cross_entropy(self.model(images), labels) / self.micro_batches
        loss.backward()
        return loss.item()

    def run(self, count: int) -> dict:
        steps = [self.step() for _ in range(count)]
        return {
            "ms": [milliseconds for milliseconds, _ in steps],
            "loss": [loss for _, loss in steps],
            "rssPeakBytes": peak_bytes(),
        }

    def infer(self, batch: int, repeat: int) -> dict:
        """Forward passes of the first images, from and to the caller's memory."""
        images = self.images[:batch]
        times = []
        with torch.inference_mode():
            for _ in range(repeat):
                start = time.perf_counter()
                logits = self.model(images)
                times.append((time.perf_counter() - start) * 1e3)
        return {"ms": times, "logits": logits.flatten().tolist(), "rssPeakBytes": peak_bytes()}


def model_of(config: dict) -> nn.Module:
    """With the file's tensors as parameters: no others are made first, and nothing is copied."""
    if "network" in config["model"]:
        return network_of(config)
    if config.get("weights") is None:
        return VisionTransformer(config["model"])
    with torch.device("meta"):
        model = VisionTransformer(config["model"])
    model.load_state_dict(load_file(config["weights"]), assign=True)
    return model


def batch_of(config: dict) -> tuple[Tensor, Tensor]:
    batch, size = config["batch"], config["model"]["imageSize"]
    if config.get("data") is None:
        return torch.randn(batch, 3, size, size), torch.arange(batch) % config["model"]["classes"]
    tensors = load_file(config["data"])
    images, labels = tensors["images"].float(), tensors["labels"].long()
    if images.shape != (batch, 3, size, size) or labels.shape != (batch,):
        raise ValueError(f"images {list(images.shape)} do not fit batch {batch}, {size} px")
    return images, labels


def optimizer_of(config: dict, model: nn.Module) -> torch.optim.Optimizer:
    kind = config["optimizer"]
    options = {"lr": config["lr"], "weight_decay": config.get("weightDecay", 0.0), "fused": True}
    if kind == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=config.get("momentum", 0.0), **options)
    if kind == "adamw":
        return torch.optim.AdamW(model.parameters(), **options)
    raise ValueError(f"optimizer: expected sgd or adamw, got {kind}")


def matmul(m: int, n: int, k: int, repeat: int) -> dict:
    left, right, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    torch.matmul(left, right, out=out)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        torch.matmul(left, right, out=out)
        times.append((time.perf_counter() - start) * 1e3)
    return {"ms": times}


def peak_bytes() -> int:
    """Greatest resident memory of the process since its start."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


IMPORT_BYTES = peak_bytes()


def start(config: dict) -> tuple[Trainer, dict]:
    torch.set_num_threads(config["threads"])
    torch.set_flush_denormal(True)
    trainer = Trainer(config)
    for _ in range(config.get("warmup", 1)):
        trainer.step()
    ready = {"ready": True, "version": torch.__version__ + mkl.remark(), "threads": torch.get_num_threads()}
    ready["importBytes"] = IMPORT_BYTES
    return trainer, ready | {"parameters": sum(p.numel() for p in trainer.model.parameters())}


def answer(trainer: Trainer, request: dict) -> dict:
    if "run" in request:
        return trainer.run(request["run"])
    if "infer" in request:
        return trainer.infer(**request["infer"])
    if "matmul" in request:
        return matmul(**request["matmul"])
    raise ValueError(f"expected run, infer or matmul, got {', '.join(request)}")


def main() -> None:
    trainer = None
    for line in iter(sys.stdin.readline, ""):
        try:
            request = json.loads(line)
            if trainer is None:
                trainer, reply = start(request)
            else:
                reply = answer(trainer, request)
        except Exception as error:  # every failure belongs to the other side of the pipe
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
