# SPDX-License-Identifier: Apache-2.0
"""Writes src/test/resources/models/readouts.safetensors from PyTorch in double: channel normalisation and the readouts.
Each case NAME has the inputs NAME.in.I, the outputs NAME.out.I, the outputs' gradients NAME.seed.I and the inputs' gradients
NAME.grad.I. Single precision holds the inputs exactly.
"""
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

torch.manual_seed(5)
tensors = {}


def randn(*dims):
    return torch.randn(*dims).double()


def case(name, forward, *inputs, names=None):
    for x in inputs:
        x.requires_grad_()
    y = forward(*inputs)
    seed = randn(*y.shape)
    names = names or range(len(inputs))
    for i, g in zip(names, torch.autograd.grad(y, inputs, seed)):
        tensors[f"{name}.grad.{i}"] = g
    for i, x in zip(names, inputs):
        tensors[f"{name}.in.{i}"] = x
    tensors[f"{name}.out.0"], tensors[f"{name}.seed.0"] = y, seed


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def leaky(x):
    return F.leaky_relu(x, 0.2)


def positions(x, p, w, bias):
    b, l, h, ww, c = x.shape
    grid = p.reshape(1, -1, 1, 2).expand(b * l, -1, -1, -1)
    at = F.grid_sample(nchw(x.reshape(b * l, h, ww, c)), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return torch.einsum("blcv,vlc->bv", at.reshape(b, l, c, -1), w.reshape(-1, l, c)) + bias


case("group", lambda x, g, b: leaky(nhwc(F.group_norm(nchw(x), 3, g, b, 1e-5))), randn(2, 4, 5, 12) + 3, randn(12), randn(12))
case("batch", lambda x, g, b: leaky(nhwc(F.batch_norm(nchw(x), None, None, g, b, True, 0.1, 1e-5))), randn(3, 4, 5, 6), randn(6), randn(6))
case("choice", lambda a, f: (a.softmax(1)[:, :, None] * f[:, None]).flatten(1), randn(9, 4), randn(9, 5))
# the factorised readout: masks [V, P], map [P, B * K]
case("factorised", lambda m, x, w, bias: torch.einsum("vp,pbk,vk->bv", m, x.reshape(12, 3, 5), w) + bias,
     randn(7, 12), randn(12, 15), randn(7, 5), randn(7))
case("position", positions, randn(3, 2, 4, 5, 6), (torch.rand(11, 2) * 2.6 - 1.3).double(), randn(11, 12), randn(11))

# three steps of BatchNorm's running statistics, then evaluation
norm = nn.BatchNorm2d(6).double()
with torch.no_grad():
    norm.weight.copy_(randn(6)), norm.bias.copy_(randn(6))
    for step in range(3):
        tensors[f"steps.in.{step}"] = x = randn(3, 4, 5, 6) + step
        norm(nchw(x))
    norm.eval()
    tensors |= {"steps.gamma": norm.weight, "steps.beta": norm.bias, "steps.mean": norm.running_mean, "steps.var": norm.running_var,
                "steps.evaluated": leaky(nhwc(norm(nchw(x))))}


# Region queries: one decoder layer over tokens [B, N, C], then for each vertex the vector of its region.
class Decoder(nn.Module):
    def __init__(self, queries, c, heads):
        super().__init__()
        self.heads, self.embed = heads, nn.Parameter(torch.randn(queries, c))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(c, 1e-6), nn.LayerNorm(c, 1e-6), nn.LayerNorm(c, 1e-6)
        self.q, self.kv, self.proj = nn.Linear(c, c), nn.Linear(c, 2 * c), nn.Linear(c, c)
        self.fc1, self.fc2 = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        for n in (self.norm1, self.norm2, self.norm):
            nn.init.normal_(n.weight), nn.init.normal_(n.bias)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def scores(self, x):
        return (self.split(self.q(self.norm1(self.embed))) @ self.split(self.kv(x).chunk(2, -1)[0]).mT) / (x.shape[-1] // self.heads) ** 0.5

    def forward(self, x):
        a = self.scores(x).softmax(-1) @ self.split(self.kv(x).chunk(2, -1)[1])
        y = self.embed + self.proj(a.transpose(1, 2).flatten(2))
        return self.norm(y + self.fc2(F.gelu(self.fc1(self.norm2(y)))))


decoder, region = Decoder(3, 8, 2).double(), torch.tensor([0, 2, 1, 1, 0, 2, 2])
with torch.no_grad():
    for p in decoder.parameters():
        p.copy_(p.float())
names = [n for n, _ in decoder.named_parameters()]


def queries(x, w, bias, *values):
    z = torch.func.functional_call(decoder, dict(zip(names, values)), (x,))
    return torch.einsum("bvc,vc->bv", z[:, region], w) + bias


tokens = randn(2, 10, 8)
case("queries", queries, tokens, randn(7, 8), randn(7), *[p.detach().clone() for p in decoder.parameters()],
     names=["tokens", "head.weight", "head.bias"] + ["queries." + n for n in names])
tensors["queries.in.head.region"] = region[:, None].double()
# Attention of each query to two layers of a class token and a map of 2 x 2, mean over heads: [B, R, L, H, W].
maps = decoder.scores(tokens.detach()).softmax(-1).mean(1)
tensors["queries.maps"] = maps.unflatten(-1, (2, 5))[..., 1:].unflatten(-1, (2, 2))
save_file({k: v.detach().contiguous() for k, v in tensors.items()},
          pathlib.Path(__file__).parent.parent / "src/test/resources/models/readouts.safetensors")
