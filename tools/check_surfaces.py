#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads surface files that `cortigan map` wrote back with nibabel, and compares them with the values they are made of.

    python tools/check_surfaces.py --data DIR --subject N LEFT.npy RIGHT.npy FILE...

LEFT.npy and RIGHT.npy are in the challenge's space of the subject; each FILE is a .func.gii, .mgh or .mgz whose name
begins with lh. or rh. Needs numpy and nibabel. Exits with 1 if a file differs.
"""
import argparse
import os
import sys

import nibabel as nib
import numpy as np


def check(path, values, mask):
    left = os.path.basename(path).startswith("lh.")
    image = nib.load(path)
    if path.endswith(".gii"):
        structure = image.meta["AnatomicalStructurePrimary"]
        assert structure == ("CortexLeft" if left else "CortexRight"), structure
        assert len(image.darrays) == 1 and image.darrays[0].meta["Name"], "one named array"
        got = image.agg_data()
    else:
        got = np.asarray(image.dataobj)
        assert got.shape == (len(mask), 1, 1), got.shape
        got = got[:, 0, 0]
    assert got.dtype.newbyteorder("=") == np.float32 and got.shape == mask.shape, (got.dtype, got.shape)
    want = np.full(len(mask), np.nan, np.float32)
    want[mask > 0] = values
    assert np.array_equal(got.astype(np.float32), want, equal_nan=True), "values differ"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--subject", type=int, default=1)
    p.add_argument("files", nargs="+")
    a = p.parse_args()
    sides = {}
    for side, path in zip(("lh", "rh"), a.files[:2]):
        mask = np.load(os.path.join(a.data, "subj%02d" % a.subject, "roi_masks",
                                    side + ".all-vertices_fsaverage_space.npy"))
        sides[side] = np.load(path), mask
    wrong = 0
    for path in a.files[2:]:
        try:
            check(path, *sides[os.path.basename(path)[:2]])
            print("equal", path)
        except AssertionError as e:
            print("DIFFERS", path, e)
            wrong = 1
    sys.exit(wrong)


if __name__ == "__main__":
    main()
