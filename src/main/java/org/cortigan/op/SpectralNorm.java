// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.cortigan.graph.DType;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Type;
import org.cortigan.graph.Value;
import org.jspecify.annotations.Nullable;

/**
 * Spectral normalisation (Miyato et al. 2018) of any number of weights in one node. Inputs for each weight: W [M, N];
 * the variables u [M], v [N] and s [1], all f32; and the weight that products use, which is W or its bf16 copy. Outputs
 * for each weight: a view of the weight that products use; u, v and s = 1/sigma, updated in place.
 *
 * <p>W/sigma is never stored. A product takes the view as its operand and s as its scale. By contract the gradient of
 * the view is that of W/sigma (f32); this op converts it to the gradient of W with u and v as constants, as torch does.
 */
public record SpectralNorm(Mode mode) implements Op {
    /** Update of u, v and sigma before the weight is used. */
    public enum Mode {
        /** One power iteration, with one read of W. */
        ADVANCE,
        /** sigma = u^T W v, with unchanged u and v. */
        MEASURE
    }

    @Override
    public String name() {
        return "spectral_norm";
    }

    /** One normalised weight. A product needs both {@code weight} (operand) and {@code inverseSigma} (scale). */
    public record Normed(Value weight, Value u, Value v, Value inverseSigma) {}

    /**
     * Adds the op.
     *
     * @param in the five inputs of each weight
     */
    public static List<Normed> of(List<Value> in, Mode mode) {
        return normed(in.get(0).graph().apply(new SpectralNorm(mode), in));
    }

    /**
     * The weights with unchanged u, v and s, for weights that have not changed since s was computed.
     *
     * @param in the five inputs of each weight
     */
    public static List<Normed> reuse(List<Value> in) {
        return normed(in.get(0).graph().apply(new Reuse(), in));
    }

    private static List<Normed> normed(Node n) {
        List<Normed> all = new ArrayList<>();
        for (int i = 0; i < n.outputs().size(); i += 4)
            all.add(new Normed(n.output(i), n.output(i + 1), n.output(i + 2), n.output(i + 3)));
        return all;
    }

    @Override
    public List<Type> infer(List<Value> in) {
        return types(this, in);
    }

    private static List<Type> types(Operation op, List<Value> in) {
        Op.require(
                !in.isEmpty() && in.size() % 5 == 0,
                op,
                in,
                "takes five inputs for each weight: W, u, v, s and the used weight");
        List<Type> out = new ArrayList<>();
        for (int i = 0; i < in.size(); i += 5) {
            Value w = in.get(i);
            Op.require(w.dtype() == DType.F32 && w.shape().rank() >= 2, op, in, "a weight must be an f32 matrix");
            int m = w.dim(0), n = Math.toIntExact(w.shape().elements() / m);
            List<Type> state = List.of(Type.of(DType.F32, m), Type.of(DType.F32, n), Type.of(DType.F32, 1));
            for (int k = 0; k < 3; k++)
                Op.require(in.get(i + 1 + k).type().equals(state.get(k)), op, in, "u, v and s must be " + state);
            Op.require(in.get(i + 4).shape().equals(w.shape()), op, in, "the used weight must have W's shape");
            out.add(in.get(i + 4).type());
            out.addAll(state);
        }
        return out;
    }

    @Override
    public int storage(int output) {
        return sharedInput(output);
    }

    private static int sharedInput(int output) {
        int k = output % 4;
        return output / 4 * 5 + (k == 0 ? 4 : k);
    }

    @Override
    public boolean overwrites(int output) {
        return output % 4 != 0;
    }

