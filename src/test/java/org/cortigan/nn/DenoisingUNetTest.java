// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.cortigan.InputException;
import org.cortigan.config.Settings;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.io.Tensors;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** Compares with diffusers' UNet2DConditionModel, which computed in double. */
class DenoisingUNetTest {
    private static final DenoisingUNet SMALL = new DenoisingUNet(List.of(32, 64), 1, 1, 4, 24, 32);
    private static final String Y = "y", GRADIENT = "gradient of ";

    private static Value whole(DenoisingUNet u, Weights w, Value x, Value t, Value context, int out) {
        Value h = u.convIn(w, x);
        return u.convOut(w, u.normOut(w, u.body(w, h, u.time(w, t), context)), out);
    }

    /** The output, channels last, and the gradients of all parameters. */
    private static Map<String, float[]> run(SafeTensors golden, Device device, DType compute) {
        Graph g = new Graph();
        Weights w = Weights.in(g, compute, "", false);
        Value x = g.input("x", DType.F32, 2, 8, 8, 4), context = g.input("context", DType.F32, 2, 7, 24);
        Value t = g.input("t", DType.I32, 2), seed = g.input("seed", DType.F32, 2, 8, 8, 4);
        Value y = whole(SMALL, w, Ops.cast(x, compute), t, Ops.cast(context, compute), 4);
        g.output(Y, y);
        List<Value> d = Gradients.of(List.of(y), List.of(Ops.cast(seed, compute)), w.differentiable());
        for (int i = 0; i < d.size(); i++) g.output(GRADIENT + w.specs().get(i).name(), d.get(i));
        try (Variables vars = new Variables(device);
                Session s = new Session(g, device, vars)) {
            DiffusersFile.load(golden, w, vars);
            s.input("x").write(DiffusersFile.channelsLast(golden.floats("golden.x"), 2, 4));
            s.input("seed").write(DiffusersFile.channelsLast(golden.floats("golden.seed"), 2, 4));
            s.input("context").write(golden.floats("golden.context"));
            s.input("t").write(Tensors.ints(golden, "golden.t"));
            s.run();
            Map<String, float[]> out = new TreeMap<>();
            g.outputs().keySet().forEach(n -> out.put(n, s.output(n).toFloats()));
            return out;
        }
    }

    private static float[] wanted(SafeTensors golden) {
        return DiffusersFile.channelsLast(golden.floats("golden.y"), 2, 4);
    }

    /** Root of the sum of squares of all gradients. */
    private static double gradientNorm(Map<String, float[]> got) {
        double squares = 0;
        for (Map.Entry<String, float[]> e : got.entrySet())
            if (e.getKey().startsWith(GRADIENT)) squares += Math.pow(DiffusersFile.norm(e.getValue()), 2);
        return Math.sqrt(squares);
    }

    @Test
    void computesWhatDiffusersDoes() {
        try (SafeTensors golden = DiffusersFile.open("sd_unet_diffusers")) {
            for (CpuDevice device : List.of(CpuDevice.doubleReference(), CpuDevice.best(2))) {
                Map<String, float[]> got = run(golden, device, DType.F32);
                assertEquals(0, DiffusersFile.largestError(wanted(golden), got.get(Y), 0), 1e-5, device.name());
                float norm = golden.floats("golden.grad_norm")[0];
                assertEquals(1, gradientNorm(got) / norm, 1e-4, device.name());
                int compared = 0;
                for (Map.Entry<String, float[]> e : got.entrySet()) {
                    String name = e.getKey().replace(GRADIENT, "golden.grad.");
                    if (!golden.names().contains(name)) continue;
                    compared++;
                    // A bias before a norm of single channels has the gradient 0, up to rounding of the others.
                    double error = DiffusersFile.largestError(golden.floats(name), e.getValue(), 1e-4 * norm);
                    assertEquals(0, error, 1e-4, name + " on " + device.name());
                }
                assertEquals(16, compared);
            }
        }
    }

    @Test
    void computesNearlyTheSameInBf16() {
        CpuDevice cpu = CpuDevice.best(2);
        Assumptions.assumeTrue(cpu.supportsBf16(), "this CPU has no avx512bf16");
        // Some 60 roundings to 8 bits in a row, each of 2^-9 at most, add up like a random walk; twice as many
        // backward.
        double rounding = Math.sqrt(60) * 0x1p-9;
        try (SafeTensors golden = DiffusersFile.open("sd_unet_diffusers")) {
            Map<String, float[]> all = run(golden, cpu, DType.BF16);
            float[] want = wanted(golden), got = all.get(Y), difference = new float[want.length];
            for (int i = 0; i < want.length; i++) difference[i] = got[i] - want[i];
            assertEquals(0, DiffusersFile.norm(difference) / DiffusersFile.norm(want), rounding);
            assertEquals(1, gradientNorm(all) / golden.floats("golden.grad_norm")[0], Math.sqrt(3) * rounding);
        }
    }

