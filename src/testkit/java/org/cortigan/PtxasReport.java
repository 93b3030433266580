// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/** What tools/ptxas-report wrote when the CUDA kernels were built. */
public final class PtxasReport {
    /**
     * @param registers of a thread
     * @param shared bytes of static shared memory
     * @param stack bytes of a thread
     * @param spills bytes stored and loaded for want of registers
     * @param threads the most that a block may have
     * @param file the source that was compiled
     */
    public record Kernel(
            String arch, int registers, int shared, int stack, int spills, String name, int threads, String file) {
        static Kernel of(String line) {
            String[] f = line.split("\t");
            int[] n = new int[6];
            for (int i = 1; i < 6; i++) n[i] = Integer.parseInt(f[i]);
            return new Kernel(f[0], n[1], n[2], n[3], n[4] + n[5], f[6], Integer.parseInt(f[7]), f[8]);
        }
    }

    private PtxasReport() {}

    /** Every kernel on every architecture; aborts the test, and says why, where there was no nvcc. */
    public static List<Kernel> read() {
        Path report = Path.of("target/native/ptxas-report.txt");
        if (!Files.exists(report)) {
            String why = "the CUDA kernels were not built (no nvcc): nothing is known of their registers";
            System.out.println(why);
            Assumptions.abort(why);
        }
        try {
            return Files.readAllLines(report).stream().skip(1).map(Kernel::of).toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
