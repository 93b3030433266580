#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CortiGAN from Python 3.9 or newer: starts commands and reads what they write. Arrays need numpy; all else needs nothing.

    import cortigan_bridge as cg
    cg.run("train", "-c", "quickstart", "--data", "data", "--subject", 1)  # raises CommandError with the command's message
    weights = cg.Checkpoint("runs/quickstart-subj01")                      # best.safetensors of a run, else last.safetensors
    weights["generator.readout.weight"], weights.metadata["cortigan.subject"]
    cg.predictions("predictions/subj01")["lh"]                             # f32 [images, vertices]
    cg.evaluation("runs/quickstart-subj01")["lh_correlation"]              # f32 [vertices]

python3 tools/cortigan_bridge.py --self-test RUN checks all of it on an evaluated run, and makes predictions with it.
"""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union

try:
    import numpy as np
except ImportError:  # the launcher and the texts do without
    np = None  # type: ignore[assignment]

File = Union[str, "os.PathLike[str]"]
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
         "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<?"}


class CommandError(RuntimeError):
    """A command failed. The text is its own message; code is its exit code: 1 for wrong input, 2 for wrong options."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


def run(*arguments: object, launcher: Optional[File] = None) -> str:
    """Runs a command and returns its standard output; passes on its standard error, line by line.

    launcher: the program; default is the variable CORTIGAN, else tools/cortigan beside this file.
    """
    program = launcher or os.environ.get("CORTIGAN") or pathlib.Path(__file__).resolve().with_name("cortigan")
    said: List[str] = []
    with tempfile.TemporaryFile() as out:
        with subprocess.Popen([os.fspath(program), *map(str, arguments)], stdout=out, stderr=subprocess.PIPE, encoding="utf-8",
                              errors="replace") as process:
            for line in process.stderr or ():
                sys.stderr.write(line)
                said.append(line.rstrip("\n"))
        if process.returncode:
            named = [line[len("cortigan: "):] for line in said if line.startswith("cortigan: ")]
            if process.returncode == 2:  # the usage follows
                named = said[:1]
            raise CommandError(named[-1] if named else "\n".join(said) or f"exit code {process.returncode}", process.returncode)
        out.seek(0)
        return out.read().decode("utf-8", "replace")


class Checkpoint(Mapping[str, Any]):
    """Tensors of a safetensors file by name, memory-mapped and read-only. BF16 becomes float32, which is exact."""

    def __init__(self, file: File):
        """file: a safetensors file, or a run's folder: its best.safetensors, else its last.safetensors."""
        path = pathlib.Path(file)
        if path.is_dir():
            best = path / "best.safetensors"
            path = best if best.exists() else path / "last.safetensors"
        self.path = path
        with path.open("rb") as f:
            length = int.from_bytes(f.read(8), "little")
            self._start, size = 8 + length, path.stat().st_size
            if self._start > size:
                raise ValueError(f"{path}: is no whole safetensors file: its header would be longer than the file")
            try:
                self._tensors: Dict[str, Any] = json.loads(f.read(length))
            except ValueError as e:
                raise ValueError(f"{path}: is no safetensors file: its header is no JSON ({e})") from e
        self.metadata: Dict[str, str] = self._tensors.pop("__metadata__", {})
        if self._start + max((t["data_offsets"][1] for t in self._tensors.values()), default=0) != size:
            raise ValueError(f"{path}: is cut off or damaged: the tensors of its header do not fill it; copy it again")

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __getitem__(self, name: str) -> Any:
        tensor = self._tensors[name]
        if tensor["dtype"] not in TYPES:
            raise ValueError(f"{self.path}: {name}: the type {tensor['dtype']} is not read")
        shape, dtype = tuple(tensor["shape"]), np.dtype(TYPES[tensor["dtype"]])
        if 0 in shape:  # nothing to map
            values = np.empty(shape, dtype)
        else:
            values = np.memmap(self.path, dtype, "r", self._start + tensor["data_offsets"][0], shape)
        return (values.astype("<u4") << 16).view("<f4") if tensor["dtype"] == "BF16" else values


