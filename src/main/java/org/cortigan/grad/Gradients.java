// SPDX-License-Identifier: Apache-2.0
package org.cortigan.grad;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;

/**
 * Reverse-mode differentiation as a rewrite that adds nodes to the same graph. Only nodes on a path from the requested
 * values to the loss are differentiated, so a discriminator's weights cost nothing in the generator's backward pass.
 */
public final class Gradients {
    private Gradients() {}

    /**
     * Adds the backward pass of a loss.
     *
     * @param loss one element, f32
     * @param wrt values to differentiate with respect to: parameters or inputs
     * @return one gradient per value, of the value's shape; f32 for parameters
     * @throws IllegalArgumentException if the loss has more than one element or does not depend on one of the values
     */
    public static List<Value> of(Value loss, List<Value> wrt) {
        if (loss.shape().elements() != 1)
            throw new IllegalArgumentException("the loss is " + loss.type() + " but must have one element");
        return of(
                List.of(loss),
                List.of(loss.graph().constant(1, DType.F32, loss.shape().dims())),
                wrt);
    }

    /**
     * Adds the backward pass of several values whose gradients are given.
     *
     * @param from values at which back-propagation starts
     * @param seeds gradient of each of these values
     * @param wrt values to differentiate with respect to
     * @return one gradient per value in {@code wrt}
     * @throws IllegalArgumentException if no value in {@code from} depends on one of them
     */
    public static List<Value> of(List<Value> from, List<Value> seeds, List<Value> wrt) {
        Graph g = from.get(0).graph();
        int n = 0;
        for (Value f : from) n = Math.max(n, f.node().id() + 1);
        boolean[] needed = new boolean[n];
        for (Value w : wrt) if (w.node().id() < n) needed[w.node().id()] = true;
        for (int i = 0; i < n; i++) {
            Node node = g.nodes().get(i);
            if (node.op() instanceof Op.Update) continue;
            for (Value in : node.inputs()) needed[i] |= needed[in.node().id()];
        }

        Map<Value, Value> grads = new HashMap<>();
        for (int i = 0; i < from.size(); i++) grads.merge(from.get(i), seeds.get(i), Ops::add);
        for (int i = n - 1; i >= 0; i--) {
            Node node = g.nodes().get(i);
            if (!needed[i] || node.op() instanceof Leaf) continue;
            List<Value> dOut = new ArrayList<>();
            boolean anyGradient = false;
            for (Value o : node.outputs()) {
                Value d = wrt.contains(o) ? grads.get(o) : grads.remove(o);
                dOut.add(d);
                anyGradient |= d != null;
            }
            if (!anyGradient) continue;
            boolean[] wanted = new boolean[node.inputs().size()];
            boolean anyWanted = false;
            for (int k = 0; k < wanted.length; k++)
                anyWanted |= wanted[k] = needed[node.input(k).node().id()];
            if (!anyWanted) continue;
            List<Value> dIn;
            try (Graph.Scope b = g.backwardScope();
                    Graph.Scope s = g.scope(node.label())) {
                dIn = Op.of(node).gradient(node, dOut, wanted);
                for (int k = 0; k < wanted.length; k++) {
                    if (!wanted[k] || dIn.get(k) == null) continue;
                    Value in = node.input(k), d = dIn.get(k);
                    // An input that was broadcast: sum its gradient over the repeated axes. Only this line does so.
                    if (!d.shape().equals(in.shape())) d = Ops.sumLeading(d, in.shape());
                    grads.merge(in, d, Ops::add);
                }
            }
        }
        Value[] out = new Value[wrt.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = grads.get(wrt.get(i));
            if (out[i] == null)
                throw new IllegalArgumentException(
                        "the loss does not depend on " + wrt.get(i).node().op());
        }
        return Arrays.asList(out);
    }
}
