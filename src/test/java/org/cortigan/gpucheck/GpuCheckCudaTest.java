// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import static org.cortigan.gpucheck.GpuCheckTest.call;
import static org.cortigan.gpucheck.GpuCheckTest.linesWith;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.cortigan.cuda.SimulatedCuda;
import org.cortigan.io.Json;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs tools/gpu-check on the simulated card, which fails as a real one does. */
@Tag("cuda")
class GpuCheckCudaTest {
    private static final String[] OPS = {"smoke", "--stages", "ops", "--families", "slice", "--device", "cuda:0"};

    @TempDir
    Path folder;

    @BeforeEach
    @AfterEach
    void reset() {
        SimulatedCuda.reset();
        SimulatedCuda.processesEnded();
    }

    @Test
    void afterAKernelFaultANewProcessContinuesWithTheNextItem() throws Exception {
        List<Object> names = names(call(folder.resolve("whole"), true, OPS));
        SimulatedCuda.sticky(true);
        SimulatedCuda.fail("kernel", 12, 700);
        List<Map<String, Object>> lines = call(folder.resolve("out"), false, OPS);
        assertFalse(SimulatedCuda.pending());
        Map<String, Object> failed =
                lines.stream().filter(l -> l.containsKey("failure")).findFirst().orElseThrow();
        Map<String, Object> ended = linesWith(lines, "stage", "ended").get(0);
        assertTrue(failed.get("failure").toString().contains("cudaErrorIllegalAddress"), "" + failed);
        assertEquals("ops", failed.get("stage"));
        assertEquals(failed.get("name"), ended.get("item"));
        assertTrue(ended.get("why").toString().contains("the device's context is lost"), "" + ended);
        List<Object> left = new ArrayList<>(names);
        left.remove(failed.get("name"));
        assertEquals(left, names(lines), "all other cases were checked");
    }

    @Test
    void aHungCudaCallIsKilled() throws Exception {
        List<Object> names = names(call(folder.resolve("whole"), true, OPS));
        SimulatedCuda.fail("cudaStreamSynchronize", 9, SimulatedCuda.HANG);
        List<Map<String, Object>> lines = call(folder.resolve("out"), false, OPS);
        Map<String, Object> ended = linesWith(lines, "stage", "ended").get(0);
        assertEquals("no progress for 6 s", ended.get("why"));
        List<Object> left = new ArrayList<>(names);
        left.remove(ended.get("item"));
        assertEquals(left, names(lines), "all other cases were checked");
    }

    @Test
    void stepsAndKernelsAreTimedByDeviceEvents() throws Exception {
        Path measured = folder.resolve("measured.jsonl");
        Files.writeString(
                measured,
                "{\"stage\":\"ceilings\",\"name\":\"ceilings\",\"device\":\"cuda:0 (Simulated card, sm_90)\","
                        + "\"flops_f32\":1e9,\"flops_bf16\":2e9,\"bytes_per_second\":1e9}\n");
        Map<String, Object> adamw = piece(measured, "kernels", "adamw").get(0);
        // four launches; the simulation's clock advances a microsecond for every operation, here the launch of the
        // graph and the copies around it
        assertTrue(((Number) adamw.get("ms")).doubleValue() < 0.02, "" + adamw);
        assertEquals("{other kernels=4}", "" + adamw.get("served"));
        List<Map<String, Object>> step = piece(measured, "steps", "step conv");
        assertEquals(
                List.of("steps", "profile"),
                step.stream().map(l -> l.get("stage")).toList());
        assertEquals(step.get(0).get("nodes"), (long) ((List<?>) step.get(1).get("nodes")).size());
        assertEquals(
                List.of(
                        "step none",
                        "step none",
                        "step none -Dcortigan.cuda.streams=1",
                        "step none -Dcortigan.cuda.earlyLaunch=false"),
                piece(measured, "steps", "step none").stream()
                        .map(l -> l.get("name"))
                        .toList());
        List<Map<String, Object>> libraries = piece(measured, "libraries", "libraries");
        for (String file : List.of("libcudart.so.13", "libcublasLt.so.13", "libcudnn_graph.so.9", "libnccl.so.2"))
            assertTrue(libraries.get(0).get("files").toString().contains(file), "" + libraries);
        assertTrue(
                ((Number) libraries.get(1).get("functions")).intValue() > 60
                        && !libraries.get(1).containsKey("failure"),
                "" + libraries);
    }

    /** Runs one item of a piece in this process and returns its result lines. */
    private static List<Map<String, Object>> piece(Path measured, String what, String item) throws Exception {
        PrintStream out = System.out;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
        try {
            GpuCheck.main(new String[] {
                "piece",
                what,
                "--device",
                "cuda:0",
                "--small",
                "--measured",
                measured.toString(),
                "--items",
                item,
                "--profile"
            });
        } finally {
            System.setOut(out);
        }
        return said.toString(StandardCharsets.UTF_8)
                .lines()
                .filter(l -> l.startsWith("@line "))
                .map(l -> Json.object(Json.parse(l.substring(6), "line"), "line"))
                .toList();
    }

    private static List<Object> names(List<Map<String, Object>> lines) {
        return linesWith(lines, "stage", "ops").stream()
                .filter(l -> !l.containsKey("failure"))
                .map(l -> l.get("name"))
                .toList();
    }
}
