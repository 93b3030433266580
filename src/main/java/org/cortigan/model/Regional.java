// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.List;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;

/** Helpers for the networks of several regions, each with its own weights. */
final class Regional {
    private Regional() {}

    /** Every region's weights below {@code name}. */
    static List<Weights> sub(List<Weights> ws, String name) {
        return ws.stream().map(w -> w.sub(name)).toList();
    }

    /** A list of {@code n} for every region. */
    static List<Integer> each(List<Weights> ws, int n) {
        return ws.stream().map(w -> n).toList();
    }

    /** One logit for each row of every region, by a linear layer over {@code in} features of that region. */
    static Value decision(List<Weights> ws, Value x, int rows, List<Integer> in) {
        try (Graph.Scope s = x.graph().scope("decision")) {
            return Layers.groupedLinear(sub(ws, "decision"), x, rows, in, 1);
        }
    }
}
