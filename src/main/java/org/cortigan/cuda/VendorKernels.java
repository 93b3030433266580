// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.Set;
import java.util.function.Consumer;
import org.cortigan.exec.DeviceRuntime.Service;
import org.cortigan.exec.Served;
import org.jspecify.annotations.Nullable;

/**
 * NVIDIA's libraries, which replace CortiGAN's own kernels for products and 2-D convolutions. cuBLASLt is loaded at
 * once, cuDNN with the first 2-D convolution.
 */
final class VendorKernels implements AutoCloseable {
    private final CudaRuntime runtime;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final Trials trials;
    private final CublasLt cublas;
    private @Nullable Cudnn cudnn;

    /**
     * @param card the GPU's name
     * @param cacheBytes size of its L2 cache
     */
    VendorKernels(CudaRuntime runtime, String card, long cacheBytes, Consumer<String> note) {
        this.runtime = runtime;
        this.card = card;
        this.note = note;
        cache = AlgorithmCache.standard(note);
        trials = new Trials(runtime, cacheBytes);
        cublas = new CublasLt(runtime, card, cache, trials, note);
    }

    /** @see org.cortigan.exec.DeviceRuntime#service */
    Service kernel(String name, ByteBuffer args, boolean tf32) {
        if (CublasLt.KERNELS.contains(name)) return cublas.product(name, args, tf32);
        ConvolutionShape.Kind kind = ConvolutionShape.Kind.of(name);
        if (kind == null) return Service.own(libraryWork(name) ? Served.byDesign("grouped") : Served.kernel());
        if (Cudnn.oneDimensional(kind, args)) return Service.own(Served.byDesign("1-D convolution"));
        if (cudnn == null) cudnn = new Cudnn(runtime, card, cache, trials, note);
        return cudnn.convolution(kind, args, tf32);
    }

    /** What computes a kernel's node when the libraries are switched off. */
    static Served absent(String kernel) {
        return libraryWork(kernel) ? Served.byDesign("-D" + CudaLibraries.OWN + "=true") : Served.kernel();
    }

    /** Whether the kernel computes a product or a convolution. */
    private static boolean libraryWork(String kernel) {
        return kernel.contains("conv") || kernel.equals("grouped_matmul") || CublasLt.KERNELS.contains(kernel);
    }

    /**
     * Falls back to CortiGAN's own kernel and tells the user, because the library refuses the problem or its algorithms
     * failed when tried.
     */
    static Service refused(String library, String problem, Set<String> why, Consumer<String> note) {
        String reason = library + " has no deterministic algorithm that runs"
                + (why.isEmpty() ? "" : " (" + String.join("; ", why) + ")");
        note.accept(reason + " for " + problem + ": CortiGAN's own kernel computes it");
        return Service.own(Served.refused(reason));
    }

    void prepared() {
        trials.release();
    }

    @Override
    public void close() {
        if (cudnn != null) cudnn.close();
        cublas.close();
        trials.close();
        cache.close();
    }
}
