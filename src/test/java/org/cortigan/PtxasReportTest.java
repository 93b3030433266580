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

/** Checks ptxas's report of the CUDA kernels from the build (tools/ptxas-report). */
class PtxasReportTest {
    /**
     * Own kernels that dominate a training step: attention, layer norm, Pearson loss and moments, spectral norm, AdamW,
     * the matrix product.
     */
    private static final List<String> HOT = List.of(
            "forward_mma<",
            "grad_queries<",
            "grad_keys<",
            "grad_few_queries<",
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
            "gemm::products<",
            "add_moments<");

    /** Hot kernels on instructions that only sm_90a has. */
    private static final List<String> HOPPER = List.of(
            "sm90::forward_wgmma<",
            "sm90::grad_wgmma",
            "sm90::forward_tiled<",
            "sm90::grad_queries_tiled<",
            "sm90::grad_keys_tiled<");

    @Test
    void hotKernelsKeepEverythingInRegisters() throws Exception {
        List<Kernel> all = PtxasReport.read();
        Set<String> archs = new TreeSet<>();
        all.forEach(k -> archs.add(k.arch()));
        List<String> spill = new ArrayList<>();
        for (String hot : HOT) {
            List<Kernel> kernels =
                    all.stream().filter(k -> k.name().startsWith(hot)).toList();
            for (String a : archs)
                assertTrue(kernels.stream().anyMatch(k -> k.arch().equals(a)), hot + " is not in the report for " + a);
            kernels.stream().filter(k -> k.spills() > 0).forEach(k -> spill.add(k.toString()));
        }
        for (String hot : HOPPER) {
            List<Kernel> kernels =
                    all.stream().filter(k -> k.name().startsWith(hot)).toList();
            assertEquals(archs.contains("sm_90a"), !kernels.isEmpty(), hot);
            kernels.stream()
                    .filter(k -> k.spills() > 0 || !k.arch().equals("sm_90a"))
                    .forEach(k -> spill.add(k.toString()));
        }
        for (String file : List.of("attention_sm90", "attention_tiled_sm90")) {
            String log = Files.readString(Path.of("target/native/cuda/" + file + ".o.log"));
            assertFalse(log.contains("serialized"), "ptxas serialised the wgmma instructions: " + log);
        }
        assertEquals(List.of(), spill, "kernels that spill registers");
    }
}
