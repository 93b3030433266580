# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/ridge/ridge.safetensors: predictions, penalties and scores of scikit-learn's RidgeCV and of
himalaya's KernelRidgeCV and banded ridge (solver "random_search" with fixed weightings of the bands), for fewer images
than features and for more."""
import pathlib

import numpy as np
from himalaya.kernel_ridge import KernelRidgeCV, solve_multiple_kernel_ridge_random_search
from himalaya.scoring import l2_neg_loss
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


def kernels(bands, test):
    """The linear kernels [B, N, N] and [B, T, N] of standardised bands."""
    scaled = [(StandardScaler().fit(b).transform(b), StandardScaler().fit(b).transform(t)) for b, t in zip(bands, test)]
    return np.array([x @ x.T for x, _ in scaled]), np.array([t @ x.T for x, t in scaled])


def kernel_ridge(name, x, y, test):
    """himalaya's ridge with a penalty for each target."""
    k, k_test = kernels([x], [test])
    model = KernelRidgeCV(ALPHAS, kernel="precomputed", cv=KFold(FOLDS), fit_intercept=True).fit(k[0], y)
    tensors[f"{name}.prediction"] = model.predict(k_test[0])
    # himalaya returns the exponential of a logarithm, which differs from the given alpha in the last digits.
    tensors[f"{name}.alpha"] = ALPHAS[np.abs(ALPHAS[:, None] - model.best_alphas_).argmin(0)]
    tensors[f"{name}.score"] = np.array([model.cv_scores_.mean()])


def banded(name, bands, y, test):
    k, k_test = kernels(bands, test)
    deltas, dual, scores, alpha, intercept = solve_multiple_kernel_ridge_random_search(
        k, y, n_iter=WEIGHTINGS, alphas=ALPHAS, score_func=l2_neg_loss, cv=KFold(FOLDS), fit_intercept=True,
        return_weights="dual", return_alphas=True, progress_bar=False)
    # A delta is the logarithm of weighting / alpha; the dual weights are those for a penalty of 1.
    tensors[f"{name}.prediction"] = np.einsum("bv,btn,nv->tv", np.exp(deltas), k_test, dual) + intercept
    tensors[f"{name}.alpha"], tensors[f"{name}.weighting"] = alpha, WEIGHTINGS[scores.argmax(0)]
    tensors[f"{name}.score"] = np.array([scores.max(0).mean()])


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
    kernel_ridge(f"{shape}.himalaya", x, y, test)
    third = f // 3
    banded(f"{shape}.banded", [x[:, :third], x[:, third:]], y, [test[:, :third], test[:, third:]])
for key in tensors:
    if key.endswith((".alpha", ".score", ".weighting")):
        print(key, tensors[key].tolist())
save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, out / "ridge.safetensors")
