# SPDX-License-Identifier: Apache-2.0
"""What gpu_peer_steps.py and gpu_peer_kernels.py share: the items of a call, the lines they print, the options of PyTorch.

An item is one measured thing. Standard output is the protocol with tools/gpu-check:

  @begin NAME     before each item
  @line {...}     a result, JSON; with "failure" if the item failed, with "not_measured" if it could not be tried
  @fatal NAME     the CUDA context does not survive the item; exit status 3 follows. --after NAME goes on behind it

Everything else that is printed is log. PyTorch is imported only once items run, so that --list is quick.
"""
import argparse
import gc
import json
import math
import os
import shutil
import sys
import time
import traceback

START = time.perf_counter()


def arguments(doc, modes):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0", help="cuda:0, cpu")
    parser.add_argument("--small", action="store_true", help="small shapes, to try the script")
    parser.add_argument("--modes", default=modes, help="with commas, in this order; default " + modes)
    parser.add_argument("--items", help="only these, with commas")
    parser.add_argument("--from", dest="first", help="this item and those behind it")
    parser.add_argument("--after", help="the items behind this one")
    parser.add_argument("--seconds", type=float, default=1e9, help="nothing new is begun after that")
    parser.add_argument("--list", action="store_true", help="prints the names of the items and ends")
    return parser


class Item:
    """Something to measure: work() gives the fields of its line."""

    def __init__(self, name, fields, work, cuda=False):
        self.name, self.fields, self.work, self.cuda = name, fields, work, cuda


class Skip(Exception):
    """An item is not needed."""


def select(items, a):
    """The items that the arguments ask for; ends the process with status 2 where there is no such item."""
    names = [i.name for i in items]
    for name in (a.items.split(",") if a.items else []) + [n for n in (a.first, a.after) if n]:
        if name not in names:
            raise SystemExit(f"no item {name}; --list names them")
    if a.items:
        items = [i for i in items if i.name in a.items.split(",")]
    if a.first:
        items = items[[i.name for i in items].index(a.first):]
    if a.after:
        items = items[[i.name for i in items].index(a.after) + 1:]
    return items


def start(device):
    """PyTorch with the options that both scripts use, the same for every item."""
    # read when Inductor is imported: products and convolutions by the vendor's libraries alone, as ours are
    os.environ["TORCHINDUCTOR_MAX_AUTOTUNE_GEMM_BACKENDS"] = "ATEN"
    os.environ["TORCHINDUCTOR_MAX_AUTOTUNE_CONV_BACKENDS"] = "ATEN"
    import torch
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32; only f32 leftovers are concerned, such as the spectral norm's products
    gc.disable()  # run() collects between items, not amid a timed step
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {device_name(device)}, "
          f"C compiler {shutil.which('cc') or shutil.which('gcc')}, {time.perf_counter() - START:.1f} s", flush=True)


def device_name(device):
    import torch
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def run(items, a):
    """Runs items, prints their lines; ends the process with status 3 where the context is dead."""
    import torch
    cuda = a.device.startswith("cuda")
    for item in items:
        print("@begin " + item.name, flush=True)
        line = dict(item.fields, who="PyTorch", item=item.name, device=device_name(a.device))
        begun, dead = time.perf_counter(), False
        if begun - START > a.seconds:
            line["not_measured"] = f"not begun within {a.seconds:g} s"
        elif item.cuda and not cuda:
            line["not_measured"] = "needs CUDA"
        else:
            try:
                line.update(item.work())
            except Skip as e:
                line["not_measured"] = str(e)
            except Exception as e:  # the failure of one must not hide the others
                traceback.print_exc()
                line["failure"] = f"{type(e).__name__}: {e}".splitlines()[0]
            dead = cuda and not alive(a.device)
            if not dead:
                if "torch._dynamo" in sys.modules:
                    torch._dynamo.reset()
                gc.collect()
                if cuda:
                    torch.cuda.empty_cache()
            line["seconds"] = round(time.perf_counter() - begun, 2)
        line = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}  # JSON has no NaN
        print("@line " + json.dumps(line), flush=True)
        if dead:
            print("@fatal " + item.name, flush=True)
            os._exit(3)  # nothing that ends in the ordinary way may wait for the dead context


def alive(device):
    """Whether the context still works after what ran last."""
    import torch
    try:
        torch.cuda.synchronize()
        return torch.ones(1, device=device).item() == 1
    except Exception as e:
        print("the context is dead: " + str(e).splitlines()[0], flush=True)
        return False
