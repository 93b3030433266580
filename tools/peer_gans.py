# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch on the training steps of the U-Net, patch and position recipes in their workstation sizes, and of vanilla-gan-tiny,
the counterpart of `cortigan profile -c RECIPE-workstation`: whole GAN steps, AdamW or Adam with clipping by global norm, spectral norm, LSGAN,
L1 or smooth L1 + correlation. Photographs and responses are random; prints the median of the steps.

"""
import argparse
import statistics
import time

import torch
from busy import count
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("recipe", choices=["unet-corr-2d", "vanilla-patch-multi", "vit-patch-multi", "vit-position", "vanilla-gan-tiny"])
parser.add_argument("steps", type=int, nargs="?", default=5)
parser.add_argument("batch", type=int, nargs="?", default=32)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--count", metavar="FILE", help="step without end and count the images in the file, for busy.py")
a = parser.parse_args()
recipe, batch = a.recipe, a.batch
torch.set_num_threads(a.threads)
torch.manual_seed(0)
LEFT, RIGHT = 19004, 20544
V = LEFT + RIGHT
sn = torch.nn.utils.parametrizations.spectral_norm


class Block(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(c, eps=1e-6), nn.LayerNorm(c, eps=1e-6)
        self.qkv, self.proj, self.fc1, self.fc2 = nn.Linear(c, 3 * c), nn.Linear(c, c), nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    """ViT-Ti/16 at 224 pixels; returns the tokens after the given layers."""
    image, width = 224, 192

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.embed = nn.Conv2d(3, 192, 16, 16)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, 192)), nn.Parameter(torch.randn(1, 197, 192) * 0.02)
        self.blocks = nn.ModuleList([Block(192, 3) for _ in range(12)])
        self.norms = nn.ModuleList([nn.LayerNorm(192, eps=1e-6) for _ in layers])

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x, out = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos, []
        for i, b in enumerate(self.blocks):
            x = b(x)
            if i + 1 in self.layers:
                out.append(self.norms[len(out)](x))
        return out


class Dense(nn.Module):
    image = 224

    def __init__(self):
        super().__init__()
        self.vit, self.head = Vit([12]), nn.Linear(192, V)

    def forward(self, x):
        return self.head(self.vit(x)[0][:, 0])


class Position(nn.Module):
    """Reads maps [B, L, C, H, W] at one point for each vertex, with a learned weight for each layer."""

    def __init__(self, layers, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(V, c) * 0.02), nn.Parameter(torch.zeros(V))
        self.choice = nn.Parameter(torch.zeros(V, layers)) if layers > 1 else None
        self.at = nn.Parameter(torch.rand(V, 2) - 0.5)

    def forward(self, x):
        b, l, c = x.shape[:3]
        seen = F.grid_sample(x.flatten(0, 1), self.at.tanh()[None, None].expand(b * l, 1, V, 2), align_corners=False, padding_mode="border")
        seen = seen.reshape(b, l, c, V)
        if self.choice is not None:
            seen = torch.einsum("blcv,vl->bcv", seen, self.choice.softmax(1))
        else:
            seen = seen[:, 0]
        return torch.einsum("bcv,vc->bv", seen, self.weight) + self.bias


class VitPosition(nn.Module):
    image = 224

    def __init__(self):
        super().__init__()
        self.vit, self.project, self.head = Vit([3, 6, 9, 12]), nn.ModuleList([nn.Linear(192, 64) for _ in range(4)]), Position(4, 64)

    def forward(self, x):
        maps = [p(t[:, 1:]).transpose(1, 2).reshape(-1, 64, 14, 14) for p, t in zip(self.project, self.vit(x))]
        return self.head(torch.stack(maps, 1))


class Unet(nn.Module):
    image = 64

    def __init__(self):
        super().__init__()
        c = [32, 64, 128, 256]
        block = lambda i, o, k, s: nn.Sequential(nn.Conv2d(i, o, k, s, 1), nn.GroupNorm(8, o), nn.LeakyReLU(0.2))
        self.down = nn.ModuleList([block(i, o, 4, 2) for i, o in zip([3] + c, c)])
        self.up = nn.ModuleList([block(256 + 128, 128, 3, 1), block(128 + 64, 64, 3, 1)])
        self.project, self.head = nn.Conv2d(64, 64, 1), Position(1, 64)

    def forward(self, x):
        skips = []
        for d in self.down:
            x = d(x)
            skips.append(x)
        for u, s in zip(self.up, (skips[2], skips[1])):
            x = u(torch.cat([F.interpolate(x, scale_factor=2), s], 1))
        return self.head(self.project(x)[:, None])


class Cnn(nn.Module):
    image = 64

    def __init__(self, c=32, hidden=256):
        super().__init__()
        layers = []
        for i, o in ((3, c), (c, 2 * c), (2 * c, 4 * c)):
            layers += [nn.Conv2d(i, o, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256 * c, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, V))

    def forward(self, x):
        return self.net(x)


def mlp(n, first=256, second=128):
    return nn.Sequential(sn(nn.Linear(n, first)), nn.LeakyReLU(0.2), sn(nn.Linear(first, second)), nn.LeakyReLU(0.2),
                         sn(nn.Linear(second, 1)))


def patch(n):
    conv = lambda i, o: sn(nn.Conv1d(i, o, 9, padding=4))
    return nn.Sequential(nn.Unflatten(1, (1, n)), conv(1, 8), nn.LeakyReLU(0.2), conv(8, 8), nn.LeakyReLU(0.2), conv(8, 1), nn.Flatten())


hemispheres = [slice(0, LEFT), slice(LEFT, V)]
regions = [slice(k * V // 25, (k + 1) * V // 25) for k in range(25)]
G, make, parts = {
    "unet-corr-2d": (Unet, mlp, hemispheres), "vanilla-patch-multi": (Cnn, patch, regions), "vit-patch-multi": (Dense, patch, regions),
    "vit-position": (VitPosition, None, []), "vanilla-gan-tiny": (lambda: Cnn(16, 128), lambda n: mlp(n, 64, 32), [slice(0, V)]),
}[recipe]
g, ds = G(), nn.ModuleList([make(p.stop - p.start) for p in parts])
adam = torch.optim.Adam if recipe.startswith(("unet", "vanilla")) else torch.optim.AdamW
g_optimizer, d_optimizer = adam(g.parameters(), 2e-4), adam(ds.parameters(), 2e-4) if parts else None
images = torch.randint(0, 256, (batch, 3, g.image, g.image), dtype=torch.uint8)
target = torch.randn(batch, V)
pixel = F.smooth_l1_loss if recipe == "vit-position" else F.l1_loss


def correlation(p, t, eps=0.01):
    p, t = p - p.mean(0), t - t.mean(0)
    e = eps * t.square().mean(0).clamp(max=1)
    return (1 - (p * t).sum(0) / torch.sqrt((p.square().sum(0) + e) * (t.square().sum(0) + e))).mean()


vanilla = recipe == "vanilla-gan-tiny"  # no correlation loss, no clipping


def clip(network):
    if not vanilla:
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)


def step():
    p = g((images.float() / 255 - 0.5) / 0.5)
    if parts:
        both = torch.cat([target, p.detach()])
        d_optimizer.zero_grad(set_to_none=True)
        loss = 0
        for d, r in zip(ds, parts):
            y = d(both[:, r])
            loss = loss + 0.5 * ((y[:batch] - 1).square().mean() + y[batch:].square().mean())
        loss.backward()
        clip(ds)
        d_optimizer.step()
    g_optimizer.zero_grad(set_to_none=True)
    loss = pixel(p, target)
    if not vanilla:
        loss = loss + correlation(p, target)
    for d, r in zip(ds, parts):
        loss = loss + 0.01 / len(parts) * (d(p[:, r]) - 1).square().mean()
    loss.backward()
    clip(g)
    g_optimizer.step()


if a.count:
    count(a.count, step, batch)
step()
times = []
for _ in range(a.steps):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
print(f"torch {torch.__version__} {recipe}: {batch / statistics.median(times):.3f} images/s, {statistics.median(times) * 1e3:.1f} ms a step")
