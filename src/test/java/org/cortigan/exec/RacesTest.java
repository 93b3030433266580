// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.cortigan.graph.DType;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestFactory;

/** The kernels in float32 have no races, and planted faults are reported. */
@Tag("races")
class RacesTest extends KernelRaces {
    RacesTest() {
        super(DType.F32);
    }

    private static final String LOCATION = " \\([^)]*[.](cpp|cuh):[^)]*\\)";

    /** The faults of native/sim/planted.cpp and the expected report of each, without lines and addresses. */
    private static final Map<String, String> PLANTED = new LinkedHashMap<>();

    static {
        PLANTED.put(
                "exchange_warps",
                "block 0x0x0: thread 0 writes shared byte 0 that thread 32 reads with no barrier between them");
        PLANTED.put(
                "overwrite_read",
                "block 0x0x0: thread 0 reads shared byte 128 that thread 32 writes with no barrier between them");
        PLANTED.put(
                "exchange_lanes",
                "block 0x0x0: thread 1 writes a byte of its static shared memory that thread 0 reads"
                        + ", of its warp, with no __syncwarp between them");
        PLANTED.put(
                "shuffle_for_barrier",
                "block 0x0x0: thread 27 reads a byte of its static shared memory that thread 26 writes"
                        + ", of its warp, with no __syncwarp between them");
        PLANTED.put(
                "share_word",
                "block 0x0x0: thread 1 writes a byte of its static shared memory that thread 0 writes"
                        + ", of its warp, with no __syncwarp between them");
        PLANTED.put(
                "read_unwritten",
                "block 1x0x0: thread 41 reads a byte of its static shared memory that no thread of its block has written");
        PLANTED.put(
                "read_unwritten_dynamic",
                "block 1x0x0: thread 41 reads shared byte 160 that no thread of its block has written");
        PLANTED.put(
                "load_misaligned",
                "block 0x0x0: thread 7 loads 'const struct float4' at device byte X, 4 bytes past a multiple of 16");
        PLANTED.put(
                "store_misaligned",
                "block 0x0x0: thread 7 stores 'struct float4' at device byte X, 8 bytes past a multiple of 16");
        PLANTED.put(
                "pair_misaligned",
                "block 0x0x0: thread 7 stores 'uint32_t' at device byte X, 2 bytes past a multiple of 4");
        PLANTED.put(
                "write_twice", "block 1x0x0: thread 0 writes device byte X that block 0x0x0 writes in the same launch");
        PLANTED.put(
                "read_other_block",
                "block 2x0x0: thread 0 reads device byte X that block 1x0x0 writes in the same launch");
        PLANTED.put(
                "read_later_block",
                "block 1x0x0: thread 0 writes device byte X that block 0x0x0 reads in the same launch");
        PLANTED.put(
                "exchange_in_device_memory",
                "block 0x0x0: thread 32 writes device byte X that thread 0 reads with no barrier between them");
        PLANTED.put(
                "read_before_copy",
                "block 0x0x0: thread 0 reads shared byte 0 that thread 0 copies with cp.async and has not waited for");
        PLANTED.put(
                "read_anothers_copy",
                "block 0x0x0: thread 0 reads shared byte 512 that no thread of its block has written");
        PLANTED.put("copy_misaligned", "block 0x0x0: cp.async: both addresses must be multiples of 16 bytes");
        PLANTED.put("begin_early", "block 0x0x0: thread 0 writes device byte X before await_inputs()");
        PLANTED.put("never_wait", "block 0x0x0: a thread ends without await_inputs()");
        PLANTED.put(
                "overwrite_operand",
                "block 0x0x0: thread 0's wgmma reads shared byte 0 that thread 0 writes before the wait for it");
    }

    @TestFactory
    Stream<DynamicTest> plantedFaultsAreReported() {
        return PLANTED.entrySet().stream()
                .map(e -> dynamicTest(e.getKey(), () -> {
                    String said = planted(e.getKey(), "wrong");
                    assertTrue(
                            said.matches(".*(planted.cpp:[0-9]+|cp.async: both|a thread ends).*"),
                            said + " does not name a line");
                    assertEquals(
                            e.getKey() + ", " + e.getValue(),
                            said.replaceAll(LOCATION, "").replaceAll("0x[0-9a-f]{5,}", "X"));
                    assertEquals("", planted(e.getKey(), "right"));
                }));
    }

    private static String planted(String name, String how) throws Exception {
        Process p = new ProcessBuilder(LIBRARY.resolveSibling("planted").toString(), name, how)
                .redirectErrorStream(true)
                .start();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        assertEquals(0, p.waitFor(), said);
        return said;
    }
}
