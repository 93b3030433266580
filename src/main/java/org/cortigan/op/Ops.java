// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/** Functions that add one op, or a few, to the graph of their operands. */
public final class Ops {
    private Ops() {}

    /**
     * y [M, N] = scale * op(a) [M, K] op(b) [K, N] + bias [N].
     *
     * <p>The scale is 1/sigma of a spectrally normalised weight b. By contract the gradient with respect to b is that
     * with respect to scale * b, which {@link SpectralNorm} expects, and the scale has no gradient.
     *
     * @param transA whether a is stored [K, M]
     * @param transB whether b is stored [N, K], as the weight of torch's Linear
     * @param bias f32 [N], or null
     * @param scale f32 [1], or null
     * @param out element type of y
     * @throws IllegalArgumentException if shapes or types do not fit together
     */
    public static Value matmul(
            Value a, Value b, boolean transA, boolean transB, @Nullable Value bias, @Nullable Value scale, DType out) {
        return Matmul.of(a, b, transA, transB, bias, null, scale, out);
    }

    /**
     * The product of a linear layer, x [M, K] w^T [K, N], scaled and with a bias as in {@link #matmul}.
     *
     * @param w [N, K]
     * @param bias f32 [N]
     * @param copy {@code bias} rounded to bf16, for devices whose products need it, or null. It has the bias's
     *     gradient.
     */
    public static Value linear(Value x, Value w, Value bias, @Nullable Value copy, @Nullable Value scale, DType out) {
        return Matmul.of(x, w, false, true, bias, copy, scale, out);
    }

    /**
     * The states of a linear layer in FP8, f32 [{@value Quantize#STATE_SIZE}] each.
     *
     * @param gradient state of the gradient of the layer's output
     */
    public record Fp8States(Value input, Value weight, Value gradient) {}

    /** The type of a state of a tensor in FP8. */
    public static Type fp8State() {
        return Quantize.STATE;
    }

    /**
     * Whether a linear layer from x [..., in] with the weight [out, in] can compute in FP8, and has enough work for its
     * conversions: extents that are multiples of 16, and at least 256 rows.
     */
    public static boolean fitsFp8(Value x, Value weight) {
        long rows = x.shape().elements() / x.dim(-1);
        return rows >= 256
                && rows % Quantize.UNIT == 0
                && weight.dim(0) % Quantize.UNIT == 0
                && weight.dim(1) % Quantize.UNIT == 0;
    }

    /**
     * {@link #linear} with its three products in FP8: x and w in E4M3, the gradient of the result in E5M2.
     *
     * @param x [M, K] in f32 or bf16; M, N and K must be multiples of 16
     * @throws IllegalArgumentException if shapes or types do not fit together
     */
    public static Value linearFp8(
            Value x,
            Value w,
            Fp8States states,
            @Nullable Value bias,
            @Nullable Value copy,
            @Nullable Value scale,
            DType out) {
        return ScaledMatmul.linear(x, w, states, bias, copy, scale, out);
    }

    /**
     * Ends a step for all tensors that the graph converts to FP8: their states take the step's magnitudes, and get the
     * scales of the next step.
     *
     * @return the next states; empty if there are no such tensors
     */
    public static List<Value> advanceFp8(Graph g) {
        return Fp8Scales.advance(g);
    }

    /**
     * y [B, OH, OW, O] = scale * conv(x [B, H, W, C], w [O, C, KH, KW]) + bias [O], with zero padding. A convolution in
     * one dimension has H = KH = 1. The scale is that of {@link #matmul}.
     *
     * @param bias f32 [O], or null
     * @param scale f32 [1], or null
     * @param sh stride along the height
     * @param sw stride along the width
     * @param ph zero padding at the top and at the bottom
     * @param pw zero padding at the left and at the right
     */
    public static Value conv2d(
            Value x, Value w, @Nullable Value bias, @Nullable Value scale, int sh, int sw, int ph, int pw) {
        List<Value> in = new ArrayList<>(List.of(x, w));
        if (bias != null) in.add(bias);
        if (scale != null) in.add(scale);
        return x.graph()
                .apply(new Conv2d(sh, sw, ph, pw, bias != null, scale != null), in)
                .output(0);
    }

