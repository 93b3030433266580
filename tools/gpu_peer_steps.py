# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch on the training steps of tools/gpu-check, with its best options; gpu_peers.py describes the output.

The step: a ViT-B/16 with a head over the vertices, L1 + correlation over images, AdamW with clipping by global norm. "step conv" and
"step vit" add a spectrally normalised discriminator D, LSGAN. Modes:

  eager             tries options one by one and keeps the faster ones, in --state
  graph             records the best eager options in one CUDA graph
  reduce-overhead,  the modes of torch.compile, each also with the whole step in one CUDA graph, for wholly compiled networks and for
  max-autotune      networks whose blocks are compiled (one compilation serves all blocks, in a fraction of the time)

The first prediction and loss of each variant must agree with those of autocast in eager mode.

ms: median of steps with a synchronisation after each; ms_unsynchronised: mean of as many steps in a row.
"""
import functools
import json
import math
import os
import statistics
import time

import gpu_peers

parser = gpu_peers.arguments(__doc__, "eager,graph,reduce-overhead,max-autotune")
parser.add_argument("--steps", default="none,vit,conv", help="comma-separated, run in this order")
parser.add_argument("--state", help="JSON file with the best options so far; read and written")
a = parser.parse_args()
cuda = a.device.startswith("cuda")
batch, vertices, image, patch, runs = (2, 640, 32, 16, 2) if a.small else (128, 19008 + 20544, 224, 16, 10)
width, depth, heads = (64, 2, 1) if a.small else (768, 12, 12)
channels, d_patch, d_vit = ((8, 16), 192, (64, 2, 1)) if a.small else ((64, 128, 256), 192, (384, 12, 6))

# The options that eager mode tries, in this order: name, change of the best options so far, whether it needs CUDA. Only the compiled
# modes compile the loss: compiling takes longer than all of these trials.
GENERATOR = [("autocast flash", dict(precision="autocast", attention="flash"), False), ("bf16 flash", dict(precision="bf16"), False),
             ("best cudnn", dict(attention="cudnn"), True), ("best conv patches", dict(patches="conv"), False),
             ("best class token", dict(last="class token"), False)]
DISCRIMINATOR = [("best two passes", dict(judge="two passes"), False), ("best one pass", dict(judge="one pass"), False),
                 ("best stacked", dict(judge="stacked"), False)]
CHANNELS_LAST = ("best channels_last", dict(channels_last=True), False)
DEFAULT = dict(precision="bf16", attention="flash", patches="unfold", last="all tokens", loss="eager", judge="stacked",
               channels_last=False)
TEXT = {"autocast": "autocast", "bf16": "bf16 modules with f32 masters", "unfold": "patches by unfold and linear",
        "conv": "patches by conv channels_last", "all tokens": "last block for all tokens",
        "class token": "last block for the class token", "compiled": "compiled loss", "eager": "eager loss",
        "two passes": "D: autocast, two passes, spectral norm at each", "one pass": "D: autocast, one batch, spectral norm once a step",
        "stacked": "D: bf16, one batch, spectral norm once a step, equal shapes stacked"}


def items():
    all_of = []
    for gan in a.steps.split(","):
        for mode in a.modes.split(","):
            if gan not in ("none", "conv", "vit"):
                raise SystemExit("no step " + gan)

            def add(how, work, needs):
                name = f"step {gan} {mode} {how}".strip()
                fields = dict(stage="steps", name="step " + gan, mode=mode, batch=batch)
                all_of.append(gpu_peers.Item(name, fields, functools.partial(work, name, gan), needs))

            if mode == "eager":
                tries = GENERATOR if gan == "none" else DISCRIMINATOR + [CHANNELS_LAST] * (gan == "conv")
                for how, change, needs in tries:
                    add(how, functools.partial(search, change), needs)
            elif mode == "graph":
                add("", functools.partial(best_of, None, "one graph"), True)
            elif mode in ("reduce-overhead", "max-autotune"):
                for how in ("blocks", "", "D without graphs", "one graph"):
                    if gan != "none" or how != "D without graphs":
                        add(how, functools.partial(best_of, mode, how), how == "one graph")
            else:
                raise SystemExit("no mode " + mode)
    return gpu_peers.select(all_of, a)


class State:
    """The best eager options of each step and all times measured so far, in a file that outlives the process."""

    def __init__(self):
        self.best, self.ms = {}, {}
        if a.state and os.path.exists(a.state):
            with open(a.state) as f:
                both = json.load(f)
            self.best, self.ms = both["best"], both["ms"]

    def options(self, gan):
        """The best options of this step so far, else those of the generator alone, else the default."""
        found = self.best.get(gan) or self.best.get("none")
        return {**DEFAULT, **(found["options"] if found else {})}

    def put(self, item, gan, mode, options, ms):
        self.ms[item] = ms
        if mode == "eager" and (gan not in self.best or ms < self.best[gan]["ms"]):
            self.best[gan] = dict(options=options, ms=ms)
        if a.state:
            with open(a.state + ".new", "w") as f:
                json.dump(dict(best=self.best, ms=self.ms), f, indent=1)
            os.replace(a.state + ".new", a.state)


def search(change, item, gan):
    options = {**state.options(gan), **change}
    line = measure(gan, options, None, "")
    state.put(item, gan, "eager", options, line["ms"])
    return line


def best_of(mode, how, item, gan):
    """Measures the best eager options, compiled in a mode or not compiled; how: the end of the item's name."""
    if how == "D without graphs" and f"step {gan} {mode}" in state.ms:
        raise gpu_peers.Skip("the discriminator works in CUDA graphs")
    options = state.options(gan)
    if mode:  # parametrizations do not compile well
        options.update(loss="compiled", judge="stacked")
    line = measure(gan, options, mode, how)
    state.put(item, gan, mode or "graph", options, line["ms"])
    return line


