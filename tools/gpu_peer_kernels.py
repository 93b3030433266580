# SPDX-License-Identifier: Apache-2.0
"""Times PyTorch in the kernels stage of tools/gpu-check, under the same names; gpu_peers.py describes the output.

One CUDA graph holds several copies of a piece of work. Their inputs and results rotate over several sets of data that exceed the
cache. The time is the median of several replays, measured by events, divided by the number of copies. On the CPU, the same loop is
timed by the wall clock. Modes: eager; max-autotune, which is torch.compile with products and convolutions from cuBLAS and cuDNN only.
"""
import functools
import statistics
import time

import gpu_peers

a = gpu_peers.arguments(__doc__, "eager,max-autotune").parse_args()
cuda = a.device.startswith("cuda")
b, tokens, heads, vertices, sets, copies = (2, 33, 2, 1000, 2, 4) if a.small else (128, 197, 12, 39552, 4, 20)
side, channels = (14, 8) if a.small else (56, 64)
total, tensors = (100_000, 4) if a.small else (116_000_000, 150)
warm, runs = (1, 3) if a.small else (3, 15)
width = heads * 64
rows, inner = b * tokens, 256 if a.small else 3072
passes = "forward", "forward+backward"


def measure(works, times, compiled=False, variant=""):
    """Runs the works in turn, `times` in all, and returns the fields of a line. Each work's result lives until its next run."""
    kept = [None] * len(works)

    def all_copies():
        for i in range(times):
            kept[i % len(works)] = works[i % len(works)]()

    begun = time.perf_counter()
    if not cuda:
        for _ in range(warm):
            all_copies()
        first = time.perf_counter() - begun
        each = []
        for _ in range(runs):
            begun = time.perf_counter()
            all_copies()
            each.append((time.perf_counter() - begun) * 1e3 / times)
        return fields(each, variant + ", loop", compiled, first)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warm):  # compiles, tunes and makes the optimizer's state: none of this may happen during recording
            for i, work in enumerate(works):
                kept[i] = work()
        stream.synchronize()
    first = time.perf_counter() - begun
    graph = torch.cuda.CUDAGraph()
    replay = graph.replay
    try:
        with torch.cuda.graph(graph, stream=stream):
            all_copies()
        torch.cuda.synchronize()
    except Exception as e:
        print("not recorded: " + str(e).splitlines()[0], flush=True)
        torch.cuda.synchronize()
        replay, variant = all_copies, variant + ", not in a graph"
    for _ in range(warm):
        replay()
    each = []
    for _ in range(runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        replay()
        end.record()
        end.synchronize()
        each.append(begin.elapsed_time(end) / times)
    return fields(each, variant, compiled, first)


def fields(each, variant, compiled, first):
    if a.small:
        variant += ", small shapes"
    line = dict(variant=variant, ms=statistics.median(each), ms_least=min(each), runs=len(each))
    return dict(line, compile_s=round(first, 1)) if compiled else line


def compile(f):
    return torch.compile(f, mode="max-autotune-no-cudagraphs", dynamic=False)


def make(*shape, dtype=None):
    return torch.randn(*shape, dtype=dtype or torch.bfloat16, device=a.device)


def pass_of(back, inputs, forward, variant, compiled=False, context=None):
    """Measures the forward pass, alone or with the gradients of all inputs."""
    import contextlib
    if compiled:
        forward = compile(forward)

    def work(xs, gradient):
        with context() if context else contextlib.nullcontext():
            if not back:
                with torch.no_grad():
                    return forward(*xs)
            ys = [x.detach().requires_grad_() for x in xs]
            y = forward(*ys)
        return y, torch.autograd.grad(y, ys, gradient)

    inputs = [inputs() for _ in range(sets)]
    with torch.no_grad(), context() if context else contextlib.nullcontext():
        gradients = [torch.randn_like(forward(*xs)) for xs in inputs] if back else [None] * sets
    return measure([functools.partial(work, xs, g) for xs, g in zip(inputs, gradients)], copies, compiled, variant)


def attention(backend, back, compiled):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def forward(qkv):
        q, k, v = qkv.reshape(b, tokens, 3, heads, 64).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, tokens, width)

    kernel = dict(flash=SDPBackend.FLASH_ATTENTION, cudnn=SDPBackend.CUDNN_ATTENTION, efficient=SDPBackend.EFFICIENT_ATTENTION)[backend]
    with sdpa_kernel(kernel):
        return pass_of(back, lambda: (make(b, tokens, 3 * width),), forward, f"bf16, {backend}", compiled)


