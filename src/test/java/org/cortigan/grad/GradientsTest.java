// SPDX-License-Identifier: Apache-2.0
package org.cortigan.grad;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.ChannelNorm;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.cortigan.op.TrackStatistics;
import org.junit.jupiter.api.Test;

class GradientsTest {
    private final Graph graph = new Graph();

    private static Value total(Value x) {
        return Ops.sumLeading(x, Shape.of(1));
    }

    @Test
    void nodesOfTheBackwardPassAreMarkedAndLabelled() {
        Value x = graph.input("x", DType.F32, 3, 4), loss;
        try (Graph.Scope s = graph.scope("head")) {
            loss = total(Ops.activation(x, Activation.Kind.TANH, 0));
        }
        int forward = graph.nodes().size();
        Gradients.of(loss, List.of(x));
        for (Node n : graph.nodes()) {
            if (n.op() instanceof Leaf) continue;
            assertEquals(n.id() >= forward, n.backward(), n.toString());
            assertEquals(n.backward() ? "backward/head" : "head", n.label());
        }
        // a nested op is named after the op that it belongs to
        assertTrue(graph.toString().contains("= Activation.Grad[kind=TANH, alpha=0.0]("), graph.toString());
    }

    @Test
    void aScopeMarksOnlyTheNodesInIt() {
        Value x = graph.input("x", DType.F32, 2);
        Node inside, after;
        try (Graph.Scope b = graph.backwardScope();
                Graph.Scope s = graph.scope("")) {
            inside = Ops.scale(x, 2).node();
        }
        after = Ops.scale(x, 3).node();
        assertTrue(inside.backward());
        assertEquals("backward", inside.label());
        assertFalse(after.backward());
        assertEquals("", after.label());
    }

    @Test
    void recomputedNodesBelongToTheBackwardPass() {
        Value x = graph.input("x", DType.F32, 3, 4), y = Ops.activation(x, Activation.Kind.TANH, 0);
        Value loss = total(Ops.mul(y, y));
        graph.output("dx", Gradients.of(loss, List.of(x)).get(0));
        List<Node> tanh = Recompute.cheap(graph).nodes().stream()
                .filter(n -> n.op() instanceof Activation)
                .toList();
        assertEquals(List.of(false, true), tanh.stream().map(Node::backward).toList());
    }

    /** A batch's statistics depend on x, but the tracked statistics are new state, not differentiable. */
    @Test
    void updatesHaveNoGradient() {
        Value x = graph.input("x", DType.F32, 8, 4);
        Value scale = graph.input("scale", DType.F32, 4), shift = graph.input("shift", DType.F32, 4);
        Node norm = graph.apply(new ChannelNorm(4, true, 1e-5, 1), x, scale, shift);
        Node tracked = graph.apply(
                new TrackStatistics(0.1, 8, 1e-5),
                graph.variable("mean", DType.F32, 4),
                graph.variable("var", DType.F32, 4),
                norm.output(1),
                norm.output(2));
        Value loss = total(tracked.output(0));
        String said = assertThrows(IllegalArgumentException.class, () -> Gradients.of(loss, List.of(x)))
                .getMessage();
        assertTrue(said.contains("does not depend on"), said);
    }

    @Test
    void opsWithoutGradientAndViewsWithoutKernelAreRefused() {
        Value table = graph.input("table", DType.F32, 5, 4), index = graph.input("index", DType.I32, 2);
        Value loss = total(graph.apply(new GatherRows(), table, index).output(0));
        assertEquals(
                "gather_rows has no gradient",
                assertThrows(UnsupportedOperationException.class, () -> Gradients.of(loss, List.of(table)))
                        .getMessage());
        Op view = Op.of(Ops.reshape(table, 20).node());
        assertEquals(
                "reshape is a view, it has no kernel",
                assertThrows(UnsupportedOperationException.class, view::kernel).getMessage());
    }
}