def table(file: File) -> List[Dict[str, Any]]:
    """Rows of a csv file such as a run's metrics.csv; numbers are floats, empty fields None, other fields text."""

    def value(text: str) -> Any:
        try:
            return float(text) if text else None
        except ValueError:
            return text

    with open(file, newline="", encoding="utf-8") as f:
        lines = (line for line in f if not line.startswith("#"))
        return [{k: value(v) for k, v in row.items()} for row in csv.DictReader(lines)]


def evaluation(folder: File) -> Dict[str, Any]:
    """An evaluation, of a run or in a folder of its own: metrics (metrics.json), rois (roi.csv), and its npy files by name."""
    path = pathlib.Path(folder)
    path = path / "evaluation" if (path / "evaluation").is_dir() else path
    arrays = {p.stem: np.load(p) for p in sorted(path.glob("*.npy"))}
    return {"metrics": json.loads((path / "metrics.json").read_text("utf-8")), "rois": table(path / "roi.csv"), **arrays}


def predictions(folder: File) -> Dict[str, Any]:
    """What predict wrote: lh and rh, memory-mapped, f32 [images, vertices]; images, their names; about (predictions.json)."""
    path = pathlib.Path(folder)
    sides = {side: np.load(path / f"{side}_pred_test.npy", mmap_mode="r") for side in ("lh", "rh")}
    images = (path / "images.txt").read_text("utf-8").splitlines()
    return {**sides, "images": images, "about": json.loads((path / "predictions.json").read_text("utf-8"))}


def self_test(folder: str) -> None:
    """Checks the readers on an evaluated run and on a small file whose values are known, and the launcher."""
    checkpoint = Checkpoint(folder)
    weights = {name: checkpoint[name] for name in checkpoint}
    assert any(n.startswith("generator.") for n in weights) and "cortigan.format" in checkpoint.metadata, checkpoint.path
    assert all(np.isfinite(w).all() for w in weights.values() if w.dtype.kind == "f"), checkpoint.path
    rows = table(pathlib.Path(folder, "metrics.csv"))
    epochs = [row["epoch"] for row in rows]
    assert epochs == sorted(epochs) and epochs, epochs
    found = evaluation(folder)
    r = np.concatenate([found["lh_correlation"], found["rh_correlation"]])
    told = next(row["mean_r"] for row in found["rois"] if row["hemisphere"] == "both" and row["roi"] == "all vertices")
    assert abs(np.nanmean(r, dtype=np.float64) - told) < 2**-24, f"roi.csv tells mean r {told}, the files of r have another"
    with tempfile.TemporaryDirectory() as t:
        data = np.array([1, -2.5, 3.140625, 0], "<f4").view("<u4") >> 16
        tensor = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
        header = json.dumps({"x": tensor, "__metadata__": {"a": "b"}}).encode()
        small = pathlib.Path(t, "small.safetensors")
        small.write_bytes(len(header).to_bytes(8, "little") + header + data.astype("<u2").tobytes())
        read = Checkpoint(small)
        assert read["x"].tolist() == [[1, -2.5], [3.140625, 0]] and read.metadata == {"a": "b"} and list(read) == ["x"]
        small.write_bytes(small.read_bytes()[:-1])
        for read_it in (Checkpoint, lambda f: run("predict", f, "--images", t, "--out", t)):
            try:
                read_it(small)
            except (ValueError, CommandError) as e:
                assert str(small) in str(e) and "\n" not in str(e), e
            else:
                raise AssertionError("a file that is cut off was read")
        photographs = pathlib.Path(t, "photographs")
        run("simulate", "-o", t, "--images", 20, "--test-images", 10, "--image-size", 32)
        run("predict", checkpoint.path, "--images", pathlib.Path(t, "subj01/test_split/test_images"), "--out", photographs)
        predicted = predictions(photographs)
        assert predicted["lh"].shape == (10, len(found["lh_correlation"])) and len(predicted["images"]) == 10, predicted
        assert np.isfinite(predicted["rh"]).all() and predicted["rh"].std() > 0
    assert run("--version")[0].isdigit()
    print(f"{checkpoint.path}: {len(weights)} tensors, {len(rows)} rows of metrics, mean r {told}; 10 photographs predicted")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--self-test":
        raise SystemExit(__doc__)
    self_test(sys.argv[2])