def diffusion(queries, keys, d, backend, back, compiled):
    """Attention of two images with 8 heads: packed qkv, or q and packed kv of other tokens."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    tq = queries // 64 if a.small else queries
    tk = min(keys, tq) if a.small else keys

    def forward(*xs):
        if len(xs) == 1:
            q, k, v = xs[0].reshape(2, tq, 3, 8, d).permute(2, 0, 3, 1, 4)
        else:
            q = xs[0].reshape(2, tq, 8, d).transpose(1, 2)
            k, v = xs[1].reshape(2, tk, 2, 8, d).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, tq, 8 * d)

    def inputs():
        return (make(2, tq, 24 * d),) if queries == keys else (make(2, tq, 8 * d), make(2, tk, 16 * d))

    kernel = dict(flash=SDPBackend.FLASH_ATTENTION, cudnn=SDPBackend.CUDNN_ATTENTION, efficient=SDPBackend.EFFICIENT_ATTENTION)[backend]
    with sdpa_kernel(kernel):
        return pass_of(back, inputs, forward, f"bf16, {backend}", compiled)


def layernorm(how, back, compiled):
    """bf16: weights in bf16. autocast: weights, sums and result in f32. f32 weights: sums in f32, result in bf16, as ours."""
    dtype = torch.bfloat16 if how == "bf16" else torch.float32

    def forward(x, w, c):
        if how == "f32 weights":
            return F.layer_norm(x.float(), (width,), w, c, 1e-6).bfloat16()
        return F.layer_norm(x, (width,), w, c, 1e-6)

    context = (lambda: torch.autocast(a.device.split(":")[0], torch.bfloat16)) if how == "autocast" else None
    inputs = lambda: (make(rows, width), make(width, dtype=dtype), make(width, dtype=dtype))
    if how == "autocast" and not cuda:  # the CPU's autocast leaves the layer norm in bf16, which does not match the weights
        forward = lambda x, w, c: F.layer_norm(x.float(), (width,), w, c, 1e-6)
    variant = dict(bf16="bf16, weights bf16", autocast="bf16 under autocast, weights and result f32")
    return pass_of(back, inputs, forward, variant.get(how, "bf16, weights f32, result bf16"), compiled, context)


def conv2d(back, compiled):
    def last(t):
        return t.to(memory_format=torch.channels_last)

    inputs = lambda: (last(make(b, channels, side, side)), last(make(channels, channels, 3, 3)), make(channels))
    return pass_of(back, inputs, lambda x, w, c: F.conv2d(x, w, c, padding=1), "bf16, channels_last, cudnn.benchmark", compiled)


# The 2-D convolutions of unet-corr-2d: name, side, channels in and out, kernel, stride; the padding is 1.
unet = (("down.0", 128, 3, 64, 4, 2), ("down.1", 64, 64, 128, 4, 2), ("down.2", 32, 128, 256, 4, 2), ("down.3", 16, 256, 512, 4, 2),
        ("down.4", 8, 512, 512, 4, 2), ("up.3", 8, 1024, 512, 3, 1), ("up.2", 16, 768, 256, 3, 1), ("up.1", 32, 384, 128, 3, 1))


def unet_node(size, inner, outer, kernel, stride, what, compiled):
    """One convolution of the U-Net with a bias, or one of its gradients alone; PyTorch's gradient of a weight is bf16."""
    n = 2 if a.small else 16
    if a.small:
        size, inner, outer = max(4, size // 8), max(3, inner // 32), outer // 32

    def last(t):
        return t.to(memory_format=torch.channels_last)

    def inputs():
        out = (size + 2 - kernel) // stride + 1
        return (last(make(n, inner, size, size)), last(make(outer, inner, kernel, kernel)), make(outer), last(make(n, outer, out, out)))

    def work(x, w, c, dy):
        with torch.no_grad():
            if what == "forward":
                return F.conv2d(x, w, c, stride=stride, padding=1)
            mask = [what == "dX", what == "dW", False]
            return torch.ops.aten.convolution_backward(dy, x, w, None, [stride] * 2, [1] * 2, [1] * 2, False, [0] * 2, 1, mask)

    works = [functools.partial(work, *inputs()) for _ in range(sets)]
    return measure(works, copies, compiled, "bf16, channels_last, cudnn.benchmark")


def conv1d(layout, n, inner, outer, back, compiled):
    """A layer of the convolutional discriminator on real and predicted responses; the 2-D form has height 1 and channels innermost."""
    if layout == "1-D":
        inputs = lambda: (make(2 * b, inner, n), make(outer, inner, 9), make(outer))
        return pass_of(back, inputs, lambda x, w, c: F.conv1d(x, w, c, stride=4, padding=4), "bf16, conv1d, cudnn.benchmark", compiled)

    def last(t):
        return t.to(memory_format=torch.channels_last)

    inputs = lambda: (last(make(2 * b, inner, 1, n)), last(make(outer, inner, 1, 9)), make(outer))
    forward = lambda x, w, c: F.conv2d(x, w, c, stride=(1, 4), padding=(0, 4))
    return pass_of(back, inputs, forward, "bf16, conv2d of height 1, channels_last, cudnn.benchmark", compiled)


def linear(n, k, m, back, compiled):
    return pass_of(back, lambda: (make(n, k), make(m, k), make(m)), lambda x, w, c: F.linear(x, w, c), f"bf16, {n}x{k}x{m}, bias", compiled)


def gelu(back, compiled):
    return pass_of(back, lambda: (make(rows, 4 * width),), F.gelu, "bf16", compiled)


def pearson(dim, compiled):
    def forward(p, t):
        p = p.float()
        pc, tc = p - p.mean(dim, keepdim=True), t - t.mean(dim, keepdim=True)
        r = (pc * tc).sum(dim) / torch.sqrt((pc.square().sum(dim) + 0.01) * (tc.square().sum(dim) + 0.01))
        return (p - t).abs().mean() + (1 - r).mean()

    if compiled:
        forward = compile(forward)

    def work(p, t):
        p = p.detach().requires_grad_()
        return torch.autograd.grad(forward(p, t), p)

    inputs = [(make(b, vertices), make(b, vertices, dtype=torch.float32)) for _ in range(sets)]
    return measure([functools.partial(work, *xs) for xs in inputs], copies, compiled, "p bf16, sums f32")


def norms(how, compiled):
    """One power iteration of all weights: one weight after the other, or weights of equal shape stacked in one tensor."""
    shapes = [(512, vertices // 2)] * 2 + [(256, 512)] * 2 + [(1152, 384), (384, 384), (1536, 384), (384, 1536)] * (2 if a.small else 12)
    if how == "mv":
        weights = [[make(*s, dtype=torch.float32) for s in (s, s[:1], s[1:])] for s in shapes]

        def work():
            with torch.no_grad():
                for w, u, v in weights:
                    u.copy_(F.normalize(torch.mv(w, v), dim=0))
                    v.copy_(F.normalize(torch.mv(w.t(), u), dim=0))
                return [torch.vdot(u, torch.mv(w, v)) for w, u, v in weights]
    else:
        weights = [[make(shapes.count(s), *x, dtype=torch.float32) for x in (s, s[:1], s[1:])] for s in dict.fromkeys(shapes)]

        def work():
            with torch.no_grad():
                for w, u, v in weights:
                    u.copy_(F.normalize(torch.bmm(w, v[:, :, None])[:, :, 0], dim=1))
                    v.copy_(F.normalize(torch.bmm(w.mT, u[:, :, None])[:, :, 0], dim=1))
                return [(u * torch.bmm(w, v[:, :, None])[:, :, 0]).sum(1) for w, u, v in weights]

    variant = "f32, a weight at a time" if how == "mv" else "f32, equal shapes in one bmm (TF32 allowed)"
    return measure([compile(work) if compiled else work], copies, compiled, variant)


def adamw(compiled):
    """AdamW of f32 parameters that also writes their bf16 copies."""
    parameters = [torch.nn.Parameter(make(total // tensors // 8 * 8, dtype=torch.float32)) for _ in range(tensors)]
    for p in parameters:
        p.grad = torch.randn_like(p)
    half = [p.detach().bfloat16() for p in parameters]
    full = [p.detach() for p in parameters]
    kind = dict(foreach=True) if compiled else dict(fused=True)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.05, capturable=cuda, **kind)

    def work():
        with torch.no_grad():
            optimizer.step()
            torch._foreach_copy_(half, full)

    variant = "f32, bf16 copies, " + ("foreach, compiled" if compiled else "fused and _foreach_copy_")
    return measure([compile(work) if compiled else work], 2 if a.small else 4, compiled, variant)


def all_items():
    items = []
    for mode in a.modes.split(","):
        if mode not in ("eager", "max-autotune"):
            raise SystemExit("no mode " + mode)
        compiled = mode != "eager"

        def add(name, how, work, *arguments, needs=False):
            items.append(gpu_peers.Item(f"{name} {mode} {how}".strip(), dict(stage="kernels", name=name, mode=mode),
                                        functools.partial(work, *arguments, compiled), needs))

        for i, p in enumerate(passes):
            for backend in ("flash", "cudnn") if compiled else ("flash", "cudnn", "efficient"):
                add("attention " + p, backend, attention, backend, i == 1, needs=backend != "flash")
                for queries, keys, d in (4096, 4096, 40), (1024, 1024, 80), (256, 77, 160):
                    add(f"attention {queries} to {keys}x8x{d} {p}", backend, diffusion, queries, keys, d, backend, i == 1,
                        needs=backend != "flash")
        for i, p in enumerate(passes):
            for how in ("bf16", "f32 weights") if compiled else ("bf16", "autocast"):
                add("layernorm " + p, how, layernorm, how, i == 1)
        for i, p in enumerate(passes):
            add("gelu " + p, "", gelu, i == 1)
            add("conv2d " + p, "", conv2d, i == 1)
            n = vertices
            for inner_channels, outer_channels in ((1, 8), (8, 16)) if a.small else ((1, 64), (64, 128), (128, 256)):
                for layout in ("2-D",) if compiled else ("1-D", "2-D"):
                    add(f"conv1d {inner_channels} to {outer_channels} {p}", layout, conv1d, layout, n, inner_channels, outer_channels, i == 1)
                n = (n - 1) // 4 + 1
            add("linear 25216x768x3072 " + p, "", linear, rows, width, inner, i == 1)
            add("head 128x768x39552 " + p, "", linear, b, width, vertices, i == 1)
        for name, *shape in () if compiled else unet:
            for what in ("forward", "dX", "dW")[:: 2 if name == "down.0" else 1]:  # the image has no gradient
                add(f"unet {name} {what}", "", unet_node, *shape, what)
        for dim, axis in enumerate(("images", "vertices")):
            add(f"pearson over {axis} forward+backward", "", pearson, dim)
        for how in ("bmm",) if compiled else ("mv", "bmm"):
            add("spectral norm", how, norms, how)
        add("adamw", "", adamw)
    return gpu_peers.select(items, a)


chosen = all_items()
if a.list:
    print("\n".join(i.name for i in chosen))
    raise SystemExit
gpu_peers.start(a.device)
import torch  # noqa: E402  after the variables that start() sets
from torch.nn import functional as F  # noqa: E402

gpu_peers.run(chosen, a)
