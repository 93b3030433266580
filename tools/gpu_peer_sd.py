# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch on the UNet of Stable Diffusion 1.x at the size of the recipe sd-finetune; gpu_peers.py describes the output.

The step: maps [B, 10, 64, 64] (39,548 vertices are 10 channels), 258 tokens of 768, mean squared error, fused AdamW with clipping by
global norm. bf16 autocast, channels_last, SDPA. Maps and tokens are given: neither side encodes photographs. Modes:

  eager      PyTorch as it is
  compiled   torch.compile
  max        torch.compile with max-autotune

ms: median of steps with a synchronisation after each; ms_unsynchronised: mean of as many steps in a row.
"""
import functools
import statistics
import time

import gpu_peers

parser = gpu_peers.arguments(__doc__, "eager,compiled")
parser.add_argument("--batches", default="16,32", help="comma-separated")
a = parser.parse_args()
cuda = a.device.startswith("cuda")
side, tokens, width, channels, runs = (8, 5, 24, 4, 2) if a.small else (64, 258, 768, 10, 10)
SMALL = dict(channels=(32, 64), blocks=1, attention_levels=1, heads=4, context=24, groups=32)


def items():
    all_of = []
    for mode in a.modes.split(","):
        if mode not in ("eager", "compiled", "max"):
            raise SystemExit("no mode " + mode)
        for batch in a.batches.split(","):
            name, batch = f"step sd {batch}", 2 if a.small else int(batch)
            fields = dict(stage="steps", name=name, mode=mode, batch=batch)
            all_of.append(gpu_peers.Item(f"{name} {mode}", fields, functools.partial(measure, batch, mode), mode != "eager"))
    return gpu_peers.select(all_of, a)


def measure(batch, mode):
    torch.manual_seed(0)
    net = gpu_peer_unet.Unet(channels, channels, **(SMALL if a.small else {})).to(a.device).to(memory_format=torch.channels_last)
    maps = [torch.randn(batch, channels, side, side, device=a.device).to(memory_format=torch.channels_last) for _ in range(2)]
    t, context = torch.randint(0, 1000, (batch,), device=a.device), torch.randn(batch, tokens, width, device=a.device)
    forward = net if mode == "eager" else torch.compile(net, mode="max-autotune" if mode == "max" else "default")
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5, fused=cuda)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(a.device.split(":")[0], torch.bfloat16):
            y = forward(maps[0], t, context)
        F.mse_loss(y.float(), maps[1]).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    def wait():
        if cuda:
            torch.cuda.synchronize()

    ms = []
    for i in range(3 + runs):
        begin = time.perf_counter()
        step()
        wait()
        ms.append(1e3 * (time.perf_counter() - begin))
    begin = time.perf_counter()
    for i in range(runs):
        step()
    wait()
    in_a_row = 1e3 * (time.perf_counter() - begin) / runs
    return dict(variant="autocast channels_last", ms=statistics.median(ms[3:]), ms_unsynchronised=in_a_row,
                photographs_per_s=1e3 * batch / in_a_row)


chosen = items()
if a.list:
    print("\n".join(i.name for i in chosen))
    raise SystemExit
gpu_peers.start(a.device)
import torch  # noqa: E402  after the variables that start() sets
from torch.nn import functional as F  # noqa: E402

import gpu_peer_unet  # noqa: E402

gpu_peers.run(chosen, a)
