// SPDX-License-Identifier: Apache-2.0
package org.cortigan.grad;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;

/**
 * Trades time for memory: the backward pass recomputes {@link Op#cheap} outputs, such as those of activations and layer
 * norms, so the forward pass need not keep them. Results stay bitwise equal.
 */
public final class Recompute {
    private Recompute() {}

    /** A copy of the graph that recomputes each cheap output before its first reader in the backward pass. */
    public static Graph cheap(Graph g) {
        Graph to = new Graph();
        Map<Value, Value> copies = new HashMap<>(), recomputed = new HashMap<>();
        for (Node n : g.nodes()) {
            try (Graph.Scope s = to.scopeOf(n)) {
                if (n.op() instanceof Leaf leaf) {
                    copies.put(n.output(0), to.copy(leaf));
                    continue;
                }
                List<Value> in = new ArrayList<>();
                for (Value v : n.inputs())
                    in.add(n.backward() && cheap(v) ? recompute(v, copies, recomputed) : copies.get(v));
                Node copy = to.apply(n.op(), in);
                for (Value v : n.outputs()) copies.put(v, copy.output(v.index()));
            }
        }
        g.outputs()
                .forEach((name, v) -> to.output(name, Objects.requireNonNull(copies.get(v), "no copy of the output")));
        return to;
    }

    /** Whether a value is a {@link Op#cheap} output of the forward pass or a view of one. */
    private static boolean cheap(Value v) {
        Node n = v.node();
        if (n.op() instanceof Leaf || n.backward()) return false;
        return n.op() instanceof Op.View view
                ? cheap(n.input(view.storage(v.index())))
                : Op.of(n).cheap(v.index());
    }

    private static Value recompute(Value v, Map<Value, Value> copies, Map<Value, Value> recomputed) {
        Value known = recomputed.get(v);
        if (known != null) return known;
        Node n = v.node();
        Value result = n.op() instanceof Op.View
                ? view(v, x -> cheap(x) ? recompute(x, copies, recomputed) : copies.get(x))
                : Op.of(n).recompute(n, copies::get);
        recomputed.put(v, result);
        return result;
    }

    /** The same view of other values. */
    private static Value view(Value v, UnaryOperator<Value> of) {
        List<Value> in = v.node().inputs().stream().map(of).toList();
        return in.get(0).graph().apply(v.node().op(), in).output(v.index());
    }
}