chosen = items()
if a.list:
    print("\n".join(i.name for i in chosen))
    raise SystemExit
gpu_peers.start(a.device)
import torch  # noqa: E402  after the variables that start() sets
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402

spectral_norm = torch.nn.utils.parametrizations.spectral_norm
ATTENTION = dict(flash=SDPBackend.FLASH_ATTENTION, cudnn=SDPBackend.CUDNN_ATTENTION)


def plain(layer):
    return layer


class Block(nn.Module):
    """A block of a ViT; alone: it returns the class token only, which is all that a last block is read for."""

    def __init__(self, width, heads, sn=plain, alone=False):
        super().__init__()
        self.heads, self.alone = heads, alone
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = sn(nn.Linear(width, 3 * width)), sn(nn.Linear(width, width))
        self.fc1, self.fc2 = sn(nn.Linear(width, 4 * width)), sn(nn.Linear(4 * width, width))

    def packed(self, x):
        """A linear layer's output [B, T, n C] as n tensors [B, heads, T, C / heads]."""
        b, t = x.shape[:2]
        return x.reshape(b, t, -1, self.heads, self.fc1.in_features // self.heads).permute(2, 0, 3, 1, 4)

    def forward(self, x):
        h = self.norm1(x)
        if self.alone:
            w, bias, c, x = self.qkv.weight, self.qkv.bias, x.shape[2], x[:, :1]
            (q,), (k, v) = self.packed(F.linear(h[:, :1], w[:c], bias[:c])), self.packed(F.linear(h, w[c:], bias[c:]))
        else:
            q, k, v = self.packed(self.qkv(h))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.proj(y)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def blocks(depth, width, heads, last, sn=plain):
    return nn.Sequential(*[Block(width, heads, sn, last == "class token" and i == depth - 1) for i in range(depth)])


class Generator(nn.Module):
    """From uint8 images [B, H, W, 3] to responses [B, vertices]."""

    def __init__(self, patches, last):
        super().__init__()
        self.patches = patches
        self.embed = nn.Linear(3 * patch * patch, width)  # input: rows, columns, channels of a patch
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, width) * 0.02)
        self.blocks = blocks(depth, width, heads, last)
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, vertices)

    def forward(self, x):
        b, n, w = x.shape[0], image // patch, self.embed.weight
        if self.patches == "unfold":
            x = x.reshape(b, n, patch, n, patch, 3).transpose(2, 3).reshape(b, n * n, -1)
            x = self.embed(((x.float() - 127.5) / 127.5).to(w.dtype))
        else:  # NHWC viewed as NCHW is channels_last, for the weight too
            x = ((x.float() - 127.5) / 127.5).to(w.dtype).permute(0, 3, 1, 2)
            w = w.view(width, patch, patch, 3).permute(0, 3, 1, 2)
            x = F.conv2d(x, w, self.embed.bias, stride=patch).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(b, -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x)[:, 0]))


