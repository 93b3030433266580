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
import org.cortigan.mem.Memory;
import org.cortigan.op.Binary;

/**
 * 2-D convolutions and their gradients (kernels/conv2d) by cuDNN 9, through its functions of fixed shape: deprecated
 * since 9.0, yet documented and exported by every 9.x for CUDA 13, forward compatible to later cards, and in need of no
 * compiler at run time, as the graph interface's fused engines are.
 *
 * <p>Activations lie as NHWC, so the weight must be [O, KH, KW, C]: it is reordered in scratch, and dW back, by
 * swap_leading. Types, as these functions have them:
 *
 * <ul>
 *   <li>f32: FMA_MATH, because the default math type may use TF32 from architecture 8.0 on; tf32: TENSOR_OP_MATH.
 *   <li>bf16 x, weight and y with f32 sums (cuDNN's PSEUDO_BFLOAT16_CONFIG).
 *   <li>dW: they give it in the type of x, so that bf16 would round it. x and dY are converted to f32 in scratch
 *       instead and multiplied as TF32, whose 11 bits hold those 8 exactly: the sums and dW are f32.
 * </ul>
 *
 * <p>The bias is cuDNN's (identity activation, IMPLICIT_PRECOMP_GEMM alone; beside bf16 it is rounded to bf16, which is
 * off by at most 2^-9 of it) or the kernel {@code binary}'s, whichever is faster. cuDNN's alpha lies on the host, so
 * scale = 1/sigma is multiplied into y by that kernel, before the bias; the models' 2-D convolutions have none.
 *
 * <p>Only algorithms that the library calls deterministic and that add products directly: FFT and Winograd have other
 * errors. The candidates of its heuristic are timed once for each problem and the fastest is kept
 * ({@link AlgorithmCache}: algorithm, math type, whether the bias is cuDNN's). Convolutions over vertices (H = 1) and
 * grouped ones stay the project's own: few channels, bound by memory, with 1/sigma in the same pass.
 *
 * <p>Not measured on a GPU yet.
 */
final class Cudnn implements AutoCloseable {
    /** What the bindings name; libcudnn.so.9 itself is a shim over these. */
    static final String[] LIBRARIES = {
        "libcudnn_graph.so.9", "libcudnn_ops.so.9", "libcudnn_cnn.so.9", "libcudnn_adv.so.9"
    };

    private static final long WORKSPACE = 256 << 20;
    private static final int CANDIDATES = 16, WORDS = 9;
    private static final int FIRST = 8, SECOND = 16, BIAS = 24, SCALE = 32; // members of the arguments, in bytes

    /** Which of the three; where its result, its scratch and its shape stand in the arguments. */
    enum Kind {
        FORWARD("conv2d", 40, 48, 56),
        BY_X("conv2d_grad_x", 24, 32, 40),
        BY_W("conv2d_grad_w", 24, 32, 40);

        private final String kernel;
        private final int result, scratch, shape;

        Kind(String kernel, int result, int scratch, int shape) {
            this.kernel = kernel;
            this.result = result;
            this.scratch = scratch;
            this.shape = shape;
        }

        /** Null for other kernels. */
        static Kind of(String kernel) {
            for (Kind k : values()) if (k.kernel.equals(kernel)) return k;
            return null;
        }

        /** B, H, W, C, O, KH, KW, sh, sw, ph, pw, type. */
        private int at(ByteBuffer args, int i) {
            return Math.toIntExact(args.getLong(shape + 8 * i));
        }
    }

    private final CudaRuntime r;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final Trials trials;
    /** Problems whose algorithm of the cache has run in this process. */
    private final Set<String> proven = new HashSet<>();

    private final cudnnContext handle = new cudnnContext();
    private final FloatPointer one = new FloatPointer(1f);
    private final FloatPointer zero = new FloatPointer(0f);

