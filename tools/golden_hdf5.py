#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes HDF5 files of photographs in many forms: python tools/golden_hdf5.py [folder].

Needs numpy and h5py. The files that can be read hold the same photographs, of which photographs.npy has the bytes; each of the others
has one form that is to be refused. They are kept in the repository under src/test/resources/hdf5; building and testing needs no Python.
"""
import os
import sys

import h5py
import numpy as np

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "src", "test", "resources", "hdf5")
NAME, SHAPE = "imgBrick", (4, 8, 8, 3)
CHUNK = (1, 8, 8, 3)


def path(name):
    return os.path.join(OUT, name + ".hdf5")


def write(name, photographs, libver=None, **form):
    with h5py.File(path(name), "w", libver=libver) as f:
        f.create_dataset(NAME, data=photographs, **form)


def partly(name, photographs, fill, written):
    """Chunks of half a photograph, of which only some are written."""
    with h5py.File(path(name), "w") as f:
        d = f.create_dataset(NAME, SHAPE, "u1", chunks=(1, 4, 8, 3), fillvalue=fill)
        d[written] = photographs[written]


def main():
    os.makedirs(OUT, exist_ok=True)
    photographs = np.random.default_rng(5).integers(1, 256, SHAPE, np.uint8)
    np.save(os.path.join(OUT, "photographs.npy"), photographs.ravel())
    # Can be read.
    write("plain", photographs)
    write("lzf", photographs, chunks=CHUNK, compression="lzf")
    write("latest", photographs, "latest", chunks=(2, 4, 8, 3), maxshape=(None, None, 8, 3))
    with h5py.File(path("soft_link"), "w") as f:
        f["a/b"] = photographs
        f[NAME] = h5py.SoftLink("/a/b")
    with h5py.File(path("external_link"), "w") as f:
        f[NAME] = h5py.ExternalLink("soft_link.hdf5", NAME)
    # Are to be refused.
    write("int8", photographs.view(np.int8))
    write("uint16", photographs.astype(np.uint16))
    with h5py.File(path("broken_link"), "w") as f:
        f[NAME] = h5py.ExternalLink("nowhere.hdf5", NAME)
    with h5py.File(path("never_written"), "w") as f:
        f.create_dataset(NAME, SHAPE, "u1", fillvalue=9)
    partly("without_chunks", photographs, 0, np.s_[[0, 2, 3]])
    partly("without_half", photographs, 7, np.s_[:, :4])
    black = photographs.copy()
    black[1] = 0
    write("black", black)
    write("latest_filter", photographs, "latest", chunks=CHUNK, compression="gzip")
    write("lzf_fletcher32", photographs, chunks=(3, 5, 3, 2), compression="lzf", fletcher32=True)
    write("scale_offset", photographs, chunks=CHUNK, scaleoffset=0)
    with open(path("raw").replace(".hdf5", ".bin"), "wb") as f:
        f.write(photographs.tobytes())
    with h5py.File(path("external_storage"), "w") as f:
        f.create_dataset(NAME, SHAPE, "u1", external=[("raw.bin", 0, photographs.nbytes)])
    os.remove(path("raw").replace(".hdf5", ".bin"))
    layout = h5py.VirtualLayout(SHAPE, "u1")
    layout[:] = h5py.VirtualSource("plain.hdf5", NAME, SHAPE)
    with h5py.File(path("virtual"), "w", libver="latest") as f:
        f.create_virtual_dataset(NAME, layout)


main()
