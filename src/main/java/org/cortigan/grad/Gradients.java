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
 * Reverse-mode derivatives as a rewrite: new nodes of the same graph. Only the way between the loss and the values
 * asked for is differentiated, so a discriminator's weights cost nothing in the generator's pass.
 */
public final class Gradients {
    private Gradients() {}

    /**
     * @param loss one element, f32
     * @param wrt values to differentiate by: parameters or inputs
     * @return one gradient per value: f32 for parameters, the value's shape always
     * @throws IllegalArgumentException if the loss does not depend on one of them
     */
    public static List<Value> of(Value loss, List<Value> wrt) {
        if (loss.shape().elements() != 1)
            throw new IllegalArgumentException("a loss has one element, this has " + loss.type());
        return of(
                List.of(loss),
                List.of(loss.graph().constant(1, DType.F32, loss.shape().dims())),
                wrt);
    }

    /** The same from several values with their gradients given. */
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
            boolean any = false;
            for (Value o : node.outputs()) {
                Value d = wrt.contains(o) ? grads.get(o) : grads.remove(o);
                dOut.add(d);
                any |= d != null;
            }
            if (!any) continue;
            boolean[] wanted = new boolean[node.inputs().size()];
            boolean some = false;
            for (int k = 0; k < wanted.length; k++)
                some |= wanted[k] = needed[node.input(k).node().id()];
            if (!some) continue;
            List<Value> dIn;
            try (Graph.Scope b = g.backwardScope();
                    Graph.Scope s = g.scope(node.label())) {
                dIn = Op.of(node).gradient(node, dOut, wanted);
                for (int k = 0; k < wanted.length; k++) {
                    if (!wanted[k] || dIn.get(k) == null) continue;
                    Value in = node.input(k), d = dIn.get(k);
                    // The one place where what was repeated forward is summed back.
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
