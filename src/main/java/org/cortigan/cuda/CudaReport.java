// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudart.*;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.LongSupplier;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.cuda.global.cudnn;
import org.bytedeco.cuda.global.nccl;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.jni.NativeLoader;

/** The lines about CUDA that {@code doctor} prints. */
final class CudaReport {
    private CudaReport() {}

    static List<String> lines() {
        CudaLibraries.load();
        List<String> l = new ArrayList<>();
        int[] driver = new int[1], runtime = new int[1];
        cudaDriverGetVersion(driver);
        cudaRuntimeGetVersion(runtime);
        l.add("cuda libraries: driver for CUDA " + CudaLibraries.version(driver[0]) + ", runtime "
                + CudaLibraries.version(runtime[0]) + ", " + library("cuBLAS", CudaReport::cublas) + ", "
                + library("cuDNN", CudaReport::cudnn) + ", " + library("NCCL", CudaReport::nccl));
        int n;
        try {
            n = CudaDevice.count("device cuda");
        } catch (InputException e) {
            l.add("cuda: unavailable: " + e.getMessage());
            return l;
        }
        for (int i = 0; i < n; i++) {
            try {
                l.add(String.format(
                        Locale.ROOT,
                        "cuda:%d: %s, architecture %s, %.1f GiB: %s",
                        i,
                        CudaDevice.product(i),
                        CudaDevice.capability(i),
                        CudaDevice.memory(i) / 1073741824.0,
                        kernels(i, l)));
            } catch (IllegalStateException e) {
                l.add("cuda:" + i + ": unavailable: " + e.getMessage());
            }
        }
        return l;
    }

    private static String kernels(int number, List<String> notes) {
        try (Device d = CudaDevice.open(number, notes::add)) {
            return "available, kernels run";
        } catch (InputException e) {
            return "unavailable: " + e.getMessage();
        }
    }

    private static long cublas() {
        CudaLibraries.preload(CublasLt.LIBRARIES);
        return cublas.cublasLtGetVersion();
    }

    private static long cudnn() {
        CudaLibraries.preload(Cudnn.LIBRARIES);
        return cudnn.cudnnGetVersion();
    }

    private static long nccl() {
        CudaLibraries.preload(Nccl.LIBRARY);
        int[] version = new int[1];
        nccl.ncclGetVersion(version);
        return version[0];
    }

    private static String library(String name, LongSupplier version) {
        try {
            return name + " " + version.getAsLong();
        } catch (LinkageError e) {
            return "no " + name + " (" + NativeLoader.chain(e) + ")";
        }
    }
}
