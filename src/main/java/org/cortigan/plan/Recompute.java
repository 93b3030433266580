// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.LayerNorm;
import org.cortigan.op.Op;

/**
 * Memory for time: what the backward pass needs of an activation's or a layer norm's output is computed again there, so
 * that the output is not kept from the forward pass. Their inputs are kept anyway for their own gradients. Bits stay
 * the same.
 */
public final class Recompute {
    private Recompute() {}

    /** The graph with cheap outputs computed again before the first node of the backward pass that reads them. */
    public static Graph cheap(Graph g) {
        Graph to = new Graph();
        Map<Value, Value> copies = new HashMap<>(), again = new HashMap<>();
        for (Node n : g.nodes()) {
            try (Graph.Scope s = to.scopeOf(n)) {
                if (n.op() instanceof Leaf leaf) {
                    copies.put(n.output(0), leaf(to, leaf));
                    continue;
                }
                boolean backward = n.backward();
                List<Value> in = new ArrayList<>();
                for (Value v : n.inputs()) in.add(backward && cheap(v) ? again(v, copies, again) : copies.get(v));
                Node copy = to.apply(n.op(), in);
                for (Value v : n.outputs()) copies.put(v, copy.output(v.index()));
            }
        }
        g.outputs().forEach((name, v) -> to.output(name, copies.get(v)));
        return to;
    }

    private static Value leaf(Graph to, Leaf leaf) {
        int[] d = leaf.type().shape().dims();
        if (leaf instanceof Leaf.Input) return to.input(leaf.id(), leaf.type().dtype(), d);
        if (leaf instanceof Leaf.Variable)
            return to.variable(leaf.id(), leaf.type().dtype(), d);
        if (leaf instanceof Leaf.Table t) return to.table(t.toArray(), d);
        return to.constant(((Leaf.Constant) leaf).value(), leaf.type().dtype(), d);
    }

    /** Activations, normalised values, and views of them. */
    private static boolean cheap(Value v) {
        Node n = v.node();
        if (n.op() instanceof Leaf || n.backward()) return false;
        return n.op() instanceof Activation
                || n.op() instanceof LayerNorm && v.index() == 0
                || view(n) && cheap(n.input(0));
    }

    private static boolean view(Node n) {
        return Op.of(n).kernel() == null;
    }

    private static Value again(Value v, Map<Value, Value> copies, Map<Value, Value> again) {
        Value known = again.get(v);
        if (known != null) return known;
        Node n = v.node();
        Op op = Op.of(n);
        List<Value> in = new ArrayList<>();
        if (op instanceof LayerNorm l) {
            // The sum with the residual is an output of its own, and kept.
            op = new LayerNorm(l.eps(), false);
            in.add(copies.get(l.residual() ? n.output(3) : n.input(0)));
            in.add(copies.get(n.input(1)));
            in.add(copies.get(n.input(2)));
        } else {
            in.add(view(n) ? again(n.input(0), copies, again) : copies.get(n.input(0)));
        }
        Value made = in.get(0).graph().apply(op, in).output(0);
        again.put(v, made);
        return made;
    }
}
