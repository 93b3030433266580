# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/models/gan_*.safetensors from PyTorch in double: tiny GANs with every kind of generator, readout
and discriminator: their parameters before and after some steps, the batches, and the losses of every step.

usage: golden_gans.py [name ...]
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

out = pathlib.Path(__file__).parent.parent / "src/test/resources/models"
LEFT, RIGHT, BATCH, STEPS = 10, 13, 6, 8
V = LEFT + RIGHT
# regions that overlap, that have one vertex, and whose vertices are not sorted; some vertices are in no region
REGIONS = {"a": [3, 4, 5, 6, 7, 15, 16], "b": [22, 0, 5, 4, 19], "c": [11], "remainder": [1, 2, 8, 9, 10, 12, 13, 14, 17, 18, 20]}
HEMISPHERES = {"lh": list(range(LEFT)), "rh": list(range(LEFT, V))}
leaky = lambda x: F.leaky_relu(x, 0.2)


class Params(nn.Module):
    """Random parameters under the engine's names."""

    def __init__(self):
        super().__init__()
        self.p, self.b = nn.ParameterDict(), {}

    def get(self, name, *shape, scale=0.3, offset=0.0):
        key = name.replace(".", "/")
        if key not in self.p:
            self.p[key] = nn.Parameter((torch.randn(*shape) * scale + offset).float().double())
        return self.p[key]

    def buffer(self, name, value):
        return self.b.setdefault(name, value)

    def named(self):
        return {k.replace("/", "."): v for k, v in self.p.items()}


def linear(p, name, x, out):
    return F.linear(x, p.get(name + ".weight", out, x.shape[-1]), p.get(name + ".bias", out, scale=0.1))


def layer_norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p.get(name + ".weight", x.shape[-1], scale=0.1, offset=1), p.get(name + ".bias", x.shape[-1], scale=0.1), 1e-6)


def conv(p, name, x, out, k, stride, pad):
    return F.conv2d(x, p.get(name + ".weight", out, x.shape[1], *k), p.get(name + ".bias", out, scale=0.1), stride, pad)


def normalized(u8):
    return (u8.double() / 255 - 0.5) / 0.5


