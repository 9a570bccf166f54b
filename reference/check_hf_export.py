"""Loads an export of `thimble export RUN --format onnx,hf` in transformers and in onnxruntime, and prints by
how much their logits differ on the same pixels.

    pip install torch transformers safetensors pillow onnx onnxruntime      # once
    python check_hf_export.py EXPORT [IMAGE ...]

The pixels are those of the images through the folder's preprocessor_config.json, or noise without
images. Exit code 1: a tensor is missing or superfluous, a file is invalid, or the logits of
onnx/model.onnx differ from those of model.safetensors by more than 1e-4 of the largest.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

NOISE_IMAGES = 4
TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", nargs="*", type=Path)
    options = parser.parse_args()
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
    sys.exit(1 if failed else 0)


def pixels_of(options, config):
    """[B, 3, S, S] in float32."""
    if not options.images:
        shape = (NOISE_IMAGES, config.num_channels, config.image_size, config.image_size)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    from PIL import Image

    processor = AutoImageProcessor.from_pretrained(options.folder)
    images = [Image.open(path).convert("RGB") for path in options.images]
    return processor(images, return_tensors="pt")["pixel_values"].numpy()


def compare(path, pixels, logits):
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"pixel_values": pixels})
    same = int((found.argmax(1) == logits.argmax(1)).sum())
    return float(abs(found - logits).max()), f"the same class for {same} of {len(logits)}"


main()
