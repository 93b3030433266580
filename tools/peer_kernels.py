"""PyTorch's times for the kernels of bench/KernelTimes.java: least of 30 runs, f32, two threads."""
import time

import torch

torch.set_num_threads(2)
pred = torch.randn(64, 39548, requires_grad=True)
target = torch.randn(64, 39548)
weight, u, v = torch.randn(39548, 512), torch.randn(39548), torch.randn(512)
normalize = torch.nn.functional.normalize


def pearson_loss(dim):
    pc = pred - pred.mean(dim, keepdim=True)
    tc = target - target.mean(dim, keepdim=True)
    r = (pc * tc).sum(dim) / torch.sqrt((pc.square().sum(dim) + 1e-6) * (tc.square().sum(dim) + 1e-6))
    pred.grad = None
    ((pred - target).abs().mean() + (1 - r).mean()).backward()


def spectral_norm():
    with torch.no_grad():
        a = normalize(torch.mv(weight, v), dim=0)
        b = normalize(torch.mv(weight.t(), a), dim=0)
        torch.vdot(a, torch.mv(weight, b))


print("torch", torch.__version__)
for name, work in (
    ("pearson_loss over images", lambda: pearson_loss(0)),
    ("pearson_loss over vertices", lambda: pearson_loss(1)),
    ("spectral_norm 39548x512", spectral_norm),
):
    best = 1e9
    for _ in range(30):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    print(f"{name}: {best * 1e3:.3f} ms")
