"""Writes fixtures/checkpoints-{timm,hugging-face,torchvision}.safetensors: tiny random models of the three
libraries under the names and with the config.json that the libraries themselves write, an input of each
and its logits in float64. packages/core/test/checkpoints.test.ts reads them.

Tensor `case/NAME` is tensor NAME of the case's file, in the dtype that the file would have;
`case//input` and `case//logits` belong to the test. Metadata `case` is JSON: config (config.json or null),
and expected, the sizes that have to be found.
"""
import json
import tempfile
from pathlib import Path

import torch
import transformers
import torchvision.models as tv
from safetensors.torch import load_file, save_file
from timm.models._hub import save_config_for_hf
from timm.models.deit import VisionTransformerDistilled
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

FIXTURES = Path(__file__).parent / "fixtures"
CLASSES = 5


def randomise(model, dtype):
    """Values that every part of the model shows in the logits, exact in dtype."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape)
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            value = 1 + 0.2 * noise if is_norm else noise * (0.3 if parameter.dim() < 2 else 0.15)
            parameter.copy_(value.to(dtype))
    return model.eval()


def case(out, name, model, tensors, image, config, expected, dtype):
    """`tensors`: what the file holds."""
    x = torch.randn(2, 3, image, image)
    with torch.no_grad():
        y = model.double()(x.double())
    logits = getattr(y, "logits", y)
    for key, value in tensors.items():
        value = value.to(dtype) if value.is_floating_point() else value
        out[0][f"{name}/{key}"] = value.contiguous()
    out[0][f"{name}//input"] = x
    if isinstance(logits, torch.Tensor):
        out[0][f"{name}//logits"] = logits
    out[1][name] = json.dumps({"config": config, "expected": expected})


def write(library, out):
    path = FIXTURES / f"checkpoints-{library}.safetensors"
    save_file(out[0], path, metadata=out[1])
    print(path.name, path.stat().st_size, "bytes,", ", ".join(out[1]))


def timm_config(model, architecture, args):
    model.pretrained_cfg = {"architecture": architecture, "input_size": (3, args["img_size"], args["img_size"]),
                            "crop_pct": 0.9, "interpolation": "bicubic", "mean": (0.5, 0.4, 0.3),
                            "std": (0.2, 0.3, 0.25), "num_classes": CLASSES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        labels = {"label_names": [f"kind {i}" for i in range(CLASSES)]}
        save_config_for_hf(model, path, model_config=labels, model_args=args)
        return json.loads(path.read_text())


def write_timm():
    out = ({}, {})
    args = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=4)
    vit = {"width": 16, "depth": 2, "heads": 4, "imageSize": 16, "patch": 4, "classes": CLASSES,
           "layerNormEps": 1e-6}
    model = randomise(VisionTransformer(**args, num_classes=CLASSES), torch.float32)
    config = timm_config(model, "vit_tiny_patch4_16", args)
    case(out, "vit", model, model.state_dict(), 16, config, {**vit, "pooling": "token"}, torch.float32)

    model = randomise(VisionTransformer(**args, num_classes=CLASSES, global_pool="avg"), torch.float64)
    config = timm_config(model, "vit_tiny_patch4_16", args)
    case(out, "vit-mean", model, model.state_dict(), 16, config, {**vit, "pooling": "mean"}, torch.float64)

    model = randomise(VisionTransformerDistilled(**args, num_classes=CLASSES), torch.bfloat16)
    config = timm_config(model, "deit_tiny_distilled_patch4_16", args)
    expected = {**vit, "pooling": "token", "distilled": True}
    case(out, "deit-distilled", model, model.state_dict(), 16, config, expected, torch.bfloat16)

    args = dict(img_size=32, patch_size=2, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4),
                mlp_ratio=2.0)
    swin = {"width": 16, "depths": [2, 2], "heads": [2, 4], "window": 4, "imageSize": 32, "patch": 2,
            "classes": CLASSES, "layerNormEps": 1e-5, "mlpRatio": 2}
    model = randomise(SwinTransformer(**args, num_classes=CLASSES), torch.float16)
    config = timm_config(model, "swin_tiny_patch2_window4_32", args)
    case(out, "swin", model, model.state_dict(), 32, config, swin, torch.float16)
    # What timm.models.swin_transformer.checkpoint_filter_fn reads: downsampling one stage earlier, buffers.
    former = {}
    for key, value in model.state_dict().items():
        key = key.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc.", "head.")
        former[key] = value
    former["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
    former["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    flat = {"num_classes": CLASSES, "input_size": [3, 32, 32], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}
    case(out, "swin-former", model, former, 32, {"architecture": "swin_tiny_patch2_window4_32", **flat}, swin, torch.float16)
    write("timm", out)


def write_hugging_face():
    out = ({}, {})
    labels = {i: f"kind {i}" for i in range(CLASSES)}
    names = dict(id2label=labels, label2id={v: k for k, v in labels.items()})
    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
                 image_size=16, patch_size=4, **names)
    vit = {"width": 16, "depth": 2, "heads": 4, "imageSize": 16, "patch": 4, "mlpRatio": 1.5,
           "classes": CLASSES, "layerNormEps": 1e-12, "pooling": "token"}

    def add(name, model, image, expected, dtype, state=None):
        model = randomise(model, dtype)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            tensors = load_file(Path(folder) / "model.safetensors")
            config = json.loads((Path(folder) / "config.json").read_text())
        tensors = model.state_dict() if state else tensors
        case(out, name, model, tensors, image, config, expected, dtype)

    add("vit", transformers.ViTForImageClassification(transformers.ViTConfig(**sizes)), 16, vit, torch.float16)
    add("vit-in-memory", transformers.ViTForImageClassification(transformers.ViTConfig(**sizes)), 16, vit,
        torch.bfloat16, state=True)
    add("vit-backbone", transformers.ViTModel(transformers.ViTConfig(**sizes)), 16,
        {**vit, "classes": 1000}, torch.float16)
    config = transformers.DeiTConfig(**sizes, layer_norm_eps=1e-6)
    deit = {**vit, "layerNormEps": 1e-6, "distilled": True}
    add("deit", transformers.DeiTForImageClassification(config), 16, {**deit, "distilledHead": False},
        torch.float32)
    add("deit-teacher", transformers.DeiTForImageClassificationWithTeacher(config), 16, deit, torch.float16)
    config = transformers.SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4],
                                     window_size=4, mlp_ratio=2.0, **names)
    swin = {"width": 16, "depths": [2, 2], "heads": [2, 4], "window": 4, "imageSize": 32, "patch": 2,
            "mlpRatio": 2, "classes": CLASSES, "layerNormEps": 1e-5}
    add("swin", transformers.SwinForImageClassification(config), 32, swin, torch.float16)
    add("swin-in-memory", transformers.SwinForImageClassification(config), 32, swin, torch.float16, state=True)
    write("hugging-face", out)


def write_torchvision():
    """No config.json: 64 columns for each head, and the image size follows from window and stages."""
    out = ({}, {})
    model = tv.VisionTransformer(image_size=8, patch_size=4, num_layers=1, num_heads=2, hidden_dim=128, mlp_dim=64,
                                 num_classes=CLASSES)
    vit = {"width": 128, "depth": 1, "heads": 2, "imageSize": 8, "patch": 4, "mlpRatio": 0.5, "classes": CLASSES,
           "layerNormEps": 1e-6, "pooling": "token"}
    model = randomise(model, torch.float16)
    case(out, "vit", model, model.state_dict(), 8, None, vit, torch.float16)
    model = tv.SwinTransformer(patch_size=[2, 2], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
                               num_classes=CLASSES, mlp_ratio=2.0)
    swin = {"width": 16, "depths": [2, 2], "heads": [2, 4], "window": 4, "imageSize": 16, "patch": 2, "mlpRatio": 2,
            "classes": CLASSES, "layerNormEps": 1e-5}
    model = randomise(model, torch.float16)
    case(out, "swin", model, model.state_dict(), 16, None, swin, torch.float16)
    write("torchvision", out)


if __name__ == "__main__":
    torch.manual_seed(0)
    write_timm()
    write_hugging_face()
    write_torchvision()