    /**
     * A linear layer for each group: flat groups [rows, K_g] to flat groups [rows, N_g]. A single group becomes a
     * {@link #matmul}.
     *
     * @param weights [N_g, K_g] for each group
     * @param biases f32 [N_g] each, or null
     * @param scales f32 [1] each, or null
     */
    public static Value groupedLinear(
            Value flat, int rows, List<Value> weights, @Nullable List<Value> biases, @Nullable List<Value> scales) {
        if (weights.size() > 1) return groupedLinear(GroupedMatmul.Where.FLAT, flat, rows, weights, biases, scales);
        return groupedLinear(reshape(flat, rows, weights.get(0).dim(1)), weights, biases, scales);
    }

    /** A linear layer for each group, where all groups read x [rows, K]; the output is flat. */
    public static Value groupedLinear(
            Value x, List<Value> weights, @Nullable List<Value> biases, @Nullable List<Value> scales) {
        if (weights.size() > 1) return groupedLinear(GroupedMatmul.Where.SHARED, x, x.dim(0), weights, biases, scales);
        Value bias = biases == null ? null : biases.get(0), scale = scales == null ? null : scales.get(0);
        return flatten(matmul(x, weights.get(0), false, true, bias, scale, x.dtype()));
    }

    private static Value groupedLinear(
            GroupedMatmul.Where where,
            Value x,
            int rows,
            List<Value> weights,
            @Nullable List<Value> biases,
            @Nullable List<Value> scales) {
        var extents = weights.stream()
                .map(w -> new GroupedMatmul.Extent(rows, w.dim(0), w.dim(1)))
                .toList();
        GroupedMatmul op = GroupedMatmul.linear(extents, where, biases != null, scales != null, x.dtype());
        return x.graph().apply(op, grouped(x, weights, biases, scales)).output(0);
    }

    /**
     * A convolution along the vertices for each group: flat groups [rows, n_g, C] to flat groups [rows, n'_g, O], with
     * zero padding of (k - 1) / 2 at the ends of a group: n'_g = (n_g + 2 ((k - 1) / 2) - k) / stride + 1, rounded
     * down. A single group becomes a {@link #conv2d}.
     *
     * @param sizes n_g, vertices of each group
     * @param weights [O, C, 1, k] for each group
     * @param biases f32 [O] each, or null
     * @param scales f32 [1] each, or null
     */
    public static Value groupedConv1d(
            Value flat,
            int rows,
            List<Integer> sizes,
            List<Value> weights,
            @Nullable List<Value> biases,
            @Nullable List<Value> scales,
            int stride) {
        if (weights.size() > 1) {
            GroupedConv1d op = new GroupedConv1d(rows, List.copyOf(sizes), stride, biases != null, scales != null);
            return flat.graph()
                    .apply(op, grouped(flat, weights, biases, scales))
                    .output(0);
        }
        Value w = weights.get(0),
                bias = biases == null ? null : biases.get(0),
                scale = scales == null ? null : scales.get(0);
        Value x = reshape(flat, rows, 1, sizes.get(0), w.dim(1));
        return flatten(conv2d(x, w, bias, scale, 1, stride, 0, (w.dim(3) - 1) / 2));
    }

    private static List<Value> grouped(
            Value x, List<Value> weights, @Nullable List<Value> biases, @Nullable List<Value> scales) {
        List<Value> in = new ArrayList<>(List.of(x));
        in.addAll(weights);
        if (biases != null) in.addAll(biases);
        if (scales != null) in.addAll(scales);
        return in;
    }

    private static Value flatten(Value x) {
        return reshape(x, Math.toIntExact(x.shape().elements()));
    }

    /** f(x); see {@link Activation}. */
    public static Value activation(Value x, Activation.Kind kind, double alpha) {
        return x.graph().apply(new Activation(kind, alpha), x).output(0);
    }

    /** GEGLU (Shazeer 2020) of x [..., 2 N]: the first half times the exact GELU of the second half, [..., N]. */
    public static Value geglu(Value x) {
        return x.graph().apply(new Geglu(), x).output(0);
    }

    /**
     * The energy of quadrature pairs, e = sqrt(even^2 + odd^2), compressed to log(1 + e / sigma): x [..., 2 C], the C
     * even responses first, to [..., C].
     *
     * @param sigma contrast at which the compression sets in; 0 for none, y = e
     */
    public static Value energy(Value x, double sigma) {
        return x.graph().apply(new Energy(sigma), x).output(0);
    }

