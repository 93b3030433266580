// SPDX-License-Identifier: Apache-2.0
package org.cortigan.prof;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.Json;
import org.cortigan.op.Activation;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("slow")
class ProfileTest {
    @Test
    void everyNodeIsTimedAgainstItsFloor(@TempDir Path dir) {
        CpuDevice cpu = CpuDevice.best(1);
        Graph g = new Graph();
        Value x = g.input("x", DType.F32, 200, 300), w = g.input("w", DType.F32, 100, 300);
        g.output("y", Ops.activation(Ops.matmul(x, w, false, true, null, null, DType.F32), Activation.Kind.GELU, 0));
        Ceilings c = new Ceilings("test", 1e11, 0, 1e10);
        try (Variables v = new Variables(cpu);
                Session s = new Session(g, cpu, v)) {
            Profile p = Profile.of(s, c, 1, 3);
            assertEquals(
                    List.of("matmul", "gelu"),
                    p.lines().stream().map(Profile.Line::op).toList());
            Profile.Line m = p.lines().get(0);
            assertEquals(2.0 * 200 * 300 * 100, m.flops());
            assertEquals(4.0 * (200 * 300 + 100 * 300 + 200 * 100), m.bytes());
            assertEquals(Math.max(m.flops() / 1e11, m.bytes() / 1e10), m.floor());
            assertTrue(m.seconds() > 0 && m.ratio() > 0);
            assertEquals(
                    p.seconds(),
                    p.byOp().stream().mapToDouble(Profile.Line::seconds).sum(),
                    1e-12);
            assertTrue(p.table(5).contains("matmul"));
            assertEquals(
                    2,
                    ((List<?>) Json.object(Json.parse(Json.compact(p.json()), "profile"), "profile")
                                    .get("nodes"))
                            .size());
            p.writeTrace(dir.resolve("t.json"));
            assertEquals(2, ((List<?>) Json.readObject(dir.resolve("t.json")).get("traceEvents")).size());
        }
        Ceilings measured = Ceilings.measure(cpu);
        assertTrue(measured.flopsF32() > 1e9 && measured.bandwidth() > 1e8, measured.toString());
    }
}
