# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files in src/test/resources/models from PyTorch:

  networks.safetensors        a CNN generator and the discriminators (MLP, convolutions, ViT) with what they give
  gan_20_steps.safetensors    a tiny ViT GAN with two spectrally normalised discriminators: parameters before and after 20
                              steps, batches, and the losses of every step; in double

usage: golden_models.py [layers | gan ...]
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

out = pathlib.Path(__file__).parent.parent / "src/test/resources/models"
out.mkdir(parents=True, exist_ok=True)


class Block(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(c, eps=1e-6)
        self.attn = nn.ModuleDict(dict(qkv=nn.Linear(c, 3 * c), proj=nn.Linear(c, c)))
        self.norm2 = nn.LayerNorm(c, eps=1e-6)
        self.mlp = nn.ModuleDict(dict(fc1=nn.Linear(c, 4 * c), fc2=nn.Linear(4 * c, c)))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        p = ((q @ k.transpose(-1, -2)) / (c // self.heads) ** 0.5).softmax(-1)
        x = x + self.attn["proj"]((p @ v).transpose(1, 2).reshape(b, t, c))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class Vit(nn.Module):
    """timm's VisionTransformer in short, with its parameter names."""

    def __init__(self, image, patch, c, depth, heads, vertices=0):
        super().__init__()
        self.patch_embed = nn.ModuleDict(dict(proj=nn.Conv2d(3, c, patch, patch)))
        self.cls_token = nn.Parameter(torch.randn(1, 1, c) * 0.5)
        self.pos_embed = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, c) * 0.5)
        self.blocks = nn.Sequential(*[Block(c, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(c, eps=1e-6)
        if vertices:
            self.head = nn.Linear(c, vertices)

    def tokens(self, u8):
        x = (u8.permute(0, 3, 1, 2).to(self.cls_token.dtype) / 255 - 0.5) / 0.5
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(x))


def randomise(m):
    with torch.no_grad():
        for name, p in m.named_parameters():
            norm = "norm" in name and name.endswith("weight")
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (1 if norm else 0))


def photographs(n, size):
    return torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8)


def discriminator(n):
    sn = torch.nn.utils.parametrizations.spectral_norm
    return nn.Sequential(sn(nn.Linear(n, 8)), nn.LeakyReLU(0.2), sn(nn.Linear(8, 4)), nn.LeakyReLU(0.2), sn(nn.Linear(4, 1)))


NAMES = {0: "layers.0", 2: "layers.1", 4: "decision"}


def state(g, ds):
    s = {"generator." + k: v for k, v in g.state_dict().items()}
    for name, d in ds.items():
        for i, layer in NAMES.items():
            p = f"discriminator.{name}.{layer}."
            s[p + "weight"] = d[i].parametrizations.weight.original.detach()
            s[p + "bias"] = d[i].bias.detach()
            s[p + "weight.u"] = d[i].parametrizations.weight[0]._u
            s[p + "weight.v"] = d[i].parametrizations.weight[0]._v
    return {k: v.clone().contiguous() for k, v in s.items()}


def adamw(modules, lr, betas):
    ps = [p for m in modules for p in m.named_parameters()]
    decay = [p for n, p in ps if p.dim() > 1 and not n.startswith(("cls_token", "pos_embed"))]
    rest = [p for n, p in ps if not (p.dim() > 1 and not n.startswith(("cls_token", "pos_embed")))]
    return torch.optim.AdamW([dict(params=decay, weight_decay=0.05), dict(params=rest, weight_decay=0.0)], lr=lr, betas=betas)


def golden_gan():
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    left, right, batch, steps = 10, 13, 6, 20
    g = Vit(16, 8, 16, 2, 2, left + right)
    randomise(g)
    ds = {"lh": discriminator(left), "rh": discriminator(right)}
    # round to float, as the file stores them
    with torch.no_grad():
        for m in (g, *ds.values()):
            for x in (*m.parameters(), *m.buffers()):
                x.copy_(x.float().double())
    tensors = {"before." + k: v.float() for k, v in state(g, ds).items()}
    og, od = adamw([g], 1e-3, (0.9, 0.999)), adamw(ds.values(), 2e-3, (0.5, 0.999))
    images, responses = photographs(steps * batch, 16), torch.randn(steps * batch, left + right).float().double()
    losses = []
    for s in range(steps):
        u8, t = images[s * batch:(s + 1) * batch], responses[s * batch:(s + 1) * batch]
        p = g.head(g.tokens(u8)[:, 0])
        halves = dict(zip(ds, zip(t.split([left, right], 1), p.split([left, right], 1))))
        row, total = {}, 0
        for name, d in ds.items():
            y = d(torch.cat([halves[name][0], halves[name][1].detach()]))
            row["d." + name] = 0.5 * ((y[:batch] - 1).square().mean() + y[batch:].square().mean())
            total = total + row["d." + name]
        od.zero_grad()
        total.backward()
        row["norm.d"] = torch.nn.utils.clip_grad_norm_([q for d in ds.values() for q in d.parameters()], 1.0)
        od.step()
        pc, tc = p - p.mean(0), t - t.mean(0)
        e = 0.01 * tc.square().mean(0).clamp(max=1)
        r = (pc * tc).sum(0) / torch.sqrt((pc.square().sum(0) + e) * (tc.square().sum(0) + e))
        row["pixel"], row["correlation"] = (p - t).abs().mean(), (1 - r).mean()
        total = row["pixel"] + row["correlation"]
        for name, d in ds.items():
            row["g." + name] = (d(halves[name][1]) - 1).square().mean()
            total = total + 0.05 * row["g." + name]
        og.zero_grad()
        total.backward()
        row["norm.g"] = torch.nn.utils.clip_grad_norm_(g.parameters(), 1.0)
        og.step()
        losses.append([float(torch.as_tensor(row[k]).detach()) for k in ("pixel", "correlation", "d.lh", "d.rh", "g.lh", "g.rh", "norm.g", "norm.d")])
    tensors |= {"after." + k: v for k, v in state(g, ds).items()}
    tensors |= {"images": images, "responses": responses.float(), "losses": torch.tensor(losses)}
    save_file(tensors, out / "gan_20_steps.safetensors")
    torch.set_default_dtype(torch.float32)


class Encoder(nn.Module):
    def __init__(self, c, depth, heads):
        super().__init__()
        self.blocks = nn.Sequential(*[Block(c, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(c, eps=1e-6)


def golden_layers():
    """The other networks, forward: a CNN generator, and the three discriminators that see the photograph, 9 vertices."""
    torch.manual_seed(5)
    u8, x = photographs(3, 16), torch.randn(3, 9)
    images = (u8.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    leaky = lambda t: F.leaky_relu(t, 0.2)
    flat = lambda t: t.permute(0, 2, 3, 1).flatten(1)  # channels innermost, as the engine has them
    tensors = {"images": u8, "responses": x}

    def keep(prefix, m, y):
        tensors.update({prefix + "." + k: v.detach().contiguous() for k, v in m.state_dict().items()})
        tensors[prefix + ".golden"] = y.detach().contiguous()

    def seen(m):  # one patch of 16 x 16
        return m["image_proj"](F.gelu(m["image_embed"](images.flatten(1)[:, None])).mean(1))

    cnn = nn.ModuleDict(dict(c0=nn.Conv2d(3, 4, 4, 2, 1), c1=nn.Conv2d(4, 6, 4, 2, 1), features=nn.Linear(96, 8), head=nn.Linear(8, 9)))
    y = leaky(cnn["features"](flat(leaky(cnn["c1"](leaky(cnn["c0"](images)))))))
    keep("cnn", cnn, cnn["head"](y))
    mlp = nn.ModuleDict(dict(l0=nn.Linear(9, 8), l1=nn.Linear(8, 4), decision=nn.Linear(4, 1), image_embed=nn.Linear(768, 8),
                             image_proj=nn.Linear(8, 8)))
    keep("mlp", mlp, mlp["decision"](leaky(mlp["l1"](leaky(mlp["l0"](x) + seen(mlp))))))
    conv = nn.ModuleDict(dict(c0=nn.Conv2d(1, 3, (1, 5), (1, 2), (0, 2)), c1=nn.Conv2d(3, 5, (1, 5), (1, 2), (0, 2)),
                              decision=nn.Linear(15, 1), image_embed=nn.Linear(768, 5), image_proj=nn.Linear(5, 5),
                              image_decision=nn.Linear(5, 1)))
    y = flat(leaky(conv["c1"](leaky(conv["c0"](x[:, None, None])))))
    keep("conv", conv, conv["decision"](y) + conv["image_decision"](seen(conv)))
    vit = nn.ModuleDict(dict(embed=nn.Linear(4, 8), encoder=Encoder(8, 1, 2), decision=nn.Linear(8, 1), image_embed=nn.Linear(768, 8),
                             image_proj=nn.Linear(8, 8)))
    cls, pos = torch.randn(1, 8), torch.randn(5, 8)
    tensors |= {"vit.cls": cls, "vit.pos": pos}
    t = vit["embed"](F.pad(x, (0, 3)).reshape(3, 3, 4))
    t = torch.cat([cls.expand(3, 1, 8), seen(vit)[:, None], t], 1) + pos
    keep("vit", vit, vit["decision"](vit["encoder"].norm(vit["encoder"].blocks(t))[:, 0]))
    save_file(tensors, out / "networks.safetensors")


for work in sys.argv[1:] or ("layers", "gan"):
    globals()["golden_" + work]()
for f in sorted(out.iterdir()):
    print(f.name, f.stat().st_size)
