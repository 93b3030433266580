# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch on the UNet of Stable Diffusion 1.x on the CPU: forward passes, or training steps with mean squared error and AdamW with
clipping by global norm. Maps, times and tokens are random; prints the median and all times.

  --precision fp32        everything in float
  --precision bf16        forward: a bf16 network; step: torch.autocast on the CPU with bfloat16, fp32 master weights
  --layout channels_last  memory format of maps and weights
  --compile               torch.compile
  --check FILE            only compares the network with a golden file, in double

tools/gpu-check uses gpu_peer_sd.py.
"""
import argparse
import statistics
import time

import torch
from torch.nn import functional as F

import gpu_peer_unet

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--what", choices=["forward", "step"], default="forward")
for name, default in dict(batch=1, side=64, tokens=258, width=768, channels=10, times=3, threads=2).items():
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--form", choices=["full", "tiny"], default="full", help="tiny: 32-64-64, one block a level, context 64")
parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
parser.add_argument("--layout", choices=["contiguous", "channels_last"], default="channels_last")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--check", metavar="FILE")
a = parser.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
if a.check:
    print(f"largest relative difference {gpu_peer_unet.check(a.check):.1e}")
    raise SystemExit

tiny = dict(channels=(32, 64, 64), blocks=1, attention_levels=2, heads=4, context=64, groups=8)
form = tiny if a.form == "tiny" else {}
net = gpu_peer_unet.Unet(a.channels, a.channels, **form)
low, train = a.precision == "bf16", a.what == "step"
if low and not train:
    net = net.bfloat16()
if a.layout == "channels_last":
    net = net.to(memory_format=torch.channels_last)
kind = torch.bfloat16 if low and not train else torch.float32
x = torch.randn(a.batch, a.channels, a.side, a.side, dtype=kind)
if a.layout == "channels_last":
    x = x.to(memory_format=torch.channels_last)
context = torch.randn(a.batch, a.tokens, form.get("context", a.width), dtype=kind)
t, target = torch.randint(0, 1000, (a.batch,)), torch.randn(a.batch, a.channels, a.side, a.side)
forward = torch.compile(net) if a.compile else net
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5, fused=True) if train else None


def step():
    if not train:
        with torch.inference_mode():
            forward(x, t, context)
        return
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        y = forward(x, t, context)
    F.mse_loss(y.float(), target).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()


times = []
for i in range(a.times + 1):
    begin = time.perf_counter()
    step()
    times.append(time.perf_counter() - begin)
times = times[1:]
print(f"{a.what} {a.form} {a.side}x{a.side} batch {a.batch} {a.precision} {a.layout}{' compiled' if a.compile else ''}: "
      f"median {statistics.median(times) * 1e3:.1f} ms of {', '.join(f'{1e3 * s:.1f}' for s in times)}")