    /**
     * Inverted dropout of x: sets each element to 0 with probability {@code rate}, and divides the others by 1 - rate.
     * The graph then has the input {@link Dropout#KEY}, which must change with every step.
     *
     * @param rate 0 to below 1
     * @param site name of this dropout; dropouts of other names draw other random numbers
     * @param first position of x in the tensor of all ranks, in elements
     */
    public static Value dropout(Value x, double rate, String site, long first) {
        return x.graph()
                .apply(new Dropout(rate, Dropout.site(site), first), x, Dropout.inputOf(x.graph()))
                .output(0);
    }

    /**
     * Standard normal numbers [B, n] in f32, the same bits on every device ({@code kernels/normal/normal.h}): a row is
     * a function of the key, the stream and its own counters.
     *
     * @param key i32 [2]: the low and the high half of a seed
     * @param counters i32 [B, 2]
     * @param stream number of the sequence; other streams are independent
     */
    public static Value normal(Value key, Value counters, int stream, int n) {
        return key.graph().apply(new Normal(stream, n), key, counters).output(0);
    }

    /**
     * The noisy samples of a diffusion model and its targets (Ho et al. 2020). Output 0: a x0 + s noise; output 1: p x0
     * + q noise; f32 [B, V] both. No gradient.
     *
     * @param x0 samples, f32 [B, V]
     * @param noise f32 [B, V]
     * @param t timesteps, i32 [B]; one outside the table ends the run with an error, on a GPU its row is NaN
     * @param table a, s, p and q of each timestep, f32 [T, 4]
     */
    public static Node diffuse(Value x0, Value noise, Value t, Value table) {
        return x0.graph().apply(new Diffuse(), x0, noise, t, table);
    }

    /**
     * Overwrites the variable x with c0 x + c1 y. Where c0 is 0, the old contents may be anything, NaN too.
     *
     * @param x variable, f32
     * @param y f32 of x's shape
     * @param coefficients c0 and c1, f32 [2]
     * @return x after the step
     */
    public static Value blend(Value x, Value y, Value coefficients) {
        return x.graph().apply(new Blend(), x, y, coefficients).output(0);
    }

    /**
     * Lays vertices on a grid of cells: h[b, cell] = sum over the vertices v of the cell of x[b, v] e[v], [B, H, W, K]
     * in e's type. The adjoint of {@link PositionReadout} at fixed points.
     *
     * @param x [B, V], rounded to e's type
     * @param e embeddings [V, K]
     * @param position f32 [V, 2], as of {@link PositionReadout}; a vertex lies in the cell nearest to it
     */
    public static Value cellsIn(Value x, Value e, Value position, int height, int width) {
        return x.graph()
                .apply(new CellsIn(height, width), cast(x, e.dtype()), e, position)
                .output(0);
    }

    /** a + b; see {@link Binary} for the shapes of b. */
    public static Value add(Value a, Value b) {
        return binary(Binary.Kind.ADD, a, b);
    }

    /** a * b, elementwise; see {@link Binary} for the shapes of b. */
    public static Value mul(Value a, Value b) {
        return binary(Binary.Kind.MUL, a, b);
    }

    private static Value binary(Binary.Kind kind, Value a, Value b) {
        return a.graph().apply(new Binary(kind, 1, 1), a, b).output(0);
    }

    /** x times a number. */
    public static Value scale(Value x, double factor) {
        return mul(x, x.graph().constant(factor, DType.F32, 1));
    }

    /**
     * The gradient that a fused loss has computed, times the gradient of its total. If the total is the root, its
     * gradient is the constant 1 and the multiplication is skipped.
     */
    static Value chain(Value gradient, Value dTotal) {
        boolean one = dTotal.node().op() instanceof Leaf.Constant c && c.value() == 1;
        return one ? gradient : mul(gradient, dTotal);
    }

    /** x in another floating-point type; x itself if it has the type already. */
    public static Value cast(Value x, DType to) {
        return x.dtype() == to ? x : x.graph().apply(new Cast(to), x).output(0);
    }

    /**
     * Layer normalisation over the last axis of x [..., C] (Ba, Kiros and Hinton 2016); outputs y, mean, rstd.
     * Statistics are f32.
     *
     * @param gamma f32 [C]
     * @param beta f32 [C]
     */
    public static Node layerNorm(Value x, Value gamma, Value beta, double eps) {
        return x.graph().apply(new LayerNorm(eps, false), x, gamma, beta);
    }

