// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.cortigan.PtxasReport.Kernel;
import org.junit.jupiter.api.Test;

/** What ptxas said of the CUDA kernels when they were built (tools/ptxas-report). */
class PtxasReportTest {
    /**
     * Kernels that make up a step's own time: attention, layer norm, Pearson loss and moments, spectral norm, AdamW,
     * the product.
     */
    private static final List<String> HOT = List.of(
            "forward_mma<",
            "grad_queries<",
            "grad_keys<",
            "normalise<",
            "normalise_grad<",
            "over_images<",
            "over_images4<",
            "over_vertices<",
            "sums",
            "sum_t",
            "dots",
            "weights_sum",
            "sum_up",
            "adam_step",
            "square_sums",
            "gemm::product<",
            "add_moments<");

    /** Those on instructions that sm_90a alone has. */
    private static final List<String> HOPPER = List.of("sm90::forward_wgmma<", "sm90::grad_wgmma");

    @Test
    void hotKernelsKeepEverythingInRegisters() throws Exception {
        List<Kernel> all = PtxasReport.read();
        Set<String> archs = new TreeSet<>();
        all.forEach(k -> archs.add(k.arch()));
        List<String> spill = new ArrayList<>();
        for (String hot : HOT) {
            List<Kernel> some =
                    all.stream().filter(k -> k.name().startsWith(hot)).toList();
            for (String a : archs)
                assertTrue(some.stream().anyMatch(k -> k.arch().equals(a)), hot + " is not in the report for " + a);
            some.stream().filter(k -> k.spills() > 0).forEach(k -> spill.add(k.toString()));
        }
        for (String hot : HOPPER) {
            List<Kernel> some =
                    all.stream().filter(k -> k.name().startsWith(hot)).toList();
            assertEquals(archs.contains("sm_90a"), !some.isEmpty(), hot);
            some.stream()
                    .filter(k -> k.spills() > 0 || !k.arch().equals("sm_90a"))
                    .forEach(k -> spill.add(k.toString()));
        }
        String log = Files.readString(Path.of("target/native/cuda/attention_sm90.o.log"));
        assertFalse(log.contains("serialized"), "ptxas waits after every wgmma: " + log);
        assertEquals(List.of(), spill, "kernels that spill registers");
    }
}
