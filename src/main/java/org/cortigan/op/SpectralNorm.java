// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * Spectral normalisation (Miyato et al. 2018) for any number of weights at once. Inputs for each: W [M, N], u [M], v
 * [N], s [1], all f32, u, v and s variables, and the weight that products use: W itself or its bf16 copy. Outputs for
 * each: the last (a view), u, v and s = 1/sigma (in place).
 *
 * <p>W/sigma is never made. A product takes the view and, as its scale, s; by contract the gradient that reaches the
 * view is that of W/sigma (f32), and this op turns it into that of W with u and v as constants, as torch does.
 */
public record SpectralNorm(Mode mode) implements Op {
    /** What is done before the weight is used. */
    public enum Mode {
        /** One power iteration, from one read of W. */
        ADVANCE,
        /** sigma = u^T W v with u and v as they are. */
        MEASURE,
        /** Nothing: W, and with it s, is as it was left. */
        REUSE
    }

    @Override
    public String name() {
        return "spectral_norm";
    }

    /** One normalised weight: give {@code weight} and {@code inverseSigma} to a product together. */
    public record Normed(Value weight, Value u, Value v, Value inverseSigma) {}

    /** Applies the op to one weight. */
    public static Normed of(Value w, Value u, Value v, Value s, Value used, Mode mode) {
        return of(List.of(w, u, v, s, used), mode).get(0);
    }

