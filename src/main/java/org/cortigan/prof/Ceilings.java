// SPDX-License-Identifier: Apache-2.0
package org.cortigan.prof;

import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.op.Binary;
import org.cortigan.op.Cost;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;

/**
 * Measured ceilings of a device: floating-point operations per second of a large matrix product, and bytes per second
 * of a large sum a + b. Floors are computed from them.
 *
 * @param flopsF32 f32 operations per second
 * @param flopsBf16 bf16 operations per second; 0 if the device has no bf16 products
 * @param bandwidth bytes per second
 */
public record Ceilings(String device, double flopsF32, double flopsBf16, double bandwidth) {
    /** Measures a device in a second or two. */
    public static Ceilings measure(Device d) {
        boolean card = d.runtime().hasOwnMemory(); // a GPU has many more units to keep busy
        return measure(d, card ? 8192 : 1536, card ? 1 << 26 : 1 << 24);
    }

    /**
     * Measures a device with work of a given size.
     *
     * @param n rows and columns of the matrices, which hold noise, in f32 and bf16
     * @param m f32 elements of the sum
     */
    public static Ceilings measure(Device d, int n, int m) {
        return new Ceilings(
                d.name(),
                flops(d, DType.F32, n),
                d.supports(DType.BF16) ? flops(d, DType.BF16, n) : 0,
                bandwidth(d, m));
    }

    /**
     * Operations per second on operands of type t: flopsBf16 for bf16 if it is above 0, otherwise flopsF32. Every GPU
     * that multiplies FP8 does so at twice the rate of bf16, by NVIDIA's data sheets.
     */
    public double flops(DType t) {
        if (t.isFp8()) return 2 * flops(DType.BF16);
        return t == DType.BF16 && flopsBf16 > 0 ? flopsBf16 : flopsF32;
    }

    /**
     * The least seconds that a node can take: its FLOPs at the peak of its first floating-point input's type, or its
     * bytes at the full bandwidth, whichever is longer.
     */
    public double floorSeconds(Node n) {
        DType type = DType.F32;
        for (Value v : n.inputs())
            if (v.dtype().isFloat() || v.dtype().isFp8()) {
                type = v.dtype();
                break;
            }
        Cost cost = Op.of(n).cost(n);
        return Math.max(cost.flops() / flops(type), cost.bytes() / bandwidth);
    }

    private static double flops(Device d, DType t, int n) {
        Graph g = new Graph();
        g.output("y", Ops.matmul(g.input("a", t, n, n), g.input("b", t, n, n), false, true, null, null, t));
        return 2.0 * n * n * n / fastest(g, d, 12);
    }

    private static double bandwidth(Device d, int n) {
        Graph g = new Graph();
        g.output(
                "y",
                g.apply(new Binary(Binary.Kind.ADD, 1, 1), g.input("a", DType.F32, n), g.input("b", DType.F32, n))
                        .output(0));
        return 12.0 * n / fastest(g, d, 12);
    }

    /** Seconds of the fastest of several runs of a graph with the inputs a and b. */
    private static double fastest(Graph g, Device d, int runs) {
        try (Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            double best = Double.MAX_VALUE;
            for (String in : new String[] {"a", "b"}) Noise.fill(s.input(in), false);
            s.run();
            for (int i = 0; i < runs; i++) {
                long[] nanos = new long[1];
                s.runTimed(nanos, new long[1]);
                best = Math.min(best, nanos[0] / 1e9);
            }
            return best;
        }
    }
}