class Conv(nn.Module):
    def __init__(self, channels_last, sn=plain):
        super().__init__()
        self.channels_last, n, c, convs = channels_last, vertices, 1, []
        for o in channels:
            convs.append(sn(nn.Conv1d(c, o, 9, 4, 4)))
            c, n = o, (n + 8 - 9) // 4 + 1
        self.convs, self.decision, self.last = nn.ModuleList(convs), sn(nn.Linear(c * n, 1)), (c, n)

    def forward(self, x):
        x = x[:, None]
        if not self.channels_last:
            for conv in self.convs:
                x = F.leaky_relu(conv(x), 0.2)
            return self.decision(x.flatten(1))
        x = x[:, :, None]
        for conv in self.convs:
            w = conv.weight[:, :, None].contiguous(memory_format=torch.channels_last)
            x = F.leaky_relu(F.conv2d(x, w, conv.bias, stride=(1, 4), padding=(0, 4)), 0.2)
        w = self.decision.weight.reshape(self.last).t().reshape(1, -1)  # transpose the small weight, not the maps
        return F.linear(x.permute(0, 2, 3, 1).flatten(1), w, self.decision.bias)


class Patches(nn.Module):
    def __init__(self, last, sn=plain):
        super().__init__()
        width, depth, heads = d_vit
        self.tokens = -(-vertices // d_patch)
        self.embed, self.decision = sn(nn.Linear(d_patch, width)), sn(nn.Linear(width, 1))
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.randn(1, self.tokens + 1, width) * 0.02)
        self.blocks, self.norm = blocks(depth, width, heads, last, sn), nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        x = F.pad(x, (0, self.tokens * d_patch - x.shape[1])).reshape(x.shape[0], self.tokens, d_patch)
        x = self.embed(x)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1).to(x.dtype), x], 1) + self.pos
        return self.decision(self.norm(self.blocks(x)[:, 0]))


class Parametrized:
    """A discriminator with PyTorch's own spectral norm under autocast. Real and generated responses go through in two passes with a
    power iteration in each, or in one batch with one power iteration a step, after the weight update, as in our engine."""

    def __init__(self, network, one_pass):
        self.network, self.one_pass, self.cast = network, one_pass, autocast(True)
        self.norms = [m for m in network.modules() if hasattr(m, "_u")]

    def parameters(self):
        return list(self.network.parameters())

    def iterate(self, yes):
        for n in self.norms:
            n.training = yes

    def loss(self, real, fake):
        with self.cast:
            if self.one_pass:
                self.iterate(False)
                x, y = self.network(torch.cat([real.to(fake.dtype), fake])).float().chunk(2)
                self.iterate(True)
            else:
                x, y = self.network(real).float(), self.network(fake).float()
        return d_loss(x, y)

    def adversarial_loss(self, p):
        for q in self.network.parameters():  # the generator step needs no gradients of the discriminator
            q.requires_grad_(False)
        with self.cast:
            y = self.network(p)
        for q in self.network.parameters():
            q.requires_grad_(True)
        return g_loss(y.float())


