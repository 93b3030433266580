package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;

/**
 * One power iteration of spectral normalisation (Miyato et al. 2018) for any number of weights at once. Inputs W [M, N],
 * u [M], v [N] for each, all f32, u and v variables; outputs for each: W itself (a view), u and v after the iteration
 * (in place), and 1/sigma [1].
 *
 * <p>W/sigma is never made. A product takes the view and, as its scale, 1/sigma; by contract the gradient that reaches
 * the view is that of W/sigma, and this op turns it into that of W with u and v as constants, as torch does.
 *
 * @param advance whether u and v move; otherwise sigma = u^T W v with them as they are
 */
public record SpectralNorm(boolean advance) implements Op {
    @Override
    public String name() {
        return "spectral_norm";
    }

    /** One weight after the iteration: give {@code weight} and {@code inverseSigma} to a product together. */
    public record Normed(Value weight, Value u, Value v, Value inverseSigma) {}

    /** Applies the op to one weight. */
    public static Normed of(Value w, Value u, Value v, boolean advance) {
        Node n = w.graph().apply(new SpectralNorm(advance), w, u, v);
        return new Normed(n.output(0), n.output(1), n.output(2), n.output(3));
    }

    @Override
    public List<Type> infer(List<Value> in) {
        Op.require(!in.isEmpty() && in.size() % 3 == 0, this, in, "takes W, u, v for each weight");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += 3) {
            Value w = in.get(i);
            Op.require(w.dtype() == DType.F32 && w.shape().rank() == 2, this, in, "a weight must be an f32 matrix");
            Type u = Type.of(DType.F32, w.dim(0)), v = Type.of(DType.F32, w.dim(1));
            Op.require(in.get(i + 1).type().equals(u) && in.get(i + 2).type().equals(v), this, in, "u, v must be " + u + ", " + v);
            out.addAll(List.of(w.type(), u, v, Type.of(DType.F32, 1)));
        }
        return out;
    }

    @Override
    public int storage(int output) {
        return output % 4 == 3 ? -1 : output / 4 * 3 + output % 4;
    }

    @Override
    public boolean overwrites(int output) {
        return output % 4 == 1 || output % 4 == 2;
    }

    @Override
    public List<Value> gradient(Node n, List<Value> dOut, boolean[] wanted) {
        List<Value> d = Arrays.asList(new Value[n.inputs().size()]);
        for (int i = 0; i < n.inputs().size() / 3; i++) {
            Value g = dOut.get(4 * i);
            if (g == null || !wanted[3 * i]) continue;
            d.set(
                    3 * i,
                    n.graph()
                            .apply(
                                    new SpectralNormGrad(),
                                    g,
                                    n.input(3 * i),
                                    n.output(4 * i + 1),
                                    n.output(4 * i + 2),
                                    n.output(4 * i + 3))
                            .output(0));
        }
        return d;
    }

    @Override
    public Cost cost(Node n) {
        double flops = 0, read = 0, written = 0;
        for (int i = 0; i < n.inputs().size(); i += 3) {
            flops += (advance ? 4.0 : 2.0) * n.input(i).shape().elements();
            double vectors = Op.bytes(n.input(i + 1)) + Op.bytes(n.input(i + 2));
            read += Op.bytes(n.input(i)) + vectors;
            written += vectors + 4;
        }
        return new Cost(flops, read, written);
    }

    @Override
    public String kernel() {
        return "spectral_norm";
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.scratch().i64(advance ? 1 : 0);
        w.rows(n.inputs().size() / 3, i -> {
            w.in(3 * i).in(3 * i + 1).in(3 * i + 2).out(4 * i + 1).out(4 * i + 2).out(4 * i + 3);
            w.i64(n.input(3 * i).dim(0)).i64(n.input(3 * i).dim(1));
        });
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        // Central differences are those of the exact singular value: the check first iterates until u and v settle.
        for (int[] s : new int[][] {{4, 1}, {1, 4}, {5, 3}}) c.add(product(s[0], s[1], true));
        c.add(product(131, 67, true).noGradient());
        c.add(product(39548, 3, true).noGradient());
        c.add(product(33, 65, false).noGradient());
        c.add(product(39548, 512, true).benchmark());
        c.add(OpCase.of("spectral_norm of two", 80, s -> {
                    List<Value> in = new ArrayList<>(weight(s, 9, 33));
                    in.addAll(weight(s, 71, 6));
                    Node n = s.graph().apply(new SpectralNorm(true), in);
                    return List.of(n.output(1), n.output(2), n.output(3), n.output(5), n.output(6), n.output(7));
                })
                .scaled(4)
                .noGradient());
        return c;
    }

    private static List<Value> weight(Sketch s, int m, int n) {
        return List.of(
                s.normal(DType.F32, m, n),
                s.variable(DType.F32, r -> Sketch.gaussian(r, m), m),
                s.variable(DType.F32, r -> Sketch.gaussian(r, n), n));
    }

    /** x (W/sigma)^T, so that the contract between product and normalisation is what is tested. */
    private static OpCase product(int m, int n, boolean advance) {
        return OpCase.of("spectral_norm " + m + "x" + n + (advance ? "" : " fixed"), m + 2L * n, s -> {
                    List<Value> in = weight(s, m, n);
                    Normed w = of(in.get(0), in.get(1), in.get(2), advance);
                    Value x = s.normal(DType.F32, 2, n);
                    return List.of(Ops.matmul(x, w.weight(), false, true, null, w.inverseSigma(), DType.F32));
                })
                .scaled(4);
    }
}
