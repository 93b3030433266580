# SPDX-License-Identifier: Apache-2.0
"""The UNet of Stable Diffusion 1.x in PyTorch, with diffusers' parameter names: the peer of CortiGAN's own.

`check(file)` compares it with the golden file src/test/resources/sd/sd_unet_diffusers.safetensors, so that the peer is known to be the
same network. Timings of a peer that computes something else would be worth nothing.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F

SD1 = dict(channels=(320, 640, 1280, 1280), blocks=2, attention_levels=3, heads=8, context=768, groups=32)


def timestep_embedding(t, width):
    half = width // 2
    frequency = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = t.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1)


class TimeEmbedding(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, out), nn.Linear(out, out)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class Resnet(nn.Module):
    def __init__(self, c, out, time, groups):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(groups, c, 1e-5), nn.Conv2d(c, out, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, out)
        self.norm2, self.conv2 = nn.GroupNorm(groups, out, 1e-5), nn.Conv2d(out, out, 3, padding=1)
        if c != out:
            self.conv_shortcut = nn.Conv2d(c, out, 1)

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(n, c, bias=False) for n in (c, context, context))
        self.to_out = nn.ModuleList([nn.Linear(c, c)])

    def forward(self, x, context):
        b, _, c = x.shape
        q, k, v = (y.view(b, -1, self.heads, c // self.heads).transpose(1, 2)
                   for y in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, -1, c))


class Geglu(nn.Module):
    def __init__(self, c, out):
        super().__init__()
        self.proj = nn.Linear(c, 2 * out)

    def forward(self, x):
        x, gate = self.proj(x).chunk(2, -1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.ModuleList([Geglu(c, 4 * c), nn.Identity(), nn.Linear(4 * c, c)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class Block(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(c) for _ in range(3))
        self.attn1, self.attn2, self.ff = Attention(c, c, heads), Attention(c, context, heads), FeedForward(c)

    def forward(self, x, context):
        h = self.norm1(x)
        x = x + self.attn1(h, h)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, c, context, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, c, 1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(c, c, 1), nn.Conv2d(c, c, 1)
        self.transformer_blocks = nn.ModuleList([Block(c, context, heads)])

    def forward(self, x, context):
        b, c, height, width = x.shape
        h = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(b, height * width, c)
        h = self.transformer_blocks[0](h, context)
        return x + self.proj_out(h.view(b, height, width, c).permute(0, 3, 1, 2))


class Resample(nn.Module):
    def __init__(self, c, stride):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride, 1)

    def forward(self, x):
        return self.conv(x if self.conv.stride[0] == 2 else F.interpolate(x, scale_factor=2.0))


class Level(nn.Module):
    """The blocks of one resolution on the way down or up, or in the middle."""

    def __init__(self, widths, out, attention, form, time):
        super().__init__()
        self.resnets = nn.ModuleList([Resnet(c, out, time, form["groups"]) for c in widths])
        if attention:
            self.attentions = nn.ModuleList([Transformer(out, form["context"], form["heads"], form["groups"]) for _ in range(attention)])


class Unet(nn.Module):
    """x [B, inputs, H, W], t [B], context [B, N, C] to [B, outputs, H, W]."""

    def __init__(self, inputs=4, outputs=4, **form):
        super().__init__()
        form = {**SD1, **form}
        c, n, levels = form["channels"], form["blocks"], form["attention_levels"]
        self.width, time = c[0], 4 * c[0]
        self.conv_in, self.time_embedding = nn.Conv2d(inputs, c[0], 3, padding=1), TimeEmbedding(c[0], time)
        self.down_blocks, self.up_blocks, skips, at = nn.ModuleList(), nn.ModuleList(), [c[0]], c[0]
        for i, out in enumerate(c):
            level = Level([at] + [out] * (n - 1), out, n * (i < levels), form, time)
            skips += [out] * n
            if i < len(c) - 1:
                level.downsamplers = nn.ModuleList([Resample(out, 2)])
                skips.append(out)
            self.down_blocks.append(level)
            at = out
        self.mid_block = Level([at, at], at, 1, form, time)
        for i, out in reversed(list(enumerate(c))):
            widths = []
            for _ in range(n + 1):
                widths.append(at + skips.pop())
                at = out
            level = Level(widths, out, (n + 1) * (i < levels), form, time)
            if i > 0:
                level.upsamplers = nn.ModuleList([Resample(out, 1)])
            self.up_blocks.append(level)
        self.conv_norm_out, self.conv_out = nn.GroupNorm(form["groups"], c[0], 1e-5), nn.Conv2d(c[0], outputs, 3, padding=1)

    def forward(self, x, t, context):
        time = self.time_embedding(timestep_embedding(t, self.width).to(self.conv_in.weight.dtype))
        h = self.conv_in(x)
        skips = [h]
        for level in self.down_blocks:
            for i, resnet in enumerate(level.resnets):
                h = resnet(h, time)
                if hasattr(level, "attentions"):
                    h = level.attentions[i](h, context)
                skips.append(h)
            if hasattr(level, "downsamplers"):
                h = level.downsamplers[0](h)
                skips.append(h)
        middle = self.mid_block
        h = middle.resnets[1](middle.attentions[0](middle.resnets[0](h, time), context), time)
        for level in self.up_blocks:
            for i, resnet in enumerate(level.resnets):
                h = resnet(torch.cat([h, skips.pop()], 1), time)
                if hasattr(level, "attentions"):
                    h = level.attentions[i](h, context)
            if hasattr(level, "upsamplers"):
                h = level.upsamplers[0](h)
        return self.conv_out(F.silu(self.conv_norm_out(h)))


def check(file):
    """The largest difference from the golden outputs and gradients, in double, relative to the largest value or 1e-3.

    The gradient of a bias before a group norm of single channels is 0, up to rounding.
    """
    from safetensors.torch import load_file
    golden = {k: v.double() for k, v in load_file(file).items()}
    g = {k[len("golden."):]: golden.pop(k) for k in list(golden) if k.startswith("golden.")}
    net = Unet(channels=(32, 64), blocks=1, attention_levels=1, heads=4, context=24, groups=32).double()
    net.load_state_dict(golden)  # strict: the names and shapes are diffusers'
    y = net(g["x"], g["t"], g["context"])
    y.backward(g["seed"])
    parameters = dict(net.named_parameters())
    pairs = [(y, g["y"])] + [(parameters[k[5:]].grad, want) for k, want in g.items() if k.startswith("grad.")]
    return max(((got - want).abs().max() / want.abs().max().clamp(min=1e-3)).item() for got, want in pairs)
