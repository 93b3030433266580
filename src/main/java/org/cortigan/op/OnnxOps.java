// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.function.IntToDoubleFunction;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Value;
import org.cortigan.onnx.OnnxModel;

/**
 * Translates the graph of a prediction in f32 to ONNX, op by op. An op without a translation is refused by its name.
 *
 * <p>The model takes any number of photographs. A graph has one, so it is built twice: an extent that differs is the
 * number of photographs times a constant.
 */
public final class OnnxOps {
    /** Numbers of photographs of the two graphs: primes, which no other extent is likely to be a multiple of. */
    public static final int FIRST = 101, SECOND = 103;

    private interface Translation<T extends Operation> {
        /** Adds the nodes of an op. @return the names of as many outputs as predictions read, from the first on */
        List<String> apply(T op, Call call);
    }

    private final Map<Class<?>, Translation<?>> translations = new LinkedHashMap<>();
    private final OnnxModel model;
    private final String prefix;
    private final String images;
    private final Graph graph, twin;
    private final Function<String, Supplier<float[]>> weights;
    private final Function<Node, float[]> constants;
    private final Map<Value, String> names = new HashMap<>();

    /**
     * @param prefix of all names, such as that of a member of an ensemble
     * @param images name of the model's input for photographs, u8 [N, S, S, 3]
     * @param graph of {@value #FIRST} photographs
     * @param twin the same of {@value #SECOND}
     * @param weights gives what reads a variable's values, by its name
     * @param constants computes a node that reads tables alone
     */
    public OnnxOps(
            OnnxModel model,
            String prefix,
            String images,
            Graph graph,
            Graph twin,
            Function<String, Supplier<float[]>> weights,
            Function<Node, float[]> constants) {
        this.model = model;
        this.prefix = prefix;
        this.images = images;
        this.graph = graph;
        this.twin = twin;
        this.weights = weights;
        this.constants = constants;
        if (graph.nodes().size() != twin.nodes().size())
            throw new IllegalArgumentException("the two graphs differ in more than the number of photographs");
        on(Activation.class, (op, c) -> List.of(activation(c, "", op, c.in(0))));
        on(Assemble.class, this::assemble);
        on(Attention.class, this::attention);
        on(Binary.class, this::binary);
        on(CellsIn.class, this::cellsIn);
        on(ChannelAffine.class, this::channelAffine);
        on(ChannelNorm.class, this::channelNorm);
        on(Conv2d.class, this::conv2d);
        on(Energy.class, this::energy);
        on(GatherRows.class, (op, c) -> List.of(c.add("Gather", "", c.in(0), c.in(1))));
        on(Geglu.class, this::geglu);
        on(LayerChoice.class, this::layerChoice);
        on(LayerNorm.class, this::layerNorm);
        on(Matmul.class, this::matmul);
        on(
                MeanMiddle.class,
                (op, c) -> List.of(c.node("ReduceMean", "", c.in(0))
                        .withList("axes", 1)
                        .with("keepdims", 0)
                        .add()));
        on(Patchify.class, this::patchify);
        on(PositionReadout.class, this::positionReadout);
        on(Readout.class, this::readout);
        on(Reshape.class, (op, c) -> List.of(c.reshape("", c.in(0), c.output())));
        on(Split.class, this::split);
        on(
                SwapLeading.class,
                (op, c) -> List.of(
                        c.output().length == 3
                                ? c.transpose("", c.in(0), 1, 0, 2)
                                : c.transpose("", c.in(0), 0, 2, 1, 3)));
    }

    private <T extends Operation> void on(Class<T> op, Translation<T> t) {
        translations.put(op, t);
    }

    /**
     * Adds the nodes that compute an output.
     *
     * @return the name of its value in the model
     * @throws InputException naming the op that has no translation
     */
    public String write(String output) {
        Value y = Objects.requireNonNull(graph.outputs().get(output), "no output");
        Set<Node> needed = new HashSet<>(Set.of(y.node()));
        List<Node> nodes = graph.nodes();
        for (int i = nodes.size() - 1; i >= 0; i--)
            if (needed.contains(nodes.get(i))) for (Value v : nodes.get(i).inputs()) needed.add(v.node());
        for (Node n : nodes) if (needed.contains(n)) write(n);
        return name(y);
    }

    private String name(Value v) {
        String name = names.get(v);
        if (name != null) return name;
        // A leaf is written when a node reads it: what reads a table alone may have been computed.
        names.put(v, leaf((Leaf) v.node().op(), v));
        return name(v);
    }

