// SPDX-License-Identifier: Apache-2.0
package org.cortigan.grad;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Operation;
import org.cortigan.graph.Value;
import org.cortigan.op.Cast;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.cortigan.op.SwapLeading;

/**
 * The part of a graph that gives the same values in every run: what depends only on one batch of data and on variables
 * that the graph never overwrites, such as the photographs and a frozen backbone. Its boundary are the values that the
 * rest of the graph reads. The part alone and the rest with the boundary as an input are graphs of their own, so that
 * the part can run once for each photograph.
 */
public final class FixedPrefix {
    /** An op on numbered values: equal computations have equal numbers, also those of two graphs. */
    private record Expression(Operation op, List<Integer> inputs, int output) {}

    private final Graph graph;
    /** Rows of the data, B. */
    private final int rows;
    /** In the order of the nodes; each [B, ...] or [B n, ...], elements of row b computed from row b of the data. */
    private final List<Value> boundary;

    private FixedPrefix(Graph graph, int rows, List<Value> boundary) {
        this.graph = graph;
        this.rows = rows;
        this.boundary = boundary;
    }

    /**
     * Finds the prefix.
     *
     * @param data [B, ...]: a batch, of which every op of the prefix computes each row by itself
     */
    public static FixedPrefix of(Graph g, Value data) {
        Set<String> overwritten = overwritten(g);
        int n = g.nodes().size();
        boolean[] changes = new boolean[n], ofData = new boolean[n], ofVariables = new boolean[n];
        for (Node node : g.nodes()) {
            int i = node.id();
            if (node == data.node()) {
                ofData[i] = true;
                continue;
            }
            changes[i] = node.op() instanceof Leaf leaf ? changes(leaf, overwritten) : node.op() instanceof Op.Update;
            ofVariables[i] = node.op() instanceof Leaf.Variable;
            for (Value in : node.inputs()) {
                int k = in.node().id();
                // Swapping the leading axes would mix the rows of the data.
                changes[i] |= changes[k] || ofData[k] && node.op() instanceof SwapLeading;
                ofData[i] |= ofData[k];
                ofVariables[i] |= ofVariables[k];
            }
        }
        Set<Value> read = new LinkedHashSet<>(g.outputs().values());
        for (Node node : g.nodes()) if (changes[node.id()]) read.addAll(node.inputs());
        Set<Value> boundary = new HashSet<>();
        for (Value v : read) {
            int i = v.node().id();
            if (!changes[i] && ofData[i] && ofVariables[i]) boundary.add(root(v));
        }
        for (Value v : boundary)
            if (v.dim(0) % data.dim(0) != 0)
                throw new IllegalStateException("the rows of " + v.node() + " are not those of " + data);
        return new FixedPrefix(
                g,
                data.dim(0),
                boundary.stream()
                        .sorted(Comparator.<Value>comparingInt(v -> v.node().id())
                                .thenComparing(Value::index))
                        .toList());
    }

    private static boolean changes(Leaf leaf, Set<String> overwritten) {
        return leaf instanceof Leaf.Input || leaf instanceof Leaf.Variable && overwritten.contains(leaf.id());
    }

    /** The variables that a run of the graph changes. */
    private static Set<String> overwritten(Graph g) {
        Set<String> names = new HashSet<>();
        for (Node n : g.nodes())
            for (Value out : n.outputs()) {
                if (!n.op().overwrites(out.index())) continue;
                Value of = out;
                for (int s; (s = of.node().op().storage(of.index())) >= 0; )
                    of = of.node().input(s);
                if (of.node().op() instanceof Leaf.Variable v) names.add(v.id());
            }
        return names;
    }

    /** The value whose elements, in their order, a value has in another shape or type; the rest converts it again. */
    private static Value root(Value v) {
        Value of = v;
        while (of.node().op() instanceof Cast
                || of.node().op() instanceof Op.View
                        && of.node().input(0).shape().elements() == of.shape().elements())
            of = of.node().input(0);
        return of;
    }

    /** Whether nothing can be computed once. */
    public boolean isEmpty() {
        return boundary.isEmpty();
    }

    /** Elements of each value of the boundary for one row of the data. */
    public List<Integer> widths() {
        return boundary.stream()
                .map(v -> Math.toIntExact(v.shape().elements() / rows))
                .toList();
    }

    /** Elements of the boundary for one row of the data. */
    public int elements() {
        return widths().stream().reduce(0, Math::addExact);
    }

    /**
     * The prefix alone.
     *
     * @param output name of the output [B, {@link #elements}]: for each row of the data all values of the boundary
     */
    public Graph alone(String output) {
        Graph to = new Graph();
        Map<Value, Value> copies = new HashMap<>();
        copy(graph, live(graph, boundary, Set.of()), to, copies);
        List<Value> parts = new ArrayList<>();
        for (int i = 0; i < boundary.size(); i++)
            parts.add(Ops.reshape(known(copies, boundary.get(i)), rows, widths().get(i)));
        to.output(output, Ops.concat(1, parts.toArray(new Value[0])));
        return to;
    }