    @Override
    public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        return gradients(n, dOut, wanted);
    }

    private static List<@Nullable Value> gradients(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
        List<@Nullable Value> d = Arrays.asList(new Value[n.inputs().size()]);
        List<Value> lambdaInputs = new ArrayList<>(), gradInputs = new ArrayList<>();
        List<Integer> weights = new ArrayList<>();
        for (int i = 0; i < n.inputs().size() / 5; i++) {
            Value g = dOut.get(4 * i);
            if (g == null || !wanted[5 * i]) continue;
            weights.add(i);
            lambdaInputs.addAll(List.of(g, n.input(5 * i), n.output(4 * i + 3)));
        }
        if (weights.isEmpty()) return d;
        List<Value> lambda = n.graph().apply(new Lambda(), lambdaInputs).outputs();
        for (int k = 0; k < weights.size(); k++) {
            int i = weights.get(k);
            gradInputs.addAll(List.of(
                    dOut.get(4 * i), n.output(4 * i + 1), n.output(4 * i + 2), n.output(4 * i + 3), lambda.get(k)));
        }
        List<Value> dW = n.graph().apply(new Grad(), gradInputs).outputs();
        for (int k = 0; k < weights.size(); k++) d.set(5 * weights.get(k), dW.get(k));
        return d;
    }

    /**
     * The factors of each gradient: G, u, v, 1/sigma and lambda for a spectral one, else the gradient itself. Updates
     * read the factors, so that dW is never stored. One Lambda node serves all weights.
     *
     * @param reduction from every G, in the order of the gradients, to what takes its place, for example its mean over
     *     ranks
     */
    public static List<List<Value>> gradientParts(List<Value> gradients, UnaryOperator<List<Value>> reduction) {
        List<Value> in = new ArrayList<>();
        List<List<Value>> parts = new ArrayList<>();
        // Lambda is a function of G, so what changes G comes first.
        List<Value> raw = gradients.stream()
                .map(g -> g.node().op() instanceof Grad ? g.node().input(Grad.PARTS * g.index()) : g)
                .toList();
        Iterator<Value> reduced = reduction.apply(raw).iterator();
        for (Value g : gradients) {
            Value whole = reduced.next();
            if (!(g.node().op() instanceof Grad)) {
                parts.add(List.of(whole));
                continue;
            }
            List<Value> factors =
                    new ArrayList<>(g.node().inputs().subList(Grad.PARTS * g.index(), Grad.PARTS * (g.index() + 1)));
            Value lambda = factors.remove(Grad.PARTS - 1);
            factors.set(0, whole);
            in.add(whole);
            in.addAll(lambda.node().inputs().subList(3 * lambda.index() + 1, 3 * lambda.index() + 3));
            parts.add(factors);
        }
        if (in.isEmpty()) return parts;
        List<Value> lambdas = in.get(0).graph().apply(new Lambda(), in).outputs();
        int k = 0;
        for (List<Value> factors : parts) if (factors.size() > 1) factors.add(lambdas.get(k++));
        return parts;
    }

    @Override
    public Cost cost(Node n) {
        double flops = 0, read = 0, written = 0;
        for (int i = 0; i < n.inputs().size(); i += 5) {
            flops += (mode == Mode.ADVANCE ? 4.0 : 2.0) * n.input(i).shape().elements();
            double vectors = Op.bytes(n.input(i + 1)) + Op.bytes(n.input(i + 2));
            read += Op.bytes(n.input(i)) + vectors;
            written += vectors + 4;
        }
        return new Cost(flops, read, written);
    }

    @Override
    public void args(Node n, ArgWriter w) {
        w.scratch("scratch").flag("advance", mode == Mode.ADVANCE);
        w.rows("rows", "n", n.inputs().size() / 5, i -> {
            w.in("W", 5 * i).in("u_in", 5 * i + 1).in("v_in", 5 * i + 2);
            w.out("u_out", 4 * i + 1).out("v_out", 4 * i + 2).out("inv_sigma", 4 * i + 3);
            w.i64("M", n.output(4 * i + 1).dim(0)).i64("N", n.output(4 * i + 2).dim(0));
        });
    }

    /** A view with the inputs and outputs of {@link SpectralNorm}, for weights whose W, u, v and s have not changed. */
    record Reuse() implements Op.View {
        @Override
        public String name() {
            return "spectral_norm";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            return types(this, in);
        }

        @Override
        public int storage(int output) {
            return sharedInput(output);
        }

        @Override
        public List<@Nullable Value> gradient(Node n, List<@Nullable Value> dOut, boolean[] wanted) {
            return gradients(n, dOut, wanted);
        }
    }

    /**
     * The sum over a whole weight that the gradient of {@link SpectralNorm} needs, for any number of weights. Inputs
     * for each weight: G (the gradient of W/sigma), W and 1/sigma. Output for each: lambda = &lt;G, W&gt; / sigma,
     * f32[1].
     */
    record Lambda() implements Op.Gradient {
        @Override
        public String name() {
            return "spectral_norm_lambda";
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(
                    !in.isEmpty() && in.size() % 3 == 0,
                    this,
                    in,
                    "takes three inputs for each weight: G, W and 1/sigma");
            List<Type> out = new ArrayList<>();
            for (int i = 0; i < in.size(); i += 3) {
                Op.require(
                        in.get(i).type().equals(in.get(i + 1).type()),
                        this,
                        in,
                        "G and W must have the same type and shape");
                out.add(Type.of(DType.F32, 1));
            }
            return out;
        }

        @Override
        public Cost cost(Node n) {
            double elements = 0;
            for (int i = 0; i < n.inputs().size(); i += 3)
                elements += n.input(i).shape().elements();
            return Op.cost(n, 2 * elements);
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.scratch("scratch");
            w.rows("rows", "n", n.outputs().size(), i -> {
                w.in("G", 3 * i).in("W", 3 * i + 1).in("inv_sigma", 3 * i + 2).out("lambda", i);
                w.i64("n", n.input(3 * i).shape().elements());
            });
        }
    }

    /**
     * Gradient of {@link SpectralNorm} for any number of weights: dW = (G - lambda u v^T) / sigma. Inputs for each
     * weight: the factors G (the gradient of W/sigma), u, v, 1/sigma and lambda ({@link Lambda}). Output for each: dW.
     * Optimizers never materialise dW; they read the factors (see {@link #gradientParts}).
     */
    record Grad() implements Op.Gradient {
        /** Number of factors: inputs per weight. */
        static final int PARTS = 5;

        @Override
        public String name() {
            return "spectral_norm_grad";
        }

        /** Checks the factors u, v, 1/sigma and lambda of a gradient, which are the inputs from {@code u} on. */
        static void requireParts(Operation op, List<Value> in, Value g, int u) {
            Op.require(
                    in.get(u).shape().elements() * in.get(u + 1).shape().elements()
                                    == g.shape().elements()
                            && in.get(u + 2).shape().elements() == 1
                            && in.get(u + 3).shape().elements() == 1
                            && in.subList(u, u + 4).stream().allMatch(x -> x.dtype() == DType.F32),
                    op,
                    in,
                    "u, v, 1/sigma and lambda do not fit " + g);
        }

        /**
         * Writes the members of struct Gradient (native/include/cg/gradient.h).
         *
         * @param g input index of G
         * @param u input index of the first of the other factors, or -1 if G is the gradient itself
         */
        static void writeParts(Node n, ArgWriter w, String prefix, int g, int u) {
            String[] parts = {"u", "v", "inv_sigma", "lambda"};
            w.in(prefix + "g", g);
            for (int k = 0; k < parts.length; k++) w.inOrNone(prefix + parts[k], u < 0 ? -1 : u + k);
            w.i64(prefix + "n", n.input(g).shape().elements());
            w.i64(prefix + "N", n.input(u < 0 ? g : u + 1).shape().elements());
        }

        @Override
        public List<Type> infer(List<Value> in) {
            Op.require(
                    !in.isEmpty() && in.size() % PARTS == 0,
                    this,
                    in,
                    "takes five inputs for each weight: G, u, v, 1/sigma and lambda");
            List<Type> out = new ArrayList<>();
            for (int i = 0; i < in.size(); i += PARTS) {
                requireParts(this, in, in.get(i), i + 1);
                out.add(in.get(i).type());
            }
            return out;
        }

        @Override
        public Cost cost(Node n) {
            double elements = 0;
            for (Value v : n.outputs()) elements += v.shape().elements();
            return Op.cost(n, 3 * elements);
        }

        @Override
        public int inPlace(Node n, int output) {
            return PARTS * output;
        }

        @Override
        public void args(Node n, ArgWriter w) {
            w.rows("rows", "n", n.outputs().size(), i -> {
                writeParts(n, w, "gradient.", PARTS * i, PARTS * i + 1);
                w.out("dW", i);
            });
        }
    }

    public static List<OpCase> cases() {
        List<OpCase> c = new ArrayList<>();
        // Central differences follow the exact singular value, so the check first iterates until u and v converge.
        c.add(product(4, 1, Mode.ADVANCE));
        c.add(product(1, 4, Mode.ADVANCE));
        c.add(product(5, 3, Mode.ADVANCE));
        c.add(products());
        c.add(product(131, 67, Mode.ADVANCE).noGradient());
        c.add(product(39548, 3, Mode.ADVANCE).noGradient());
        // Rows for one warp and for one block of the CUDA kernel, read in vectors and element by element.
        c.add(product(33, 64, Mode.ADVANCE).noGradient());
        c.add(product(7, 1100, Mode.ADVANCE).noGradient());
        c.add(product(300, 1030, Mode.ADVANCE).noGradient());
        c.add(product(33, 65, Mode.MEASURE).noGradient());
        c.add(product(5, 7, "REUSE", SpectralNorm::reuse).noGradient());
        c.add(product(5, 3, "ADVANCE, REUSE", SpectralNorm::advanceThenReuse));
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

    /** Two weights in one node, to test the gradient of several weights. */
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

    /** One weight as a training step uses it: a power iteration, then reuse. */
    private static List<Normed> advanceThenReuse(List<Value> in) {
        Normed w = of(in, Mode.ADVANCE).get(0);
        return reuse(List.of(in.get(0), w.u(), w.v(), w.inverseSigma(), in.get(4)));
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

    /** x (W/sigma)^T, to test the contract between product and normalisation. */
    private static OpCase product(int m, int n, Mode mode) {
        return product(m, n, mode.toString(), in -> of(in, mode));
    }

    private static OpCase product(int m, int n, String how, Function<List<Value>, List<Normed>> norm) {
        return OpCase.of("spectral_norm " + m + "x" + n + " " + how, m + 2L * n, s -> {
                    Normed w = norm.apply(weight(s, m, n)).get(0);
                    Value x = s.normal(DType.F32, 2, n);
                    return List.of(Ops.matmul(x, w.weight(), false, true, null, w.inverseSigma(), DType.F32));
                })
                .scaled(4);
    }
}