    private void write(Node n) {
        if (n.op() instanceof Leaf) return;
        if (n.inputs().stream().allMatch(v -> v.node().op() instanceof Leaf.Table)) {
            Value y = n.output(0);
            float[] values = constants.apply(n);
            names.put(y, constant(y, i -> values[i], rows -> model.floats(unique(n), rows, () -> first(values, rows))));
            return;
        }
        Node other = twin.nodes().get(n.id());
        boolean isSame = n.op() instanceof Reshape || n.op() instanceof Assemble || n.op().equals(other.op());
        if (!isSame || n.op().getClass() != other.op().getClass())
            throw new IllegalArgumentException("the node " + n + " depends on the number of photographs: " + other);
        for (Value v : n.outputs())
            if (v.dtype() != DType.F32) throw new IllegalArgumentException("the node " + n + " is not in f32");
        List<String> outputs = translate(n.op(), new Call(n, other));
        for (int i = 0; i < outputs.size(); i++) if (!outputs.get(i).isEmpty()) names.put(n.output(i), outputs.get(i));
    }

    @SuppressWarnings("unchecked") // the key is the op's class
    private <T extends Operation> List<String> translate(T op, Call call) {
        Translation<T> t = (Translation<T>) translations.get(op.getClass());
        if (t == null) throw refused(op, "");
        return t.apply(op, call);
    }

    private static InputException refused(Operation op, String form) {
        return new InputException(
                "the op '" + op.name() + "'" + form,
                "has no translation to ONNX",
                "Export a model whose predictions do not compute it");
    }

    private String unique(Node n) {
        return prefix + (n.label().isEmpty() ? "" : n.label() + "/") + n.op().name() + "." + n.id();
    }

    private String leaf(Leaf leaf, Value v) {
        if (leaf instanceof Leaf.Input) return images;
        int[] dims = v.shape().dims();
        if (leaf instanceof Leaf.Variable x) return model.floats(prefix + x.id(), dims, weights.apply(x.id()));
        String name = unique(v.node());
        if (leaf instanceof Leaf.Constant c) {
            if (!(twin.nodes().get(v.node().id()).op() instanceof Leaf.Constant other) || c.value() != other.value())
                throw new IllegalArgumentException(c + " depends on the number of photographs");
            return constant(
                    v,
                    i -> c.value(),
                    rows -> model.floats(name, rows, () -> {
                        float[] all = new float[elements(rows)];
                        Arrays.fill(all, (float) c.value());
                        return all;
                    }));
        }
        Leaf.Table t = (Leaf.Table) leaf;
        return constant(
                v,
                i -> t.values().get(i),
                rows -> v.dtype() == DType.I32
                        ? model.ints(name, rows, Arrays.copyOf(t.toArray(), elements(rows)))
                        : model.floats(name, rows, () -> first(t.toFloats(), rows)));
    }

    private static int elements(int[] dims) {
        return Arrays.stream(dims).reduce(1, Math::multiplyExact);
    }

    private static float[] first(float[] values, int[] dims) {
        return Arrays.copyOf(values, elements(dims));
    }

    /**
     * A tensor that no photograph changes. If it has a row for each photograph, the rows are the same, and one is
     * written.
     */
    private String constant(Value v, IntToDoubleFunction values, Function<int[], String> weight) {
        int[] dims = dims(v);
        int at = batchAxis(dims);
        if (at < 0) return weight.apply(dims);
        int[] row = dims.clone();
        row[0] = 1;
        boolean isRepeated = at == 0 && v.dim(0) == FIRST;
        for (int i = 0; isRepeated && i < v.shape().elements(); i++)
            isRepeated = values.applyAsDouble(i) == values.applyAsDouble(i % elements(row));
        if (!isRepeated) throw new IllegalArgumentException(v + " is not the same for every photograph");
        String one = weight.apply(row);
        return expanded(one + "/rows", one, 1, Arrays.copyOfRange(row, 1, row.length));
    }

    /** x [1, ...] repeated to as many rows as there are photographs, times k. */
    private String expanded(String name, String x, int k, int... inner) {
        String rows = model.node("Shape", name + "/photographs", List.of(images))
                .with("start", 0)
                .with("end", 1)
                .add();
        if (k > 1)
            rows = model.node("Mul", name + "/count", List.of(rows, model.longs(k)))
                    .add();
        String shape = model.node(
                        "Concat",
                        name + "/shape",
                        List.of(
                                rows,
                                model.longs(Arrays.stream(inner).asLongStream().toArray())))
                .with("axis", 0)
                .add();
        return model.node("Expand", name, List.of(x, shape)).add();
    }