def vit(p, u8, layers, features, spatial):
    b, c, heads, depth = u8.shape[0], 16, 2, 3
    x = normalized(u8).permute(0, 3, 1, 2)
    x = F.unfold(x, 8, stride=8).transpose(1, 2)
    x = linear(p, "patch_embed.proj", x, c)
    x = torch.cat([p.get("cls_token", 1, c).expand(b, 1, c), x], 1) + p.get("pos_embed", 5, c)
    tokens = []
    for i in range(depth):
        n = f"blocks.{i}."
        q, k, v = linear(p, n + "attn.qkv", layer_norm(p, n + "norm1", x), 3 * c).reshape(b, 5, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-1, -2) / (c // heads) ** 0.5).softmax(-1) @ v
        x = x + linear(p, n + "attn.proj", a.transpose(1, 2).reshape(b, 5, c), c)
        x = x + linear(p, n + "mlp.fc2", F.gelu(linear(p, n + "mlp.fc1", layer_norm(p, n + "norm2", x), 4 * c)), c)
        if i + 1 in layers:
            h = layer_norm(p, "norm" if i + 1 == depth else f"norms.{i + 1}", x)
            h = linear(p, f"readout.{i + 1}", h, features) if spatial or len(layers) > 1 else h
            tokens.append(h[:, 1:].reshape(b, 2, 2, features) if spatial else h[:, 0])
    if depth not in layers:
        layer_norm(p, "norm", x)
    return torch.stack(tokens, 1)  # [B, L, C] or [B, L, H, W, C]


def cnn(p, u8, features, spatial):
    x = normalized(u8).permute(0, 3, 1, 2)
    for i, c in enumerate((4, 6)):
        x = leaky(conv(p, f"conv.{i}", x, c, (4, 4), 2, 1))
    return of_map(p, x, features, spatial)


def of_map(p, x, features, spatial):
    x = x.permute(0, 2, 3, 1)
    if spatial:
        return linear(p, "readout", x, features)[:, None]
    return leaky(linear(p, "features", x.flatten(1), 8))[:, None]


def unet(p, u8, norm, features, spatial):
    x, down, channels = normalized(u8).permute(0, 3, 1, 2), [], (4, 6, 8)

    def block(name, x, c, k, stride):
        y = conv(p, name + ".conv", x, c, k, stride, 1)
        if norm != "none":
            g, b = p.get(name + ".norm.weight", c, scale=0.1, offset=1), p.get(name + ".norm.bias", c, scale=0.1)
        if norm == "group":
            y = F.group_norm(y, 2, g, b)
        if norm == "batch":
            mean = p.buffer(name + ".norm.running_mean", torch.zeros(c))
            var = p.buffer(name + ".norm.running_var", torch.ones(c))
            y = F.batch_norm(y, mean, var, g, b, training=True, momentum=0.1)
        return leaky(y)

    for i, c in enumerate(channels):
        x = block(f"down.{i}", x, c, (4, 4), 2)
        down.append(x)
    x = torch.cat([F.interpolate(x, scale_factor=2), down[1]], 1)
    return of_map(p, block("up.1", x, 6, (3, 3), 1), features, spatial)


def readout(p, x, kind):
    l, c = x.shape[1], x.shape[-1]
    w = p.get("head.weight", V, c)
    bias = p.get("head.bias", V, scale=0.1)
    if l > 1:
        w = (p.get("head.layers", V, l).softmax(1)[:, :, None] * w[:, None]).flatten(1)
    if kind == "dense":
        return x.flatten(1) @ w.T + bias
    w = w.reshape(V, l, c)
    if kind == "factorised":
        return torch.einsum("blpc,vp,vlc->bv", x.flatten(2, 3), p.get("head.mask", V, x.shape[2] * x.shape[3]), w) + bias
    at = p.get("head.position", V, 2).tanh()
    maps = x.permute(0, 1, 4, 2, 3).flatten(0, 1)  # [B L, C, H, W]
    seen = F.grid_sample(maps, at[None, None].expand(maps.shape[0], 1, V, 2), align_corners=False, padding_mode="border")
    return torch.einsum("blcv,vlc->bv", seen[:, :, 0].reshape(x.shape[0], l, c, V), w) + bias


class Spectral:
    """Spectrally normalised weights of the discriminators; u and v move when advance() is called."""

    def __init__(self, p):
        self.p, self.u, self.v = p, {}, {}

    def __call__(self, name, *shape):
        w = self.p.get(name, *shape)
        m = w.flatten(1)
        if name not in self.u:
            self.u[name] = F.normalize(torch.randn(m.shape[0]), dim=0).float().double()
            self.v[name] = F.normalize(torch.randn(m.shape[1]), dim=0).float().double()
        return w / (self.u[name] @ m @ self.v[name])

    @torch.no_grad()
    def advance(self):
        for n in self.u:
            m = self.p.named()[n].flatten(1)
            self.u[n] = F.normalize(m @ self.v[n], dim=0)
            self.v[n] = F.normalize(m.T @ self.u[n], dim=0)


def patch_d(p, sn, region, x, stride):
    x, prefix = x[:, None, None], f"{region}."
    for name, o, s in (("conv.0", 3, stride), ("conv.1", 2, stride), ("decision", 1, 1)):
        w = sn(prefix + name + ".weight", o, x.shape[1], 1, 5)
        x = F.conv2d(x, w, p.get(prefix + name + ".bias", o, scale=0.1), (1, s), (0, 2))
        x = x if name == "decision" else leaky(x)
    return x.flatten(1)


def mlp_d(p, sn, region, x):
    for name, o in (("layers.0", 8), ("layers.1", 4), ("decision", 1)):
        n = f"{region}.{name}"
        x = F.linear(x, sn(n + ".weight", o, x.shape[1]), p.get(n + ".bias", o, scale=0.1))
        x = x if name == "decision" else leaky(x)
    return x


CASES = {
    "vit_layers_position_patch": dict(g=lambda p, u8: readout(p, vit(p, u8, (1, 3), 4, True), "position"), regions=REGIONS, d=lambda *a: patch_d(*a, 1)),
    "vit_layers_dense_mlp": dict(g=lambda p, u8: readout(p, vit(p, u8, (2, 3), 4, False), "dense"), regions=REGIONS, d=mlp_d),
    "cnn_factorised_patch": dict(g=lambda p, u8: readout(p, cnn(p, u8, 4, True), "factorised"), regions=HEMISPHERES, d=lambda *a: patch_d(*a, 2), vertices=True),
    "unet_batch_position_mlp": dict(g=lambda p, u8: readout(p, unet(p, u8, "batch", 4, True), "position"), regions=HEMISPHERES, d=mlp_d, smooth=True),
    "unet_group_dense_mlp": dict(g=lambda p, u8: readout(p, unet(p, u8, "group", 4, False), "dense"), regions=HEMISPHERES, d=mlp_d),
}


def adamw(p, lr, betas):
    last = lambda n: n.rsplit(".", 1)[-1]
    decay = [v for n, v in p.named().items() if last(n) in ("weight", "mask") and v.dim() > 1]
    rest = [v for n, v in p.named().items() if not (last(n) in ("weight", "mask") and v.dim() > 1)]
    return torch.optim.AdamW([dict(params=decay, weight_decay=0.05), dict(params=rest, weight_decay=0.0)], lr=lr, betas=betas)


def run(name, case):
    torch.manual_seed(11)
    g, d = Params(), Params()
    sn = Spectral(d)
    images = torch.randint(0, 256, (STEPS * BATCH, 16, 16, 3), dtype=torch.uint8)
    responses = torch.randn(STEPS * BATCH, V).float().double()
    judge = lambda x: {r: case["d"](d, sn, r, x[:, i]) for r, i in case["regions"].items()}
    with torch.no_grad():  # the first pass declares all parameters
        judge(case["g"](g, images[:BATCH]))
        g.b.clear()
        sn.advance()
        for n in sn.u:
            sn.u[n], sn.v[n] = sn.u[n].float().double(), sn.v[n].float().double()
    n = sum(len(i) for i in case["regions"].values())
    share = {r: len(i) / n if case.get("vertices") else 1 / len(case["regions"]) for r, i in case["regions"].items()}

    def state(kind):
        s = {f"{kind}.generator.{k}": v for k, v in (g.named() | g.b).items()}
        s |= {f"{kind}.discriminator.{k}": v for k, v in d.named().items()}
        for w in sn.u:
            s |= {f"{kind}.discriminator.{w}.u": sn.u[w], f"{kind}.discriminator.{w}.v": sn.v[w]}
        return {k: v.detach().clone().contiguous() for k, v in s.items()}

    tensors = {k: v.float() for k, v in state("before").items()}
    og, od = adamw(g, 1e-3, (0.9, 0.999)), adamw(d, 2e-3, (0.5, 0.999))
    losses = []
    for s in range(STEPS):
        u8, t = images[s * BATCH:(s + 1) * BATCH], responses[s * BATCH:(s + 1) * BATCH]
        p = case["g"](g, u8)
        y = judge(torch.cat([t, p.detach()]))
        row = [((y[r][:BATCH] - 1).square().mean() + y[r][BATCH:].square().mean()) / 2 for r in y]
        od.zero_grad()
        sum(row).backward()
        row.append(torch.nn.utils.clip_grad_norm_(d.parameters(), 1.0))
        od.step()
        sn.advance()
        pc, tc = p - p.mean(0), t - t.mean(0)
        e = 0.01 * tc.square().mean(0).clamp(max=1)
        r = (pc * tc).sum(0) / torch.sqrt((pc.square().sum(0) + e) * (tc.square().sum(0) + e))
        pixel = F.smooth_l1_loss(p, t) if case.get("smooth") else (p - t).abs().mean()
        y = judge(p)
        adversarial = {q: (y[q] - 1).square().mean() for q in y}
        total = pixel + (1 - r).mean() + 0.1 * sum(share[q] * adversarial[q] for q in y)
        og.zero_grad()
        total.backward()
        row += [pixel, (1 - r).mean(), *adversarial.values(), torch.nn.utils.clip_grad_norm_(g.parameters(), 1.0), total]
        og.step()
        losses.append([float(torch.as_tensor(x).detach()) for x in row])
    tensors |= state("after")
    tensors |= {"images": images, "responses": responses.float(), "losses": torch.tensor(losses)}
    save_file(tensors, out / f"gan_{name}.safetensors")
    print(name, losses[0][-1], losses[-1][-1], (out / f"gan_{name}.safetensors").stat().st_size)


torch.set_default_dtype(torch.float64)
for name in sys.argv[1:] or CASES:
    run(name, CASES[name])
