"""Loads an export of `thimble export RUN --format onnx,hf` in transformers and in onnxruntime, and prints by
how much their logits differ on the same pixels, and their probabilities from those of Thimble.

    pip install torch torchvision transformers safetensors pillow onnx onnxruntime      # once
    thimble predict RUN IMAGE ... --top 1000 --json > ours.jsonl
    python check_hf_export.py EXPORT [IMAGE ...] [--against ours.jsonl]

The pixels are those of the images through the folder's preprocessor_config.json on Pillow, or noise without
images; --against takes its images, and prepares them on torchvision too. Exit code 1: a tensor is missing or
superfluous, a file is invalid, the logits of onnx/model.onnx differ from those of model.safetensors by more than
1e-4 of the largest, or a probability from that of Thimble by more than 1e-3, where pictures are resized by Pillow.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

NOISE_IMAGES = 4
TOLERANCE = 1e-4
PROBABILITY_TOLERANCE = 1e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--against", type=Path, help="what `thimble predict --json` printed")
    options = parser.parse_args()
    ours = predictions(options.against) if options.against else {}
    options.images = options.images or list(ours)
    model, loading = AutoModelForImageClassification.from_pretrained(
        options.folder, output_loading_info=True, dtype=torch.float32
    )
    wrong = {what: names for what, names in loading.items() if names}
    print(f"{type(model).__name__}, {model.config.num_labels} classes; not matched: {wrong or 'nothing'}")
    pixels = pixels_of(options, model.config)
    with torch.no_grad():
        logits = model(torch.from_numpy(pixels)).logits.numpy()
    for path, row in zip(options.images, logits):
        print(f"{path}  {model.config.id2label[int(row.argmax())]}")
    failed = bool(wrong)
    for path in sorted((options.folder / "onnx").glob("*.onnx")):
        difference, same = compare(path, pixels, logits)
        print(f"{path.name}: max |Δlogit| {difference:.2e} of {abs(logits).max():.2f}, {same}")
        exact = path.name == "model.onnx"
        if exact and not difference <= TOLERANCE * max(1.0, float(abs(logits).max())):
            failed = True
    if ours:
        failed = not beside(ours, model, options) or failed
    sys.exit(1 if failed else 0)


def predictions(path):
    """Image to the probabilities of classes by the number of their output."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    found = [event for event in events if event["event"] == "prediction"]
    return {Path(e["image"]): {c["index"]: c["probability"] for c in e["classes"]} for e in found}


def beside(ours, model, options):
    """Prints how far our probabilities are from theirs; whether they agree where Pillow resizes."""
    agrees = True
    for backend in ["pil", "torchvision"]:
        pixels = prepared(list(ours), options.folder, backend)
        with torch.no_grad():
            theirs = torch.softmax(model(torch.from_numpy(pixels)).logits, 1).numpy()
        most = max(abs(row[k] - p) for row, own in zip(theirs, ours.values()) for k, p in own.items())
        same = sum(int(row.argmax()) == max(own, key=own.get) for row, own in zip(theirs, ours.values()))
        print(f"Thimble, beside pictures on {backend}: max |Δp| {most:.1e}, the same class for {same} of {len(ours)}")
        if backend == "pil" and not most <= PROBABILITY_TOLERANCE:
            agrees = False
    return agrees


def prepared(paths, folder, backend):
    from PIL import Image, ImageOps

    processor = AutoImageProcessor.from_pretrained(folder, backend=backend)
    images = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in paths]
    rows = [processor(image, return_tensors="pt")["pixel_values"].numpy() for image in images]
    return np.concatenate(rows)


def pixels_of(options, config):
    """[B, 3, S, S] in float32."""
    if not options.images:
        shape = (NOISE_IMAGES, config.num_channels, config.image_size, config.image_size)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return prepared(options.images, options.folder, "pil")


def compare(path, pixels, logits):
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"pixel_values": pixels})
    same = int((found.argmax(1) == logits.argmax(1)).sum())
    return float(abs(found - logits).max()), f"the same class for {same} of {len(logits)}"


main()
