#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the constants of GELU in bf16 (kernels/activation/activation.cu). Needs numpy and scipy.

With Q the upper tail of the normal distribution, Q(a) exp(a^2 / 2) = t P(t), t = 1 / (1 + p a). P has degree 5 and the
least largest relative error on 0 <= a <= 13.25, where exp(-a^2 / 2) falls below 2^-126. P(1) = 1/2, so that Q(0) is exact.
"""
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import erfcx

DEGREE, END = 5, 13.25
A = END / 2 * (1 - np.cos(np.pi * (np.arange(2500) + 0.5) / 2500))
WANT = erfcx(A / np.sqrt(2)) / 2


def minimax(p, rounds):
    """Lawson's algorithm: least squares, reweighted by the errors until the largest ones are equal."""
    t = 1 / (1 + p * A)
    basis = np.stack([t ** (k + 1) - t for k in range(1, DEGREE + 1)], 1) / WANT[:, None]
    right = 1 - t / 2 / WANT
    weight = np.full(len(A), 1 / len(A))
    best = (np.inf, None)
    for _ in range(rounds):
        root = np.sqrt(weight)
        c = np.linalg.lstsq(basis * root[:, None], right * root, rcond=None)[0]
        error = np.abs(basis @ c - right)
        best = min(best, (error.max(), np.append(0.5 - c.sum(), c)), key=lambda b: b[0])
        weight *= error
        weight /= weight.sum()
    return best


grid = np.linspace(0.2, 0.5, 61)
near = grid[np.argmin([minimax(p, 60)[0] for p in grid])]
p = minimize_scalar(lambda p: minimax(p, 300)[0], bounds=(near - 0.005, near + 0.005), method="bounded", options={"xatol": 1e-7}).x
error, c = minimax(p, 3000)
scale = np.sqrt(np.log2(np.e) / 2)  # the kernel's u is a times this
print("relative error 2^%.2f" % np.log2(error))
print("u / |x|", np.float32(scale), " p / scale", np.float32(p / scale), " density", np.float32(1 / np.sqrt(2 * np.pi) / scale))
print("P, from the constant:", [float(np.format_float_positional(np.float32(v))) for v in c])
