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
import java.util.TreeSet;
import java.util.function.UnaryOperator;
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
 * The part of a graph that gives the same values in every run: what depends only on a batch of data and on variables
 * that the graph never overwrites, such as the photographs and a frozen backbone. Its boundary are the values that the
 * rest of the graph reads. The part alone and the rest with the boundary as an input are graphs of their own, so that
 * the part can run once for each photograph.
 */
public final class FixedPrefix {
    /** An op on numbered values: equal computations have equal numbers, also those of two graphs. */
    private record Expression(Operation op, List<Integer> inputs, int output) {}

    private final Graph graph;
    private final List<Value> data;
    /**
     * For each batch of the data, in the order of the nodes: [B, ...] or [B n, ...], elements of row b computed from
     * row b of the batch.
     */
    private final List<List<Value>> boundaries;

    private FixedPrefix(Graph graph, List<Value> data, List<List<Value>> boundaries) {
        this.graph = graph;
        this.data = data;
        this.boundaries = boundaries;
    }

    /**
     * Finds the prefix.
     *
     * @param data batches [B, ...], from each of which the graph computes the same; every op of the prefix computes
     *     each row by itself
     */
    public static FixedPrefix of(Graph g, List<Value> data) {
        Set<String> overwritten = overwritten(g);
        int n = g.nodes().size();
        boolean[] changes = new boolean[n], ofVariables = new boolean[n];
        int[] batch = new int[n]; // number of the batch that a node depends on, from 1 on
        for (Node node : g.nodes()) {
            int i = node.id();
            batch[i] = data.indexOf(node.output(0)) + 1;
            if (batch[i] > 0) continue;
            changes[i] = node.op() instanceof Leaf leaf ? changes(leaf, overwritten) : node.op() instanceof Op.Update;
            ofVariables[i] = node.op() instanceof Leaf.Variable;
            for (Value in : node.inputs()) {
                int k = in.node().id();
                // Swapping the leading axes would mix the rows of a batch.
                changes[i] |= changes[k]
                        || batch[k] > 0 && (node.op() instanceof SwapLeading || batch[i] > 0 && batch[i] != batch[k]);
                batch[i] = Math.max(batch[i], batch[k]);
                ofVariables[i] |= ofVariables[k];
            }
        }
        Set<Value> read = new LinkedHashSet<>(g.outputs().values());
        for (Node node : g.nodes()) if (changes[node.id()]) read.addAll(node.inputs());
        List<Set<Value>> boundaries = data.stream()
                .<Set<Value>>map(d -> new TreeSet<>(
                        Comparator.<Value>comparingInt(v -> v.node().id()).thenComparing(Value::index)))
                .toList();
        for (Value v : read) {
            int i = v.node().id();
            if (!changes[i] && batch[i] > 0 && ofVariables[i])
                boundaries.get(batch[i] - 1).add(root(v));
        }
        FixedPrefix p = new FixedPrefix(
                g, List.copyOf(data), boundaries.stream().map(List::copyOf).toList());
        for (int d = 0; d < data.size(); d++)
            if (!p.widths(d).equals(p.widths()))
                throw new IllegalStateException("the graph computes not the same from " + data.get(d));
        return p;
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
        return boundaries.get(0).isEmpty();
    }

    /** Elements of each value of the boundary for one row of the data. */
    public List<Integer> widths() {
        return widths(0);
    }

    private List<Integer> widths(int batch) {
        int rows = data.get(batch).dim(0);
        for (Value v : boundaries.get(batch))
            if (v.dim(0) % rows != 0)
                throw new IllegalStateException("the rows of " + v.node() + " are not those of " + data.get(batch));
        return boundaries.get(batch).stream()
                .map(v -> Math.toIntExact(v.shape().elements() / rows))
                .toList();
    }

    /** Elements of the boundary for one row of the data. */
    public int elements() {
        return widths().stream().reduce(0, Math::addExact);
    }