class Stacked(nn.Module):
    """A discriminator in bf16 with f32 parameters. Parameters of equal shape are stacked in one tensor, so that two batched products
    do all their power iterations and one cast makes all their bf16 copies. One batch, one power iteration a step, after the update."""

    def __init__(self, network, twin):
        super().__init__()
        self.twin = [twin]  # gives the structure; the list hides its parameters from nn.Module
        groups = {}
        for name, p in network.named_parameters():
            own = name.replace(".parametrizations.weight.original", ".weight")
            groups.setdefault((tuple(p.shape), own != name), []).append((own, p))
        self.names, self.shapes, stacks, self.normed = [], [], [], []
        for (shape, normed), members in groups.items():
            self.names.append([n for n, p in members])
            self.shapes.append(shape)
            self.normed.append(normed)
            stacks.append(nn.Parameter(torch.stack([p.detach().flatten(1) if normed else p.detach() for n, p in members])))
            if normed:
                norms = [network.get_submodule(n[:-len("weight")] + "parametrizations.weight.0") for n, p in members]
                self.register_buffer(f"u{len(stacks) - 1}", torch.stack([m._u for m in norms])[:, :, None])
                self.register_buffer(f"v{len(stacks) - 1}", torch.stack([m._v for m in norms])[:, :, None])
        self.stacks = nn.ParameterList(stacks)

    def weights(self, iterate):
        found = {}
        for i, w in enumerate(self.stacks):
            if self.normed[i]:
                u, v = getattr(self, f"u{i}"), getattr(self, f"v{i}")  # [weights, rows, 1], [weights, columns, 1]
                if iterate:
                    u.copy_(F.normalize(torch.bmm(w, v), dim=1))
                    v.copy_(F.normalize(torch.bmm(w.mT, u), dim=1))
                w = w / (u * torch.bmm(w, v)).sum(1, keepdim=True)
            for name, x in zip(self.names[i], w.to(torch.bfloat16).unbind(0)):
                found[name] = x.reshape(self.shapes[i])
        return found

    def logits(self, x, weights):
        return torch.func.functional_call(self.twin[0], weights, (x,)).float()

    def loss(self, real, fake):
        return d_loss(*self.logits(torch.cat([real.to(torch.bfloat16), fake.to(torch.bfloat16)]), self.weights(False)).chunk(2))

    def adversarial_loss(self, p):
        with torch.no_grad():
            weights = self.weights(True)
        return g_loss(self.logits(p.to(torch.bfloat16), weights))


def d_loss(real, fake):
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def g_loss(fake):
    return 0.005 * (fake - 1).square().mean()


def loss_of(p, t, eps=0.01):
    p = p.float()
    l1 = F.l1_loss(p, t)
    p, t = p - p.mean(0), t - t.mean(0)
    return l1 + (1 - (p * t).sum(0) / torch.sqrt((p.square().sum(0) + eps) * (t.square().sum(0) + eps))).mean()


def autocast(enabled):
    return torch.autocast(a.device.split(":")[0], torch.bfloat16, enabled=enabled)


class Masters:
    """f32 master parameters of a network that computes in bf16; one call copies all of them."""

    def __init__(self, network):
        self.full = [nn.Parameter(p.detach().clone()) for p in network.parameters()]
        network.to(torch.bfloat16)
        self.half = list(network.parameters())
        self.gradients = [torch.empty_like(p) for p in self.full]
        for p, g in zip(self.full, self.gradients):
            p.grad = g

    def take_gradients(self):
        torch._foreach_copy_(self.gradients, [p.grad for p in self.half])
        for p in self.half:
            p.grad = None

    def give_parameters(self):
        with torch.no_grad():
            torch._foreach_copy_(self.half, self.full)


