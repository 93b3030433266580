package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.function.Consumer;
import org.cortigan.exec.DeviceRuntime;

/** NVIDIA's libraries in place of the project's own kernels: cuBLASLt at once, cuDNN from the first 2-D convolution on. */
final class VendorKernels implements AutoCloseable {
    private final CudaRuntime r;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final CublasLt cublas;
    private Cudnn cudnn;

    /** @param card its name */
    VendorKernels(CudaRuntime r, String card, Consumer<String> note) {
        this.r = r;
        this.card = card;
        this.note = note;
        cache = new AlgorithmCache(AlgorithmCache.standard(), note);
        cublas = new CublasLt(r, card, cache, note);
    }

    /** @return null where the project's own kernel serves; @see DeviceRuntime#library */
    DeviceRuntime.LibraryKernel kernel(String name, ByteBuffer args, boolean tf32) {
        if (CublasLt.KERNELS.contains(name)) return cublas.product(name, args, tf32);
        Cudnn.Kind kind = Cudnn.Kind.of(name);
        if (kind == null || Cudnn.oneDimensional(kind, args)) return null;
        if (cudnn == null) cudnn = new Cudnn(r, card, cache, note);
        return cudnn.convolution(kind, args, tf32);
    }

    @Override
    public void close() {
        if (cudnn != null) cudnn.close();
        cublas.close();
    }
}