    /** {@link #layerNorm} of x + residual; outputs y, mean, rstd, x + residual. */
    public static Node layerNormResidual(Value x, Value residual, Value gamma, Value beta, double eps) {
        return x.graph().apply(new LayerNorm(eps, true), x, gamma, beta, residual);
    }

    /**
     * Multi-head self-attention without a mask (Vaswani et al. 2017): qkv [B, T, 3 H D], in the layout of timm's qkv
     * layer, to [B, T, H D].
     */
    public static Value attention(Value qkv, int heads) {
        return qkv.graph().apply(new Attention(heads), qkv).output(0);
    }

    /**
     * Multi-head attention without a mask in which the tokens of q [B, Tq, H D] read those of kv [B, Tk, 2 H D], whose
     * rows hold k and v: to [B, Tq, H D].
     */
    public static Value attention(Value q, Value kv, int heads) {
        return q.graph().apply(new Attention(heads), q, kv).output(0);
    }

    /** Sum of x over its leading axes, down to the trailing shape {@code to}, in f32. */
    public static Value sumLeading(Value x, Shape to) {
        return x.graph().apply(new SumLeading(to, 1), x).output(0);
    }

    /** Mean over the middle axis of [B, N, C]. */
    public static Value meanMiddle(Value x) {
        return x.graph().apply(new MeanMiddle(), x).output(0);
    }

    /** A view of x with the given extents; x itself if it has them already. */
    public static Value reshape(Value x, int... dims) {
        Shape s = Shape.of(dims);
        return x.shape().equals(s) ? x : x.graph().apply(new Reshape(s), x).output(0);
    }

    /** Swaps the axes A and B of [A, B, C] or [N, A, B, C]. If A or B is 1, this is a reshape. */
    public static Value swapLeading(Value x) {
        SwapLeading op = new SwapLeading();
        if (x.dim(-3) == 1 || x.dim(-2) == 1)
            return reshape(x, op.infer(List.of(x)).get(0).shape().dims());
        return x.graph().apply(op, x).output(0);
    }

    /** Elements [from, to) of an axis. */
    public static Value slice(Value x, int axis, int from, int to) {
        if (from < 0 || to > x.dim(axis) || from >= to)
            throw new IllegalArgumentException(
                    "slice [" + from + ", " + to + ") is outside axis " + axis + " of " + x.type() + ", or empty");
        long outer = x.shape().elements(0, axis),
                inner = x.shape().elements(axis + 1, x.shape().rank());
        if (to - from == x.dim(axis)) return x;
        Assemble.Piece p = new Assemble.Piece(0, from * inner, x.dim(axis) * inner, (to - from) * inner);
        return x.graph()
                .apply(new Assemble(outer, List.of(p), x.shape().with(axis, to - from)), x)
                .output(0);
    }

    /**
     * Consecutive parts of the leading axis, of the given extents. They are views where every part begins at a multiple
     * of {@value Op#ALIGNMENT} bytes, as kernels expect of a tensor, and copies elsewhere.
     */
    public static List<Value> split(Value x, int... extents) {
        long row = x.shape().elements(1, x.shape().rank()) * x.dtype().bytes();
        int[] from = new int[extents.length];
        for (int i = 1; i < from.length; i++) from[i] = from[i - 1] + extents[i - 1];
        if (Arrays.stream(from).allMatch(at -> at * row % Op.ALIGNMENT == 0))
            return x.graph()
                    .apply(new Split(Arrays.stream(extents).boxed().toList()), x)
                    .outputs();
        List<Value> copies = new ArrayList<>();
        for (int i = 0; i < from.length; i++) copies.add(slice(x, 0, from[i], from[i] + extents[i]));
        return copies;
    }

    /** Concatenates the parts along an axis; their other extents must be equal. */
    public static Value concat(int axis, Value... parts) {
        if (parts.length == 1) return parts[0];
        List<Assemble.Piece> row = new ArrayList<>();
        Shape first = parts[0].shape();
        int n = 0;
        for (Value v : parts) {
            if (!v.shape().with(axis, 1).equals(first.with(axis, 1)))
                throw new IllegalArgumentException(
                        "concat along axis " + axis + ": " + v.type() + " does not match " + parts[0].type());
            long len = v.shape().elements(axis, v.shape().rank());
            row.add(new Assemble.Piece(row.size(), 0, len, len));
            n += v.dim(axis);
        }
        return parts[0].graph()
                .apply(new Assemble(first.elements(0, axis), row, first.with(axis, n)), parts)
                .output(0);
    }

