# SPDX-License-Identifier: Apache-2.0
"""Shared by gpu_peer_steps.py and gpu_peer_kernels.py: the items of a call, the lines they print, PyTorch's options.

An item is one measurement. The scripts talk to tools/gpu-check on standard output:

  @begin NAME     before each item
  @line {...}     a result as JSON; has "failure" if the item failed, "not_measured" if it could not be tried
  @fatal NAME     the item destroyed the CUDA context; exit status 3 follows. --after NAME continues after this item

All other output is log. PyTorch is imported only when items run, so that --list is quick.
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
    parser.add_argument("--device", default="cuda:0", help="cuda:0 or cpu")
    parser.add_argument("--small", action="store_true", help="small shapes, to try the script")
    parser.add_argument("--modes", default=modes, help="comma-separated, run in this order; default " + modes)
    parser.add_argument("--items", help="run only these items, comma-separated")
    parser.add_argument("--from", dest="first", help="run this item and the later ones")
    parser.add_argument("--after", help="run only the items after this one")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no item after this many seconds")
    parser.add_argument("--list", action="store_true", help="print the names of the items and exit")
    return parser


class Item:
    """One measurement; work() returns the fields of its result line."""

    def __init__(self, name, fields, work, cuda=False):
        self.name, self.fields, self.work, self.cuda = name, fields, work, cuda


class Skip(Exception):
    """Raised by an item that is not needed."""


def select(items, a):
    """The items that the arguments select; exits if there is no such item."""
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
    """Imports PyTorch and sets the options that both scripts use for every item."""
    # Inductor reads these when it is imported. Products and convolutions use only the vendor's libraries, as ours do.
    os.environ["TORCHINDUCTOR_MAX_AUTOTUNE_GEMM_BACKENDS"] = "ATEN"
    os.environ["TORCHINDUCTOR_MAX_AUTOTUNE_CONV_BACKENDS"] = "ATEN"
    import torch
    if device.startswith("cuda"):
        torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32; affects only what is left in f32, such as the spectral norm's products
    gc.disable()  # run() collects between items, not during a timed step
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {device_name(device)}, "
          f"C compiler {shutil.which('cc') or shutil.which('gcc')}, {time.perf_counter() - START:.1f} s", flush=True)


def device_name(device):
    import torch
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def run(items, a):
    """Runs the items and prints their lines; exits with status 3 if the CUDA context is lost."""
    import torch
    cuda = a.device.startswith("cuda")
    for item in items:
        print("@begin " + item.name, flush=True)
        line = dict(item.fields, who="PyTorch", item=item.name, device=device_name(a.device))
        begun, dead = time.perf_counter(), False
        if begun - START > a.seconds:
            line["not_measured"] = f"not started within {a.seconds:g} s"
        elif item.cuda and not cuda:
            line["not_measured"] = "needs CUDA"
        else:
            try:
                line.update(item.work())
            except Skip as e:
                line["not_measured"] = str(e)
            except Exception as e:  # one failure must not hide the other items
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
            os._exit(3)  # a normal exit could wait forever for the lost context


def alive(device):
    """Whether the CUDA context still works."""
    import torch
    try:
        torch.cuda.synchronize()
        return torch.ones(1, device=device).item() == 1
    except Exception as e:
        print("the CUDA context is lost: " + str(e).splitlines()[0], flush=True)
        return False