    /**
     * The prefix of the first batch alone.
     *
     * @param output name of the output [B, {@link #elements}]: for each row of the batch all values of the boundary
     */
    public Graph alone(String output) {
        Graph to = new Graph();
        Map<Value, Value> copies = new HashMap<>();
        List<Value> boundary = boundaries.get(0), parts = new ArrayList<>();
        copy(graph, live(graph, boundary, Set.of()), to, copies);
        for (int i = 0; i < boundary.size(); i++)
            parts.add(Ops.reshape(known(copies, boundary.get(i)), data.get(0).dim(0), widths().get(i)));
        to.output(output, Ops.concat(1, parts.toArray(new Value[0])));
        return to;
    }

    /** Adds the values of the boundary to a graph. */
    @FunctionalInterface
    public interface Source {
        /**
         * Adds them for a batch.
         *
         * @param to the new graph
         * @param data the batch in the old graph
         * @param copy gives the copy of a value of the old graph that does not depend on the boundary
         * @return [B, {@link #elements}]
         */
        Value features(Graph to, Value data, UnaryOperator<Value> copy);
    }

    /** The graph without the prefix. An input that only the prefix reads vanishes. */
    public Graph rest(Source source) {
        Map<Value, Place> at = new LinkedHashMap<>();
        for (int d = 0; d < data.size(); d++)
            for (int i = 0; i < widths().size(); i++) at.put(boundaries.get(d).get(i), new Place(data.get(d), i));
        return rest(graph, at, source);
    }

    /**
     * Another graph without the same computations on the first batch, such as a network's prediction beside its
     * training.
     *
     * @throws IllegalArgumentException if it does not compute all values of the boundary
     */
    public Graph restOf(Graph other, Source source) {
        Map<Expression, Integer> numbers = new HashMap<>();
        Map<Value, Integer> mine = numbered(graph, numbers), theirs = numbered(other, numbers);
        Map<Value, Place> at = new LinkedHashMap<>();
        List<Value> boundary = boundaries.get(0);
        for (int i = 0; i < boundary.size(); i++) {
            int before = at.size(), number = known(mine, boundary.get(i));
            Place place = new Place(data.get(0), i);
            theirs.forEach((v, k) -> {
                if (k == number) at.put(v, place);
            });
            if (at.size() == before)
                throw new IllegalArgumentException(
                        "the graph does not compute " + boundary.get(i).node());
        }
        return rest(other, at, source);
    }

    /** A value's place in the boundary of a batch. */
    private record Place(Value data, int index) {}

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

    /** @param at values of {@code g} that the features replace */
    private Graph rest(Graph g, Map<Value, Place> at, Source source) {
        boolean[] live = live(g, List.copyOf(g.outputs().values()), at.keySet()), read = new boolean[live.length];
        for (Node n : g.nodes()) for (Value in : n.inputs()) read[in.node().id()] = true;
        // Inputs that no node reads stay: their writer expects them.
        for (Node n : g.nodes()) live[n.id()] |= n.op() instanceof Leaf.Input && !read[n.id()];
        Graph to = new Graph();
        Map<Value, Value> copies = new HashMap<>();
        Map<Value, List<Value>> parts = new HashMap<>();
        at.forEach((v, place) -> {
            try (Graph.Scope s = to.scope("data")) {
                Value part = parts.computeIfAbsent(
                                place.data, d -> parts(source.features(to, d, x -> copy(x, to, copies))))
                        .get(place.index);
                copies.put(v, Ops.reshape(Ops.cast(part, v.dtype()), v.shape().dims()));
            }
        });
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
        for (Node n : from.nodes()) if (nodes[n.id()]) copy(n, to, copies);
    }

    private static Value copy(Value v, Graph to, Map<Value, Value> copies) {
        if (!copies.containsKey(v)) {
            for (Value in : v.node().inputs()) copy(in, to, copies);
            copy(v.node(), to, copies);
        }
        return known(copies, v);
    }

    private static void copy(Node n, Graph to, Map<Value, Value> copies) {
        if (copies.keySet().containsAll(n.outputs())) return;
        try (Graph.Scope s = to.scopeOf(n)) {
            if (n.op() instanceof Leaf leaf) {
                copies.put(n.output(0), to.copy(leaf));
                return;
            }
            Node copy = to.apply(
                    n.op(), n.inputs().stream().map(v -> known(copies, v)).toList());
            for (Value v : n.outputs()) copies.putIfAbsent(v, copy.output(v.index()));
        }
    }
}
