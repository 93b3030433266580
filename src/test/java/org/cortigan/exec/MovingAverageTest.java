// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.op.Adam;
import org.junit.jupiter.api.Test;

/** The moving average of the parameters that Adam keeps. */
class MovingAverageTest {
    /** The decay is that of the settings, but at most (1 + t) / (10 + t): early averages forget the initial weights. */
    @Test
    void theDecayBeginsSmall() {
        Graph g = new Graph();
        Value lr = g.input("lr", DType.F32, 1), t = g.input("t", DType.F32, 1), norm = g.input("norm", DType.F32, 1);
        Value p = g.variable("p", DType.F32, 1), m = g.variable("m", DType.F32, 1), v = g.variable("v", DType.F32, 1);
        Value average = g.variable("average", DType.F32, 1), gradient = g.input("gradient", DType.F32, 1);
        Adam op = new Adam(0.9, 0.999, 1e-8, 0, 0.99, true, List.of(new Adam.Slot(0, 1, false, false)));
        g.output(
                "average",
                g.apply(op, List.of(lr, t, norm, p, gradient, m, v, average)).output(3));
        for (Device d : List.of(CpuDevice.best(2), CpuDevice.doubleReference(), new SimDevice(false)))
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                vars.find("p").fill(1);
                for (String name : List.of("m", "v", "average")) vars.find(name).fill(0);
                for (String name : List.of("lr", "norm", "gradient"))
                    s.input(name).fill(0);
                double want = 0;
                for (int step : new int[] {1, 2, 3, 80, 890, 891, 1_000_000}) {
                    s.input("t").fill(step);
                    s.run();
                    double decay = Math.min(0.99, (1.0 + step) / (10 + step));
                    want = decay * want + (1 - decay);
                    // Two roundings a step.
                    assertEquals(want, s.output("average").get(0), 14 * 0x1p-24, "update " + step + " on " + d.name());
                }
            }
    }
}
