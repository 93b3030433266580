# SPDX-License-Identifier: Apache-2.0
"""Writes random files in the layout and of the sizes of the Natural Scenes Dataset, to time `cortigan import nsd`: subject 1 with
SESSIONS of 750 trials on fsaverage's 163,842 vertices a hemisphere, IMAGES photographs of 425 pixels, of which the subject sees
250 a session, each three times. Needs h5py, numpy and scipy.

usage: random_nsd.py FOLDER [SESSIONS [IMAGES]]           (40 and 73000: 45 GB; photographs of other subjects are holes in the file)
"""
import gzip
import pathlib
import struct
import sys

import h5py
import numpy as np
import scipy.io

root = pathlib.Path(sys.argv[1])
sessions, images = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((2, 40), (3, 73000)))
TRIALS, SURFACE, NATIVE, SIDE = 750, 163842, 164000, 425
seen = sessions * TRIALS // 3
rng = np.random.default_rng(0)
ROIS = {"prf-visualrois": "V1v V1d V2v V2d V3v V3d hV4", "floc-bodies": "EBA FBA-1 FBA-2 mTL-bodies",
        "floc-faces": "OFA FFA-1 FFA-2 mTL-faces aTL-faces", "floc-places": "OPA PPA RSC",
        "floc-words": "OWFA VWFA-1 VWFA-2 mfs-words mTL-words", "streams": "early midventral midlateral midparietal ventral lateral parietal"}


def file(name):
    p = root / name
    p.parent.mkdir(parents=True, exist_ok=True)
    return p


def mgh(data, name):
    """data: [frames, vertices], written as float"""
    p = file(name)
    with gzip.open(p, "wb", 1) if name.endswith("z") else open(p, "wb") as f:
        f.write(struct.pack(">7i", 1, data.shape[1], 1, 1, data.shape[0], 3, 0) + bytes(256) + data.astype(">f4").tobytes())


ids = np.sort(rng.permutation(images)[:seen])
order = rng.permutation(np.repeat(np.arange(seen), 3)) + 1
scipy.io.savemat(file("nsddata/experiments/nsd/nsd_expdesign.mat"), {
    "masterordering": order[None].astype(np.int32), "subjectim": np.tile(ids + 1, (8, 1)).astype(np.int32),
    "sharedix": ids[None, :seen // 10].astype(np.int32) + 1}, do_compression=True)
betas = "nsddata_betas/ppdata/subj01/fsaverage/betas_fithrf_GLMdenoise_RR"
for h, vertices in (("lh", 19004), ("rh", 20544)):
    for s in range(sessions):
        mgh(rng.standard_normal((TRIALS, SURFACE), dtype=np.float32) + 1, f"{betas}/{h}.betas_session{s + 1:02d}.mgh")
    mgh(rng.random((1, SURFACE)), f"{betas}/{h}.ncsnr.mgh")
    general = np.zeros((1, SURFACE))
    general[0, rng.permutation(SURFACE)[:vertices]] = 1
    mgh(general, f"nsddata/freesurfer/fsaverage/label/{h}.nsdgeneral.mgz")
    mgh(rng.random((1, SURFACE)) < 0.02, f"nsddata/freesurfer/fsaverage/label/{h}.nsdgeneralRSC.mgz")
    mgh(rng.integers(1, NATIVE + 1, (1, SURFACE)), f"nsddata/ppdata/subj01/transforms/{h}.white-to-fsaverage.mgz")
    for name, rois in ROIS.items():
        names = ["Unknown", *rois.split()]
        mgh(rng.integers(-1, len(names), (1, NATIVE)), f"nsddata/freesurfer/subj01/label/{h}.{name}.mgz")
        file(f"nsddata/freesurfer/subj01/label/{name}.mgz.ctab").write_text("".join(f"{i} {x}\n" for i, x in enumerate(names)))
with h5py.File(file("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"), "w") as f:
    bricks = f.create_dataset("imgBrick", (images, SIDE, SIDE, 3), np.uint8)
    for i in ids:  # smooth noise, whose PNG files are about as large as those of photographs
        coarse = rng.integers(0, 128, (SIDE // 8 + 1, SIDE // 8 + 1, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:SIDE, :SIDE]
        bricks[i] = coarse + rng.integers(0, 24, (SIDE, SIDE, 3), dtype=np.uint8)