    /** @param card its name */
    Cudnn(CudaRuntime r, String card, AlgorithmCache cache, Trials trials, Consumer<String> note) {
        this.r = r;
        this.card = card;
        this.cache = cache;
        this.trials = trials;
        this.note = note;
        r.use();
        try {
            CudaLibraries.preload(LIBRARIES);
            check(cudnnCreate(handle), "cudnnCreate");
        } catch (LinkageError e) {
            throw CudaLibraries.noCudnn(e);
        }
        try {
            check(cudnnSetStream(handle, r.cudaStream()), "cudnnSetStream");
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
        return kind.at(args, 1) == 1 && kind.at(args, 5) == 1;
    }

    /**
     * An algorithm of the cache is run once, one that is measured several times, both before the session relies on it.
     *
     * @param tf32 whether f32 products may be computed in TF32
     * @return the project's own kernel where the library has no such convolution, which is said
     */
    DeviceRuntime.Service convolution(Kind kind, ByteBuffer args, boolean tf32) {
        r.use();
        Convolution c = new Convolution(kind, args, tf32);
        try {
            String key = card + ", cuDNN " + cudnnGetVersion() + ": " + c.problem;
            AlgorithmCache.Entry e = cache.get(key);
            boolean taken = e != null && c.use(e) && (proven.contains(key) || c.runs(args));
            if (!taken) {
                Trials.Timed t = c.fastest(args);
                taken = t != null && c.use(t.entry());
                if (taken && t.measured()) cache.put(key, t.entry());
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

    /**
     * A convolution of fixed shapes. Scratch: the weight reordered, the bias or x and dY converted, the library's own.
     */
    private final class Convolution implements DeviceRuntime.LibraryKernel {
        private final Kind kind;
        private final boolean in16, exact, bias, scale, converts, reorders;
        private final int channels, outputs, taps;
        private final long inputElements, outputElements, weightBytes, convertedBytes;
        private final cudnnTensorStruct x = new cudnnTensorStruct(),
                y = new cudnnTensorStruct(),
                vector = new cudnnTensorStruct();
        private final cudnnFilterStruct w = new cudnnFilterStruct();
        private final cudnnConvolutionStruct operation = new cudnnConvolutionStruct();
        private final cudnnActivationStruct identity = new cudnnActivationStruct();
        private final Memory own = Memory.allocate(5 * WORDS * 8L);
        private final String problem;
        private final Set<String> refusals = new LinkedHashSet<>(), failures = new LinkedHashSet<>();
        private int algorithm, mathType;
        private boolean fused;
        private long workspace;

        Convolution(Kind kind, ByteBuffer args, boolean tf32) {
            this.kind = kind;
            int[] s = new int[12];
            for (int i = 0; i < 12; i++) s[i] = kind.at(args, i);
            int oh = (s[1] + 2 * s[9] - s[5]) / s[7] + 1, ow = (s[2] + 2 * s[10] - s[6]) / s[8] + 1;
            channels = s[3];
            outputs = s[4];
            taps = s[5] * s[6];
            in16 = s[11] == DType.BF16.variant();
            exact = !in16 && !tf32;
            bias = kind == Kind.FORWARD && args.getLong(BIAS) != 0;
            scale = kind == Kind.FORWARD && args.getLong(SCALE) != 0;
            converts = in16 && kind == Kind.BY_W;
            reorders = channels > 1 && taps > 1;
            inputElements = (long) s[0] * s[1] * s[2] * channels;
            outputElements = (long) s[0] * oh * ow * outputs;
            weightBytes = reorders ? align((in16 && !converts ? 2L : 4L) * outputs * channels * taps) : 0;
            convertedBytes = converts
                    ? align(4 * inputElements) + align(4 * outputElements)
                    : in16 && bias ? align(2L * outputs) : 0;
            problem = String.format(
                    "%s of %d x %d x %d x %d by %d x %d x %d, strides %d %d, padding %d %d%s%s, %s",
                    kind.kernel,
                    s[0],
                    s[1],
                    s[2],
                    s[3],
                    s[4],
                    s[5],
                    s[6],
                    s[7],
                    s[8],
                    s[9],
                    s[10],
                    bias ? ", bias" : "",
                    scale ? ", scale" : "",
                    in16 ? "bf16" : tf32 ? "tf32" : "f32");
            int t = in16 && !converts ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
            try {
                tensor(x, t, s[0], channels, s[1], s[2]);
                tensor(y, t, s[0], outputs, oh, ow);
                tensor(vector, t, 1, outputs, 1, 1);
                check(cudnnCreateFilterDescriptor(w), "cudnnCreateFilterDescriptor");
                check(
                        cudnnSetFilter4dDescriptor(w, t, CUDNN_TENSOR_NHWC, outputs, channels, s[5], s[6]),
                        "cudnnSetFilter4dDescriptor");
                check(cudnnCreateConvolutionDescriptor(operation), "cudnnCreateConvolutionDescriptor");
                check(
                        cudnnSetConvolution2dDescriptor(
                                operation, s[9], s[10], s[7], s[8], 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                        "cudnnSetConvolution2dDescriptor");
                check(cudnnCreateActivationDescriptor(identity), "cudnnCreateActivationDescriptor");
                check(
                        cudnnSetActivationDescriptor(identity, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0),
                        "cudnnSetActivationDescriptor");
                math(exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH);
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

        /** Takes an algorithm if the library agrees. */
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
        Trials.Timed fastest(ByteBuffer args) {
            long most = 0;
            List<AlgorithmCache.Entry> found = new ArrayList<>();
            for (AlgorithmCache.Entry e : candidates())
                if (use(e)) {
                    found.add(e);
                    most = Math.max(most, scratchBytes());
                }
            if (found.isEmpty()) return null;
            try {
                ByteBuffer at = trial(args, most);
                Trials.Timed t = trials.fastest(found, this::use, () -> run(at), Cudnn::name, failures);
                // The heuristic offers some that do not fit: with one that does, nothing has failed.
                failures.removeIf(f -> f.startsWith("CUDNN_STATUS_NOT_SUPPORTED") && (refusals.add(f) || true));
                return t;
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to time convolutions; the library's first choice is taken, not tried: "
                        + e.getMessage());
                return new Trials.Timed(found.get(0), Long.MAX_VALUE);
            }
        }

        /** Whether the algorithm in use does. */
        boolean runs(ByteBuffer args) {
            try {
                ByteBuffer at = trial(args, scratchBytes());
                String failure = trials.failure(() -> run(at), Cudnn::name);
                if (failure != null) failures.add(failure);
                return failure == null;
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to try a convolution's algorithm, which is taken all the same: "
                        + e.getMessage());
                return true;
            }
        }

        /** Arguments with operands for a trial. */
        private ByteBuffer trial(ByteBuffer args, long scratch) {
            boolean byW = kind == Kind.BY_W, byX = kind == Kind.BY_X;
            long in = in16 ? 2 : 4, weights = (long) outputs * channels * taps;
            long[] room = trials.room(
                    scratch,
                    in * (byX ? outputElements : inputElements),
                    in * (byW ? outputElements : weights),
                    byW ? 4 * weights : in * (byX ? inputElements : outputElements),
                    4L * outputs);
            ByteBuffer at = ByteBuffer.allocate(args.capacity())
                    .order(args.order())
                    .putLong(FIRST, room[0])
                    .putLong(SECOND, room[1]);
            if (kind == Kind.FORWARD) at.putLong(BIAS, room[3]).putLong(SCALE, room[3]);
            return at.putLong(kind.result, room[2]).putLong(kind.scratch, room[4]);
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

        /** As {@link Served#form}. */
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
            long first = args.getLong(FIRST), second = args.getLong(SECOND), result = args.getLong(kind.result);
            long weight = args.getLong(kind.scratch), converted = weight + weightBytes;
            Pointer space = at(converted + convertedBytes);
            DType type = in16 ? DType.BF16 : DType.F32;
            if (kind == Kind.BY_W) {
                if (converts) {
                    cast(1, first, converted, inputElements, DType.BF16, DType.F32);
                    first = converted;
                    converted += align(4 * inputElements);
                    cast(2, second, converted, outputElements, DType.BF16, DType.F32);
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
                if (status == CUDNN_STATUS_SUCCESS && reorders) swap(weight, result, taps, channels, DType.F32);
                return status;
            }
            if (reorders) swap(second, weight, channels, taps, type);
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
            long b = args.getLong(BIAS);
            if (fused) {
                if (in16) {
                    cast(1, b, converted, outputs, DType.F32, DType.BF16);
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
            if (scale) binary(3, result, args.getLong(SCALE), 1, Binary.Kind.MUL, type);
            if (bias) binary(4, result, b, outputs, Binary.Kind.ADD, type);
            return status;
        }

        /** Launches a kernel of the project's; its arguments stay as they are in a place of their own. */
        private void own(int place, String kernel, DType type, long... words) {
            own.view(WORDS * 8L * place, 8L * words.length).asLongBuffer().put(words);
            r.launch(kernel, type, own.address() + WORDS * 8L * place);
        }

        /** [outputs, a, b] to [outputs, b, a]. */
        private void swap(long from, long to, long a, long b, DType type) {
            own(0, "swap_leading", type, from, to, a, b, 1, outputs);
        }

        private void cast(int place, long from, long to, long n, DType a, DType b) {
            own(place, "cast", a, from, to, n, b.variant());
        }

        /** y op= the m floats at v, again and again. */
        private void binary(int place, long y, long v, long m, Binary.Kind op, DType type) {
            own(place, "binary", type, y, v, y, outputElements, m, op.ordinal(), DType.F32.variant(), 0, 0);
        }

        @Override
        public void close() {
            for (cudnnTensorStruct d : new cudnnTensorStruct[] {x, y, vector})
                if (!d.isNull()) cudnnDestroyTensorDescriptor(d);
            if (!w.isNull()) cudnnDestroyFilterDescriptor(w);
            if (!operation.isNull()) cudnnDestroyConvolutionDescriptor(operation);
            if (!identity.isNull()) cudnnDestroyActivationDescriptor(identity);
            own.close();
        }
    }

    @Override
    public void close() {
        cudnnDestroy(handle);
        one.close();
        zero.close();
    }
}
