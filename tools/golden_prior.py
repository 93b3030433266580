# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/ridge/prior.safetensors: predictions, noise and number of steps of the empirical Bayes readout
(LearnedPrior), from its formulas in double. Two subjects with different images share a prior."""
import pathlib

import numpy as np
from safetensors.numpy import save_file

out = pathlib.Path(__file__).parent.parent / "src/test/resources/ridge"
N, T, F, V, RANK, STEPS, GROUP_STEPS, FOLDS = (40, 34), 9, 60, (40, 29), 12, 12, 3, 3
LAMBDAS = 2.0 ** np.arange(-3, 6)


def improve(s, noise, moments, start):
    """One step of expectation maximisation; moments are (gram, cross, images, vertices) of each subject."""
    total = len(s) + sum(m[3] for m in moments)
    new, precision, levels = len(s) / total * start * np.eye(len(s)), np.linalg.inv(s), []
    for (g, c, n, v), s2 in zip(moments, noise):
        q = np.linalg.inv(g + s2 * precision)
        second = q @ c @ q + s2 * q
        new += v / total * second
        levels.append((n - 2 * np.trace(q @ c) + np.sum(second * g)) / n)
    return new, levels


def moments(a, y):
    c = a.T @ y
    return a.T @ a, c @ c.T / y.shape[1], len(a), y.shape[1]


def steps(coordinates, responses):
    errors = np.zeros(STEPS + 1)
    for fold in range(FOLDS):
        held = [np.array_split(np.arange(len(a)), FOLDS)[fold] for a in coordinates]
        training = [np.setdiff1d(np.arange(len(a)), h) for a, h in zip(coordinates, held)]
        m = [moments(a[t], y[t]) for a, y, t in zip(coordinates, responses, training)]
        s, noise = 0.3 * np.eye(coordinates[0].shape[1]), [0.7] * len(m)
        for i in range(STEPS + 1):
            for a, y, t, h, (g, _, _, _), s2 in zip(coordinates, responses, training, held, m, noise):
                w = np.linalg.solve(g + s2 * np.linalg.inv(s), a[t].T @ y[t])
                errors[i] += np.sum((y[h] - a[h] @ w) ** 2) / len(h)
            s, noise = improve(s, noise, m, 0.3)
    return int(errors.argmin())


def white_basis(gram, s):
    """Directions (columns) along which the prior is white and the coordinates are not correlated."""
    root = np.linalg.cholesky(s)
    d, u = np.linalg.eigh(root.T @ gram @ root)
    return d, root @ u


def group_weights(a, y, noise):
    m = moments(a, y)
    s, n = np.eye(a.shape[1]), len(a)
    for _ in range(GROUP_STEPS if y.shape[1] >= len(s) else 0):
        s, (noise,) = improve(s, [noise], [m], 1.0)
    d, basis = white_basis(m[0], s)
    z = basis.T @ a.T @ y
    evidence = np.array([-0.5 * ((n - 1) * np.log(n - np.sum(z**2 / (d + l)[:, None], 0)) + np.sum(np.log1p(d / l))) for l in LAMBDAS * noise])
    prior = np.zeros(len(LAMBDAS))
    for _ in range(3):
        share = np.exp(evidence + prior[:, None] - np.max(evidence + prior[:, None], 0))
        share /= share.sum(0)
        prior = np.log(share.mean(1) + 1e-4)
    gain = sum(p * 1 / (d + l)[:, None] for p, l in zip(share, LAMBDAS * noise))
    return basis @ (gain * z)


rng = np.random.default_rng(7)
tensors, shared = {}, rng.normal(size=(F, 5))
xs, ys, tests, groups = [], [], [], []
for s, (n, v) in enumerate(zip(N, V)):
    x = (rng.normal(size=(n + T, F)) * rng.uniform(0.2, 2, F) + rng.normal(size=F)).astype(np.float32)
    y = (x[:n] @ shared @ rng.normal(size=(5, v)) * 0.1 + rng.normal(size=(n, v))).astype(np.float32) * 3 + 5
    g = (np.arange(v) % 3).astype(np.int32)
    tensors.update({f"{s}.x": x[:n], f"{s}.y": y, f"{s}.test": x[n:], f"{s}.groups": g})
    xs.append(x[:n].astype(np.float64)), ys.append(y.astype(np.float64)), tests.append(x[n:].astype(np.float64)), groups.append(g)
centred = [x - x.mean(0) for x in xs]
landmarks = np.concatenate(centred)
w, u = np.linalg.eigh(landmarks @ landmarks.T)
axes = landmarks.T @ u[:, w > 1e-6 * w.max()] / np.sqrt(w[w > 1e-6 * w.max()])
axes /= np.sqrt(np.sum((landmarks @ axes) ** 2) / len(landmarks))
standard = [(y - y.mean(0)) / y.std(0) for y in ys]
coordinates = [x @ axes for x in centred]
count = steps(coordinates, standard)
s, noise = 0.3 * np.eye(axes.shape[1]), [0.7] * len(xs)
for _ in range(count):
    s, noise = improve(s, noise, [moments(a, y) for a, y in zip(coordinates, standard)], 0.3)
directions = white_basis(sum(a.T @ a for a in coordinates), s)[1][:, -RANK:]
for i, x in enumerate(xs):
    weights = np.zeros((RANK, V[i]))
    for g in np.unique(groups[i]):
        own = groups[i] == g
        weights[:, own] = group_weights(coordinates[i] @ directions, standard[i][:, own], noise[i])
    scores = (tests[i] - x.mean(0)) @ axes @ directions
    tensors[f"{i}.prediction"] = ys[i].mean(0) + ys[i].std(0) * (scores @ weights)
tensors["noise"], tensors["steps"] = np.array(noise), np.array([count], np.int32)
print(count, noise)
save_file({k: np.ascontiguousarray(t) for k, t in tensors.items()}, out / "prior.safetensors")
