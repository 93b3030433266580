// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Multi-head attention (Vaswani et al. 2017) without a mask. Inputs: either qkv [B, T, 3 H D], for self-attention, or q
 * [B, Tq, H D] and kv [B, Tk, 2 H D] as timm's qkv layer packs them. Outputs: y [B, Tq, H D] and the log-sum-exp of
 * each row [B, H, Tq] (f32). Formulas: kernels/attention/attention.h.
 */
record Attention(int heads) implements Op {
    @Override
    public String name() {
        return "attention";
    }

    /**
     * The extents of an attention.
     *
     * @param tensors 1 if q, k and v are packed in one input, 2 if q is an input and k and v are packed in another
     */
    private record Extents(int tensors, int batch, int queries, int keys, int width) {
        static Extents of(List<Value> in) {
            Value q = in.get(0), kv = in.get(in.size() - 1);
            return new Extents(in.size(), q.dim(0), q.dim(1), kv.dim(1), in.size() == 1 ? q.dim(2) / 3 : q.dim(2));
        }

        /** B H Tq Tk D: multiply-adds of one of the products over all images and heads. */
        double products() {
            return (double) batch * queries * keys * width;
        }

        /** Writes the addresses of the parts of q, k and v, or of their gradients. */
        void parts(List<String> names, Part write) {
            boolean packed = tensors == 1;
            write.address(names.get(0), 0, 0);
            write.address(names.get(1), packed ? 0 : 1, packed ? width : 0);
            write.address(names.get(2), packed ? 0 : 1, packed ? 2L * width : width);
        }

        void write(ArgWriter w, int heads) {
            w.i64("B", batch).i64("Tq", queries).i64("Tk", keys).i64("H", heads).i64("D", width / heads);
            w.i64("q_stride", tensors == 1 ? 3L * width : width)
                    .i64("kv_stride", tensors == 1 ? 3L * width : 2L * width);
        }
    }

    private interface Part {
        void address(String member, int tensor, long element);
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(
                (in.size() == 1 || in.size() == 2)
                        && in.stream()
                                .allMatch(
                                        v -> v.shape().rank() == 3 && v.dtype().isFloat()),
                this,
                in,
                "takes qkv [B, T, 3 H D], or q [B, Tq, H D] and kv [B, Tk, 2 H D]");
        Value x = in.get(0), kv = in.get(in.size() - 1);
        if (in.size() == 1)
            Op.require(x.dim(2) % (3 * heads) == 0, this, in, "qkv must be [B, T, 3 H D] with H = " + heads);
        else
            Op.require(
                    x.dim(2) % heads == 0 && kv.type().equals(Type.of(x.dtype(), x.dim(0), kv.dim(1), 2 * x.dim(2))),
                    this,
                    in,
                    "q must be [B, Tq, H D] with H = " + heads + ", and kv [B, Tk, 2 H D]");
        Extents e = Extents.of(in);
        return List.of(Type.of(x.dtype(), e.batch, e.queries, e.width), Type.of(DType.F32, e.batch, heads, e.queries));
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        if (dOut.get(1) != null) throw new UnsupportedOperationException("attention: the log-sum-exp has no gradient");
        List<Value> in = new ArrayList<>(n.inputs());
        in.addAll(List.of(n.output(0), n.output(1), dOut.get(0)));
        return n.graph().apply(new Grad(heads), in).outputs();
    }

    @Override
    public Cost cost(Node n) {
        return Op.cost(n, 4 * Extents.of(n.inputs()).products());
    }

    @Override
    public void args(Node n, ArgWriter w) {
        Extents e = Extents.of(n.inputs());
        e.parts(List.of("q", "k", "v"), w::in);
        w.out("y", 0).out("lse", 1).scratch("scratch");
        e.write(w, heads);
    }

    /**
     * Gradient of {@link Attention}. Inputs: those of the attention, y, log-sum-exp, dY. Outputs: the gradients of the
     * attention's inputs, of their types and shapes.
     */
    record Grad(int heads) implements Op.Gradient {
        @Override
        public String name() {
            return "attention_grad";
        }

        /** The inputs of the attention. */
        private static List<Value> tensors(List<Value> in) {
            return in.subList(0, in.size() - 3);
        }

        @Override
        public List<Type> infer(List<Value> in) {
            int y = in.size() - 3;
            Op.require(in.get(y + 2).type().equals(in.get(y).type()), this, in, "dY must have the type and shape of y");
            return tensors(in).stream().map(Value::type).toList();
        }

        @Override
        public Cost cost(Node n) {
            return Op.cost(n, 10 * Extents.of(tensors(n.inputs())).products());
        }