    @Test
    void hasTheParametersOfStableDiffusion() {
        DenoisingUNet u = DenoisingUNet.SD1;
        Weights w = Weights.declaredBy(DType.F32, "", false, v -> {
            Graph g = v.graph();
            Value x = g.input("x", DType.F32, 1, 8, 8, 4), context = g.input("context", DType.F32, 1, 1, 768);
            whole(u, v, x, g.input("t", DType.I32, 1), context, 4);
        });
        assertEquals(DiffusersFile.shapes("unet"), DiffusersFile.shapes(w));
        assertEquals(686, w.specs().size());
        assertEquals(
                859_520_964L,
                w.specs().stream().mapToLong(s -> s.shape().elements()).sum());
    }

    @Test
    void embedsAStepAsCosinesThenSines() {
        float[] embedding = DenoisingUNet.sinusoids(320);
        float[] first = {0.5403023f, 0.5865038f, 0.6284394f}, second = {0.8414710f, 0.8099465f, 0.7778585f};
        for (int i = 0; i < 3; i++) {
            assertEquals(first[i], embedding[320 + i], 1e-7f);
            assertEquals(second[i], embedding[320 + 160 + i], 1e-7f);
        }
    }

    @Test
    void readsMapsAndBuildsNothingBeyondTheLast() {
        Graph g = new Graph();
        Weights w = Weights.in(g, DType.F32, "", false);
        DenoisingUNet u = new DenoisingUNet(List.of(8, 16, 32), 2, 2, 4, 6, 4);
        Value h = g.input("h", DType.F32, 1, 8, 8, 8), context = g.input("context", DType.F32, 1, 2, 6);
        Value time = g.input("time", DType.F32, 1, 32);
        List<Value> maps = u.maps(w, h, time, context, List.of(DenoisingUNet.Place.UP1, DenoisingUNet.Place.MID));
        assertEquals(List.of(1, 4, 4, 16), dims(maps.get(0)));
        assertEquals(List.of(1, 2, 2, 32), dims(maps.get(1)));
        assertTrue(w.specs().stream().noneMatch(s -> s.name().startsWith("up_blocks.2.")));
        assertTrue(w.specs().stream().noneMatch(s -> s.name().startsWith("up_blocks.1.upsamplers.")));
        Value body = u.body(w, h, time, context);
        assertEquals(List.of(1, 8, 8, 8), dims(body));
        assertTrue(w.specs().stream().anyMatch(s -> s.name().startsWith("up_blocks.2.resnets.2.")));
    }

    private static List<Integer> dims(Value v) {
        return Arrays.stream(v.shape().dims()).boxed().toList();
    }

    private static Settings settings(String key, Object value) {
        Settings s = Settings.of(
                "recipe.yaml",
                Map.of(
                        "channels",
                        List.of(32, 64),
                        "blocks",
                        1,
                        "attention_levels",
                        1,
                        "heads",
                        4,
                        "context",
                        24,
                        "groups",
                        32));
        return s.with(key, value, "recipe.yaml");
    }

    @Test
    void refusesNumbersThatDoNotFitTogether() {
        assertEquals(SMALL, DenoisingUNet.of(settings("blocks", 1)));
        Map<String, Object> wrong = Map.of(
                "channels", List.of(), "blocks", 0, "attention_levels", 3, "heads", 5, "context", 0, "groups", 24);
        wrong.forEach((key, value) -> {
            String message = assertThrows(InputException.class, () -> DenoisingUNet.of(settings(key, value)))
                    .getMessage();
            assertTrue(message.contains("'" + key + "'"), message);
        });
        assertThrows(InputException.class, () -> DenoisingUNet.of(settings("channels", List.of(33, 66))));
        Settings s = Settings.of("recipe.yaml", Map.of("grid", 12));
        DenoisingUNet.SD1.requireSide(16, s, "grid");
        String message = assertThrows(InputException.class, () -> DenoisingUNet.SD1.requireSide(12, s, "grid"))
                .getMessage();
        assertTrue(message.contains("'grid'") && message.contains("multiple of 8"), message);
    }
}