    /** Extents of a value; -1 for the one that is a multiple of the number of photographs. */
    private int[] dims(Value v) {
        int[] a = v.shape().dims();
        int[] b = twin.nodes().get(v.node().id()).output(v.index()).shape().dims();
        if (a.length != b.length) throw new IllegalArgumentException(v + " has other axes with more photographs");
        int open = 0;
        for (int i = 0; i < a.length; i++)
            if (a[i] != b[i]) {
                if (open++ > 0 || a[i] % FIRST != 0 || (long) a[i] * SECOND != (long) b[i] * FIRST)
                    throw new IllegalArgumentException(v + " does not grow in step with the number of photographs");
                a[i] = -1;
            }
        return a;
    }

    private static int batchAxis(int[] dims) {
        for (int i = 0; i < dims.length; i++) if (dims[i] < 0) return i;
        return -1;
    }

    /** A node that is translated. The nodes of ONNX that it becomes have its name with a suffix. */
    private final class Call {
        private final Node node, twin;
        private final String name;

        Call(Node node, Node twin) {
            this.node = node;
            this.twin = twin;
            name = unique(node);
        }

        String in(int i) {
            return name(node.input(i));
        }

        int[] input(int i) {
            return dims(node.input(i));
        }

        int[] output() {
            return dims(node.output(0));
        }

        OnnxModel.Node node(String operator, String suffix, String... in) {
            return model.node(operator, name + suffix, List.of(in));
        }

        String add(String operator, String suffix, String... in) {
            return node(operator, suffix, in).add();
        }

        String reshape(String suffix, String x, int... dims) {
            return add(
                    "Reshape",
                    suffix,
                    x,
                    model.longs(Arrays.stream(dims).asLongStream().toArray()));
        }

        String transpose(String suffix, String x, int... axes) {
            return node("Transpose", suffix, x).withList("perm", axes).add();
        }

        /** Consecutive parts of equal extents along the last axis. */
        List<String> parts(String suffix, String x, int rank, int n, int extent) {
            long[] extents = new long[n];
            Arrays.fill(extents, extent);
            return node("Split", suffix, x, model.longs(extents))
                    .with("axis", rank - 1)
                    .add(n);
        }

        String vector(String suffix, double... values) {
            float[] f = new float[values.length];
            for (int i = 0; i < f.length; i++) f[i] = (float) values[i];
            return model.floats(name + suffix, new int[] {f.length}, () -> f);
        }
    }

    private String gelu(Call c, String suffix, String x) {
        String scaled = c.add("Div", suffix + "/x", x, model.scalar((float) Math.sqrt(2)));
        String phi = c.add("Add", suffix + "/phi", c.add("Erf", suffix + "/erf", scaled), model.scalar(1));
        return c.add("Mul", suffix, c.add("Mul", suffix + "/twice", x, phi), model.scalar(0.5f));
    }

    private String activation(Call c, String suffix, Activation f, String x) {
        return switch (f.kind()) {
            case GELU -> gelu(c, suffix, x);
            case LEAKY_RELU ->
                c.node("LeakyRelu", suffix, x).with("alpha", (float) f.alpha()).add();
            case TANH -> c.add("Tanh", suffix, x);
            case SWISH -> {
                String scaled =
                        f.alpha() == 1 ? x : c.add("Mul", suffix + "/scaled", x, model.scalar((float) f.alpha()));
                yield c.add("Mul", suffix, x, c.add("Sigmoid", suffix + "/sigmoid", scaled));
            }
        };
    }

