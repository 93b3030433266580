# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/features/gabor.safetensors: two photographs of 32 x 32 pixels and the features of their Gabor pyramid,
from square filters in double, without separating them.
"""
import pathlib

import numpy as np
from safetensors.numpy import save_file

SIDE, FREQUENCY, ORIENTATIONS, WIDTH = 32, 0.25, 8, 0.45
CELLS = 4, 2, 2, 2


def bank():
    sigma = WIDTH / FREQUENCY
    n = int(np.ceil(3 * sigma))
    y, x = np.mgrid[-n : n + 1, -n : n + 1].astype(float)
    g = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    for k in range(ORIENTATIONS):
        angle = np.pi * k / ORIENTATIONS
        phase = 2 * np.pi * FREQUENCY * (np.cos(angle) * x + np.sin(angle) * y)
        mean = (g * np.cos(phase)).sum() / g.sum()
        yield 2 / g.sum() * g * (np.cos(phase) - mean), 2 / g.sum() * g * np.sin(phase)


def correlate(image, kernel):
    n = len(kernel) // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, n, mode="edge"), kernel.shape)
    return np.einsum("yxij,ij->yx", windows, kernel)


def average(image, cell):
    n = len(image) // cell
    return image.reshape(n, cell, n, cell).mean((1, 3))


def features(rgb, response):
    luminance = rgb @ [0.299, 0.587, 0.114] / 255
    image, all_features = luminance, []
    for cell in CELLS:
        pairs = [(correlate(image, even), correlate(image, odd)) for even, odd in bank()]
        if response == "linear":
            at = slice(cell // 2, None, cell)
            maps = [even[at, at] for even, _ in pairs] + [odd[at, at] for _, odd in pairs]
        elif response == "amplitude":
            maps = [average(np.hypot(even, odd), cell) for even, odd in pairs]
        else:
            maps = [average(even**2 + odd**2, cell) for even, odd in pairs]
        if response == "log":
            maps = [np.log(m + 1e-4) for m in maps]
        all_features += [m.ravel() for m in maps]
        image = average(image, 2)
    return np.concatenate([*all_features, average(luminance, 8).ravel()])


rng = np.random.default_rng(7)
noise = rng.integers(0, 256, (SIDE, SIDE, 3))
y, x = np.mgrid[:SIDE, :SIDE]
grating = np.stack([127.5 + 120 * np.cos(0.9 * x + 0.5 * y + c) for c in range(3)], -1).round().astype(int)
photographs = np.stack([noise, grating])
tensors = {"photographs": photographs.astype(np.float32)}
for response in "amplitude", "energy", "log", "linear":
    tensors[response] = np.stack([features(p, response) for p in photographs]).astype(np.float32)
file = pathlib.Path(__file__).parents[1] / "src/test/resources/features/gabor.safetensors"
file.parent.mkdir(exist_ok=True)
save_file(tensors, file)
print(file, {name: t.shape for name, t in tensors.items()})
