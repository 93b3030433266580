# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/metrics/evaluation.safetensors from numpy, scipy and scikit-learn: predictions and responses
with offsets and constant columns, their explained variance and R2; p-values and their false discovery rates; trials,
their ncsnr and noise ceilings."""
import pathlib

import numpy as np
from safetensors.numpy import save_file
from scipy.stats import false_discovery_control
from sklearn.metrics import explained_variance_score, r2_score

rng = np.random.default_rng(14)
n, v = 57, 40
target = rng.normal(size=(n, v)).astype(np.float32)
prediction = (0.6 * target + 0.5 * rng.normal(size=(n, v))).astype(np.float32)
prediction[:, 5] += 1000  # a wrong mean
prediction[:, 6] += 1000
target[:, 6] += 1000
prediction[:, 7] = 2.5
target[:, 8] = -1
prediction[:, 9] = target[:, 9] = 3  # constant and right
prediction[:, 10], target[:, 10] = 4, 3  # constant and wrong
prediction[:, 11] = target[:, 11]
y, p = target.astype(np.float64), prediction.astype(np.float64)
explained = explained_variance_score(y, p, multioutput="raw_values")
r2 = r2_score(y, p, multioutput="raw_values")

pvalues = np.concatenate([rng.uniform(size=60), rng.uniform(size=20) / 500, [0.5, 0.5, 0.001, 0.001, 1, 1]])
rng.shuffle(pvalues)
q = false_discovery_control(pvalues, method="bh")

trials, images, vertices = 3, 50, 6
signal = rng.normal(size=(images, vertices)) * [0, 0.3, 0.6, 1, 2, 1]
repeated = (signal + rng.normal(size=(trials, images, vertices)) * [1, 1, 1, 1, 1, 0]).astype(np.float32)
repeated[:, :, 4] += 1000
x = repeated.astype(np.float64)
noise_variance = x.var(axis=0, ddof=1).mean(axis=0)
signal_variance = np.maximum(0, x.mean(axis=0).var(axis=0, ddof=1) - noise_variance / trials)
with np.errstate(divide="ignore"):
    ncsnr = np.sqrt(signal_variance / noise_variance)
ceiling = signal_variance / (signal_variance + noise_variance / trials)
a, b, c = 20, 5, 9
seen = ncsnr[:5] ** 2 / (ncsnr[:5] ** 2 + (a / 3 + b / 2 + c) / (a + b + c))

save_file(dict(prediction=prediction, target=target, explained_variance=explained, r2=r2, p=pvalues, q=q,
               trials=repeated, noise_ceiling=ceiling, ncsnr=ncsnr[:5].astype(np.float32), noise_ceiling_seen=seen,
               seen=np.array([a, b, c], dtype=np.float64)),
          pathlib.Path(__file__).parent.parent / "src/test/resources/metrics/evaluation.safetensors")
