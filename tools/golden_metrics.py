# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/metrics/metrics.safetensors from numpy and scipy: predictions and responses with offsets and
constant columns, scipy's Pearson r, noise ceilings and the challenge's score; features, responses, and the predictions of PCA + ridge in
numpy for new features."""
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

features, test = rng.normal(size=(60, 30)), rng.normal(size=(9, 30))
features[:, :12] += 2 * rng.normal(size=(60, 3)) @ rng.normal(size=(3, 12))
features, test = features.astype(np.float32), test.astype(np.float32)
response = (features[:, :3] @ rng.normal(size=(3, 7)) + rng.normal(size=(60, 7))).astype(np.float32)
k, penalty = 10, 20.0
x = features.astype(np.float64)
mean, std = x.mean(0), x.std(0)
u, s, vt = np.linalg.svd((x - mean) / std, full_matrices=False)
z, y = (x - mean) / std @ vt[:k].T, response.astype(np.float64)
beta = np.linalg.solve(z.T @ z + penalty * np.eye(k), z.T @ (y - y.mean(0)))
ridge = ((test - mean) / std @ vt[:k].T) @ beta + y.mean(0)

save_file(dict(prediction=prediction, target=target, r=r, noise_ceiling=nc, scores=scores, features=features, test=test,
               response=response, ridge=ridge, variance=(s[:k] ** 2 / (len(x) - 1)), penalty=np.array([penalty])),
          out / "metrics.safetensors")
