"""PyTorch's rate for the training step that `cortigan profile` times: a ViT with a head over the vertices, L1 + correlation
over images, AdamW with clipping by global norm; with --gan a spectrally normalised MLP discriminator for each hemisphere,
LSGAN. Random photographs and responses; median of the steps.

  --precision fp32        everything in float
  --precision bf16        torch.autocast on the CPU with bfloat16, fp32 master weights
  --compile               torch.compile of the generator
  --device cuda:0         on a GPU: fused AdamW, gradients and losses as above; --compile is max-autotune, of the networks
  --gan conv | vit        the discriminators of the steps stage of tools/gpu-check, one for all vertices
  --sdpa flash            the backend of the attention: flash, cudnn, efficient or math; without it PyTorch's choice
  --out FILE              also appends a line of JSON
"""
import argparse
import contextlib
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in dict(image=224, patch=16, width=768, depth=12, heads=12, batch=8, left=19004, right=20544, steps=3,
                          threads=2).items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
parser.add_argument("--gan", nargs="?", const="mlp", default="none", choices=["none", "mlp", "conv", "vit"])
parser.add_argument("--hidden", type=int, nargs=2, default=[256, 128])
parser.add_argument("--compile", action="store_true")
parser.add_argument("--device", default="cpu")
parser.add_argument("--channels", type=int, nargs="+", default=[64, 128, 256])
parser.add_argument("--d-patch", type=int, default=192)
parser.add_argument("--d-vit", type=int, nargs=3, default=[384, 12, 6], metavar=("WIDTH", "DEPTH", "HEADS"))
parser.add_argument("--sdpa", choices=["flash", "cudnn", "efficient", "math"])
parser.add_argument("--out")
a = parser.parse_args()
device = torch.device(a.device)
cuda = device.type == "cuda"
torch.set_default_device(device)  # parameters are made there
torch.set_num_threads(a.threads)
torch.manual_seed(0)
vertices = a.left + a.right


def plain(layer):
    return layer


class Block(nn.Module):
    def __init__(self, width, heads, sn=plain):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = sn(nn.Linear(width, 3 * width)), sn(nn.Linear(width, width))
        self.fc1, self.fc2 = sn(nn.Linear(width, 4 * width)), sn(nn.Linear(4 * width, width))

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


class Conv(nn.Module):
    def __init__(self, n):
        super().__init__()
        layers, c = [], 1
        for o in a.channels:
            layers += [sn(nn.Conv1d(c, o, 9, 4, 4)), nn.LeakyReLU(0.2)]
            c, n = o, (n + 8 - 9) // 4 + 1
        self.layers, self.decision = nn.Sequential(*layers), sn(nn.Linear(c * n, 1))

    def forward(self, x):
        return self.decision(self.layers(x[:, None]).flatten(1))


class Patches(nn.Module):
    def __init__(self, n):
        super().__init__()
        width, depth, heads = a.d_vit
        self.tokens = -(-n // a.d_patch)
        self.embed, self.decision = sn(nn.Linear(a.d_patch, width)), sn(nn.Linear(width, 1))
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.randn(1, self.tokens + 1, width) * 0.02)
        self.blocks, self.norm = nn.Sequential(*[Block(width, heads, sn) for _ in range(depth)]), nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        x = F.pad(x, (0, self.tokens * a.d_patch - x.shape[1])).reshape(x.shape[0], self.tokens, a.d_patch)
        x = self.embed(x)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1).to(x.dtype), x], 1) + self.pos
        return self.decision(self.norm(self.blocks(x))[:, 0])


def discriminator(n):
    if a.gan != "mlp":
        return (Conv if a.gan == "conv" else Patches)(n)
    return nn.Sequential(sn(nn.Linear(n, a.hidden[0])), nn.LeakyReLU(0.2), sn(nn.Linear(*a.hidden)), nn.LeakyReLU(0.2),
                         sn(nn.Linear(a.hidden[1], 1)))


def correlation(p, t, eps=0.01):
    p, t = p - p.mean(0), t - t.mean(0)
    return (1 - (p * t).sum(0) / torch.sqrt((p.square().sum(0) + eps) * (t.square().sum(0) + eps))).mean()


g = Vit()
forward = torch.compile(g, **dict(mode="max-autotune") if cuda else {}) if a.compile else g
sizes = [] if a.gan == "none" else [a.left, a.right] if a.gan == "mlp" else [vertices]
own = [discriminator(n) for n in sizes]
# on the CPU the generator alone is compiled, as in the published figures; u and v change at every pass, which graphs do not bear
ds = [torch.compile(d, mode="max-autotune-no-cudagraphs") if a.compile and cuda else d for d in own]
og = torch.optim.AdamW(g.parameters(), lr=1e-4, weight_decay=0.05, fused=True if cuda else None)
od = torch.optim.AdamW([p for d in own for p in d.parameters()], lr=1e-4, fused=True if cuda else None) if ds else None
images = torch.randint(0, 256, (a.batch, 3, a.image, a.image), dtype=torch.uint8)
target = torch.randn(a.batch, vertices)
cast = torch.autocast(device.type, torch.bfloat16, enabled=a.precision == "bf16")
attention = contextlib.nullcontext()
if a.sdpa:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    attention = sdpa_kernel(dict(flash=SDPBackend.FLASH_ATTENTION, cudnn=SDPBackend.CUDNN_ATTENTION,
                                 efficient=SDPBackend.EFFICIENT_ATTENTION, math=SDPBackend.MATH)[a.sdpa])


def step():
    with cast:
        p = forward((images.float() / 255 - 0.5) / 0.5)
    if ds:
        od.zero_grad(set_to_none=True)
        with cast:
            loss = 0
            for d, (x, y) in zip(ds, zip(target.split(sizes, 1), p.detach().split(sizes, 1))):
                loss = loss + 0.5 * ((d(x) - 1).square().mean() + d(y).square().mean())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([q for d in own for q in d.parameters()], 1.0)
        od.step()
    og.zero_grad(set_to_none=True)
    f = p.float()
    loss = F.l1_loss(f, target) + correlation(f, target)
    if ds:
        with cast:
            for d, y in zip(ds, p.split(sizes, 1)):
                loss = loss + 0.005 * (d(y) - 1).square().mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(g.parameters(), 1.0)
    og.step()


def wait():
    if cuda:
        torch.cuda.synchronize()


times = []
with attention:
    for i in range(a.steps + (3 if cuda else 1)):
        wait()
        start = time.perf_counter()
        torch.compiler.cudagraph_mark_step_begin()
        step()
        wait()
        times.append(time.perf_counter() - start)
seconds = statistics.median(times[-a.steps:])
gan = "" if a.gan == "none" else " gan" if a.gan == "mlp" else " gan " + a.gan
print(f"torch {torch.__version__} {a.precision}{' compiled' if a.compile else ''}{gan}: "
      f"{a.batch / seconds:.3f} images/s, {seconds * 1e3:.1f} ms a step")
if a.out:
    with open(a.out, "a") as f:
        f.write(json.dumps(dict(stage="steps", name=f"step {a.gan}", who="compile" if a.compile else "eager", ms=seconds * 1e3,
                                batch=a.batch, attention=a.sdpa or "PyTorch's choice")) + "\n")
