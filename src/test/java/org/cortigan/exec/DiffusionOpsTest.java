// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.Ops;
import org.cortigan.op.PositionReadout;
import org.junit.jupiter.api.Test;

/** What the cases of the ops of a diffusion model do not show. */
class DiffusionOpsTest {
    private static final CpuDevice CPU = CpuDevice.best(2);

    private static List<Device> devices() {
        return List.of(CPU, CpuDevice.doubleReference(), new SimDevice(false));
    }

    @Test
    void blendDoesNotReadWhatItReplaces() {
        for (Device d : devices()) {
            Graph g = new Graph();
            int n = 37;
            Value x = g.variable("x", DType.F32, n), y = g.input("y", DType.F32, n);
            g.output("x", Ops.blend(x, y, g.input("c", DType.F32, 2)));
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                vars.find("x").fill(Double.NaN);
                s.input("y").fill(3);
                s.input("c").write(new float[] {0, 0.5f});
                s.run();
                s.input("c").write(new float[] {2, -1});
                s.run();
                float[] want = new float[n];
                Arrays.fill(want, 2 * 1.5f - 3);
                assertArrayEquals(want, vars.find("x").toFloats(), d.name());
            }
        }
    }

    /** v prediction at two timesteps, one of them without signal. */
    @Test
    void diffuseMixesByTheRowsOfItsTable() {
        for (Device d : devices()) {
            Graph g = new Graph();
            Value table = g.table(new float[] {0.8f, 0.6f, -0.6f, 0.8f, 0, 1, -1, 0}, 2, 4);
            Value x0 = g.input("x0", DType.F32, 3, 2), n = g.input("n", DType.F32, 3, 2);
            var node = Ops.diffuse(x0, n, g.input("t", DType.I32, 3), table);
            g.output("x", node.output(0));
            g.output("target", node.output(1));
            try (Variables vars = new Variables(d);
                    Session s = new Session(g, d, vars)) {
                s.input("x0").write(new float[] {1, 2, 3, 4, 5, 6});
                s.input("n").write(new float[] {10, 20, 30, 40, 50, 60});
                s.input("t").write(new int[] {1, 0, 1});
                s.run();
                float[] x = {10, 20, 0.8f * 3 + 0.6f * 30, 0.8f * 4 + 0.6f * 40, 50, 60};
                float[] target = {-1, -2, 0.8f * 30 - 0.6f * 3, 0.8f * 40 - 0.6f * 4, -5, -6};
                // Three roundings of numbers up to 32.
                assertArrayEquals(x, s.output("x").toFloats(), 3 * 0x1p-19f, d.name());
                assertArrayEquals(target, s.output("target").toFloats(), 3 * 0x1p-19f, d.name());
                if (d instanceof SimDevice) continue; // kernels of a GPU cannot report it
                s.input("t").write(new int[] {1, 2, 0});
                String refused = assertThrows(RuntimeException.class, s::run).getMessage();
                assertTrue(refused.contains("outside the table"), refused);
            }
        }
    }

    /** sum over h of cells_in(x, e) h = sum over x of x readout(h, e), with more vertices than cells and fewer. */
    @Test
    void layingOutAndReadingAreAdjoint() {
        for (int vertices : new int[] {1, 7, 200}) {
            int b = 3, height = 4, width = 8, k = 5;
            Graph g = new Graph();
            Value x = g.input("x", DType.F32, b, vertices), e = g.input("e", DType.F32, vertices, k);
            Value h = g.input("h", DType.F32, b, height, width, k), p = g.input("p", DType.F32, vertices, 2);
            Value in = Ops.cellsIn(x, e, p, height, width);
            Value bias = g.constant(0, DType.F32, vertices);
            g.output("in", in);
            g.output(
                    "out",
                    g.apply(new PositionReadout(true), Ops.reshape(h, b, 1, height, width, k), p, e, bias)
                            .output(0));
            // Back from h: the same two sums once more, as gradients.
            List<Value> d = Gradients.of(List.of(in), List.of(h), List.of(x, e));
            g.output("dx", d.get(0));
            g.output("de", d.get(1));
            CpuDevice ref = CpuDevice.doubleReference();
            try (Variables vars = new Variables(ref);
                    Session s = new Session(g, ref, vars)) {
                SplittableRandom r = new SplittableRandom(vertices);
                for (String name : List.of("x", "e", "h", "p"))
                    s.input(name)
                            .write(
                                    name.equals("p")
                                            ? positions(r, vertices, height, width)
                                            : CaseInputs.gaussian(r, (int)
                                                    s.input(name).type().shape().elements()));
                s.run();
                double sum = dot(s.output("in"), s.input("h"));
                assertEquals(sum, dot(s.output("out"), s.input("x")), 1e-12 * (1 + Math.abs(sum)));
                assertEquals(sum, dot(s.output("dx"), s.input("x")), 1e-12 * (1 + Math.abs(sum)));
                assertEquals(sum, dot(s.output("de"), s.input("e")), 1e-12 * (1 + Math.abs(sum)));
            }
        }
    }

    private static float[] positions(SplittableRandom r, int n, int height, int width) {
        float[] p = new float[2 * n];
        for (int i = 0; i < 2 * n; i++) {
            int size = i % 2 == 0 ? width : height;
            p[i] = (2f * r.nextInt(size) + 1) / size - 1;
        }
        return p;
    }

    private static double dot(Storage a, Storage b) {
        double sum = 0;
        for (int i = 0; i < a.type().shape().elements(); i++) sum += a.get(i) * b.get(i);
        return sum;
    }

    @Test
    void onlyWantedGradientsOfAReadoutAreComputed() {
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 2, 1, 3, 3, 4), w = g.input("w", DType.F32, 5, 4);
        Value p = g.input("p", DType.F32, 5, 2), bias = g.input("bias", DType.F32, 5);
        Value y = g.apply(new PositionReadout(), x, p, w, bias).output(0), dY = g.input("dY", DType.F32, 2, 5);
        for (List<Value> wanted : List.of(List.of(x), List.of(p), List.of(w), List.of(bias), List.of(w, x))) {
            List<Value> d = Gradients.of(List.of(y), List.of(dY), wanted);
            assertEquals(wanted.size(), d.get(0).node().outputs().size());
        }
    }
}