        @Override
        public void args(Node n, ArgWriter w) {
            Extents e = Extents.of(tensors(n.inputs()));
            e.parts(List.of("q", "k", "v"), w::in);
            e.parts(List.of("dQ", "dK", "dV"), w::out);
            w.in("y", e.tensors)
                    .in("lse", e.tensors + 1)
                    .in("dY", e.tensors + 2)
                    .scratch("scratch");
            e.write(w, heads);
        }
    }

    public static List<OpCase> cases() {
        return List.of(
                self(1, 1, 1, 1),
                self(2, 5, 3, 4),
                self(1, 17, 2, 8),
                self(1, 33, 1, 20),
                // Head widths for tensor cores. Token counts of one and two stages of the CUDA kernel, and at the ends
                // of wgmma tiles.
                self(2, 197, 3, 64).noGradient(),
                self(1, 40, 2, 32).noGradient(),
                self(1, 300, 1, 32).noGradient(),
                self(1, 70, 1, 128).noGradient(),
                self(1, 1, 1, 64).noGradient(),
                self(1, 64, 1, 64).noGradient(),
                self(1, 129, 1, 64).noGradient(),
                self(1, 207, 1, 64).noGradient(),
                self(1, 209, 1, 64).noGradient(),
                cross(1, 1, 1, 1, 1),
                cross(2, 1, 7, 3, 4),
                cross(1, 5, 33, 2, 8),
                cross(2, 17, 3, 1, 20),
                // One tile of queries, of which the CUDA kernel's backward pass has a kernel of its own, and more; keys
                // of one and two stages.
                cross(2, 1, 197, 3, 64).noGradient(),
                cross(1, 5, 33, 2, 32).noGradient(),
                cross(1, 16, 77, 1, 64).noGradient(),
                cross(1, 16, 1, 2, 64).noGradient(),
                cross(1, 1, 300, 2, 64).noGradient(),
                cross(1, 3, 300, 1, 128).noGradient(),
                cross(1, 17, 77, 2, 64).noGradient(),
                cross(2, 77, 1, 1, 64).noGradient(),
                cross(1, 77, 300, 1, 32).noGradient(),
                cross(1, 300, 77, 1, 64).noGradient(),
                cross(1, 77, 33, 1, 128).noGradient(),
                cross(1, 1, 300, 2, 20).noGradient(),
                // Head widths of diffusion and between those that the CUDA kernels have registers for, text of 77
                // tokens.
                self(2, 70, 2, 40).noGradient(),
                self(1, 300, 2, 40).noGradient(),
                cross(2, 1, 77, 3, 40).noGradient(),
                cross(2, 80, 77, 2, 40).noGradient(),
                self(1, 33, 2, 56).noGradient(),
                self(1, 70, 2, 80).noGradient(),
                cross(1, 3, 77, 2, 80).noGradient(),
                cross(1, 77, 300, 1, 80).noGradient(),
                self(1, 33, 2, 96).noGradient(),
                cross(1, 5, 40, 2, 96).noGradient(),
                self(1, 33, 2, 144).noGradient(),
                self(1, 70, 2, 160).noGradient(),
                cross(1, 1, 77, 2, 160).noGradient(),
                cross(2, 300, 77, 1, 160).noGradient(),
                // Several blocks of queries and of keys; photographs as 258 tokens.
                cross(1, 262, 260, 1, 40).noGradient(),
                cross(1, 70, 530, 1, 80).noGradient(),
                cross(1, 33, 530, 1, 160).noGradient(),
                self(8, 197, 12, 64).benchmark(),
                cross(8, 1, 197, 12, 64).benchmark(),
                // Stable Diffusion 1 on 64 x 64, 32 x 32 and 16 x 16 latents, and ViT-H/14.
                self(2, 4096, 8, 40).benchmark(),
                self(2, 1024, 8, 80).benchmark(),
                cross(2, 256, 77, 8, 160).benchmark(),
                self(8, 257, 16, 80).benchmark());
    }

    private static OpCase self(int b, int t, int h, int d) {
        return of(b + "x" + t + "x" + h + "x" + d, t, d, s -> Ops.attention(s.normal(b, t, 3 * h * d), h));
    }

    private static OpCase cross(int b, int queries, int keys, int h, int d) {
        return of(
                b + "x" + queries + " to " + keys + "x" + h + "x" + d,
                Math.max(queries, keys),
                d,
                s -> Ops.attention(s.normal(b, queries, h * d), s.normal(b, keys, 2 * h * d), h));
    }

    private static OpCase of(String name, int tokens, int d, Function<CaseInputs, Value> y) {
        // Scores reach a few units, so an exponent's error is that many ulp of the sum over D. Sums over tokens follow.
        return OpCase.of("attention " + name, 8L * (d + tokens) + 64, s -> List.of(y.apply(s)))
                .roundings(4)
                .scaled(4);
    }
}
