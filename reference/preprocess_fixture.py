"""Writes fixtures/preprocess.safetensors: small pictures as the image processors of transformers (on Pillow,
and on torchvision where it differs) and the evaluation transforms of timm prepare them.

`pictures/I` [height, width, 3] are levels; `case/pillow/I` and `case/torchvision/I` [3, S, S] the numbers that
a model reads. Metadata `case` is JSON: preprocessor (preprocessor_config.json) or config (timm's config.json).
packages/core/test/checkpoint-preprocess.test.ts reads them.
"""
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

FIXTURES = Path(__file__).parent / "fixtures"
PICTURES = [(37, 23), (29, 46), (16, 16)]  # width, height

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
PILLOW_ONLY = [4, 5]  # box, hamming
SQUARE = {"height": 16, "width": 16}

PROCESSORS = {
    "vit": {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": SQUARE, "resample": 2,
            "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **HALF},
    "vit-old": {"feature_extractor_type": "ViTFeatureExtractor", "size": 16, "resample": 3, **IMAGENET},
    "vit-rescale": {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 1,
                    "rescale_factor": 1 / 127.5, "image_mean": [1, 1.1, 0.9], "image_std": [1, 0.9, 1.1]},
    "vit-plain": {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 4, "do_normalize": False},
    "vit-levels": {"image_processor_type": "ViTImageProcessorFast", "size": SQUARE, "resample": 0,
                   "do_rescale": False, "image_mean": [127, 120, 110], "image_std": [60, 61, 62]},
    "vit-hamming": {"image_processor_type": "ViTImageProcessor", "size": SQUARE, "resample": 5, **HALF},
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": {"height": 19, "width": 19}, "resample": 3,
             "do_center_crop": True, "crop_size": SQUARE, **IMAGENET},
    "bit": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 18}, "resample": 3,
            "do_center_crop": True, "crop_size": SQUARE, **IMAGENET},
    # What is left beside the crop is odd: on the shortest edge (3 px), on the longer one of the first picture (11).
    "bit-odd": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 19}, "resample": 3,
                "do_center_crop": True, "crop_size": SQUARE, **IMAGENET},
    "bit-long": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 17}, "resample": 2,
                 "do_center_crop": True, "crop_size": SQUARE, **HALF},
    "convnext": {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 16}, "resample": 3,
                 "crop_pct": 0.9, **IMAGENET},
}

RECIPE = {"architecture": "vit_tiny_patch16_224", "input_size": [3, 16, 16], "num_classes": 10}
TIMM = {
    "timm-center": {"interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", "mean": [0.5] * 3,
                    "std": [0.5] * 3},
    "timm-odd": {"interpolation": "bicubic", "crop_pct": 0.84, "crop_mode": "center", "mean": [0.5] * 3,
                 "std": [0.5] * 3},
    "timm-squash": {"interpolation": "bilinear", "crop_pct": 0.875, "crop_mode": "squash",
                    "mean": IMAGENET["image_mean"], "std": IMAGENET["image_std"]},
    "timm-defaults": {"mean": IMAGENET["image_mean"], "std": IMAGENET["image_std"]},
}


def picture(width, height, seed):
    """Smooth with edges and noise, so that every filter gives other levels, some of them clipped."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).normal(0, 30, (height, width, 3))
    wave = 127 + 120 * np.sin(np.stack([x / 3, y / 4, (x + y) / 5], axis=-1))
    edge = np.where((x > width / 2)[..., None], 60, -60)
    return Image.fromarray(np.clip(wave + edge + noise, 0, 255).astype(np.uint8))


def processor(settings, backend):
    kind = settings.get("image_processor_type", settings.get("feature_extractor_type"))
    name = kind.replace("FeatureExtractor", "ImageProcessor").replace("Fast", "")
    return getattr(transformers, name + ("Pil" if backend == "pillow" else "")).from_dict(dict(settings))


def main():
    pictures = [picture(width, height, seed) for seed, (width, height) in enumerate(PICTURES)]
    tensors = {f"pictures/{i}": torch.from_numpy(np.array(image)) for i, image in enumerate(pictures)}
    metadata = {}
    for name, settings in PROCESSORS.items():
        metadata[name] = json.dumps({"preprocessor": settings, "config": None})
        backends = ["pillow"] if settings["resample"] in PILLOW_ONLY else ["pillow", "torchvision"]
        for backend in backends:
            for i, image in enumerate(pictures):
                pixels = processor(settings, backend)(image, return_tensors="pt")["pixel_values"][0]
                tensors[f"{name}/{backend}/{i}"] = pixels.float().contiguous()
    for name, settings in TIMM.items():
        config = {**RECIPE, "pretrained_cfg": {**RECIPE, **settings}}
        metadata[name] = json.dumps({"preprocessor": None, "config": config})
        transform = create_transform(**resolve_data_config(pretrained_cfg={**RECIPE, **settings}))
        for i, image in enumerate(pictures):
            tensors[f"{name}/pillow/{i}"] = transform(image).contiguous()
    path = FIXTURES / "preprocess.safetensors"
    save_file(tensors, path, metadata=metadata)
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
