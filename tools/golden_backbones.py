# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/models/backbones.zip: small random ViTs as timm, DINOv2's authors, Hugging Face and OpenCLIP
save them, each in a folder with the library's configuration files, and golden.safetensors with two photographs u8 and,
as NAME.SIDE, the tokens after the final norm (class token, patches) of the photographs' upper left SIDE pixels.

usage: golden_backbones.py      (needs torch, timm, transformers, open_clip_torch)
"""
import json
import math
import pathlib
import re
import tempfile
import zipfile

import open_clip
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from torch.nn import functional as F

OUT = pathlib.Path(__file__).parent.parent / "src/test/resources/models/backbones.zip"
SHAPE = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
TIMM = dict(embed_dim=24, depth=2, num_heads=4, img_size=32, patch_size=8)
AUGREG = ([0.5] * 3, [0.5] * 3)
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])

torch.manual_seed(16)
images = torch.randint(0, 256, (2, 48, 48, 3), dtype=torch.uint8)
golden = {"images": images}
folder = pathlib.Path(tempfile.mkdtemp())


def randomise(m):
    """Values that all matter, which float16 has exactly."""
    with torch.no_grad():
        for name, p in m.named_parameters():
            size, offset = (0.3, 0) if p.dim() > 1 else (0.1, 0)
            if re.search(r"norm\w*\.weight|ln_\w+\.weight|layernorm\w*\.weight|layrnorm\.weight", name):
                offset = 1
            if re.search(r"gamma|lambda1|ls_\d", name):
                size, offset = 0.3, 0.5
            p.copy_((torch.randn_like(p) * size + offset).half())
    return m.eval().double()


def pixels(side, colours):
    mean, std = (torch.tensor(c, dtype=torch.float64) for c in colours)
    return ((images[:, :side, :side].double() / 255 - mean) / std).permute(0, 3, 1, 2)


def keep(name, side, tokens, registers=0):
    golden[f"{name}.{side}"] = torch.cat([tokens[:, :1], tokens[:, 1 + registers:]], 1).detach().float().contiguous()


def weights(name, tensors, config={}):
    path = folder / name
    path.mkdir(exist_ok=True)
    save_file({k: v.detach().half().contiguous().clone() for k, v in tensors.items()}, path / "model.safetensors")
    for file, content in config.items():
        (path / file).write_text(json.dumps(content))


def timm_vit(name, architecture, colours, sides=(32, 24, 48), **args):
    args = TIMM | args
    m = randomise(timm.create_model(architecture, pretrained=False, dynamic_img_size=True, **args))
    m.pretrained_cfg = m.pretrained_cfg | {"mean": colours[0], "std": colours[1]}
    with tempfile.TemporaryDirectory() as saved:
        save_for_hf(m.float(), saved, model_args=args)
        config = json.loads((pathlib.Path(saved) / "config.json").read_text())
        weights(name, m.state_dict(), {"config.json": config})
    m.double()
    for side in sides:
        keep(name, side, m.forward_features(pixels(side, colours)), m.num_reg_tokens)


def dinov2(name, registers, rename, sides=(32, 24, 48)):
    """The names and the interpolation of DINOv2's authors; timm computes the tokens."""
    m = randomise(timm.create_model("vit_small_patch14_reg4_dinov2", pretrained=False, num_classes=0, **(TIMM | dict(reg_tokens=registers))))
    pos = torch.randn(1, 17, 24, dtype=torch.float64).mul(0.5).half().double()
    tensors = {k: v.clone() for k, v in m.state_dict().items()}
    tensors["pos_embed"] = pos
    tensors["mask_token"] = torch.zeros(1, 24)
    if registers:
        tensors["register_tokens"] = tensors.pop("reg_token")
    weights(name, {rename(k): v for k, v in tensors.items()})
    cls = m.cls_token.detach().clone()
    for side in sides:
        to = side // 8
        grid = pos[:, 1:].reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
        if to != 4:
            # register models: hubconf's interpolate_antialias=True, interpolate_offset=0.0; others: False, 0.1
            form = dict(size=(to, to), antialias=True) if registers else dict(scale_factor=((to + 0.1) / 4,) * 2)
            grid = F.interpolate(grid, mode="bicubic", **form)
        n = timm.create_model("vit_small_patch14_reg4_dinov2", pretrained=False, num_classes=0,
                              **(TIMM | dict(reg_tokens=registers, img_size=side))).eval().double()
        # this model of timm has no position for the class token
        state = m.state_dict() | {"cls_token": cls + pos[:, :1], "pos_embed": grid.permute(0, 2, 3, 1).reshape(1, to * to, 24)}
        n.load_state_dict(state)
        keep(name, side, n.forward_features(pixels(side, IMAGENET)), registers)


