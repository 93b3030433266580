// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.Results.map;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.OpCheck;
import org.cortigan.exec.Session;
import org.cortigan.graph.DType;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.cortigan.train.Trajectory;

/** Checks that the device is right: every op's cases against the double reference, and the golden training run. */
final class OwnOps {
    /** Maximum number of input elements of the cases that run under compute-sanitizer. */
    private static final int SAMPLE = 10_000;

    private OwnOps() {}

    static String family(OpCase c) {
        return c.name().split(" ")[0];
    }

    /**
     * Adds the cases of the requested families, each in both types and with every implementation of its kernels. With
     * {@code --sample}, for NVIDIA's slow checkers, adds one case for each family: the largest of at most
     * {@link #SAMPLE} input elements.
     */
    static void add(Piece p) {
        Map<String, OpCase> sample = new HashMap<>();
        for (OpCase c : OpCases.all())
            if (!c.bench() && OpCheck.elements(c) <= SAMPLE)
                sample.merge(family(c), c, (a, b) -> OpCheck.elements(a) < OpCheck.elements(b) ? b : a);
        List<OpCase> all = OpCases.all();
        if (p.has("--sample"))
            all = Piece.families().stream()
                    .filter(sample::containsKey)
                    .map(sample::get)
                    .toList();
        for (OpCase c : all) {
            if (c.bench() || !p.asked().isEmpty() && !p.asked().contains(family(c))) continue;
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                if (!p.device.supports(t)) continue;
                String name = c.name() + " " + t;
                p.item(name, map("stage", "ops", "family", family(c)), () -> {
                    for (Device d : OpCheck.implementations(c, t, p.device, OpCheck.hasGradient(c)))
                        check(
                                p,
                                d,
                                c,
                                t,
                                d == p.device
                                        ? name
                                        : name + " " + d.preferred().orElseThrow());
                });
            }
        }
    }

    /** Runs a case in place with guard words and again out of place; both must give the same bits. */
    private static void check(Piece p, Device d, OpCase c, DType t, String name) {
        boolean backward = OpCheck.hasGradient(c);
        Map<String, float[]> want =
                OpCheck.run(c, t, CpuDevice.doubleReference(), Session.Options.DEFAULT, backward, false);
        Map<String, float[]> got = OpCheck.run(c, t, d, new Session.Options(OpCheck.GUARD, true), backward, true);
        Map<String, float[]> again =
                p.has("--sample") ? got : OpCheck.run(c, t, d, new Session.Options(0, false), backward, false);
        Map<String, Object> line = map("stage", "ops", "name", name, "family", family(c), "device", d.name());
        try {
            line.put("error", OpCheck.compare(c, t, want, got, d.name()));
            for (String k : got.keySet())
                if (!Arrays.equals(got.get(k), again.get(k)))
                    line.put("failure", k + ": the second, out-of-place run differs");
        } catch (AssertionError e) {
            line.put("failure", e.getMessage());
        }
        Piece.line(line);
    }

    static void addTraining(Piece p, Path golden) {
        for (DType t : new DType[] {DType.F32, DType.BF16}) {
            if (!p.device.supports(t)) continue;
            String name = "golden trajectory " + t;
            p.item(name, map("stage", "train"), () -> {
                Trajectory.Outcome o = Trajectory.run(p.device, t, golden);
                double first = o.losses()[0], last = o.losses()[o.losses().length - 1];
                // the bounds of TrajectoryTest, which explains them
                boolean passed =
                        t == DType.F32 ? first < 1e-5 && last < 1e-2 && o.parameters() < 20 * 2e-3 : first < 0.1;
                Map<String, Object> line = map(
                        "stage",
                        "train",
                        "name",
                        name,
                        "device",
                        p.device.name(),
                        "first",
                        first,
                        "last",
                        last,
                        "parameters",
                        o.parameters());
                if (!passed) line.put("failure", "differs from PyTorch's run by more than TrajectoryTest allows");
                Piece.line(line);
            });
        }
    }
}
