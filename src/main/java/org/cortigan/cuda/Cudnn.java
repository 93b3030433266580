// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;

import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Set;
import java.util.function.Consumer;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.bytedeco.javacpp.FloatPointer;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Served;

/**
 * Computes 2-D convolutions and their gradients (kernels/conv2d) with cuDNN 9. Two of its APIs offer algorithms: the
 * graph API ({@link CudnnGraph}) has the kernels for recent GPUs; the legacy API, one function for each kind of
 * convolution, is deprecated since 9.0 but in every 9.x for CUDA 13, and serves problems that the graph API refuses.
 *
 * <p>Activations are NHWC, so cuDNN needs the weight as [O, KH, KW, C]: {@code swap_leading} reorders the weight into
 * scratch memory, and dW back. The types:
 *
 * <ul>
 *   <li>f32: without tensor cores (FMA_MATH), which may use TF32 from architecture 8.0 on; tf32: with them.
 *   <li>bf16 x, weight and y with f32 sums (cuDNN's PSEUDO_BFLOAT16_CONFIG).
 *   <li>dW in f32. The legacy API returns it in the type of x, so bf16 would round it. For that API x and dY are
 *       converted to f32 in scratch memory and multiplied as TF32, whose 11 bits hold the 8 bits of bf16 exactly.
 * </ul>
 *
 * <p>Either cuDNN adds the bias or the kernel {@code binary} does, whichever is faster. The legacy API adds it with an
 * identity activation, only in IMPLICIT_PRECOMP_GEMM; in bf16 the bias is rounded first, with a relative error of at
 * most 2^-8. cuDNN reads alpha from host memory, so {@code binary} multiplies y by scale = 1/sigma, before the bias;
 * the models' 2-D convolutions have no scale.
 *
 * <p>Only algorithms that cuDNN calls deterministic and that add products directly are used; FFT and Winograd have
 * other rounding errors. The candidates of cuDNN's heuristics are timed once for each problem, and the fastest is
 * stored ({@link AlgorithmCache}: the plan's text, or algorithm and math type of the legacy API; whether cuDNN adds the
 * bias). Convolutions over vertices (H = 1) and grouped convolutions use CortiGAN's own kernels: they have few
 * channels, are bound by memory, and apply 1/sigma in the same pass.
 */
@SuppressWarnings("deprecation") // the legacy API
final class Cudnn implements AutoCloseable {
    /** The libraries that the bindings link; libcudnn.so.9 itself is a shim over these. */
    static final String[] LIBRARIES = {
        "libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libcudnn_adv.so.9"
    };

    final CudaRuntime runtime;
    private final String card;
    final Consumer<String> note;
    private final AlgorithmCache cache;
    final Trials trials;
    /** Keys of the problems whose cached algorithm has run in this process. */
    private final Set<String> proven = new HashSet<>();

    final cudnnContext handle = new cudnnContext();
    final FloatPointer one = new FloatPointer(1f);
    final FloatPointer zero = new FloatPointer(0f);

    /** @param card the GPU's name */
    Cudnn(CudaRuntime runtime, String card, AlgorithmCache cache, Trials trials, Consumer<String> note) {
        this.runtime = runtime;
        this.card = card;
        this.cache = cache;
        this.trials = trials;
        this.note = note;
        runtime.use();
        try {
            CudaLibraries.preload(LIBRARIES);
            check(cudnnCreate(handle), "cudnnCreate");
        } catch (LinkageError e) {
            throw CudaLibraries.noCudnn(e);
        }
        try {
            check(cudnnSetStream(handle, runtime.cudaStream()), "cudnnSetStream");
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    static void check(int status, String call) {
        if (status != CUDNN_STATUS_SUCCESS) throw new IllegalStateException(call + ": " + CudnnDescriptor.name(status));
    }

    static boolean oneDimensional(ConvolutionShape.Kind kind, ByteBuffer args) {
        ConvolutionShape s = ConvolutionShape.of(kind.kernel, args);
        return s.h() == 1 && s.kh() == 1;
    }

    /**
     * Chooses an algorithm and tries it before the session relies on it: an algorithm from the cache runs once, the
     * candidates of a measurement several times.
     *
     * @param tf32 whether f32 products may be computed in TF32
     * @return CortiGAN's own kernel, with a line to the user, if the library has no algorithm that runs
     */
    DeviceRuntime.Service convolution(ConvolutionShape.Kind kind, ByteBuffer args, boolean tf32) {
        runtime.use();
        CudnnConvolution c = CudnnConvolution.of(this, kind, args, tf32);
        try {
            String key = card + ", cuDNN " + cudnnGetVersion() + ": " + c.problem();
            AlgorithmCache.Entry e = cache.get(key);
            boolean taken = e != null && c.use(e) && (proven.contains(key) || c.runs(args));
            if (!taken) {
                Trials.Timed t = c.fastest(args);
                taken = t != null && c.use(t.entry());
                if (t != null && taken && t.measured()) cache.put(key, t.entry());
            }
            if (taken && cache.get(key) != null) proven.add(key);
            if (taken && !c.failures.isEmpty())
                note.accept("cuDNN: algorithms that failed when tried are left out of " + c.problem() + " ("
                        + String.join("; ", c.failures) + ")");
            c.prepared();
            if (taken) return DeviceRuntime.Service.library(c, Served.library("cuDNN", c.form()));
        } catch (RuntimeException | Error e) {
            c.close();
            throw e;
        }
        c.close();
        c.refusals.addAll(c.failures);
        return VendorKernels.refused("cuDNN", c.problem(), c.refusals, note);
    }

    @Override
    public void close() {
        cudnnDestroy(handle);
        one.close();
        zero.close();
    }
}
