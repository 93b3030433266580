#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a tiny made-up Natural Scenes Dataset and what an import of it must give: python tools/golden_nsd.py [folder].

Needs numpy, scipy, h5py and nibabel, which write the files of the data set. Expected numbers are computed in double, following
the text of the challenge's data preparation: z-scores within a session, means over trials. The files are kept in the repository
under src/test/resources/nsd; building and testing needs no Python.
"""
import os
import sys

import h5py
import nibabel
import numpy as np
import scipy.io

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "src", "test", "resources", "nsd")
IMAGES, SIDE, PHOTOGRAPHS, SHARED, SESSIONS, TRIALS, SURFACE = 42, 8, 24, 6, 6, 12, 20
NATIVE = {"lh": 17, "rh": 23}
CLASSES = {"streams": ["Unknown", "early", "ventral", "lateral"], "floc-faces": ["Unknown", "OFA", "FFA-1"]}
rng = np.random.default_rng(4)


def path(*name):
    p = os.path.join(OUT, *name)
    os.makedirs(os.path.dirname(p), exist_ok=True)
    return p


def mgh(data, *name):
    """Values [vertices] or [vertices, frames] of a surface."""
    shape = (data.shape[0], 1, 1) + data.shape[1:]
    nibabel.save(nibabel.freesurfer.MGHImage(data.reshape(shape), np.eye(4)), path(*name))


def dataset():
    shared = np.sort(rng.choice(IMAGES, SHARED, replace=False))
    others = np.setdiff1d(np.arange(IMAGES), shared)
    rng.shuffle(others)
    own = PHOTOGRAPHS - SHARED
    subjectim = np.stack([np.concatenate([shared, others[s * own:(s + 1) * own]]) for s in range(2)])
    order = rng.permutation(np.repeat(np.arange(PHOTOGRAPHS), 3))
    # A shared photograph whose three trials all lie in the last three sessions.
    first, last = np.where(order == 2)[0], np.where(order[-36:] != 2)[0][[3, 17, 30]] + 36
    order[first], order[last] = order[last], order[first]
    scipy.io.savemat(path("nsddata", "experiments", "nsd", "nsd_expdesign.mat"),
                     {"masterordering": (order + 1)[None].astype(np.float64), "subjectim": (subjectim + 1).astype(np.uint32),
                      "sharedix": (shared + 1)[None].astype(np.uint16), "basiccnt": np.zeros((3, 40))}, do_compression=True)
    bricks = rng.integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    with h5py.File(path("nsddata_stimuli", "stimuli", "nsd", "nsd_stimuli.hdf5"), "w", userblock_size=512) as f:
        f.create_dataset("imgBrick", data=bricks)
    with h5py.File(path("chunked.hdf5"), "w") as f:
        f.create_dataset("imgBrick", data=bricks, chunks=(5, 8, 4, 3), compression="gzip", shuffle=True)
    np.save(path("bricks.npy"), bricks)
    betas, labels, masks, ncsnr = {}, {}, {}, {}
    for c, names in CLASSES.items():
        with open(path("nsddata", "freesurfer", "subj01", "label", c + ".mgz.ctab"), "w") as f:
            f.writelines(f"{i} {n}\n" for i, n in enumerate(names))
    for h in ("lh", "rh"):
        b = rng.normal(rng.normal(0, 2, SURFACE), rng.uniform(0.2, 3, SURFACE), (SESSIONS, TRIALS, SURFACE)).astype(np.float32)
        b[2, :, 4] = 0.3  # Constant in a session.
        if h == "lh":
            b[1, :, 7] = np.nan
            b[4, 5, 9] = np.nan
        betas[h] = b
        folder = ("nsddata_betas", "ppdata", "subj01", "fsaverage", "betas_fithrf_GLMdenoise_RR")
        for s in range(SESSIONS):
            mgh(b[s].T, *folder, f"{h}.betas_session{s + 1:02d}.mgh")
        ncsnr[h] = rng.uniform(0, 1.5, SURFACE).astype(np.float32)
        mgh(ncsnr[h], *folder, f"{h}.ncsnr.mgh")
        general = (rng.random(SURFACE) < 0.6).astype(np.uint8)
        general[[4, 7, 9]] = 1
        rsc = (rng.random(SURFACE) < 0.2).astype(np.int16)
        mgh(general, "nsddata", "freesurfer", "fsaverage", "label", f"{h}.nsdgeneral.mgz")
        mgh(rsc, "nsddata", "freesurfer", "fsaverage", "label", f"{h}.nsdgeneralRSC.mgz")
        masks[h] = general + rsc > 0
        to = rng.integers(0, NATIVE[h], SURFACE)
        mgh((to + 1).astype(np.float32), "nsddata", "ppdata", "subj01", "transforms", f"{h}.white-to-fsaverage.mgz")
        for c, names in CLASSES.items():
            native = rng.integers(-1, len(names), NATIVE[h]).astype(np.int32)
            mgh(native, "nsddata", "freesurfer", "subj01", "label", f"{h}.{c}.mgz")
            labels[h, c] = np.maximum(native[to], 0)
    return subjectim[0][order], shared, betas, labels, masks, ncsnr


def expect(name, train, test, betas, labels, masks, ncsnr):
    """train and test: trials of each photograph."""
    share = np.mean([1 / len(t) for t in test.values()])
    with open(path(name, "images.txt"), "w") as f:
        for kind, split in (("train", train), ("test", test)):
            f.writelines(f"{kind}-{i + 1:04d}_nsd-{p:05d}.png\n" for i, p in enumerate(split))
    for h in ("lh", "rh"):
        b = betas[h].astype(np.float64)
        sd = b.std(1, keepdims=True)
        constant = (b == b[:, :1]).all(1, keepdims=True)
        z = np.where(constant, 0, (b - b.mean(1, keepdims=True)) / np.where(constant, 1, sd)).reshape(-1, SURFACE)
        z[:, np.isnan(betas[h]).any((0, 1))] = np.nan
        keep = np.where(masks[h])[0]
        if name == "challenge":
            keep = keep[~np.isnan(z[:, keep]).any(0)]
        for kind, split in (("training", train), ("test", test)):
            np.save(path(name, f"{h}_{kind}_fmri.npy"), np.stack([z[t][:, keep].mean(0) for t in split.values()]))
        snr = ncsnr[h][keep].astype(np.float64)
        np.save(path(name, f"{h}_noise_ceiling.npy"), snr ** 2 / (snr ** 2 + share))
        inside = np.isin(np.arange(SURFACE), keep)
        np.save(path(name, f"{h}.all-vertices_fsaverage_space.npy"), inside.astype(np.int32))
        for c in CLASSES:
            np.save(path(name, f"{h}.{c}_fsaverage_space.npy"), (labels[h, c] * inside).astype(np.int32))
            np.save(path(name, f"{h}.{c}_challenge_space.npy"), labels[h, c][keep].astype(np.int32))


def trials(photographs, which):
    return {p: [t for t in which if photographs[t] == p] for p in np.unique(photographs[list(which)])}


def main():
    photographs, shared, betas, labels, masks, ncsnr = dataset()
    n = len(photographs)
    train = trials(photographs, range(n - 36))
    test = {p: t for p, t in trials(photographs, range(n - 36, n)).items()
            if p not in train and (p not in shared or len(t) == 3)}
    assert len(test) >= 3 and sum(p in shared for p in test) == 1, (test, shared)
    expect("challenge", train, test, betas, labels, masks, ncsnr)
    # Five sessions, all vertices, the shared photographs for the test: these have one, two or three trials.
    five = {h: b[:5] for h, b in betas.items()}
    all_trials = trials(photographs, range(60))
    test = {p: t for p, t in all_trials.items() if p in shared}
    train = {p: t for p, t in all_trials.items() if p not in shared}
    assert len({len(t) for t in test.values()}) > 1, test
    expect("shared", train, test, five, labels, {h: np.ones(SURFACE, bool) for h in masks}, ncsnr)


main()
