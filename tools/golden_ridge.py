# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/ridge/ridge.safetensors: predictions, penalties and scores of scikit-learn's RidgeCV for fewer
images than features and for more, and of a banded ridge. himalaya itself did not run: the banded ridge here follows the
formulas of its documentation (MultipleKernelRidgeCV, solver "random_search", with fixed candidates and an intercept): for each weighting of
the kernels, each fold and each alpha, ridge in dual form on centred training kernels; for each target the weighting and alpha
of the least mean squared error, averaged over folds; then a fit on all images."""
import pathlib

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

out = pathlib.Path(__file__).parent.parent / "src/test/resources/ridge"
out.mkdir(parents=True, exist_ok=True)
N, T, V, FOLDS = 42, 9, 12, 5
ALPHAS = np.array([1e-2, 1e-1, 1, 10, 100, 1e3, 1e4])
GROUPS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 1, 0, 2], np.int32)
WEIGHTINGS = np.array([[0.5, 0.5], [1, 0], [0, 1], [0.9, 0.1], [0.02, 0.98]])
MSE = "neg_mean_squared_error"
tensors = dict(alphas=ALPHAS, groups=GROUPS, weightings=WEIGHTINGS)


def case(name, model, x, y, test):
    """Fits and stores predictions, the alpha of each target and the mean score."""
    model.fit(x, y)
    ridge = model[-1]
    tensors[f"{name}.prediction"] = model.predict(test)
    tensors[f"{name}.alpha"] = np.broadcast_to(ridge.alpha_, V).astype(np.float64).copy()
    tensors[f"{name}.score"] = np.array([np.mean(ridge.best_score_)])


def grouped(name, x, y, test):
    """One RidgeCV for each group."""
    prediction, alpha = np.zeros((T, V)), np.zeros(V)
    for g in np.unique(GROUPS):
        own = GROUPS == g
        model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x, y[:, own])
        prediction[:, own], alpha[own] = model.predict(test), model[-1].alpha_
    tensors[f"{name}.prediction"], tensors[f"{name}.alpha"] = prediction, alpha


def kernel_fit(k, k_test, y, alpha):
    """Ridge in dual form with an intercept: kernels [N, N] and [T, N] are centred on the training images."""
    rows = k.mean(0)
    centred = k - rows - k.mean(1)[:, None] + k.mean()
    centred_test = k_test - rows - k_test.mean(1)[:, None] + k.mean()
    return y.mean(0) + centred_test @ np.linalg.solve(centred + alpha * np.eye(len(k)), y - y.mean(0))


def banded(name, bands, y, test):
    scaled = [(StandardScaler().fit(b).transform(b), StandardScaler().fit(b).transform(t)) for b, t in zip(bands, test)]
    kernels = np.array([x @ x.T for x, _ in scaled])
    kernels_test = np.array([t @ x.T for x, t in scaled])
    errors = np.zeros((len(WEIGHTINGS), len(ALPHAS), V))
    for w, gamma in enumerate(WEIGHTINGS):
        k = np.tensordot(gamma, kernels, 1)
        for a, alpha in enumerate(ALPHAS):
            for train, held in KFold(FOLDS).split(y):
                p = kernel_fit(k[np.ix_(train, train)], k[np.ix_(held, train)], y[train], alpha)
                errors[w, a] += np.mean((p - y[held]) ** 2, 0) / FOLDS
    best = errors.reshape(-1, V).argmin(0)
    weighting, alpha = WEIGHTINGS[best // len(ALPHAS)], ALPHAS[best % len(ALPHAS)]
    prediction = np.zeros((T, V))
    for v in range(V):
        k, k_test = (np.tensordot(weighting[v], both, 1) for both in (kernels, kernels_test))
        prediction[:, v] = kernel_fit(k, k_test, y[:, [v]], alpha[v])[:, 0]
    tensors[f"{name}.prediction"], tensors[f"{name}.alpha"] = prediction, alpha
    tensors[f"{name}.weighting"] = weighting
    tensors[f"{name}.score"] = np.array([-errors.reshape(-1, V).min(0).mean()])


rng = np.random.default_rng(6)
for shape, f in (("wide", 60), ("tall", 25)):
    x = rng.normal(size=(N + T, f)) * rng.uniform(0.1, 5, f) + rng.normal(size=f) * 10
    x[:, :8] += 3 * rng.normal(size=(N + T, 2)) @ rng.normal(size=(2, 8))
    x = x.astype(np.float32)
    signal = (x - x.mean(0)) / x.std(0)
    weights = rng.normal(size=(f, V)) / np.sqrt(f)
    weights[: f // 3, : V // 2] *= 0.1
    noise = rng.uniform(0.1, 1.2, V)
    y = ((signal @ weights + noise * rng.normal(size=(N + T, V))) * rng.uniform(0.5, 2, V) + 5 * rng.normal(size=V)).astype(np.float32)
    tensors.update({f"{shape}.x": x[:N], f"{shape}.test": x[N:], f"{shape}.y": y[:N]})
    x, test, y = x[:N].astype(np.float64), x[N:].astype(np.float64), y[:N].astype(np.float64)
    case(f"{shape}.loo_shared", make_pipeline(StandardScaler(), RidgeCV(ALPHAS)), x, y, test)
    case(f"{shape}.loo_vertex", make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=True)), x, y, test)
    case(f"{shape}.raw", make_pipeline(RidgeCV(ALPHAS)), x, y, test)
    case(f"{shape}.pca", make_pipeline(StandardScaler(), PCA(10, svd_solver="full"), RidgeCV(ALPHAS, alpha_per_target=True)), x, y, test)
    case(f"{shape}.folds", make_pipeline(StandardScaler(), RidgeCV(ALPHAS, cv=KFold(FOLDS), scoring=MSE)), x, y, test)
    case(f"{shape}.pca_folds", make_pipeline(StandardScaler(), PCA(10, svd_solver="full"), RidgeCV(ALPHAS, cv=KFold(FOLDS), scoring=MSE)), x, y, test)
    grouped(f"{shape}.groups", x, y, test)
    third = f // 3
    banded(f"{shape}.banded", [x[:, :third], x[:, third:]], y, [test[:, :third], test[:, third:]])
for key in tensors:
    if key.endswith((".alpha", ".score", ".weighting")):
        print(key, tensors[key].tolist())
save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out / "ridge.safetensors")
