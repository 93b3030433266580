#!/usr/bin/env python3
"""Reads the ViT generator of a checkpoint into PyTorch, with timm's VisionTransformer as its backbone.

    torch_model.py CHECKPOINT PHOTOGRAPHS.npy PREDICTIONS.npy [SUBJECT]

PHOTOGRAPHS.npy: u8 [N, S, S, 3], S = model.generator.image. PREDICTIONS.npy receives f32 [N, V], the left hemisphere's
vertices first. Needs torch, timm, safetensors and numpy. In a program: backbone, tensors, recipe = load(CHECKPOINT).
"""
import json, sys
from functools import partial
import numpy as np, torch
from safetensors import safe_open
from timm.layers import get_act_layer
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import grid_sample, gelu, layer_norm, linear, scaled_dot_product_attention

SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}


def load(checkpoint, subject=""):
    """The generator's backbone as a timm model, its other tensors by name, and its section of the recipe."""
    with safe_open(checkpoint, "pt") as f:
        recipe = json.loads(f.metadata()["cortigan.model"])["model"]["generator"]
        names, of = set(f.keys()), "generator."
        t = {n[len(of):]: f.get_tensor("ema/" + n if "ema/" + n in names else n) for n in names if n.startswith(of)}
    if recipe["type"] != "vit": sys.exit(f"{checkpoint}: holds a generator of type {recipe['type']}, not a ViT")
    vit = recipe["vit"]
    width, depth, heads = SIZES.get(vit["size"], (vit["width"], vit["depth"], vit["heads"]))
    for a in [n for n in t if n.endswith("lora_A.weight")]:  # LoRA: W + alpha / rank B A
        w = a.replace("lora_A.", "")
        t[w] = t[w] + vit["lora_alpha"] / vit["lora_rank"] * t.pop(a.replace("lora_A", "lora_B")) @ t.pop(a)
    registers, eps = vit.get("registers", 0), vit.get("norm_eps", 1e-6)
    model = VisionTransformer(
        recipe["image"], vit["patch"], num_classes=0, global_pool="", embed_dim=width, depth=depth, num_heads=heads,
        mlp_ratio=vit["mlp_ratio"], init_values=1 if vit.get("layer_scale") else None, pre_norm=vit.get("pre_norm", False),
        reg_tokens=registers, no_embed_class=registers > 0, norm_layer=partial(torch.nn.LayerNorm, eps=eps),
        act_layer=get_act_layer(vit.get("activation", "gelu")))
    # timm's patch embedding has no bias before a pre-norm, and its class token no position beside registers.
    position = t["pos_embed"] + t.get(f"subject.{subject}", 0)
    if vit.get("pre_norm"): position[1:] += t.pop("patch_embed.proj.bias")
    if registers: t["cls_token"], position = t["cls_token"] + position[0], position[1:]
    t["pos_embed"] = position
    state = {n: t.pop(n).reshape(p.shape) for n, p in model.state_dict().items()}
    model.load_state_dict(state, strict=True)
    return model.eval(), t, recipe


def predict(checkpoint, photographs, subject=""):
    """Responses [N, V] to photographs u8 [N, S, S, 3]."""
    model, t, recipe = load(checkpoint, subject)
    vit, c, suffix = recipe["vit"], recipe["features"], f".{subject}" if subject else ""
    x = (torch.from_numpy(photographs).float() / 255 - torch.tensor(recipe["mean"])) / torch.tensor(recipe["std"])
    depth = len(model.blocks)
    layers = vit["layers"] or [depth]
    sums = model.forward_intermediates(
        x.permute(0, 3, 1, 2), [i - 1 for i in layers], return_prefix_tokens=True, output_fmt="NLC",
        intermediates_only=True)
    parts, b, side = [], len(x), recipe["image"] // vit["patch"]
    for i, (patches, prefix) in zip(layers, sums):
        tokens = torch.cat([prefix[:, :1], patches], 1)
        tokens = model.norm(tokens) if i == depth else layer_norm(
            tokens, tokens.shape[-1:], t[f"norms.{i}.weight"], t[f"norms.{i}.bias"], model.norm.eps)
        if recipe["readout"] == "dense":
            pooled = {"cls": tokens[:, 0], "mean": tokens[:, 1:].mean(1), "tokens": tokens[:, 1:].flatten(1)}
            tokens = pooled[vit["pool"]]
        if len(layers) > 1 or recipe["readout"] != "dense":
            tokens = linear(tokens, t[f"readout.{i}.weight"], t[f"readout.{i}.bias"])
        parts.append(tokens)
    head = {n[len("head" + suffix) + 1:]: w for n, w in t.items() if n.startswith("head" + suffix + ".")}
    w, bias = head["weight"], head["bias"]
    if recipe["readout"] == "dense":
        f = torch.cat(parts, 1)
        if recipe.get("rank", 0): f = linear(f, t["rank.weight"])
    else:
        f = torch.stack(parts, 1)[:, :, 1:]  # [N, L, T, C]
    if len(layers) > 1 and recipe["readout"] != "queries":
        w = (head["layers"].softmax(1)[:, :, None] * w[:, None]).flatten(1)  # [V, L C]
    if recipe["readout"] == "dense":
        y = linear(f, w, bias)
    elif recipe["readout"] == "factorised":
        seen = torch.einsum("vp,blpc->bvlc", head["mask"], f).flatten(2)
        y = (seen * w).sum(2) + bias
    elif recipe["readout"] == "position":
        maps = f.reshape(b, len(layers), side, side, c).permute(0, 1, 4, 2, 3).flatten(1, 2)
        at = head["position"].tanh().expand(b, 1, -1, -1)
        y = (grid_sample(maps, at, padding_mode="border", align_corners=False)[:, :, 0] * w.T).sum(1) + bias
    else:  # queries: one decoder layer, in which the query of each region attends to the tokens of all layers
        dense = lambda name, x: linear(x, t[f"queries.{name}.weight"], t[f"queries.{name}.bias"])
        norm = lambda name, x: layer_norm(x, (c,), t[f"queries.{name}.weight"], t[f"queries.{name}.bias"], 1e-6)
        heads = lambda x: x.unflatten(-1, (recipe["query_heads"], -1)).transpose(1, 2)
        embed = t["queries.embed"]
        k, v = dense("kv", torch.cat(parts, 1)).chunk(2, -1)
        q = dense("q", norm("norm1", embed)).expand(b, -1, -1)
        z = embed + dense("proj", scaled_dot_product_attention(heads(q), heads(k), heads(v)).transpose(1, 2).flatten(2))
        z = norm("norm", z + dense("fc2", gelu(dense("fc1", norm("norm2", z)))))
        y = (z[:, head["region"][:, 0].long()] * w).sum(2) + bias
    return y * t.get("response_scale" + suffix, 1) + t.get("response_mean" + suffix, 0)


if __name__ == "__main__":
    with torch.inference_mode():
        np.save(sys.argv[3], predict(sys.argv[1], np.load(sys.argv[2]), *sys.argv[4:]).numpy())
