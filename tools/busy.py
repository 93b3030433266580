#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures images per second beside 0, 1, 2, ... other busy processes: CortiGAN with two threads and with one, PyTorch with
two and with one, and several sessions in one JVM. All programs are started once and take turns by SIGSTOP and SIGCONT, so that
all meet the same state of the machine; the median of the ratios to the first is printed, with their quartiles.

usage: busy.py {vit-corr-2d-tiny | vanilla-gan-tiny} [--mode train|predict] [--beside 0 1 2] [--rounds 12] [--seconds 2]
               [--python PYTHON_WITH_TORCH] [--libgomp FOLDER_OF_CLASSES]

The classes must be built (tools/bench builds them). --mode predict compares several Predictors in one JVM and no PyTorch.
--libgomp names the classes of an older build to compare with.
"""
import argparse
import os
import pathlib
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEER = {
    "vit-corr-2d-tiny": "peer_step.py --image 64 --patch 8 --width 128 --depth 4 --heads 4 --batch 32 --gan --hidden 64 32",
    "vanilla-gan-tiny": "peer_gans.py vanilla-gan-tiny",
}


def count(path, step, batch):
    """Runs a peer's step without end and keeps in the file how many images are done and since when."""
    with open(path, "r+b", buffering=0) as f:
        images = 0
        while True:
            step()
            images += batch
            f.seek(0)
            f.write(struct.pack("<qq", images, time.monotonic_ns()))


class Program:
    """A program that counts its images in a file; it runs only in its turn."""

    def __init__(self, name, folder, command, warm=640):
        self.name, self.file, self.log = name, folder / f"{name}.count", folder / f"{name}.log"
        self.file.write_bytes(bytes(16))
        self.rates = []
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*command, str(self.file)], stdout=log, stderr=log, cwd=ROOT)
        while self.state()[0] < warm:
            if self.process.poll() is not None:
                sys.exit(f"{name} ended:\n{self.log.read_text()}")
            time.sleep(0.05)
        self.process.send_signal(signal.SIGSTOP)

    def state(self):
        """Images done, and when the last of them were, in nanoseconds."""
        last = None
        while True:
            now = struct.unpack("<qq", self.file.read_bytes())
            if now == last:
                return now
            last = now

    def turn(self, seconds):
        """Adds the rate between two ends of steps."""
        before = self.state()
        self.process.send_signal(signal.SIGCONT)
        while (begin := self.state())[0] == before[0]:  # the step that the last turn cut
            time.sleep(0.01)
        time.sleep(seconds)
        while (end := self.state())[0] == begin[0]:
            time.sleep(0.01)
        self.process.send_signal(signal.SIGSTOP)
        self.rates.append((end[0] - begin[0]) / (end[1] - begin[1]) * 1e9)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recipe", choices=PEER)
    p.add_argument("--mode", choices=["train", "predict"], default="train")
    p.add_argument("--beside", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--rounds", type=int, default=12)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--python", help="Python with PyTorch; without it no peer runs")
    p.add_argument("--libgomp", help="classes of a build before the kernels' own threads")
    a = p.parse_args()
    classes, jars = ROOT / "target/classes", (ROOT / "target/bench.classpath").read_text()

    def ours(threads, sessions=1, build=classes):
        options = [f"-Dorg.bytedeco.javacpp.{x}" for x in ("nopointergc=true", "maxBytes=0", "maxPhysicalBytes=0")]
        if build != classes:
            options.append(f"-Dorg.bytedeco.javacpp.cachedir={folder / 'libraries'}")
        return ["java", *options, "-cp", f"{build}:{ROOT / 'target/test-classes'}:{jars}", "org.cortigan.bench.StepCounter", a.mode,
                a.recipe, str(threads), str(sessions)]

    def peer(threads):
        script, *options = PEER[a.recipe].split()
        return [a.python, str(ROOT / "tools" / script), *options, "--threads", str(threads), "--count"]

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        commands = {"cortigan, 2 threads": ours(2), "cortigan, 1 thread": ours(1)}
        if a.mode == "predict":
            commands |= {"2 sessions of 2 threads": ours(2, 2), "2 sessions of 1 thread": ours(1, 2), "4 sessions of 2 threads": ours(2, 4)}
        elif a.python:
            commands |= {"torch, 2 threads": peer(2), "torch, 1 thread": peer(1)}
        if a.libgomp:
            commands["libgomp, 2 threads"] = ours(2, build=pathlib.Path(a.libgomp))
        programs, spinners = [], []
        try:
            for title, command in commands.items():
                programs.append(Program(title, folder, command))
            print(f"{a.recipe}, {a.mode}: images/s (median), ratio to the first (median, quartiles), {a.rounds} rounds of {a.seconds:g} s")
            for beside in a.beside:
                while len(spinners) < beside:
                    spinners.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
                for x in programs:
                    x.rates.clear()
                for _ in range(a.rounds):
                    for x in programs:
                        x.turn(a.seconds)
                for x in programs:
                    ratios = [r / s for r, s in zip(x.rates, programs[0].rates)]
                    low, _, high = statistics.quantiles(ratios, n=4)
                    print(f"  beside {beside}: {x.name:24s} {statistics.median(x.rates):9.1f}  {statistics.median(ratios):.3f} "
                          f"({low:.3f} to {high:.3f})", flush=True)
        finally:
            for x in [*(x.process for x in programs), *spinners]:
                x.kill()
                x.wait()


if __name__ == "__main__":
    main()
