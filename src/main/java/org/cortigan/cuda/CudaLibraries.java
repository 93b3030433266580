// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.cuda.global.cudart;
import org.bytedeco.javacpp.Loader;
import org.cortigan.InputException;
import org.cortigan.jni.NativeLoader;
import org.jspecify.annotations.Nullable;

/**
 * Finds and loads NVIDIA's libraries: driver, runtime, cuBLAS, cuDNN, NCCL. The folders in the system property
 * {@value #PATH} are searched first, then the machine (the system's loader, /usr/local/cuda).
 */
final class CudaLibraries {
    /** Folders with NVIDIA's libraries, separated by colons. */
    static final String PATH = "cortigan.cuda.path";

    /** If true, CortiGAN's own kernels compute products and convolutions. */
    static final String OWN = "cortigan.cuda.ownProducts";

    private static final String TOOLKIT = "Install the CUDA 13 toolkit, or name the folder of the library with -D"
            + PATH + "=FOLDER or LD_LIBRARY_PATH";
    private static boolean loaded;
    private static @Nullable InputException failure;
    private static @Nullable InputException cudnn, nccl;

    private CudaLibraries() {}

    /** Loads driver and runtime; later calls do nothing. */
    static synchronized void load() {
        if (loaded) return;
        if (failure != null) throw failure;
        try {
            preload("libcuda.so.1", "libcudart.so.13");
            cudart.cudaRuntimeGetVersion(new int[1]);
            loaded = true;
        } catch (UnsatisfiedLinkError | ExceptionInInitializerError e) {
            failure = missing(e);
            throw failure;
        }
    }

    /**
     * Loads each library from the first folder of {@link #PATH} that has it. The system's loader finds the others
     * later.
     */
    static void preload(String... names) {
        String path = System.getProperty(PATH, "");
        for (String name : names)
            for (String folder : path.split(File.pathSeparator)) {
                Path p = Path.of(folder, name).toAbsolutePath();
                if (folder.isEmpty() || !Files.exists(p)) continue;
                System.load(p.toString());
                break;
            }
    }

    private static InputException missing(Throwable t) {
        String why = NativeLoader.chain(t);
        if (why.contains("libcuda.so.1"))
            return new InputException(
                    "device cuda",
                    "the driver's library libcuda.so.1 is missing (" + why + ")",
                    "Install NVIDIA's driver, 580 or newer; in a container, start it with the GPUs (--gpus all)");
        if (why.contains("libcudart.so.13"))
            return new InputException(
                    "device cuda", "the runtime library libcudart.so.13 is missing (" + why + ")", TOOLKIT);
        return new InputException("device cuda", "the bindings do not load (" + why + ")", TOOLKIT);
    }

    /** An error that names the library that did not load. */
    static InputException missing(String what, Throwable t) {
        return new InputException("device cuda", what + " does not load (" + NativeLoader.chain(t) + ")", TOOLKIT);
    }

    /** An error for a missing cuDNN. Always the first one, because Java names the library only at the first attempt. */
    static synchronized InputException noCudnn(Throwable t) {
        if (cudnn == null)
            cudnn = new InputException(
                    "device cuda",
                    "cuDNN, which computes 2-D convolutions, does not load (" + NativeLoader.chain(t) + ")",
                    "Install cuDNN 9 for CUDA 13, or name its folder with -D" + PATH + "=FOLDER or LD_LIBRARY_PATH; -D"
                            + OWN + "=true uses CortiGAN's own kernels");
        return cudnn;
    }

    /** The same for NCCL. */
    static synchronized InputException noNccl(Throwable t) {
        if (nccl == null)
            nccl = new InputException(
                    "device cuda",
                    "NCCL (" + Nccl.LIBRARY + "), by which several ranks train together, does not load ("
                            + NativeLoader.chain(t) + ")",
                    "Install NVIDIA's package libnccl2 for CUDA 13, or name the library's folder with -D" + PATH
                            + "=FOLDER or LD_LIBRARY_PATH; or use --device cpu");
        return nccl;
    }

    /** Path of the kernel library, unpacked from the jar, or the file that -Dcortigan.cuda.kernels names. */
    static String kernels() {
        String given = System.getProperty("cortigan.cuda.kernels");
        if (given != null) return given;
        try {
            File f = Loader.cacheResource(CudaLibraries.class, "/org/cortigan/jni/linux-x86_64/libcortigan_cuda.so");
            if (f != null) return f.getPath();
        } catch (java.io.IOException e) {
            throw new InputException(
                    "device cuda",
                    "the kernels cannot be unpacked: " + NativeLoader.chain(e),
                    "Set org.bytedeco.javacpp.cachedir to a writable folder",
                    e);
        }
        throw new InputException(
                "device cuda",
                "this build has no CUDA kernels (libcortigan_cuda.so)",
                "Build with nvcc of CUDA 13 on the PATH");
    }

    /** Formats CUDA's version number: 13000 as 13.0. */
    static String version(int v) {
        return v / 1000 + "." + v % 1000 / 10;
    }
}