class Step:
    """One training step. compiled, d_compiled: None or a mode of torch.compile, for the generator and for the discriminator; blocks:
    whether only the blocks are compiled."""

    def __init__(self, gan, o, compiled=None, d_compiled=None, recorded=False, blocks=False):
        torch.manual_seed(0)  # the same parameters for all variants
        with torch.device(a.device):
            g = Generator(o["patches"], o["last"])
            network = (Conv(o["channels_last"], spectral_norm) if gan == "conv" else Patches(o["last"], spectral_norm) if gan == "vit"
                       else None)
        self.masters = Masters(g) if o["precision"] == "bf16" else None
        self.cast = autocast(o["precision"] == "autocast")
        self.own = self.masters.full if self.masters else list(g.parameters())
        self.generate, self.loss_of, self.network = g, loss_of, g
        if o["loss"] == "compiled":
            self.loss_of = torch.compile(loss_of, dynamic=False, mode=compiled or "default")
        if compiled and blocks:
            for b in g.blocks:
                b.compile(dynamic=False, mode=compiled)
        elif compiled:
            self.generate = torch.compile(g, dynamic=False, mode=compiled)
        options = dict(fused=True, capturable=recorded and cuda)
        self.g_optimizer = torch.optim.AdamW(self.own, lr=1e-4, weight_decay=0.05, **options)
        self.d = None
        if network:
            if o["judge"] == "stacked":
                with torch.device("meta"):
                    twin = Conv(o["channels_last"]) if gan == "conv" else Patches(o["last"])
                self.d = Stacked(network, twin)
            else:
                self.d = Parametrized(network, o["judge"] == "one pass")
            self.d_own = list(self.d.parameters())
            self.d_optimizer = torch.optim.AdamW(self.d_own, lr=1e-4, **options)
            self.d_loss, self.adversarial_loss = self.d.loss, self.d.adversarial_loss
            if d_compiled and blocks and gan == "vit":
                for b in twin.blocks:
                    b.compile(dynamic=False, mode=d_compiled)
            elif d_compiled:
                self.d_loss, self.adversarial_loss = (torch.compile(f, dynamic=False, mode=d_compiled)
                                                      for f in (self.d_loss, self.adversarial_loss))

    def __call__(self):
        """Runs the step. Returns both losses, the norm of the generator's gradients and the prediction."""
        images, target = data()
        torch.compiler.cudagraph_mark_step_begin()
        with self.cast:
            p = self.generate(images)
        d_loss = torch.zeros(())
        if self.d:
            d_loss = self.d_loss(target, p.detach())
            d_loss.backward()
            torch.nn.utils.clip_grad_norm_(self.d_own, 1.0, foreach=True)
            self.d_optimizer.step()
            self.d_optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(p, target)
        if self.d:
            loss = loss + self.adversarial_loss(p)
        loss.backward()
        if self.masters:
            self.masters.take_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.own, 1.0, foreach=True)
        self.g_optimizer.step()
        if self.masters:
            self.masters.give_parameters()
        else:
            self.g_optimizer.zero_grad(set_to_none=True)
        return loss.detach(), d_loss.detach(), norm, p.detach()


@functools.cache
def data():
    """Photographs and responses, the same for all variants."""
    torch.manual_seed(1)
    return (torch.randint(0, 256, (batch, image, image, 3), dtype=torch.uint8, device=a.device),
            torch.randn(batch, vertices, device=a.device))


def numbers(out):
    loss, discriminator_loss, norm, p = out
    return dict(loss=loss.item(), d_loss=discriminator_loss.item(), norm=norm.item(), p=p.float().clone())