def hugging_face(name, m, colours, tokens, memory=False, sides=(32, 24, 48), registers=0):
    randomise(m)
    with tempfile.TemporaryDirectory() as saved:
        m.save_pretrained(saved)
        saved = pathlib.Path(saved)
        tensors = m.state_dict() if memory else load_file(saved / "model.safetensors")
        processor = {"do_normalize": True, "image_mean": colours[0], "image_std": colours[1]}
        weights(name, tensors, {"config.json": json.loads((saved / "config.json").read_text()), "preprocessor_config.json": processor})
    for side in sides:
        keep(name, side, tokens(m, pixels(side, colours)), registers)


def last(m, x, **args):
    return m(x, **args).last_hidden_state


def interpolated(m, x):
    return last(m, x, interpolate_pos_encoding=True)


def mae(m, x):
    patches = (x.shape[2] // 8) ** 2
    order = torch.arange(patches, dtype=torch.float64).expand(x.shape[0], -1)
    return m.vit(x, noise=order, interpolate_pos_encoding=True).last_hidden_state


def clip_tower(tower):
    def tokens(m, x):
        v = tower(m)
        return v.post_layernorm(v(x, interpolate_pos_encoding=True).last_hidden_state)
    return tokens


def open_clip_vit(name, quick):
    def model(side):
        vision = dict(image_size=side, layers=2, width=32, patch_size=8, head_width=8)
        text = dict(context_length=8, vocab_size=50, width=16, heads=2, layers=1)
        return dict(embed_dim=16, quick_gelu=quick, vision_cfg=vision, text_cfg=text)
    m = randomise(open_clip.CLIP(**model(32)))
    weights(name, m.state_dict(), {"open_clip_config.json": {"model_cfg": model(32), "preprocess_cfg": {"mean": CLIP[0], "std": CLIP[1]}}})
    for side in (32, 24, 48):
        n = open_clip.CLIP(**model(side)).eval().double()
        state = dict(m.state_dict())
        open_clip.model.resize_pos_embed(state, n)
        n.load_state_dict(state)
        seen = []
        n.visual.transformer.register_forward_hook(lambda module, args, out: seen.append(out))
        n.visual(pixels(side, CLIP))
        keep(name, side, n.visual.ln_post(seen[0]))


def chunked(k):
    return "teacher.backbone." + re.sub(r"^blocks\.(\d+)", r"blocks.\1.\1", k)


with torch.no_grad():
    timm_vit("timm-augreg", "vit_tiny_patch16_224", AUGREG, num_classes=5)
    timm_vit("timm-no-qkv-bias", "vit_tiny_patch16_224", IMAGENET, num_classes=0, qkv_bias=False)
    timm_vit("timm-dinov2", "vit_small_patch14_dinov2", IMAGENET, num_classes=0, patch_size=14, img_size=42, sides=(42, 28))
    timm_vit("timm-dinov2-registers", "vit_small_patch14_reg4_dinov2", IMAGENET, num_classes=0)
    timm_vit("timm-clip", "vit_base_patch16_clip_quickgelu_224", CLIP, num_classes=16)
    dinov2("dinov2", 0, lambda k: k)
    dinov2("dinov2-registers-chunked", 4, chunked)
    config = SHAPE | dict(intermediate_size=96)
    hugging_face("hf-vit", transformers.ViTForImageClassification(transformers.ViTConfig(**config, num_labels=5)), AUGREG, lambda m, x: interpolated(m.vit, x))
    hugging_face("hf-vit-memory", transformers.ViTModel(transformers.ViTConfig(**config, layer_norm_eps=1e-3)), IMAGENET, interpolated, memory=True)
    decoder = dict(decoder_hidden_size=16, decoder_num_attention_heads=2, decoder_num_hidden_layers=1, decoder_intermediate_size=32)
    hugging_face("hf-mae", transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**config, **decoder, mask_ratio=0.0)), IMAGENET, mae)
    hugging_face("hf-dinov2", transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE)), IMAGENET, last)
    hugging_face("hf-dinov2-memory", transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE)), IMAGENET, last, memory=True)
    hugging_face("hf-dinov2-registers", transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**SHAPE)), IMAGENET, last, registers=4)
    text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    hugging_face("hf-clip", transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=config, projection_dim=16)), CLIP, clip_tower(lambda m: m.vision_model))
    hugging_face("hf-clip-vision", transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**config, hidden_act="gelu")), CLIP, clip_tower(lambda m: m))
    hugging_face("hf-clip-projection", transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**config, projection_dim=16)), CLIP, clip_tower(lambda m: m.vision_model))
    open_clip_vit("open-clip", False)
    open_clip_vit("open-clip-openai", True)

save_file(golden, folder / "golden.safetensors")
with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED) as z:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            z.writestr(zipfile.ZipInfo(str(path.relative_to(folder)), (2026, 1, 1, 0, 0, 0)), path.read_bytes(), zipfile.ZIP_DEFLATED)
print(OUT.stat().st_size, {k: list(v.shape) for k, v in golden.items()})
