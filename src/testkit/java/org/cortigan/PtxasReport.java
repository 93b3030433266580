// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/** Reads the report that tools/ptxas-report wrote when the CUDA kernels were built. */
public final class PtxasReport {
    /**
     * @param registers registers per thread
     * @param shared bytes of static shared memory
     * @param stack bytes of stack per thread
     * @param spills bytes of spill stores and spill loads
     * @param threads maximum threads of a block
     * @param file name of the source file
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

    /** Every kernel on every architecture. If the build had no nvcc, aborts the test with that reason. */
    public static List<Kernel> read() {
        Path report = Path.of("target/native/ptxas-report.txt");
        if (!Files.exists(report)) {
            String why = "the CUDA kernels were not built (no nvcc): their register use is unknown";
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
