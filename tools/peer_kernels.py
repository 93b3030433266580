# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch on the benchmark cases of tools/bench, under the same names: minimum of 15 runs, f32 and bf16.

Runs on the CPU; tools/gpu-check uses gpu_peer_kernels.py.
"""
import argparse
import time

import torch
from torch.nn import functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("threads", type=int, nargs="?", default=2)
parser.add_argument("part", nargs="?", default="", help="time only the cases whose name contains this")
a = parser.parse_args()
torch.set_num_threads(a.threads)
part, normalize = a.part, F.normalize


def least(work, runs=15):
    work()
    best = 1e9
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def case(name, inputs, forward):
    """Times the forward pass alone and with the gradients of all inputs, for each type."""
    if part not in name:
        return
    for dtype in (torch.float32, torch.bfloat16):
        xs = [x.to(dtype) for x in inputs()]
        with torch.no_grad():
            print(f"{name:48} {'forward':>17} {str(dtype)[6:]:>9} {least(lambda: forward(*xs)):9.3f} ms", flush=True)
        for x in xs:
            x.requires_grad_()
        y = forward(*xs)
        g = [torch.ones_like(o) for o in y] if isinstance(y, list) else torch.ones_like(y)
        print(f"{name:48} {'forward+backward':>17} {str(dtype)[6:]:>9} "
              f"{least(lambda: torch.autograd.grad(forward(*xs), xs, g)):9.3f} ms", flush=True)


def pearson(dim):
    def loss(p):
        p, t = p.float(), target
        pc, tc = p - p.mean(dim, keepdim=True), t - t.mean(dim, keepdim=True)
        e = 1e-6 * tc.square().mean(dim).clamp(max=1)
        r = (pc * tc).sum(dim) / torch.sqrt((pc.square().sum(dim) + e) * (tc.square().sum(dim) + e))
        return (p - t).abs().mean() + (1 - r).mean()
    return loss


def attention(qkv):
    q, k, v = qkv.reshape(8, 197, 3, 12, 64).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(8, 197, 768)


def group_norm(groups):
    return lambda x, w, b: F.leaky_relu(F.group_norm(x, groups, w, b), 0.2)


def geglu(x):
    u, gate = x.chunk(2, -1)
    return u * F.gelu(gate)


def layer_choice(a, f):
    return (a.softmax(1)[:, :, None] * f[:, None]).flatten(1)


def readout(t, w, bias):
    return torch.einsum("vbk,vk->bv", t, w) + bias


def position_readout(x, p, w, bias):
    b, l, v = *x.shape[:2], w.shape[0]
    grid = p.to(x.dtype).reshape(1, v, 1, 2).expand(b * l, v, 1, 2)
    at = F.grid_sample(x.flatten(0, 1).permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return torch.einsum("blcv,vlc->bv", at.reshape(b, l, -1, v), w.reshape(v, l, -1)) + bias


def maps(b, c, size):
    return randn(b, c, size, size).to(memory_format=torch.channels_last)


randn = torch.randn
target, stats = randn(64, 39548), (randn(64), torch.rand(64) + 0.1)
print("torch", torch.__version__, torch.get_num_threads(), "threads")
case("matmul 1576x768x768 tb bias", lambda: (randn(1576, 768), randn(768, 768), randn(768)), F.linear)
case("matmul 8x39548x768 tb bias", lambda: (randn(8, 768), randn(39548, 768), randn(39548)), F.linear)
case("layernorm 1576x768", lambda: (randn(1576, 768), randn(768), randn(768)), lambda x, w, b: F.layer_norm(x, (768,), w, b))
case("geglu 4096x1280", lambda: (randn(4096, 2560),), geglu)
case("gelu 1576x3072", lambda: (randn(1576, 3072),), F.gelu)
case("attention 8x197x12x64", lambda: (randn(8, 197, 2304),), attention)
case("conv2d [8, 112, 112, 64, 64, 3, 3, 1, 1, 1, 1]", lambda: (randn(8, 64, 112, 112).to(memory_format=torch.channels_last),
                                                                 randn(64, 64, 3, 3), randn(64)), lambda x, w, b: F.conv2d(x, w, b, padding=1))
case("pearson_loss 64x39548 L1 IMAGES eps 1.0E-6", lambda: (randn(64, 39548),), pearson(0))
case("pearson_loss 64x39548 L1 VERTICES eps 1.0E-6", lambda: (randn(64, 39548),), pearson(1))
# Groups the way PyTorch users write them: in a loop.
sizes = [20, 31, 67, 101, 180, 290, 440, 640, 800, 950, 1100, 1270, 1400, 1510, 1650, 1800, 1950, 2150, 2300, 2450, 2600, 2900, 3400,
         5000, 5993]
groups = [(torch.arange(n) + sum(sizes[:i])) % 39548 for i, n in enumerate(sizes)]


def layers(x, parts, k, layer, activate=True):
    """One layer of all groups; parts is weight, bias, weight, bias, ..."""
    y = [layer(x[i], parts[2 * i], parts[2 * i + 1]) for i in range(k)]
    return [F.leaky_relu(o, 0.2) for o in y] if activate else y


def mlp(sizes, first):
    return [randn(*s) for n in ((first, None), (128, first), (1, 128)) for m in sizes for s in ((n[0], n[1] or m), (n[0],))]


def patch(k):
    return [randn(*s) for o, c in ((16, 1), (32, 16), (1, 32)) for _ in range(k) for s in ((o, c, 9), (o,))]


def network(x, parts, layer):
    k = len(x)
    for i in range(3):
        x = layers(x, parts[2 * k * i:2 * k * (i + 1)], k, layer, i < 2)
    return x


def conv(x, w, b):
    return F.conv1d(x, w, b, padding=4)


def lsgan(*logits):
    total = 0
    for i, x in enumerate(logits):
        total = total + (0.3 + 0.2 * i) * ((x[:64] - 1).square().mean() + x[64:].square().mean()) / 2
    return 0.7 * total


k, n = len(sizes), sum(sizes)
case("gather_groups 64x39548 of 25", lambda: (randn(64, 39548),), lambda x: [x[:, g] for g in groups])
case("grouped_matmul 64 of 25 bias scale", lambda: [randn(64, m) for m in sizes] + [randn(*s) for m in sizes for s in ((256, m), (256,))],
     lambda *a: layers(a, a[k:], k, lambda x, w, b: F.linear(x, w * 0.37, b), False))
case("grouped_conv1d 64 of 25 1 to 16 k 9 bias", lambda: [randn(64, 1, m) for m in sizes] + [randn(*s) for _ in sizes for s in ((16, 1, 9), (16,))],
     lambda *a: layers(a, a[k:], k, conv, False))
case("gan_loss LSGAN DISCRIMINATOR 128 of 25", lambda: [randn(128, m) for m in sizes], lsgan)
case("discriminator mlp 64 of 25 regions", lambda: [randn(64, 39548)] + mlp(sizes, 256),
     lambda x, *w: network([x[:, g] for g in groups], w, F.linear))
case("discriminator mlp 64 of one region", lambda: [randn(64, n)] + mlp([n], 275), lambda x, *w: network([x], w, F.linear))
case("discriminator patch 8 of 25 regions", lambda: [randn(8, 39548)] + patch(k),
     lambda x, *w: network([x[:, None, g] for g in groups], w, conv))
case("discriminator patch 8 of one region", lambda: [randn(8, 1, n)] + patch(1), lambda x, *w: network([x], w, conv))
case("channel_norm 8x12544x64 groups 8 leaky", lambda: (maps(8, 64, 112), randn(64), randn(64)), group_norm(8))
case("channel_norm 8x12544x64 groups 64 batch leaky", lambda: (maps(8, 64, 112), randn(64), randn(64)),
     lambda x, w, b: F.leaky_relu(F.batch_norm(x, None, None, w, b, True), 0.2))
case("channel_norm 8x196x512 groups 32 leaky", lambda: (maps(8, 512, 14), randn(512), randn(512)), group_norm(32))
case("channel_norm 2x4096x320 groups 32 shifted silu", lambda: (maps(2, 320, 64), randn(320), randn(320), randn(2, 320, 1, 1)),
     lambda x, w, b, s: F.silu(F.group_norm(x + s, 32, w, b)))
case("channel_affine 100352x64", lambda: (maps(8, 64, 112), randn(64), randn(64)),
     lambda x, w, b: F.leaky_relu(F.batch_norm(x, stats[0].to(x.dtype), stats[1].to(x.dtype), w, b), 0.2))
case("layer_choice 39548x4x128", lambda: (randn(39548, 4), randn(39548, 128)), layer_choice)
case("readout 39548x8x64", lambda: (randn(39548, 8, 64), randn(39548, 64), randn(39548)), readout)
case("position_readout 8x4x14x14x128, 39548", lambda: (randn(8, 4, 14, 14, 128), torch.rand(39548, 2) * 2 - 1, randn(39548, 512),
                                                       randn(39548)), position_readout)
weight, u, v = randn(39548, 512), randn(39548), randn(512)


def spectral_norm():
    with torch.no_grad():
        a = normalize(torch.mv(weight, v), dim=0)
        b = normalize(torch.mv(weight.t(), a), dim=0)
        torch.vdot(a, torch.mv(weight, b))


if part in "spectral_norm 39548x512":
    print(f"{'spectral_norm 39548x512, iteration alone':48} {'forward':>17} {'float32':>9} {least(spectral_norm):9.3f} ms")
