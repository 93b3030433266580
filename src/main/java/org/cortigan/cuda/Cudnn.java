// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;
import static org.cortigan.cuda.CudaRuntime.align;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.bytedeco.cuda.cudnn.cudnnActivationStruct;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.bytedeco.cuda.cudnn.cudnnConvolutionBwdDataAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnConvolutionBwdFilterAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnConvolutionFwdAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnConvolutionStruct;
import org.bytedeco.cuda.cudnn.cudnnFilterStruct;
import org.bytedeco.cuda.cudnn.cudnnTensorStruct;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Served;
import org.cortigan.graph.DType;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.cortigan.op.Binary;
import org.jspecify.annotations.Nullable;

/**
 * Computes 2-D convolutions and their gradients (kernels/conv2d) with the legacy API of cuDNN 9, one function for each
 * kind of convolution. The API is deprecated since 9.0, yet every 9.x for CUDA 13 documents and exports it. It is
 * forward compatible to later GPUs and, unlike the fused engines of the graph API, needs no compiler at run time.
 *
 * <p>Activations are NHWC, so cuDNN needs the weight as [O, KH, KW, C]: {@code swap_leading} reorders the weight into
 * scratch memory, and dW back. The API's types:
 *
 * <ul>
 *   <li>f32: FMA_MATH, because the default math type may use TF32 from architecture 8.0 on; tf32: TENSOR_OP_MATH.
 *   <li>bf16 x, weight and y with f32 sums (cuDNN's PSEUDO_BFLOAT16_CONFIG).
 *   <li>dW: the API returns it in the type of x, so bf16 would round it. Instead x and dY are converted to f32 in
 *       scratch memory and multiplied as TF32, whose 11 bits hold the 8 bits of bf16 exactly. The sums and dW are f32.
 * </ul>
 *
 * <p>Either cuDNN adds the bias (identity activation, only with IMPLICIT_PRECOMP_GEMM; in bf16 the bias is rounded
 * first, with a relative error of at most 2^-8) or the kernel {@code binary} does, whichever is faster. cuDNN reads
 * alpha from host memory, so {@code binary} multiplies y by scale = 1/sigma, before the bias; the models' 2-D
 * convolutions have no scale.
 *
 * <p>Only algorithms that cuDNN calls deterministic and that add products directly are used; FFT and Winograd have
 * other rounding errors. The candidates of cuDNN's heuristic are timed once for each problem, and the fastest is stored
 * ({@link AlgorithmCache}: algorithm, math type, whether cuDNN adds the bias). Convolutions over vertices (H = 1) and
 * grouped convolutions use CortiGAN's own kernels: they have few channels, are bound by memory, and apply 1/sigma in
 * the same pass.
 */
@SuppressWarnings("deprecation") // the legacy API, for the reason above
final class Cudnn implements AutoCloseable {
    /** The libraries that the bindings link; libcudnn.so.9 itself is a shim over these. */
    static final String[] LIBRARIES = {
        "libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libcudnn_adv.so.9"
    };

    private static final long WORKSPACE = 256 << 20;
    private static final int CANDIDATES = 16;

    /**
     * The kinds of convolution, each with its kernel and the names of operands and result in the kernel's arguments.
     */
    enum Kind {
        FORWARD("conv2d", "x", "w", "y"),
        BY_X("conv2d_grad_x", "dY", "w", "dX"),
        BY_W("conv2d_grad_w", "x", "dY", "dW");
        private final String kernel, first, second, result;

        Kind(String kernel, String first, String second, String result) {
            this.kernel = kernel;
            this.first = first;
            this.second = second;
            this.result = result;
        }

        /** The kind that a kernel computes; null for other kernels. */
        static @Nullable Kind of(String kernel) {
            for (Kind k : values()) if (k.kernel.equals(kernel)) return k;
            return null;
        }
    }