    /** Applies it to several at once; {@code in} are the op's inputs. */
    public static List<Normed> of(List<Value> in, Mode mode) {
        Node n = in.get(0).graph().apply(new SpectralNorm(mode), in);
        List<Normed> all = new ArrayList<>();
        for (int i = 0; i < n.outputs().size(); i += 4)
            all.add(new Normed(n.output(i), n.output(i + 1), n.output(i + 2), n.output(i + 3)));
        return all;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(!in.isEmpty() && in.size() % 5 == 0, this, in, "takes W, u, v, s and the used weight for each");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += 5) {
            Value w = in.get(i);
            Op.require(w.dtype() == DType.F32 && w.shape().rank() >= 2, this, in, "a weight must be an f32 matrix");
            int m = w.dim(0), n = Math.toIntExact(w.shape().elements() / m);
            List<Type> state = List.of(Type.of(DType.F32, m), Type.of(DType.F32, n), Type.of(DType.F32, 1));
            for (int k = 0; k < 3; k++)
                Op.require(in.get(i + 1 + k).type().equals(state.get(k)), this, in, "u, v, s must be " + state);
            Op.require(in.get(i + 4).shape().equals(w.shape()), this, in, "the used weight must have W's shape");
            out.add(in.get(i + 4).type());
            out.addAll(state);
        }
        return out;
    }

    @Override
    public int storage(int output) {
        int k = output % 4;
        return output / 4 * 5 + (k == 0 ? 4 : k);
    }

    @Override
    public boolean overwrites(int output) {
        return output % 4 != 0 && mode != Mode.REUSE;
    }

    @Override
    public List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted) {
        List<Value> d = Arrays.asList(new Value[n.inputs().size()]), whole = new ArrayList<>(), in = new ArrayList<>();
        List<Integer> of = new ArrayList<>();
        for (int i = 0; i < n.inputs().size() / 5; i++) {
            Value g = dOut.get(4 * i);
            if (g == null || !wanted[5 * i]) continue;
            of.add(i);
            whole.addAll(List.of(g, n.input(5 * i), n.output(4 * i + 3)));
        }
        if (of.isEmpty()) return d;
        List<Value> lambda = n.graph().apply(new SpectralNormLambda(), whole).outputs();
        for (int k = 0; k < of.size(); k++) {
            int i = of.get(k);
            in.addAll(List.of(
                    dOut.get(4 * i), n.output(4 * i + 1), n.output(4 * i + 2), n.output(4 * i + 3), lambda.get(k)));
        }
        List<Value> dW = n.graph().apply(new SpectralNormGrad(), in).outputs();
        for (int k = 0; k < of.size(); k++) d.set(5 * of.get(k), dW.get(k));
        return d;
    }

    @Override
    public Cost cost(Node n) {
        double flops = 0, read = 0, written = 0;
        for (int i = 0; mode != Mode.REUSE && i < n.inputs().size(); i += 5) {
            flops += (mode == Mode.ADVANCE ? 4.0 : 2.0) * n.input(i).shape().elements();
            double vectors = Op.bytes(n.input(i + 1)) + Op.bytes(n.input(i + 2));
            read += Op.bytes(n.input(i)) + vectors;
            written += vectors + 4;
        }
        return new Cost(flops, read, written);
    }

    @Override
    public String kernel() {
        return mode == Mode.REUSE ? null : "spectral_norm";
    }

    @Override
    public DType variant(Node n) {
        return DType.F32;
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.scratch().i64(mode == Mode.ADVANCE ? 1 : 0);
        w.rows(n.inputs().size() / 5, i -> {
            w.in(5 * i)
                    .in(5 * i + 1)
                    .in(5 * i + 2)
                    .out(4 * i + 1)
                    .out(4 * i + 2)
                    .out(4 * i + 3);
            w.i64(n.output(4 * i + 1).dim(0)).i64(n.output(4 * i + 2).dim(0));
        });
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        // Central differences are those of the exact singular value: the check first iterates until u and v settle.
        for (int[] s : new int[][] {{4, 1}, {1, 4}, {5, 3}}) c.add(product(s[0], s[1], Mode.ADVANCE));
        c.add(products());
        c.add(product(131, 67, Mode.ADVANCE).noGradient());
        c.add(product(39548, 3, Mode.ADVANCE).noGradient());
        // rows that a warp and that a block of the CUDA kernel takes, in vectors and one by one
        for (int[] s : new int[][] {{33, 64}, {7, 1100}, {300, 1030}})
            c.add(product(s[0], s[1], Mode.ADVANCE).noGradient());
        c.add(product(33, 65, Mode.MEASURE).noGradient());
        c.add(product(5, 7, Mode.REUSE).noGradient());
        c.add(product(39548, 512, Mode.ADVANCE).benchmark());
        c.add(OpCase.of("spectral_norm of two", 80, s -> {
                    List<Value> in = new ArrayList<>(weight(s, 9, 33));
                    in.addAll(weight(s, 71, 6));
                    Node n = s.graph().apply(new SpectralNorm(Mode.ADVANCE), in);
                    return List.of(n.output(1), n.output(2), n.output(3), n.output(5), n.output(6), n.output(7));
                })
                .scaled(4)
                .noGradient());
        return c;
    }

    /** Two weights in one node, so that the gradient of several at once is tested. */
    private static OpCase products() {
        return OpCase.of("spectral_norm of 5x3 and 4x2 in one", 16, s -> {
                    List<Value> in = new ArrayList<>(weight(s, 5, 3));
                    in.addAll(weight(s, 4, 2));
                    List<Normed> w = of(in, Mode.ADVANCE);
                    return List.of(
                            Ops.matmul(
                                    s.normal(DType.F32, 2, 3),
                                    w.get(0).weight(),
                                    false,
                                    true,
                                    null,
                                    w.get(0).inverseSigma(),
                                    DType.F32),
                            Ops.matmul(
                                    s.normal(DType.F32, 2, 2),
                                    w.get(1).weight(),
                                    false,
                                    true,
                                    null,
                                    w.get(1).inverseSigma(),
                                    DType.F32));
                })
                .scaled(4);
    }

    private static List<Value> weight(CaseInputs s, int m, int n) {
        Value w = s.normal(DType.F32, m, n);
        return List.of(
                w,
                s.variable(DType.F32, r -> CaseInputs.gaussian(r, m), m),
                s.variable(DType.F32, r -> CaseInputs.gaussian(r, n), n),
                s.variable(DType.F32, r -> new float[] {0.37f}, 1),
                w);
    }

    /** x (W/sigma)^T, so that the contract between product and normalisation is what is tested. */
    private static OpCase product(int m, int n, Mode mode) {
        return OpCase.of("spectral_norm " + m + "x" + n + " " + mode, m + 2L * n, s -> {
                    List<Value> in = weight(s, m, n);
                    Normed w = of(in.get(0), in.get(1), in.get(2), in.get(3), in.get(4), mode);
                    Value x = s.normal(DType.F32, 2, n);
                    return List.of(Ops.matmul(x, w.weight(), false, true, null, w.inverseSigma(), DType.F32));
                })
                .scaled(4);
    }
}
