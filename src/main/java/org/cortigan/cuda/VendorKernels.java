// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.Set;
import java.util.function.Consumer;
import org.cortigan.exec.DeviceRuntime.Service;
import org.cortigan.exec.Served;

/**
 * NVIDIA's libraries in place of the project's own kernels: cuBLASLt at once, cuDNN from the first 2-D convolution on.
 */
final class VendorKernels implements AutoCloseable {
    private final CudaRuntime r;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final Trials trials;
    private final CublasLt cublas;
    private Cudnn cudnn;

    /** @param card its name */
    VendorKernels(CudaRuntime r, String card, Consumer<String> note) {
        this.r = r;
        this.card = card;
        this.note = note;
        cache = AlgorithmCache.standard(note);
        trials = new Trials(r);
        cublas = new CublasLt(r, card, cache, trials, note);
    }

    /** @see org.cortigan.exec.DeviceRuntime#service */
    Service kernel(String name, ByteBuffer args, boolean tf32) {
        if (CublasLt.KERNELS.contains(name)) return cublas.product(name, args, tf32);
        Cudnn.Kind kind = Cudnn.Kind.of(name);
        if (kind == null) return Service.own(work(name) ? Served.byDesign("grouped") : Served.kernel());
        if (Cudnn.oneDimensional(kind, args)) return Service.own(Served.byDesign("1-D convolution"));
        if (cudnn == null) cudnn = new Cudnn(r, card, cache, trials, note);
        return cudnn.convolution(kind, args, tf32);
    }

    /** Who computes a kernel's node where the libraries are not wanted. */
    static Served absent(String kernel) {
        return work(kernel) ? Served.byDesign("-D" + CudaLibraries.OWN + "=true") : Served.kernel();
    }

    /** Whether it is a product or a convolution. */
    private static boolean work(String kernel) {
        return kernel.contains("conv") || kernel.equals("grouped_matmul") || CublasLt.KERNELS.contains(kernel);
    }

    /**
     * The project's kernel it is, which the user learns; some of what the library offered failed when tried, or it
     * refuses all.
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
