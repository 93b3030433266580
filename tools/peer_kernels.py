"""PyTorch's times for the benchmark cases of tools/bench, under the same names: least of some runs, f32 and bf16.

usage: peer_kernels.py [threads]
"""
import sys
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
normalize = F.normalize


def least(work, runs=15):
    work()
    best = 1e9
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def case(name, inputs, forward):
    """Times forward, and forward with the gradients of all inputs; inputs are made in each type."""
    for dtype in (torch.float32, torch.bfloat16):
        xs = [x.to(dtype) for x in inputs()]
        with torch.no_grad():
            print(f"{name:48} {'forward':>17} {str(dtype)[6:]:>9} {least(lambda: forward(*xs)):9.3f} ms", flush=True)
        for x in xs:
            x.requires_grad_()
        y = forward(*xs)
        g = torch.ones_like(y)
        print(f"{name:48} {'forward+backward':>17} {str(dtype)[6:]:>9} "
              f"{least(lambda: torch.autograd.grad(forward(*xs), xs, g)):9.3f} ms", flush=True)


def pearson(dim):
    def loss(p):
        p, t = p.float(), target
        pc, tc = p - p.mean(dim, keepdim=True), t - t.mean(dim, keepdim=True)
        r = (pc * tc).sum(dim) / torch.sqrt((pc.square().sum(dim) + 1e-6) * (tc.square().sum(dim) + 1e-6))
        return (p - t).abs().mean() + (1 - r).mean()
    return loss


def attention(qkv):
    q, k, v = qkv.reshape(8, 197, 3, 12, 64).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(8, 197, 768)


randn = torch.randn
target = randn(64, 39548)
print("torch", torch.__version__, torch.get_num_threads(), "threads")
case("matmul 1576x768x768 tb bias", lambda: (randn(1576, 768), randn(768, 768), randn(768)), F.linear)
case("matmul 8x39548x768 tb bias", lambda: (randn(8, 768), randn(39548, 768), randn(39548)), F.linear)
case("layernorm 1576x768", lambda: (randn(1576, 768), randn(768), randn(768)), lambda x, w, b: F.layer_norm(x, (768,), w, b))
case("gelu 1576x3072", lambda: (randn(1576, 3072),), F.gelu)
case("attention 8x197x12x64", lambda: (randn(8, 197, 2304),), attention)
case("conv2d [8, 112, 112, 64, 64, 3, 3, 1, 1, 1, 1]", lambda: (randn(8, 64, 112, 112).to(memory_format=torch.channels_last),
                                                                 randn(64, 64, 3, 3), randn(64)), lambda x, w, b: F.conv2d(x, w, b, padding=1))
case("pearson_loss 64x39548 L1 IMAGES eps 1.0E-6", lambda: (randn(64, 39548),), pearson(0))
case("pearson_loss 64x39548 L1 VERTICES eps 1.0E-6", lambda: (randn(64, 39548),), pearson(1))
weight, u, v = randn(39548, 512), randn(39548), randn(512)


def spectral_norm():
    with torch.no_grad():
        a = normalize(torch.mv(weight, v), dim=0)
        b = normalize(torch.mv(weight.t(), a), dim=0)
        torch.vdot(a, torch.mv(weight, b))


print(f"{'spectral_norm 39548x512, iteration alone':48} {'forward':>17} {'float32':>9} {least(spectral_norm):9.3f} ms")