    private List<String> assemble(Assemble op, Call c) {
        List<Assemble.Piece> other = ((Assemble) c.twin.op()).pieces();
        if (!op.pieces().equals(other))
            throw new IllegalArgumentException(c.node + " joins more for more photographs: " + c.twin);
        long twinRows = ((Assemble) c.twin.op()).outer();
        boolean open = op.outer() != twinRows;
        if (open && (op.outer() % FIRST != 0 || op.outer() / FIRST * SECOND != twinRows))
            throw new IllegalArgumentException(c.node + " does not grow in step with the number of photographs");
        List<String> parts = new ArrayList<>();
        for (Assemble.Piece p : op.pieces()) {
            String part = c.name + "/part" + parts.size();
            int len = Math.toIntExact(p.len());
            String x = p.input() < 0 ? model.scalar(0) : c.in(p.input());
            if (p.input() >= 0) {
                int width = Math.toIntExact(
                        p.stride() == 0 ? c.node.input(p.input()).shape().elements() : p.stride());
                x = c.reshape("/rows" + parts.size(), x, -1, width);
                if (len < width)
                    x = c.add(
                            "Slice",
                            "/piece" + parts.size(),
                            x,
                            model.longs(p.offset()),
                            model.longs(p.offset() + len),
                            model.longs(1));
            }
            if (p.input() < 0 || p.stride() == 0)
                x = open
                        ? expanded(part, x, Math.toIntExact(op.outer() / FIRST), len)
                        : model.node("Expand", part, List.of(x, model.longs(op.outer(), len)))
                                .add();
            parts.add(x);
        }
        String all = parts.size() == 1
                ? parts.get(0)
                : model.node("Concat", c.name + "/joined", parts)
                        .with("axis", 1)
                        .add();
        return List.of(c.reshape("", all, c.output()));
    }

    private List<String> attention(Attention op, Call c) {
        boolean packed = c.node.inputs().size() == 1;
        int queries = c.input(0)[1], width = c.output()[2], each = width / op.heads();
        int keys = c.input(packed ? 0 : 1)[1];
        List<String> parts = new ArrayList<>();
        if (!packed) parts.add(c.in(0));
        parts.addAll(c.parts("/parts", c.in(packed ? 0 : 1), 3, packed ? 3 : 2, width));
        String[] heads = new String[3];
        for (int i = 0; i < 3; i++) {
            String x = c.reshape("/split" + i, parts.get(i), -1, i == 0 ? queries : keys, op.heads(), each);
            heads[i] = i == 1 ? c.transpose("/keys", x, 0, 2, 3, 1) : c.transpose("/heads" + i, x, 0, 2, 1, 3);
        }
        String scores = c.add("Mul", "/scores", c.add("MatMul", "/products", heads[0], heads[1]), model.scalar((float)
                (1 / Math.sqrt(each))));
        String shares = c.node("Softmax", "/shares", scores).with("axis", -1).add();
        String seen = c.transpose("/seen", c.add("MatMul", "/mixed", shares, heads[2]), 0, 2, 1, 3);
        return List.of(c.reshape("", seen, -1, queries, width));
    }

    private List<String> binary(Binary op, Call c) {
        String a = c.in(0), b = c.in(1);
        if (c.input(1).length > c.input(0).length) b = c.reshape("/one", b); // one element
        return List.of(
                switch (op.kind()) {
                    case ADD -> c.add("Add", "", a, b);
                    case MUL -> c.add("Mul", "", a, b);
                    case AXPBY ->
                        c.add(
                                "Add",
                                "",
                                c.add("Mul", "/a", a, model.scalar((float) op.alpha())),
                                c.add("Mul", "/b", b, model.scalar((float) op.beta())));
                });
    }

    /**
     * Gathers the vertices of each cell, which are known now, and sums them. ScatterND would name them as it adds, but
     * ONNX Runtime adds to one cell from several threads at once.
     */
    private List<String> cellsIn(CellsIn op, Call c) {
        if (!(c.node.input(2).node().op() instanceof Leaf.Variable place)) throw refused(op, " at computed cells");
        float[] at = weights.apply(place.id()).get();
        int k = c.input(1)[1], vertices = c.input(1)[0], cells = op.height() * op.width();
        List<List<Integer>> inCell = new ArrayList<>();
        for (int i = 0; i < cells; i++) inCell.add(new ArrayList<>());
        for (int v = 0; v < vertices; v++)
            inCell.get(pixel(at[2 * v + 1], op.height()) * op.width() + pixel(at[2 * v], op.width()))
                    .add(v);
        int most = inCell.stream().mapToInt(List::size).max().orElseThrow();
        int[] reads = new int[cells * most], embeds = new int[cells * most];
        for (int i = 0; i < reads.length; i++) {
            List<Integer> own = inCell.get(i / most);
            boolean isVertex = i % most < own.size();
            reads[i] = isVertex ? own.get(i % most) : 0;
            embeds[i] = isVertex ? own.get(i % most) : vertices; // the row of zeros behind the others
        }
        int[] length = {reads.length};
        String x = c.node("Gather", "/vertices", c.in(0), model.ints(c.name + "/reads", length, reads))
                .with("axis", 1)
                .add();
        String zeros = model.floats(c.name + "/zeros", new int[] {1, k}, () -> new float[k]);
        String rows = c.node("Concat", "/rows", c.in(1), zeros).with("axis", 0).add();
        String e = c.add("Gather", "/e", rows, model.ints(c.name + "/embeds", length, embeds));
        String terms = c.add("Mul", "/terms", c.reshape("/x", x, -1, reads.length, 1), e);
        String sums = c.node("ReduceSum", "/sums", c.reshape("/cells", terms, -1, cells, most, k), model.longs(2))
                .with("keepdims", 0)
                .add();
        return List.of(c.reshape("", sums, c.output()));
    }