@functools.cache
def reference(gan):
    """The results of the first step of autocast in eager mode, against which all variants are checked."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return numbers(Step(gan, {**DEFAULT, "precision": "autocast", "judge": "one pass"})())


def check(first, want):
    """
    Compares the first prediction and losses with those of autocast. bf16 rounds to 2^-9, 0.0011 rms. About ten roundings in each of
    12 blocks, in both runs, add up to 0.0011 sqrt(2 * 120) = 0.017 rms of the prediction; the bound is 0.04. The L1 loss changes at
    most by the mean error. The untrained prediction is unrelated to the responses and has a mean correlation of
    0 +- 1 / sqrt(vertices (batch - 1)), all of which rounding may change: the bound is three deviations of a difference of two such
    values. D's logits differ by rounding and by one power iteration more or less.
    """
    rms = want["p"].square().mean().sqrt().item()
    difference = (first["p"] - want["p"]).square().mean().sqrt().item() / rms
    bounds = dict(loss=0.04 * rms + 4.3 / (vertices * (batch - 1)) ** 0.5, d_loss=0.1 * (1 + want["d_loss"]))
    if not difference < 0.04:
        raise AssertionError(f"the first prediction differs from eager autocast's by {difference:.3g} rms, "
                             "more than bf16 rounding explains (0.04)")
    for k, bound in bounds.items():
        if not abs(first[k] - want[k]) < bound:
            raise AssertionError(f"the first {k} is {first[k]:.5g}, eager autocast's is {want[k]:.5g}: "
                                 "they differ by more than bf16 rounding explains")
    return dict(loss_first=first["loss"], loss_first_autocast=want["loss"], d_loss_first=first["d_loss"], norm_first=first["norm"],
                prediction_differs=difference)


def wait():
    if cuda:
        torch.cuda.synchronize()


def measure(gan, o, mode, how):
    """Times a step with these options and returns the fields of its line; mode: a mode of torch.compile, or None; how: see best_of."""
    recorded = how == "one graph" or how == "blocks" and cuda
    blocks, d_graphs = how == "blocks", how != "D without graphs"
    without = {"reduce-overhead": "default", "max-autotune": "max-autotune-no-cudagraphs", None: None}[mode]
    want = reference(gan)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    own = without if recorded or blocks else mode
    step = Step(gan, o, own, own if d_graphs else without, recorded, blocks)
    with sdpa_kernel(ATTENTION[o["attention"]]):
        begun = time.perf_counter()
        if recorded:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                first = numbers(step())
                for _ in range(3):
                    step()
                stream.synchronize()
            seconds = time.perf_counter() - begun
            graph, results = torch.cuda.CUDAGraph(), []
            with torch.cuda.graph(graph, stream=stream):
                results.append(step())

            def run():
                graph.replay()
                return results[0]
        else:
            run = step
            first = numbers(run())
            seconds = time.perf_counter() - begun
        checked = check(first, want)
        for _ in range(1 if a.small else 5 if mode else 3):
            out = run()
        wait()
        last = out[0].item()
        if not math.isfinite(last) or last == first["loss"]:
            raise AssertionError(f"the loss is {first['loss']} at first and {last} after the warm-ups")
        times = []
        for _ in range(runs):
            wait()
            begun = time.perf_counter()
            run()
            wait()
            times.append((time.perf_counter() - begun) * 1e3)
        begun = time.perf_counter()
        for _ in range(runs):
            run()
        wait()
        row = (time.perf_counter() - begun) * 1e3 / runs
    text = [TEXT[o["precision"]], o["attention"], TEXT[o["patches"]], TEXT[o["last"]], TEXT[o["loss"]]]
    if gan != "none":
        text.append(TEXT[o["judge"]] + (", channels_last" if o["channels_last"] else ""))
    if mode:
        text.append(f"torch.compile {own}" + (" of each block" if blocks else "") + ("" if d_graphs else f", D {without}"))
    if recorded:
        text.append("whole step in one CUDA graph")
    memory = dict(memory_gb=round(torch.cuda.max_memory_allocated() / 1e9, 1)) if cuda else {}
    return dict(variant=", ".join(text) + (", small shapes" if a.small else ""), ms=statistics.median(times), ms_least=min(times),
                ms_unsynchronised=row, runs=runs, first_step_s=round(seconds, 2), loss_after=last, **checked, **memory)


state = State()
gpu_peers.run(chosen, a)
