# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/metrics/metrics.safetensors from numpy and scipy: predictions and responses with offsets and
constant columns, scipy's Pearson r, noise ceilings and the challenge's score."""
import pathlib

import numpy as np
from safetensors.numpy import save_file
from scipy.stats import pearsonr

out = pathlib.Path(__file__).parent.parent / "src/test/resources/metrics"
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(4)
n, v = 57, 40
target = rng.normal(size=(n, v)).astype(np.float32)
prediction = (0.6 * target + rng.normal(size=(n, v))).astype(np.float32)
prediction[:, 5] += 1000  # sums of squares in float32 would lose r here
target[:, 6] -= 3000
prediction[:, 7] = 2.5
target[:, 8] = -1
r = np.array([0 if i in (7, 8) else pearsonr(prediction[:, i].astype(np.float64), target[:, i].astype(np.float64)).statistic
              for i in range(v)])
nc = rng.uniform(0, 0.9, v).astype(np.float32)
nc[3] = 0
scores = np.minimum(np.where(r < 0, 0, r) ** 2 / np.where(nc == 0, 1e-14, nc.astype(np.float64)) * 100, 100)

save_file(dict(prediction=prediction, target=target, r=r, noise_ceiling=nc, scores=scores), out / "metrics.safetensors")