    /** The pixel, of n along an axis, that is nearest to a position in -1..1. */
    private static int pixel(float position, int n) {
        return (int) Math.min(Math.max(Math.floor((position + 1.0) * n / 2), 0), n - 1);
    }

    private List<String> channelAffine(ChannelAffine op, Call c) {
        String variance = c.add("Add", "/variance", c.in(4), model.scalar((float) op.eps()));
        String scale = c.add("Div", "/scale", c.in(1), c.add("Sqrt", "/deviation", variance));
        String scaled = c.add("Mul", "/scaled", c.add("Sub", "/centred", c.in(0), c.in(3)), scale);
        String y = c.add("Add", "/shifted", scaled, c.in(2));
        return List.of(activation(c, "", new Activation(Activation.Kind.LEAKY_RELU, op.slope()), y));
    }

    private List<String> channelNorm(ChannelNorm op, Call c) {
        if (op.batch()) throw refused(op, " over the batch");
        int[] dims = c.output();
        int channels = dims[dims.length - 1], pixels = elements(Arrays.copyOfRange(dims, 1, dims.length - 1));
        String x = c.reshape("/pixels", c.in(0), -1, pixels, channels);
        if (c.node.inputs().size() > 3) x = c.add("Add", "/plus", x, c.reshape("/shift", c.in(3), -1, 1, channels));
        // [N, C, pixels]: the channels of a group lie side by side.
        String planes = c.reshape(
                "/groups", c.transpose("/planes", x, 0, 2, 1), -1, op.groups(), channels / op.groups() * pixels);
        double[] ones = new double[op.groups()];
        Arrays.fill(ones, 1);
        String normal = c.node(
                        "InstanceNormalization",
                        "/normal",
                        planes,
                        c.vector("/ones", ones),
                        c.vector("/zeros", new double[op.groups()]))
                .with("epsilon", (float) op.eps())
                .add();
        String back = c.transpose("/channels", c.reshape("/back", normal, -1, channels, pixels), 0, 2, 1);
        String y = c.add("Add", "/shifted", c.add("Mul", "/scaled", back, c.in(1)), c.in(2));
        return List.of(c.reshape("", activation(c, "/activation", op.activation(), y), dims));
    }

    private List<String> conv2d(Conv2d op, Call c) {
        if (op.hasScale()) throw refused(op, " with a spectral norm");
        List<String> in = new ArrayList<>(List.of(c.transpose("/planes", c.in(0), 0, 3, 1, 2), c.in(1)));
        if (op.hasBias()) in.add(c.in(2));
        String y = c.node("Conv", "/conv", in.toArray(new String[0]))
                .withList("strides", op.strideH(), op.strideW())
                .withList("pads", op.padH(), op.padW(), op.padH(), op.padW())
                .add();
        return List.of(c.transpose("", y, 0, 2, 3, 1));
    }

    private List<String> energy(Energy op, Call c) {
        int[] dims = c.output();
        List<String> pair = c.parts("/pair", c.in(0), dims.length, 2, dims[dims.length - 1]);
        List<String> squares = new ArrayList<>();
        for (String x : pair) squares.add(c.add("Mul", "/square" + squares.size(), x, x));
        String sum = c.add("Add", "/sum", squares.get(0), squares.get(1));
        String root = c.add("Add", "/guarded", sum, model.scalar((float) Energy.EPS));
        if (op.sigma() == 0) return List.of(c.add("Sqrt", "", root));
        String ratio = c.add("Div", "/ratio", c.add("Sqrt", "/root", root), model.scalar((float) op.sigma()));
        return List.of(c.add("Log", "", c.add("Add", "/more", ratio, model.scalar(1))));
    }

