// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** NVIDIA's libraries and their simulations export every function that our classes call. */
class ExportedTest {
    private static Map<String, Set<String>> called() throws Exception {
        return Exported.called(Path.of(CublasLt.class
                .getProtectionDomain()
                .getCodeSource()
                .getLocation()
                .toURI()));
    }

    private static List<Path> folders() {
        List<Path> all = new ArrayList<>();
        for (String s : new String[] {
            System.getProperty("CORTIGAN_NVIDIA"),
            System.getenv("CORTIGAN_NVIDIA"),
            "/usr/local/cuda/lib64",
            System.getenv("LD_LIBRARY_PATH")
        })
            if (s != null)
                Stream.of(s.split(File.pathSeparator))
                        .filter(f -> !f.isEmpty())
                        .map(Path::of)
                        .forEach(all::add);
        return all;
    }

    private static Path find(String library, List<Path> folders) {
        return folders.stream()
                .map(f -> f.resolve(library))
                .filter(Files::exists)
                .findFirst()
                .orElse(null);
    }

    /** The functions that a binding's libraries do not export; null if one of the libraries is not found. */
    private static Set<String> missing(String binding, Set<String> functions, List<Path> folders) throws IOException {
        Set<String> left = new TreeSet<>(functions);
        for (String library : Exported.libraries(binding)) {
            Path p = find(library, folders);
            if (p == null) {
                System.out.println(library + " is in none of " + folders);
                return null;
            }
            left.removeAll(Exported.of(p));
        }
        return left;
    }

    @Test
    void theCalledFunctionsAreFound() throws Exception {
        Map<String, Set<String>> called = called();
        assertEquals(Set.of("cudart", "cublas", "cudnn", "nccl"), called.keySet());
        assertTrue(
                called.get("cudart").containsAll(Set.of("cudaMalloc", "cudaGraphLaunch", "cudaGetErrorName")),
                called.toString());
        assertTrue(called.get("cublas").containsAll(Set.of("cublasLtMatmul", "cublasLtGetVersion")), called.toString());
        assertTrue(called.get("cudnn").contains("cudnnConvolutionBiasActivationForward"), called.toString());
        called.forEach((binding, of) ->
                assertTrue(of.stream().allMatch(f -> f.startsWith(binding.substring(0, 4))), of.toString()));
    }

    @Test
    void theSimulationExportsAllCalledFunctions() throws Exception {
        List<Path> built = List.of(Path.of(System.getProperty("cortigan.sim", "target/native/libcortigan_sim.so"))
                .resolveSibling("cudart"));
        Map<String, Set<String>> missing = new LinkedHashMap<>();
        for (var e : called().entrySet()) missing.put(e.getKey(), missing(e.getKey(), e.getValue(), built));
        assertEquals(Map.of("cudart", Set.of(), "cublas", Set.of(), "cudnn", Set.of(), "nccl", Set.of()), missing);
    }

    @Test
    void nvidiasLibrariesExportAllCalledFunctions() throws Exception {
        int seen = 0;
        for (var e : called().entrySet()) {
            Set<String> missing = missing(e.getKey(), e.getValue(), folders());
            if (missing == null) continue;
            seen++;
            System.out.println(e.getKey() + ": " + e.getValue().size() + " functions called");
            assertEquals(Set.of(), missing, e.getKey());
        }
        assumeTrue(seen == 4, "not all of NVIDIA's libraries are installed");
    }

    /** The kernels are linked against a toolkit that may be newer than the machine's runtime. */
    @Test
    void nvidiasRuntimeExportsAllFunctionsThatTheKernelsNeed() throws Exception {
        var kernels = CublasLt.class.getResource("/org/cortigan/jni/linux-x86_64/libcortigan_cuda.so");
        assumeTrue(kernels != null && kernels.getProtocol().equals("file"), "the kernels are not built");
        Set<String> needed = new TreeSet<>(Exported.needed(Path.of(kernels.toURI())));
        needed.removeIf(f -> !f.matches("_*cuda.*"));
        assertTrue(needed.contains("__cudaRegisterFatBinary"), needed.toString());
        Set<String> missing = missing("cudart", needed, folders());
        assumeTrue(missing != null, "libcudart.so.13 is not installed");
        System.out.println("kernels: " + needed.size() + " functions needed of the runtime");
        assertEquals(Set.of(), missing);
    }
}