    /** Shapes of x [b, h, w, c] and the weight [o, c, kh, kw], strides and padding; in16: whether both are bf16. */
    private record Shape(
            int b, int h, int w, int c, int o, int kh, int kw, int sh, int sw, int ph, int pw, boolean in16) {
        static Shape of(Kind kind, ByteBuffer args) {
            ArgStruct s = Kernels.args(kind.kernel);
            int[] d = Stream.of("B", "H", "W", "C", "O", "KH", "KW", "sh", "sw", "ph", "pw")
                    .mapToInt(name -> Math.toIntExact(args.getLong(s.offset(name))))
                    .toArray();
            boolean in16 = args.getLong(s.offset("type")) == DType.BF16.variant();
            return new Shape(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10], in16);
        }

        int outputHeight() {
            return (h + 2 * ph - kh) / sh + 1;
        }

        int outputWidth() {
            return (w + 2 * pw - kw) / sw + 1;
        }
    }

    /**
     * Byte offsets of the addresses in a kernel's arguments.
     *
     * @param bias negative, like scale, for gradients, which have neither
     */
    private record Offsets(int first, int second, int result, int bias, int scale, int scratch) {
        static Offsets of(Kind kind) {
            ArgStruct s = Kernels.args(kind.kernel);
            boolean forward = kind == Kind.FORWARD;
            return new Offsets(
                    s.offset(kind.first),
                    s.offset(kind.second),
                    s.offset(kind.result),
                    forward ? s.offset("bias") : -1,
                    forward ? s.offset("scale") : -1,
                    s.offset("scratch"));
        }
    }

    private final CudaRuntime runtime;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final Trials trials;
    /** Keys of the problems whose cached algorithm has run in this process. */
    private final Set<String> proven = new HashSet<>();

    private final cudnnContext handle = new cudnnContext();
    private final FloatPointer one = new FloatPointer(1f);
    private final FloatPointer zero = new FloatPointer(0f);

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

    private static void check(int status, String call) {
        if (status != CUDNN_STATUS_SUCCESS) throw new IllegalStateException(call + ": " + name(status));
    }

    private static String name(int status) {
        return cudnnGetErrorString(status).getString();
    }

    static boolean oneDimensional(Kind kind, ByteBuffer args) {
        Shape s = Shape.of(kind, args);
        return s.h == 1 && s.kh == 1;
    }

    /**
     * Chooses an algorithm and tries it before the session relies on it: an algorithm from the cache runs once, the
     * candidates of a measurement several times.
     *
     * @param tf32 whether f32 products may be computed in TF32
     * @return CortiGAN's own kernel, with a line to the user, if the library has no algorithm that runs
     */
    DeviceRuntime.Service convolution(Kind kind, ByteBuffer args, boolean tf32) {
        runtime.use();
        Convolution c = new Convolution(kind, args, tf32);
        try {
            String key = card + ", cuDNN " + cudnnGetVersion() + ": " + c.problem;
            AlgorithmCache.Entry e = cache.get(key);
            boolean taken = e != null && c.use(e) && (proven.contains(key) || c.runs(args));
            if (!taken) {
                Trials.Timed t = c.fastest(args);
                taken = t != null && c.use(t.entry());
                if (t != null && taken && t.measured()) cache.put(key, t.entry());
            }
            if (taken && cache.get(key) != null) proven.add(key);
            if (taken && !c.failures.isEmpty())
                note.accept("cuDNN: algorithms that failed when tried are left out of " + c.problem + " ("
                        + String.join("; ", c.failures) + ")");
            if (taken) return new DeviceRuntime.Service(c, Served.library("cuDNN", c.form()));
        } catch (RuntimeException | Error e) {
            c.close();
            throw e;
        }
        c.close();
        c.refusals.addAll(c.failures);
        return VendorKernels.refused("cuDNN", c.problem, c.refusals, note);
    }

    /** The kernel {@code binary}, applied in place, with the offsets of its addresses. */
    private record Update(OwnKernel kernel, int a, int b, int y) {
        void launch(long tensor, long by) {
            kernel.set(a, tensor).set(b, by).set(y, tensor).launch();
        }
    }

    /**
     * A convolution of fixed shapes. Scratch memory holds the reordered weight, then the converted bias or x and dY,
     * then the library's workspace.
     */
    private final class Convolution implements DeviceRuntime.LibraryKernel {
        private final Kind kind;
        private final Offsets offsets;
        private final boolean in16, exact, bias, scale, converts, reorders;
        private final int channels, outputs, taps;
        private final long inputElements, outputElements, weightBytes, convertedBytes;
        private final cudnnTensorStruct x = new cudnnTensorStruct(),
                y = new cudnnTensorStruct(),
                vector = new cudnnTensorStruct();
        private final cudnnFilterStruct w = new cudnnFilterStruct();
        private final cudnnConvolutionStruct operation = new cudnnConvolutionStruct();
        private final cudnnActivationStruct identity = new cudnnActivationStruct();
        /** Kernels that are launched around the library call; null if the convolution does not need them. */
        private OwnKernel.@Nullable Copy reorder, castFirst, castSecond, castBias;

        private @Nullable Update multiply, add;
        private final List<OwnKernel> own = new ArrayList<>();
        private final String problem;
        private final Set<String> refusals = new LinkedHashSet<>(), failures = new LinkedHashSet<>();
        private int algorithm, mathType;
        private boolean fused;
        private long workspace;

        Convolution(Kind kind, ByteBuffer args, boolean tf32) {
            this.kind = kind;
            offsets = Offsets.of(kind);
            Shape s = Shape.of(kind, args);
            int oh = s.outputHeight(), ow = s.outputWidth();
            channels = s.c;
            outputs = s.o;
            taps = s.kh * s.kw;
            in16 = s.in16;
            exact = !in16 && !tf32;
            bias = kind == Kind.FORWARD && args.getLong(offsets.bias) != 0;
            scale = kind == Kind.FORWARD && args.getLong(offsets.scale) != 0;
            converts = in16 && kind == Kind.BY_W;
            reorders = channels > 1 && taps > 1;
            inputElements = (long) s.b * s.h * s.w * channels;
            outputElements = (long) s.b * oh * ow * outputs;
            weightBytes = reorders ? align((in16 && !converts ? 2L : 4L) * outputs * channels * taps) : 0;
            convertedBytes = converts
                    ? align(4 * inputElements) + align(4 * outputElements)
                    : in16 && bias ? align(2L * outputs) : 0;
            problem = String.format(
                    "%s of %d x %d x %d x %d by %d x %d x %d, strides %d %d, padding %d %d%s%s, %s",
                    kind.kernel,
                    s.b,
                    s.h,
                    s.w,
                    s.c,
                    s.o,
                    s.kh,
                    s.kw,
                    s.sh,
                    s.sw,
                    s.ph,
                    s.pw,
                    bias ? ", bias" : "",
                    scale ? ", scale" : "",
                    in16 ? "bf16" : tf32 ? "tf32" : "f32");
            int t = in16 && !converts ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
            try {
                tensor(x, t, s.b, channels, s.h, s.w);
                tensor(y, t, s.b, outputs, oh, ow);
                tensor(vector, t, 1, outputs, 1, 1);
                check(cudnnCreateFilterDescriptor(w), "cudnnCreateFilterDescriptor");
                check(
                        cudnnSetFilter4dDescriptor(w, t, CUDNN_TENSOR_NHWC, outputs, channels, s.kh, s.kw),
                        "cudnnSetFilter4dDescriptor");
                check(cudnnCreateConvolutionDescriptor(operation), "cudnnCreateConvolutionDescriptor");
                check(
                        cudnnSetConvolution2dDescriptor(
                                operation, s.ph, s.pw, s.sh, s.sw, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                        "cudnnSetConvolution2dDescriptor");
                check(cudnnCreateActivationDescriptor(identity), "cudnnCreateActivationDescriptor");
                check(
                        cudnnSetActivationDescriptor(identity, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0),
                        "cudnnSetActivationDescriptor");
                math(exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH);
                makeOwnKernels();
            } catch (RuntimeException | Error e) {
                close();
                throw e;
            }
        }

        private static void tensor(cudnnTensorStruct d, int type, int b, int c, int h, int w) {
            check(cudnnCreateTensorDescriptor(d), "cudnnCreateTensorDescriptor");
            check(cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, type, b, c, h, w), "cudnnSetTensor4dDescriptor");
        }

        private void math(int type) {
            check(cudnnSetConvolutionMathType(operation, type), "cudnnSetConvolutionMathType");
        }

        private boolean direct(int a) {
            return switch (kind) {
                case FORWARD ->
                    a == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM
                            || a == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM
                            || a == CUDNN_CONVOLUTION_FWD_ALGO_GEMM
                            || a == CUDNN_CONVOLUTION_FWD_ALGO_DIRECT;
                case BY_X -> a == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
                case BY_W -> a == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
            };
        }

        /** Selects an algorithm; false if the library does not accept it. */
        boolean use(AlgorithmCache.Entry e) {
            int a = (int) e.words()[0], type = (int) e.words()[1];
            fused = e.words()[2] != 0;
            if (!direct(a) || exact && type != CUDNN_FMA_MATH || fused && !mayFuse(a)) return false;
            algorithm = a;
            math(mathType = type);
            try (SizeTPointer bytes = new SizeTPointer(1)) {
                int status = switch (kind) {
                    case FORWARD -> cudnnGetConvolutionForwardWorkspaceSize(handle, x, w, operation, y, a, bytes);
                    case BY_X -> cudnnGetConvolutionBackwardDataWorkspaceSize(handle, w, y, operation, x, a, bytes);
                    case BY_W -> cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, x, y, operation, w, a, bytes);
                };
                workspace = align(bytes.get());
                if (status != CUDNN_STATUS_SUCCESS) refusals.add(name(status));
                return status == CUDNN_STATUS_SUCCESS && workspace <= WORKSPACE;
            }
        }

        private boolean mayFuse(int a) {
            return bias && !scale && a == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
        }

        /** Times the candidates; null if none runs. */
        Trials.@Nullable Timed fastest(ByteBuffer args) {
            long scratch = 0;
            List<AlgorithmCache.Entry> found = new ArrayList<>();
            for (AlgorithmCache.Entry e : candidates())
                if (use(e)) {
                    found.add(e);
                    scratch = Math.max(scratch, scratchBytes());
                }
            if (found.isEmpty()) return null;
            try {
                ByteBuffer at = trial(args, scratch);
                Trials.Timed t = trials.fastest(found, this::use, () -> run(at), Cudnn::name, failures);
                // The heuristic also offers unsupported algorithms, which count as refused and not as failed.
                List<String> unsupported = failures.stream()
                        .filter(f -> f.startsWith("CUDNN_STATUS_NOT_SUPPORTED"))
                        .toList();
                refusals.addAll(unsupported);
                unsupported.forEach(failures::remove);
                return t;
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to time convolutions; using the library's first choice untested: "
                        + e.getMessage());
                return new Trials.Timed(found.get(0), Long.MAX_VALUE);
            }
        }

        /** Whether the selected algorithm runs. */
        boolean runs(ByteBuffer args) {
            try {
                ByteBuffer at = trial(args, scratchBytes());
                String failure = trials.failure(() -> run(at), Cudnn::name);
                if (failure != null) failures.add(failure);
                return failure == null;
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to try a convolution's algorithm; using it untested: "
                        + e.getMessage());
                return true;
            }
        }

        /** Arguments that hold the addresses of a trial's operands. */
        private ByteBuffer trial(ByteBuffer args, long scratch) {
            boolean byW = kind == Kind.BY_W, byX = kind == Kind.BY_X;
            long in = in16 ? 2 : 4, weights = (long) outputs * channels * taps;
            long[] addresses = trials.memory(
                    scratch,
                    in * (byX ? outputElements : inputElements),
                    in * (byW ? outputElements : weights),
                    byW ? 4 * weights : in * (byX ? inputElements : outputElements),
                    4L * outputs);
            ByteBuffer at = ByteBuffer.allocate(args.capacity())
                    .order(args.order())
                    .putLong(offsets.first, addresses[0])
                    .putLong(offsets.second, addresses[1]);
            if (kind == Kind.FORWARD) at.putLong(offsets.bias, addresses[3]).putLong(offsets.scale, addresses[3]);
            return at.putLong(offsets.result, addresses[2]).putLong(offsets.scratch, addresses[4]);
        }

        private List<AlgorithmCache.Entry> candidates() {
            List<AlgorithmCache.Entry> found = new ArrayList<>();
            int[] n = new int[1];
            // the three kinds of result are the same struct
            try (cudnnConvolutionFwdAlgoPerf_t results = new cudnnConvolutionFwdAlgoPerf_t(CANDIDATES)) {
                int status = switch (kind) {
                    case FORWARD ->
                        cudnnGetConvolutionForwardAlgorithm_v7(handle, x, w, operation, y, CANDIDATES, n, results);
                    case BY_X ->
                        cudnnGetConvolutionBackwardDataAlgorithm_v7(
                                handle,
                                w,
                                y,
                                operation,
                                x,
                                CANDIDATES,
                                n,
                                new cudnnConvolutionBwdDataAlgoPerf_t(results));
                    case BY_W ->
                        cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                                handle,
                                x,
                                y,
                                operation,
                                w,
                                CANDIDATES,
                                n,
                                new cudnnConvolutionBwdFilterAlgoPerf_t(results));
                };
                if (status != CUDNN_STATUS_SUCCESS) {
                    refusals.add(name(status));
                    return found;
                }
                for (int i = 0; i < n[0]; i++) {
                    cudnnConvolutionFwdAlgoPerf_t h = results.getPointer(i);
                    if (h.status() != CUDNN_STATUS_SUCCESS
                            || h.determinism() != CUDNN_DETERMINISTIC
                            || !direct(h.algo())) continue;
                    int math = exact ? CUDNN_FMA_MATH : h.mathType();
                    if (mayFuse(h.algo())) add(found, h.algo(), math, 1, h.memory());
                    add(found, h.algo(), math, 0, h.memory());
                }
            }
            return found;
        }

        private static void add(List<AlgorithmCache.Entry> found, int algorithm, int math, int fused, long bytes) {
            long[] words = {algorithm, math, fused, 0, 0, 0, 0, 0};
            for (AlgorithmCache.Entry e : found) if (Arrays.equals(e.words(), words)) return;
            found.add(new AlgorithmCache.Entry(words, bytes, 0));
        }

        /** Text for {@link Served#form}. */
        String form() {
            return "algorithm " + algorithm + ", math type " + mathType + ", workspace " + workspace + " bytes"
                    + (fused ? ", fused bias" : "") + (reorders ? ", weight reordered" : "")
                    + (converts ? ", x and dY in f32" : "");
        }

        @Override
        public long scratchBytes() {
            return weightBytes + convertedBytes + workspace;
        }

        @Override
        public void launch(ByteBuffer args) {
            check(run(args), kind.kernel);
        }

        private int run(ByteBuffer args) {
            long first = args.getLong(offsets.first), second = args.getLong(offsets.second);
            long result = args.getLong(offsets.result);
            long weight = args.getLong(offsets.scratch), converted = weight + weightBytes;
            Pointer space = at(converted + convertedBytes);
            if (kind == Kind.BY_W) {
                if (castFirst != null && castSecond != null) {
                    castFirst.launch(first, converted);
                    first = converted;
                    converted += align(4 * inputElements);
                    castSecond.launch(second, converted);
                    second = converted;
                }
                int status = cudnnConvolutionBackwardFilter(
                        handle,
                        one,
                        x,
                        at(first),
                        y,
                        at(second),
                        operation,
                        algorithm,
                        space,
                        workspace,
                        zero,
                        w,
                        at(reorders ? weight : result));
                if (status == CUDNN_STATUS_SUCCESS && reorder != null) reorder.launch(weight, result);
                return status;
            }
            if (reorder != null) reorder.launch(second, weight);
            else weight = second;
            if (kind == Kind.BY_X)
                return cudnnConvolutionBackwardData(
                        handle,
                        one,
                        w,
                        at(weight),
                        y,
                        at(first),
                        operation,
                        algorithm,
                        space,
                        workspace,
                        zero,
                        x,
                        at(result));
            long b = args.getLong(offsets.bias);
            if (fused) {
                if (castBias != null) {
                    castBias.launch(b, converted);
                    b = converted;
                }
                return cudnnConvolutionBiasActivationForward(
                        handle,
                        one,
                        x,
                        at(first),
                        w,
                        at(weight),
                        operation,
                        algorithm,
                        space,
                        workspace,
                        zero,
                        y,
                        at(result),
                        vector,
                        at(b),
                        identity,
                        y,
                        at(result));
            }
            int status = cudnnConvolutionForward(
                    handle,
                    one,
                    x,
                    at(first),
                    w,
                    at(weight),
                    operation,
                    algorithm,
                    space,
                    workspace,
                    zero,
                    y,
                    at(result));
            if (status != CUDNN_STATUS_SUCCESS) return status;
            if (multiply != null) multiply.launch(result, args.getLong(offsets.scale));
            if (add != null) add.launch(result, b);
            return status;
        }

        private void makeOwnKernels() {
            DType type = in16 ? DType.BF16 : DType.F32;
            boolean byW = kind == Kind.BY_W;
            if (reorders) reorder = byW ? swap(taps, channels, DType.F32) : swap(channels, taps, type);
            if (converts) {
                castFirst = own(OwnKernel.Copy.cast(runtime, inputElements, DType.BF16, DType.F32));
                castSecond = own(OwnKernel.Copy.cast(runtime, outputElements, DType.BF16, DType.F32));
            }
            if (in16 && bias) castBias = own(OwnKernel.Copy.cast(runtime, outputs, DType.F32, DType.BF16));
            if (scale) multiply = binary(1, Binary.Kind.MUL, type);
            if (bias) add = binary(outputs, Binary.Kind.ADD, type);
        }

        /** A transposition of [outputs, a, b] to [outputs, b, a]. */
        private OwnKernel.Copy swap(long a, long b, DType type) {
            OwnKernel k = new OwnKernel(
                    runtime,
                    "swap_leading",
                    type,
                    w -> w.input("x", 0)
                            .output("y", 0)
                            .i64("A", a)
                            .i64("B", b)
                            .i64("C", 1)
                            .i64("N", outputs));
            return own(new OwnKernel.Copy(k, k.offset("x"), k.offset("y")));
        }

        private OwnKernel.Copy own(OwnKernel.Copy c) {
            own.add(c.kernel());
            return c;
        }

        /** y op= m floats, which are repeated along y. */
        private Update binary(long m, Binary.Kind op, DType type) {
            OwnKernel k = new OwnKernel(
                    runtime,
                    "binary",
                    type,
                    w -> w.input("a", 0)
                            .input("b", 0)
                            .output("y", 0)
                            .i64("n", outputElements)
                            .i64("m", m)
                            .choice("op", op)
                            .choice("type_b", DType.F32.name())
                            .f64("alpha", 0)
                            .f64("beta", 0));
            own.add(k);
            return new Update(k, k.offset("a"), k.offset("b"), k.offset("y"));
        }

        @Override
        public void close() {
            for (cudnnTensorStruct d : new cudnnTensorStruct[] {x, y, vector})
                if (!d.isNull()) cudnnDestroyTensorDescriptor(d);
            if (!w.isNull()) cudnnDestroyFilterDescriptor(w);
            if (!operation.isNull()) cudnnDestroyConvolutionDescriptor(operation);
            if (!identity.isNull()) cudnnDestroyActivationDescriptor(identity);
            own.forEach(OwnKernel::close);
        }
    }

    @Override
    public void close() {
        cudnnDestroy(handle);
        one.close();
        zero.close();
    }
}