    /** Adds {@code before} and {@code after} zeros at the ends of an axis. */
    public static Value pad(Value x, int axis, int before, int after) {
        if (before == 0 && after == 0) return x;
        long inner = x.shape().elements(axis + 1, x.shape().rank()), len = x.dim(axis) * inner;
        List<Assemble.Piece> row = List.of(
                Assemble.Piece.zeros(before * inner),
                new Assemble.Piece(0, 0, len, len),
                Assemble.Piece.zeros(after * inner));
        Shape to = x.shape().with(axis, before + x.dim(axis) + after);
        return x.graph()
                .apply(new Assemble(x.shape().elements(0, axis), row, to), x)
                .output(0);
    }

    /** Prepends tokens [n, C] to every element of x [B, T, C], giving [B, n + T, C]. */
    public static Value prepend(Value tokens, Value x) {
        return insert(tokens, x, 0);
    }

    /** Inserts the same tokens [K, C] into every sequence of x [B, N, C], before its token {@code at}. */
    public static Value insert(Value tokens, Value x, int at) {
        long a = tokens.shape().elements(), b = x.shape().elements(1, 3), before = (long) at * x.dim(2);
        Shape to = x.shape().with(1, tokens.dim(0) + x.dim(1));
        Assemble.Piece inserted = new Assemble.Piece(before == 0 ? 0 : 1, 0, 0, a);
        Assemble.Piece after = new Assemble.Piece(before == 0 ? 1 : 2, before, b, b - before);
        if (before == 0)
            return x.graph()
                    .apply(new Assemble(x.dim(0), List.of(inserted, after), to), tokens, x)
                    .output(0);
        List<Assemble.Piece> row = List.of(new Assemble.Piece(0, 0, b, before), inserted, after);
        return x.graph().apply(new Assemble(x.dim(0), row, to), x, tokens, x).output(0);
    }

    /** n copies of x [...], one after another: [n, ...]. */
    public static Value repeat(int n, Value x) {
        long each = x.shape().elements();
        int[] dims = new int[x.shape().rank() + 1];
        dims[0] = n;
        System.arraycopy(x.shape().dims(), 0, dims, 1, dims.length - 1);
        return x.graph()
                .apply(new Assemble(n, List.of(new Assemble.Piece(0, 0, 0, each)), Shape.of(dims)), x)
                .output(0);
    }

    /** Nearest-neighbour upsampling by 2: [B, H, W, C] to [B, 2 H, 2 W, C]. */
    public static Value upsample(Value x) {
        int b = x.dim(0), h = x.dim(1), w = x.dim(2), c = x.dim(3);
        Value wide = concat(1, reshape(x, b * h * w, c), reshape(x, b * h * w, c));
        Value rows = reshape(wide, b * h, 2 * w * c);
        return reshape(concat(1, rows, rows), b, 2 * h, 2 * w, c);
    }

    /**
     * Gathers the columns of x [R, V] of each group into one flat value: the dense matrices [R, n_g] of the groups one
     * after another. A column may belong to no group or to several.
     *
     * @param groups column indices of each group, in [0, V)
     */
    public static Value gatherGroups(Value x, List<int[]> groups) {
        return GatherGroups.of(x, groups);
    }

    /**
     * Normalises images u8 [B, H, W, 3] per colour as (x / 255 - mean) / std and divides them into patches: [B, T, 3 P
     * P], the elements of a patch in the order colour, row, column.
     *
     * @param patch side P in pixels; 0 keeps the layout [B, H, W, 3]
     * @param out element type of the output
     */
    public static Value patchify(Value images, int patch, List<Double> mean, List<Double> std, DType out) {
        return images.graph().apply(new Patchify(patch, mean, std, out), images).output(0);
    }

    /** (x / 255 - mean) / std of images u8 [B, H, W, 3], in the same layout. */
    public static Value normalize(Value images, List<Double> mean, List<Double> std, DType out) {
        return patchify(images, 0, mean, std, out);
    }
}
