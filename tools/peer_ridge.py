# SPDX-License-Identifier: Apache-2.0
"""Times scikit-learn's RidgeCV beside the ridge regression of CortiGAN (RidgeBenchmark in bench/java) on the same data:
standardised features, ten penalties, one fit and the predictions of 200 images; all data in memory.

usage: peer_ridge.py make DIR IMAGES FEATURES VERTICES
       peer_ridge.py DIR {shared | vertex} [first vertices]
"""
import sys
import time

import numpy as np

directory = sys.argv[2] if sys.argv[1] == "make" else sys.argv[1]
ALPHAS = np.logspace(1, 6, 10)


def make(images, features, vertices):
    """Features with a steep spectrum as those of photographs, responses of which a third is signal."""
    rng = np.random.default_rng(0)
    n = images + 200
    scale = (1 + np.arange(features)) ** -0.5
    x = (rng.standard_normal((n, features), np.float32) * scale.astype(np.float32)) @ rng.standard_normal(
        (features, features), np.float32)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    y = np.empty((images, vertices), np.float32)
    for at in range(0, vertices, 1000):
        own = min(1000, vertices - at)
        signal = x[:images, :256] @ rng.standard_normal((min(256, features), own), np.float32) / 16
        y[:, at:at + own] = signal * 0.7 + rng.standard_normal((images, own), np.float32)
    np.save(f"{directory}/x.npy", x[:images])
    np.save(f"{directory}/test.npy", x[images:])
    np.save(f"{directory}/y.npy", y)


def measure(mode, vertices):
    import sklearn
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    x, test, y = (np.load(f"{directory}/{name}.npy") for name in ("x", "test", "y"))
    x, test, y = x.astype(np.float64), test.astype(np.float64), y[:, :vertices].astype(np.float64)
    start, busy = time.perf_counter(), time.process_time()
    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS, alpha_per_target=mode == "vertex")).fit(x, y)
    fitted = time.perf_counter() - start
    prediction = model.predict(test)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"scikit-learn {sklearn.__version__} {mode}, {len(x)} images, {x.shape[1]} features, {y.shape[1]} vertices: "
          f"{seconds:.2f} s, of which fit {fitted:.2f}, processor time {busy:.1f} s; score {np.mean(model[-1].best_score_):.9f}, "
          f"lambda {np.ravel(model[-1].alpha_)[0]:.4g}, prediction {prediction[0, 0]:.7f}")


if sys.argv[1] == "make":
    make(*map(int, sys.argv[3:6]))
else:
    measure(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
