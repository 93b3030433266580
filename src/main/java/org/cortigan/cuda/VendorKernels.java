package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.function.Consumer;
import org.cortigan.exec.DeviceRuntime;

/** NVIDIA's libraries in place of the project's own kernels: cuBLASLt at once, cuDNN from the first 2-D convolution on. */
final class VendorKernels implements AutoCloseable {
    private final CudaRuntime r;
    private final String product;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final CublasLt cublas;
    private Cudnn cudnn;

    /** @param product the card's name */
    VendorKernels(CudaRuntime r, String product, Consumer<String> note) {
        this.r = r;
        this.product = product;
        this.note = note;
        cache = new AlgorithmCache(AlgorithmCache.standard(), note);
        cublas = new CublasLt(r, product, cache, note);
    }

    /** @return null where the project's own kernel serves; @see DeviceRuntime#library */
    DeviceRuntime.LibraryKernel kernel(String name, ByteBuffer args, boolean tf32) {
        if (name.equals("matmul")) return cublas.matmul(args, tf32);
        Cudnn.Kind kind = Cudnn.Kind.of(name);
        if (kind == null || Cudnn.oneDimensional(kind, args)) return null;
        if (cudnn == null) cudnn = new Cudnn(r, product, cache, note);
        return cudnn.convolution(kind, args, tf32);
    }

    @Override
    public void close() {
        if (cudnn != null) cudnn.close();
        cublas.close();
    }
}