    private List<String> geglu(Geglu op, Call c) {
        int[] dims = c.output();
        List<String> halves = c.parts("/halves", c.in(0), dims.length, 2, dims[dims.length - 1]);
        return List.of(c.add("Mul", "", halves.get(0), gelu(c, "/gelu", halves.get(1))));
    }

    private List<String> layerChoice(LayerChoice op, Call c) {
        int v = c.input(0)[0], layers = c.input(0)[1], features = c.input(1)[1];
        String shares = c.node("Softmax", "/shares", c.in(0)).with("axis", 1).add();
        String all = c.add(
                "Mul",
                "/all",
                c.reshape("/layers", shares, v, layers, 1),
                c.reshape("/features", c.in(1), v, 1, features));
        return List.of(c.reshape("", all, c.output()));
    }

    private List<String> layerNorm(LayerNorm op, Call c) {
        String x = op.residual() ? c.add("Add", "/sum", c.in(0), c.in(3)) : c.in(0);
        String y = c.node("LayerNormalization", "", x, c.in(1), c.in(2))
                .with("axis", -1)
                .with("epsilon", (float) op.eps())
                .add();
        return op.residual() ? List.of(y, "", "", x) : List.of(y);
    }

    private List<String> matmul(Matmul op, Call c) {
        if (op.hasScale() || op.hasCopy()) throw refused(op, " with a spectral norm or in bf16");
        List<String> in = new ArrayList<>(List.of(c.in(0), c.in(1)));
        if (op.hasBias()) in.add(c.in(2));
        return List.of(c.node("Gemm", "", in.toArray(new String[0]))
                .with("transA", op.transA() ? 1 : 0)
                .with("transB", op.transB() ? 1 : 0)
                .add());
    }

    private List<String> patchify(Patchify op, Call c) {
        double[] scale = new double[3], shift = new double[3];
        for (int i = 0; i < 3; i++) {
            scale[i] = 1 / (255 * op.std().get(i));
            shift[i] = -op.mean().get(i) / op.std().get(i);
        }
        String x = c.node("Cast", "/float", c.in(0))
                .with("to", OnnxModel.Element.FLOAT.code())
                .add();
        x = c.add("Mul", "/scaled", x, c.vector("/scale", scale));
        int p = op.patch();
        String y = c.add("Add", p == 0 ? "" : "/normal", x, c.vector("/shift", shift));
        if (p == 0) return List.of(y);
        int[] in = c.input(0);
        String cut = c.reshape("/cut", y, -1, in[1] / p, p, in[2] / p, p, 3);
        return List.of(c.reshape("", c.transpose("/patches", cut, 0, 1, 3, 5, 2, 4), c.output()));
    }

    private List<String> positionReadout(PositionReadout op, Call c) {
        int[] maps = c.input(0);
        int v = c.input(1)[0], layers = maps[1], height = maps[2], width = maps[3], channels = maps[4];
        // Photographs and layers as channels of one map, so that one grid of points serves all.
        String planes = c.reshape("/map", c.transpose("/planes", c.in(0), 0, 1, 4, 2, 3), 1, -1, height, width);
        String points = c.reshape("/points", c.in(1), 1, v, 1, 2);
        String seen = c.node("GridSample", "/seen", planes, points)
                .with("mode", op.fixed() ? "nearest" : "bilinear")
                .with("padding_mode", "border")
                .with("align_corners", 0)
                .add();
        String rows = c.reshape("/features", seen, -1, layers * channels, v);
        String terms = c.add("Mul", "/terms", rows, c.transpose("/weights", c.in(2), 1, 0));
        String sums = c.node("ReduceSum", "/sums", terms, model.longs(1))
                .with("keepdims", 0)
                .add();
        return List.of(c.add("Add", "", sums, c.in(3)));
    }

    private List<String> readout(Readout op, Call c) {
        int[] w = c.input(1);
        String y = c.add("MatMul", "/products", c.in(0), c.reshape("/columns", c.in(1), w[0], w[1], 1));
        String rows = c.transpose("/rows", c.reshape("/flat", y, w[0], -1), 1, 0);
        return List.of(c.add("Add", "", rows, c.in(2)));
    }

    private List<String> split(Split op, Call c) {
        long[] extents = op.extents().stream().mapToLong(n -> n).toArray();
        return c.node("Split", "", c.in(0), model.longs(extents))
                .with("axis", 0)
                .add(extents.length);
    }
}
