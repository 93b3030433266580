package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/**
 * All CUDA kernels with every access watched (native/sim/races.h): races within a block and between blocks, shared memory
 * that nobody wrote, misaligned vectors. In a JVM of their own, as a process has one library of simulated kernels.
 */
@Tag("races")
class RacesTest {
    private static final Path LIBRARY = Path.of(System.getProperty("cortigan.sim"));

    /** The faults of native/sim/planted.cpp and what must be said of each; lines and addresses are left out. */
    private static final Map<String, String> PLANTED = new LinkedHashMap<>();

    static {
        PLANTED.put("exchange_warps", "thread 0 reads shared byte 128 that thread 32 writes with no barrier between them");
        PLANTED.put("overwrite_read", "thread 0 reads shared byte 128 that thread 32 writes with no barrier between them");
        PLANTED.put("exchange_lanes", "thread 1 writes a byte of its static shared memory that thread 0 reads, of its warp, with no __syncwarp between them");
        PLANTED.put("shuffle_for_barrier", "");
        PLANTED.put("share_word", "");
        PLANTED.put("read_unwritten", "");
        PLANTED.put("read_unwritten_dynamic", "");
        PLANTED.put("load_misaligned", "");
        PLANTED.put("store_misaligned", "");
        PLANTED.put("pair_misaligned", "");
        PLANTED.put("write_twice", "");
        PLANTED.put("read_other_block", "");
        PLANTED.put("read_later_block", "");
        PLANTED.put("exchange_in_device_memory", "");
        PLANTED.put("read_before_copy", "");
        PLANTED.put("read_anothers_copy", "");
        PLANTED.put("copy_misaligned", "");
        PLANTED.put("overwrite_operand", "");
    }

    @TestFactory
    Stream<DynamicTest> plantedFaultsAreNamed() {
        return PLANTED.entrySet().stream().map(e -> dynamicTest(e.getKey(), () -> {
            assertEquals(e.getValue(), planted(e.getKey(), "wrong").replaceAll(" \\([^)]*\\)", "").replaceAll("0x[0-9a-f]{5,}", "X"));
            assertEquals("", planted(e.getKey(), "right"));
        }));
    }

    private static String planted(String name, String how) throws Exception {
        Process p = new ProcessBuilder(LIBRARY.resolveSibling("planted").toString(), name, how).redirectErrorStream(true).start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertEquals(0, p.waitFor(), said);
        return said;
    }

    @TestFactory
    Stream<DynamicTest> kernelsHaveNone() {
        assertTrue(LIBRARY.endsWith("libcortigan_sim_checked.so"), LIBRARY + " does not watch");
        String part = System.getProperty("cortigan.cases", "");
        SimDevice device = new SimDevice(false);
        List<DynamicTest> tests = new ArrayList<>();
        for (OpCase c : OpCases.all()) {
            if (c.bench() || !c.name().contains(part)) continue;
            for (DType t : new DType[] {DType.F32, DType.BF16}) {
                tests.add(dynamicTest(c.name() + " " + t, () -> run(c, t, device)));
                if (t == DType.BF16 && c.name().startsWith("attention"))
                    tests.add(dynamicTest(c.name() + " wgmma", () -> {
                        SimDevice.attention("wgmma");
                        try {
                            run(c, t, device);
                        } finally {
                            SimDevice.attention("mma");
                        }
                    }));
            }
        }
        return tests.stream();
    }

    private static void run(OpCase c, DType t, Device device) {
        OpCheck.run(c, t, device, new Session.Options(OpCheck.GUARD, true), OpCheck.hasGradient(c), false);
    }
}