    /**
     * The graph without the prefix. An input that only the prefix reads vanishes.
     *
     * @param features adds the boundary's values [B, {@link #elements}] to the new graph, whose other leaves are there
     */
    public Graph rest(Function<Graph, Value> features) {
        Map<Value, Integer> at = new LinkedHashMap<>();
        for (int i = 0; i < boundary.size(); i++) at.put(boundary.get(i), i);
        return rest(graph, at, features);
    }

    /**
     * Another graph without the same computations, such as a network's prediction beside its training.
     *
     * @throws IllegalArgumentException if it does not compute all values of the boundary
     */
    public Graph restOf(Graph other, Function<Graph, Value> features) {
        Map<Expression, Integer> numbers = new HashMap<>();
        Map<Value, Integer> mine = numbered(graph, numbers), theirs = numbered(other, numbers);
        Map<Value, Integer> at = new LinkedHashMap<>();
        for (int i = 0; i < boundary.size(); i++) {
            int index = i, number = known(mine, boundary.get(i));
            theirs.forEach((v, k) -> {
                if (k == number) at.put(v, index);
            });
            if (!at.containsValue(i))
                throw new IllegalArgumentException(
                        "the graph does not compute " + boundary.get(i).node());
        }
        return rest(other, at, features);
    }

    /** Numbers for all values of a graph by what computes them. */
    private static Map<Value, Integer> numbered(Graph g, Map<Expression, Integer> numbers) {
        Map<Value, Integer> of = new HashMap<>();
        for (Node n : g.nodes()) {
            List<Integer> inputs = n.inputs().stream().map(of::get).toList();
            for (Value v : n.outputs())
                of.put(v, numbers.computeIfAbsent(new Expression(n.op(), inputs, v.index()), e -> numbers.size()));
        }
        return of;
    }

    /** @param at values of {@code g} that the features replace, with their number in the boundary */
    private Graph rest(Graph g, Map<Value, Integer> at, Function<Graph, Value> features) {
        boolean[] live = live(g, List.copyOf(g.outputs().values()), at.keySet()), read = new boolean[live.length];
        for (Node n : g.nodes()) for (Value in : n.inputs()) read[in.node().id()] = true;
        // Inputs that no node reads stay: their writer expects them.
        for (Node n : g.nodes()) live[n.id()] |= n.op() instanceof Leaf.Input && !read[n.id()];
        Graph to = new Graph();
        Map<Value, Value> copies = new HashMap<>();
        boolean[] leaves = live.clone();
        for (Node n : g.nodes()) leaves[n.id()] &= n.op() instanceof Leaf;
        copy(g, leaves, to, copies);
        List<Value> parts;
        try (Graph.Scope s = to.scope("data")) {
            parts = parts(features.apply(to));
        }
        at.forEach((v, i) -> {
            Value cast = Ops.cast(parts.get(i), v.dtype());
            copies.put(v, Ops.reshape(cast, v.shape().dims()));
        });
        for (Node n : g.nodes()) live[n.id()] &= !(n.op() instanceof Leaf);
        copy(g, live, to, copies);
        g.outputs().forEach((name, v) -> to.output(name, known(copies, v)));
        return to;
    }

    private static <T> T known(Map<Value, T> of, Value v) {
        return Objects.requireNonNull(of.get(v), "nothing for the value");
    }

    /** The values of the boundary, as [B, n] each. */
    private List<Value> parts(Value features) {
        List<Value> parts = new ArrayList<>();
        int from = 0;
        for (int width : widths()) parts.add(Ops.slice(features, 1, from, from += width));
        return parts;
    }

    /** The nodes, by id, that the targets need if the values {@code given} are known. */
    private static boolean[] live(Graph g, List<Value> targets, Set<Value> given) {
        boolean[] live = new boolean[g.nodes().size()];
        for (Value t : targets) live[t.node().id()] |= !given.contains(t);
        for (int i : IntStream.iterate(live.length - 1, k -> k >= 0, k -> k - 1).toArray())
            if (live[i])
                for (Value in : g.nodes().get(i).inputs()) live[in.node().id()] |= !given.contains(in);
        return live;
    }

    /** Copies nodes to another graph, on top of the values that it has. */
    private static void copy(Graph from, boolean[] nodes, Graph to, Map<Value, Value> copies) {
        for (Node n : from.nodes()) {
            if (!nodes[n.id()]) continue;
            try (Graph.Scope s = to.scopeOf(n)) {
                if (n.op() instanceof Leaf leaf) {
                    copies.put(n.output(0), to.copy(leaf));
                    continue;
                }
                Node copy =
                        to.apply(n.op(), n.inputs().stream().map(copies::get).toList());
                for (Value v : n.outputs()) copies.putIfAbsent(v, copy.output(v.index()));
            }
        }
    }
}
