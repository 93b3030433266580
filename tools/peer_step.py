# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch on the training step that `cortigan profile` times: a ViT with a head over the vertices, L1 + correlation over
images, AdamW with clipping by global norm; with --gan also a spectrally normalised MLP discriminator for each hemisphere,
LSGAN. Photographs and responses are random; prints the median of the steps.

  --precision fp32        everything in float
  --precision bf16        torch.autocast on the CPU with bfloat16, fp32 master weights
  --compile               torch.compile of the generator

Runs on the CPU; tools/gpu-check uses gpu_peer_steps.py.
"""
import argparse
import statistics
import time

import torch
from busy import count
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in dict(image=224, patch=16, width=768, depth=12, heads=12, batch=8, left=19004, right=20544, steps=3,
                          threads=2).items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
parser.add_argument("--gan", action="store_true")
parser.add_argument("--hidden", type=int, nargs=2, default=[256, 128])
parser.add_argument("--compile", action="store_true")
parser.add_argument("--count", metavar="FILE", help="step without end and count the images in the file, for busy.py")
a = parser.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
vertices = a.left + a.right


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, c)
        x = x + self.proj(y)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, a.width, a.patch, a.patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, a.width))
        self.pos = nn.Parameter(torch.randn(1, (a.image // a.patch) ** 2 + 1, a.width) * 0.02)
        self.blocks = nn.Sequential(*[Block(a.width, a.heads) for _ in range(a.depth)])
        self.norm, self.head = nn.LayerNorm(a.width, eps=1e-6), nn.Linear(a.width, vertices)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


sn = torch.nn.utils.parametrizations.spectral_norm


def discriminator(n):
    return nn.Sequential(sn(nn.Linear(n, a.hidden[0])), nn.LeakyReLU(0.2), sn(nn.Linear(*a.hidden)), nn.LeakyReLU(0.2),
                         sn(nn.Linear(a.hidden[1], 1)))


def correlation(p, t, eps=0.01):
    p, t = p - p.mean(0), t - t.mean(0)
    e = eps * t.square().mean(0).clamp(max=1)
    return (1 - (p * t).sum(0) / torch.sqrt((p.square().sum(0) + e) * (t.square().sum(0) + e))).mean()


g = Vit()
forward = torch.compile(g) if a.compile else g
sizes = [a.left, a.right] if a.gan else []
ds = [discriminator(n) for n in sizes]
g_optimizer = torch.optim.AdamW(g.parameters(), lr=1e-4, weight_decay=0.05)
d_optimizer = torch.optim.AdamW([p for d in ds for p in d.parameters()], lr=1e-4) if ds else None
images = torch.randint(0, 256, (a.batch, 3, a.image, a.image), dtype=torch.uint8)
target = torch.randn(a.batch, vertices)
cast = torch.autocast("cpu", torch.bfloat16, enabled=a.precision == "bf16")


def step():
    with cast:
        p = forward((images.float() / 255 - 0.5) / 0.5)
    if ds:
        d_optimizer.zero_grad(set_to_none=True)
        with cast:
            loss = 0
            for d, (x, y) in zip(ds, zip(target.split(sizes, 1), p.detach().split(sizes, 1))):
                loss = loss + 0.5 * ((d(x) - 1).square().mean() + d(y).square().mean())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([q for d in ds for q in d.parameters()], 1.0)
        d_optimizer.step()
    g_optimizer.zero_grad(set_to_none=True)
    f = p.float()
    loss = F.l1_loss(f, target) + correlation(f, target)
    if ds:
        with cast:
            for d, y in zip(ds, p.split(sizes, 1)):
                loss = loss + 0.005 * (d(y) - 1).square().mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(g.parameters(), 1.0)
    g_optimizer.step()


if a.count:
    count(a.count, step, a.batch)
times = []
for i in range(a.steps + 1):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
seconds = statistics.median(times[-a.steps:])
print(f"torch {torch.__version__} {a.precision}{' compiled' if a.compile else ''}{' gan' if a.gan else ''}: "
      f"{a.batch / seconds:.3f} images/s, {seconds * 1e3:.1f} ms a step")
