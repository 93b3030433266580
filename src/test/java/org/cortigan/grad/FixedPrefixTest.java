// SPDX-License-Identifier: Apache-2.0
package org.cortigan.grad;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Value;
import org.cortigan.op.Adam;
import org.cortigan.op.Cast;
import org.cortigan.op.GatherRows;
import org.cortigan.op.Ops;
import org.cortigan.op.SwapLeading;
import org.junit.jupiter.api.Test;

class FixedPrefixTest {
    private static final int B = 3;

    private final Graph graph = new Graph();

    /** x [B, 4] times the fixed variable "fixed" [5, 4]. */
    private Value fixed(Value x) {
        return Ops.matmul(x, graph.variable("fixed", DType.F32, 5, 4), false, true, null, null, DType.F32);
    }

    /** x [B, 5] times the variable "trained" [2, 5], which {@link #train} overwrites. */
    private Value trained(Value x) {
        return Ops.matmul(x, graph.variable("trained", DType.F32, 2, 5), false, true, null, null, DType.F32);
    }

    private void train() {
        Value one = graph.constant(1, DType.F32, 1), p = graph.variable("trained", DType.F32, 2, 5);
        Adam adam = new Adam(0.9, 0.99, 1e-8, 0, 0, true, List.of(new Adam.Slot(0, 1, false, false)));
        Value m = graph.variable("m", DType.F32, 2, 5), v = graph.variable("v", DType.F32, 2, 5);
        graph.output("p", graph.apply(adam, one, one, one, p, p, m, v).output(0));
    }

    private static Set<String> leaves(Graph g) {
        Set<String> ids = new TreeSet<>();
        g.nodes().forEach(n -> {
            if (n.op() instanceof Leaf.Input || n.op() instanceof Leaf.Variable) ids.add(((Leaf) n.op()).id());
        });
        return ids;
    }

    private static Graph rest(FixedPrefix p) {
        return p.rest((to, data, copy) -> to.input("features", DType.F32, B, p.elements()));
    }

    @Test
    void theRestReadsWhatThePrefixComputes() {
        Value x = graph.input("x", DType.F32, B, 4);
        Value h = fixed(x);
        graph.output("y", trained(Ops.reshape(h, B, 5)));
        graph.output("z", Ops.scale(x, 2)); // computed from the data alone
        graph.input("unread", DType.F32, 1);
        train();
        FixedPrefix p = FixedPrefix.of(graph, List.of(x));
        assertEquals(List.of(5), p.widths());
        assertEquals(Set.of("fixed", "x"), leaves(p.alone("h")));
        assertEquals(Set.of("features", "m", "trained", "unread", "v", "x"), leaves(rest(p)));
    }

    @Test
    void castsAndViewsBelongToTheRestAndEqualValuesAreReadOnce() {
        Value x = graph.input("x", DType.F32, B, 4);
        Value h = fixed(x);
        Value bf16 = graph.apply(new Cast(DType.BF16), h).output(0);
        graph.output("y", trained(h));
        graph.output("z", Ops.matmul(bf16, graph.variable("w", DType.BF16, 2, 5), false, true, null, null, DType.F32));
        train();
        FixedPrefix p = FixedPrefix.of(graph, List.of(x));
        // z is fixed as a whole.
        assertEquals(List.of(5, 2), p.widths());
        assertTrue(leaves(rest(p)).stream().noneMatch(Set.of("w", "x", "fixed")::contains));
    }

    @Test
    void aSwapOfTheLeadingAxesEndsThePrefixEvenIfTheyAreEqual() {
        Value x = graph.input("x", DType.F32, B, 4);
        Value h = Ops.reshape(Ops.concat(1, fixed(x), fixed(Ops.scale(x, 2)), fixed(Ops.scale(x, 3))), B, B, 5);
        Value swapped = graph.apply(new SwapLeading(), h).output(0);
        graph.output("y", trained(Ops.reshape(swapped, B * B, 5)));
        train();
        Graph rest = rest(FixedPrefix.of(graph, List.of(x)));
        assertTrue(rest.nodes().stream().anyMatch(n -> n.op() instanceof SwapLeading));
    }

    @Test
    void microBatchesReadTheirOwnRows() {
        Value all = graph.input("x", DType.F32, 2 * B, 4);
        Value one = graph.apply(new GatherRows(), all, graph.table(new int[] {0, 1, 2}, B))
                .output(0);
        Value two = graph.apply(new GatherRows(), all, graph.table(new int[] {3, 4, 5}, B))
                .output(0);
        graph.output("y", Ops.add(trained(fixed(one)), trained(fixed(two))));
        train();
        FixedPrefix p = FixedPrefix.of(graph, List.of(one, two));
        Value[] features = new Value[1];
        Graph rest = p.rest((to, data, copy) -> {
            if (features[0] == null) features[0] = to.input("features", DType.F32, 2 * B, p.elements());
            return to.apply(
                            new GatherRows(),
                            features[0],
                            copy.apply(data.node().input(1)))
                    .output(0);
        });
        assertEquals(Set.of("features", "m", "trained", "v"), leaves(rest));
        assertEquals(
                2,
                rest.nodes().stream().filter(n -> n.op() instanceof GatherRows).count());
    }

    @Test
    void anotherGraphMustComputeTheSame() {
        Value x = graph.input("x", DType.F32, B, 4);
        graph.output("y", trained(fixed(x)));
        train();
        FixedPrefix p = FixedPrefix.of(graph, List.of(x));
        Graph other = new Graph();
        Value same = Ops.matmul(
                other.input("x", DType.F32, B, 4),
                other.variable("fixed", DType.F32, 5, 4),
                false,
                true,
                null,
                null,
                DType.F32);
        other.output("y", Ops.scale(same, 3));
        FixedPrefix.Source source = (to, data, copy) -> to.input("features", DType.F32, B, 5);
        assertEquals(Set.of("features"), leaves(p.restOf(other, source)));
        Graph without = new Graph();
        without.output("y", Ops.scale(without.input("x", DType.F32, B, 4), 3));
        assertThrows(IllegalArgumentException.class, () -> p.restOf(without, source));
    }
}
