// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

class SlotsTest {
    private static final int LAYERS = 4;

    /** The gradients of linear layers with GELU between them. */
    private static Graph mlp() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 32, 64);
        List<Value> parameters = new ArrayList<>();
        for (int i = 0; i < LAYERS; i++) {
            Value w = g.variable("w" + i, DType.F32, 64, 64), b = g.variable("b" + i, DType.F32, 64);
            parameters.addAll(List.of(w, b));
            x = Ops.activation(Ops.matmul(x, w, false, true, b, null, DType.F32), Activation.Kind.GELU, 0);
        }
        Value loss = Ops.sumLeading(Ops.reshape(x, 32 * 64, 1), Shape.of(1));
        List<Value> d = Gradients.of(loss, parameters);
        for (int i = 0; i < d.size(); i++) g.output("d" + i, d.get(i));
        return g;
    }

    private static Plan plan(Graph g, Predicate<Node> parallel) {
        return Plan.of(
                g,
                g.outputs().values(),
                new Plan.Options(DType::bytes, n -> isProduct(n) ? 512 : 0, parallel, 0, true));
    }

    private static boolean isProduct(Node n) {
        return n.op() instanceof Op.Product;
    }

    /** The first and the second node of every pair. */
    private static List<List<Node>> pairs(Plan p) {
        List<List<Node>> pairs = new ArrayList<>();
        for (int i = 0; i < p.steps().size(); i++)
            if (p.besideNext(p.steps().get(i))) pairs.add(List.copyOf(p.steps().subList(i, i + 2)));
        return pairs;
    }

    @Test
    void theTwoGradientsOfALayerShareASlot() {
        List<List<Node>> pairs = pairs(plan(mlp(), SlotsTest::isProduct));
        assertEquals(LAYERS - 1, pairs.size(), "the first layer's input has no gradient");
        for (List<Node> pair : pairs)
            assertEquals(
                    List.of("matmul", "linear_grad"),
                    List.of(pair.get(0).op().name(), pair.get(1).op().name()));
    }

    /** {first byte, byte after the last} of everything in the arena that a node reads or writes. */
    private static List<long[]> ranges(Plan p, List<Value> values) {
        List<long[]> ranges = new ArrayList<>();
        for (Value v : values)
            if (p.leafOf(v) == null)
                ranges.add(new long[] {
                    p.offset(v), p.offset(v) + v.shape().elements() * v.dtype().bytes()
                });
        return ranges;
    }

    private static List<long[]> written(Plan p, Node n) {
        List<long[]> ranges = ranges(p, n.outputs());
        long scratch = p.scratchOffset(n).orElseThrow();
        ranges.add(new long[] {scratch, scratch + 512});
        return ranges;
    }

    /** The number of ranges that one of two nodes writes and the other reads or writes. */
    private static int conflicts(Plan p, Node a, Node b) {
        int n = 0;
        for (List<Node> o : List.of(List.of(a, b), List.of(b, a))) {
            List<long[]> used = written(p, o.get(1));
            used.addAll(ranges(p, o.get(1).inputs()));
            for (long[] w : written(p, o.get(0))) for (long[] u : used) if (w[0] < u[1] && u[0] < w[1]) n++;
        }
        return n;
    }

    @Test
    void nodesOfASlotShareNoMemoryThatEitherWrites() {
        Graph g = mlp();
        Plan slots = plan(g, SlotsTest::isProduct), inOrder = plan(g, n -> false);
        assertEquals(List.of(), pairs(inOrder));
        int without = 0;
        for (List<Node> pair : pairs(slots)) {
            assertEquals(0, conflicts(slots, pair.get(0), pair.get(1)), pair::toString);
            without += conflicts(inOrder, pair.get(0), pair.get(1));
        }
        assertTrue(without > 0, "a plan without slots reuses scratch memory at once");
        assertTrue(slots.report().arenaBytes() >= inOrder.report().arenaBytes());
    }

    @Test
    void nodesThatDependOnEachOtherOrUpdateShareNoSlot() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 8, 8);
        Value chain = Ops.matmul(
                Ops.matmul(x, x, false, false, null, null, DType.F32), x, false, false, null, null, DType.F32);
        g.output("chain", chain);
        g.output("sum", Ops.add(x, x));
        assertTrue(pairs(plan(g, n -> n == chain.node() || isProduct(n))).isEmpty());
        Graph two = new Graph();
        Value y = two.input("y", DType.F32, 8, 8);
        two.output("a", Ops.matmul(y, y, false, false, null, null, DType.F32));
        two.output("b", Ops.matmul(y, y, true, false, null, null, DType.F32));
        two.output("c", Ops.matmul(y, y, false, true, null, null, DType.F32));
        Plan p = plan(two, SlotsTest::isProduct);
        assertTrue(p.besideNext(p.steps().get(0)));
        assertFalse(p.besideNext(p.steps().get(1)) || p.besideNext(p.steps().get(2)), "a slot has two steps");
    }
}
