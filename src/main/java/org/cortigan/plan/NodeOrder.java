// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;

/** Decides which nodes run, and in which order. */
final class NodeOrder {
    /** The nodes that run, in the order of creation. */
    private final List<Node> nodes;
    /** A value and its views share one entry; an update starts a new entry. */
    private final Map<Value, Value> contents = new HashMap<>();
    /** The nodes that read each entry of {@link #contents}. */
    private final Map<Value, Set<Node>> readers = new HashMap<>();

    private NodeOrder(List<Node> nodes) {
        this.nodes = nodes;
    }

    /**
     * The nodes that the targets need, in the order of creation, except that an update in place waits for all readers
     * of the contents it overwrites.
     *
     * @throws IllegalStateException if two nodes overwrite the same contents, or nodes wait for each other
     */
    static List<Node> order(Graph g, Collection<Value> targets) {
        NodeOrder o = new NodeOrder(needed(g, targets));
        o.findReaders();
        return o.sorted();
    }

    private static List<Node> needed(Graph g, Collection<Value> targets) {
        boolean[] needed = new boolean[g.nodes().size()];
        for (Value t : targets) needed[t.node().id()] = true;
        for (int i = needed.length - 1; i >= 0; i--)
            if (needed[i])
                for (Value in : g.nodes().get(i).inputs()) needed[in.node().id()] = true;
        List<Node> nodes = new ArrayList<>();
        for (Node n : g.nodes()) if (needed[n.id()]) nodes.add(n);
        return nodes;
    }

    /** Fills {@link #contents} and {@link #readers}, and checks that contents are overwritten only once. */
    private void findReaders() {
        Map<Value, Node> updater = new HashMap<>();
        for (Node n : nodes) {
            for (Value in : n.inputs())
                readers.computeIfAbsent(contents.get(in), k -> new HashSet<>()).add(n);
            for (Value out : n.outputs()) {
                int s = n.op().storage(out.index());
                boolean view = s >= 0 && !n.op().overwrites(out.index());
                contents.put(out, view ? contents.get(n.input(s)) : out);
                if (!updates(n, out)) continue;
                Node other = updater.put(contents.get(n.input(s)), n);
                if (other != null && other != n)
                    throw new IllegalStateException("both " + other + " and " + n + " overwrite " + n.input(s));
            }
        }
    }

    /** Whether an output overwrites the contents of an input. */
    private static boolean updates(Node n, Value out) {
        return n.op().storage(out.index()) >= 0 && n.op().overwrites(out.index());
    }

    /** The nodes that must run before a node. */
    private Set<Node> predecessors(Node n) {
        Set<Node> before = new HashSet<>();
        for (Value in : n.inputs()) before.add(in.node());
        for (Value out : n.outputs())
            if (updates(n, out)) {
                Value old = contents.get(n.input(n.op().storage(out.index())));
                for (Node r : readers.getOrDefault(old, Set.of())) if (r != n) before.add(r);
            }
        return before;
    }

    /** The urgent nodes, and those whose outputs only urgent nodes read. */
    private static Set<Node> urgent(List<Node> nodes, Map<Node, List<Node>> successors) {
        Set<Node> urgent = new HashSet<>();
        for (int i = nodes.size() - 1; i >= 0; i--) {
            Node n = nodes.get(i);
            List<Node> readers = successors.getOrDefault(n, List.of());
            if (n.op().urgent() || !readers.isEmpty() && readers.stream().allMatch(m -> m.op().urgent())) urgent.add(n);
        }
        return urgent;
    }

    /** Topological order; of the nodes that are ready, urgent ones run first, then the one created first. */
    private List<Node> sorted() {
        Map<Node, Integer> pending = new HashMap<>();
        Map<Node, List<Node>> successors = new HashMap<>();
        for (Node n : nodes) {
            Set<Node> predecessors = predecessors(n);
            pending.put(n, predecessors.size());
            for (Node p : predecessors)
                successors.computeIfAbsent(p, k -> new ArrayList<>()).add(n);
        }
        Set<Node> urgent = urgent(nodes, successors);
        PriorityQueue<Node> ready = new PriorityQueue<>(
                Comparator.comparing((Node n) -> !urgent.contains(n)).thenComparingInt(Node::id));
        pending.forEach((n, count) -> {
            if (count == 0) ready.add(n);
        });
        List<Node> order = new ArrayList<>();
        while (!ready.isEmpty()) {
            Node n = ready.poll();
            order.add(n);
            for (Node m : successors.getOrDefault(n, List.of()))
                if (pending.merge(m, -1, Integer::sum) == 0) ready.add(m);
        }
        if (order.size() != nodes.size()) {
            nodes.removeAll(order);
            throw new IllegalStateException(
                    "an update overwrites contents that a later node still reads; these nodes wait for each other: "
                            + nodes.subList(0, Math.min(4, nodes.size())));
        }
        return order;
    }
}
