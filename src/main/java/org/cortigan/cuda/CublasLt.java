// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cublas.*;
import static org.bytedeco.cuda.global.cudart.CUDA_R_16BF;
import static org.bytedeco.cuda.global.cudart.CUDA_R_32F;
import static org.cortigan.cuda.CudaRuntime.align;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.bytedeco.cuda.cublas.cublasLtContext;
import org.bytedeco.cuda.cublas.cublasLtMatmulAlgo_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulDescOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulHeuristicResult_t;
import org.bytedeco.cuda.cublas.cublasLtMatmulPreferenceOpaque_t;
import org.bytedeco.cuda.cublas.cublasLtMatrixLayoutOpaque_t;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerPointer;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Served;
import org.cortigan.graph.DType;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.mem.Memory;

/**
 * Products y = scale op(a) op(b) + bias and gradients of linear layers (kernels/matmul) by cuBLASLt. Row-major y is
 * column-major y^T = op(b)^T op(a)^T, so b goes first and a second, each as it is stored. f32 accumulation; scale =
 * 1/sigma is the alpha, read from the device (pointer mode DEVICE, with a zero of the device's for beta); the bias is
 * the epilogue's. Where the library takes no f32 bias beside a bf16 result, the bias is rounded to bf16 first, which is
 * off by at most 2^-9 of it, half of what rounding the result is. The sums of dY that are a bias's gradient are the
 * epilogue's of the product by dY, or a kernel of their own where that is faster.
 *
 * <p>Only schemes whose sums have a fixed order are asked for. The candidates of the library's heuristic are timed once
 * for each problem, outside any recording, and the fastest is kept in a file ({@link AlgorithmCache}).
 *
 * <p>The library's fast kernels want all rows on 16 bytes, and those of 39,548 vertices in bf16 lie on 8. Such matrices
 * may be copied to rows of a multiple of 16 bytes (39,552 vertices) before the product, and the result from there after
 * it; with and without are timed, copies included. So the padding is nobody else's concern: neither tensors nor losses
 * know of it.
 *
 * <p>GELU stays a kernel of its own: the library's epilogue approximates it by tanh, which is off from the exact GELU
 * that models are trained with by up to 5e-4, more than bf16 rounds.
 *
 * <p>Not measured on a GPU yet.
 */
final class CublasLt implements AutoCloseable {
    static final String[] LIBRARIES = {"libcublasLt.so.13", "libcublas.so.13"};
    private static final long WORKSPACE = 32 << 20;
    private static final int CANDIDATES = 8;
    /** Kernels whose place it takes. */
    static final Set<String> KERNELS = Set.of("matmul", "linear_grad");

    /**
     * Forms of a product ({@link AlgorithmCache.Entry#form}): the bias is rounded to bf16; rows off 16 bytes are
     * padded; sums are taken by a kernel of their own.
     */
    private static final int BF16_BIAS = 1, PADDED = 2, SUMS_APART = 4;
    // Members of MatmulArgs, in bytes.
    private static final int A = 8,
            B = 16,
            BIAS = 24,
            SCALE = 32,
            Y = 40,
            SCRATCH = 48,
            M = 56,
            N = 64,
            K = 72,
            TRANS_A = 80,
            TRANS_B = 88,
            TYPE_A = 96,
            TYPE_Y = 112;

    private final CudaRuntime r;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final cublasLtContext handle = new cublasLtContext();
    private final FloatPointer one = new FloatPointer(1f);
    private final FloatPointer zero = new FloatPointer(0f);
    private final Memory deviceZero;
    private final Trials trials;
    private final Set<Integer> invalid = new HashSet<>();
    /** Problems whose algorithm of the cache has run in this process. */
    private final Set<String> proven = new HashSet<>();
    /** Of the product under way: why forms were refused, and how algorithms failed. */
    private final Set<String> refusals = new LinkedHashSet<>(), failures = new LinkedHashSet<>();

    /** @param card its name */
    CublasLt(CudaRuntime r, String card, AlgorithmCache cache, Trials trials, Consumer<String> note) {
        this.r = r;
        this.card = card;
        this.cache = cache;
        this.trials = trials;
        this.note = note;
        try {
            CudaLibraries.preload(LIBRARIES);
            check(cublasLtCreate(handle), "cublasLtCreate");
        } catch (UnsatisfiedLinkError | ExceptionInInitializerError e) {
            throw CudaLibraries.missing("cuBLAS", e);
        }
        try {
            deviceZero = r.allocate(4);
        } catch (RuntimeException | Error e) {
            cublasLtDestroy(handle);
            throw e;
        }
    }

    private static void check(int status, String call) {
        if (status != CUBLAS_STATUS_SUCCESS)
            throw new IllegalStateException(
                    call + ": " + cublasLtGetStatusName(status).getString() + ": "
                            + cublasLtGetStatusString(status).getString());
    }

    private static String name(int status) {
        return cublasLtGetStatusName(status).getString();
    }

    /**
     * An algorithm of the cache is run once, one that is measured several times, both before the session relies on it.
     *
     * @param tf32 whether f32 products may be computed in TF32
     * @return the project's own kernel where the library has no such product, which is said
     */
    DeviceRuntime.Service product(String kernel, ByteBuffer args, boolean tf32) {
        r.use();
        refusals.clear();
        failures.clear();
        boolean sums = kernel.equals("linear_grad");
        boolean in16 = args.getLong(TYPE_A) == DType.BF16.variant(),
                out16 = args.getLong(TYPE_Y) == DType.BF16.variant();
        String problem = String.format(
                "%d x %d x %d%s%s%s%s, %s to %s%s",
                args.getLong(M),
                args.getLong(N),
                args.getLong(K),
                args.getLong(TRANS_A) != 0 ? ", a transposed" : "",
                args.getLong(TRANS_B) != 0 ? ", b transposed" : "",
                sums ? ", sums" : args.getLong(BIAS) != 0 ? ", bias" : "",
                args.getLong(SCALE) != 0 ? ", scale" : "",
                in16 ? "bf16" : "f32",
                out16 ? "bf16" : "f32",
                tf32 && !in16 ? ", tf32" : "");
        String key = card + ", cuBLASLt " + cublasLtGetVersion() + ": " + problem;
        AlgorithmCache.Entry e = cache.get(key);
        Product p = e == null ? null : product(args, sums, tf32, e, !proven.contains(key));
        if (p == null) {
            Trials.Timed t = measure(args, sums, tf32, problem);
            e = t == null ? null : t.entry();
            p = e == null ? null : product(args, sums, tf32, e, false);
            if (p != null && t.measured()) cache.put(key, e);
        }
        if (p != null && cache.get(key) != null) proven.add(key);
        if (!failures.isEmpty() && p != null)
            note.accept("cuBLASLt: algorithms that failed when tried are left out of the product " + problem + " ("
                    + String.join("; ", failures) + ")");
        if (p != null) return new DeviceRuntime.Service(p, Served.library("cuBLASLt", p.form(e)));
        refusals.addAll(failures);
        return VendorKernels.refused("cuBLASLt", "the product " + problem, refusals, note);
    }

    /**
     * Null if the library no longer agrees, or the algorithm fails.
     *
     * @param tried whether it is to be run
     */
    private Product product(ByteBuffer args, boolean sums, boolean tf32, AlgorithmCache.Entry e, boolean tried) {
        if ((e.form() & ~(BF16_BIAS | PADDED | SUMS_APART)) != 0) return null;
        Product p = new Product(args, sums, tf32, e.form());
        try {
            if (p.use(e) && (!tried || p.runs(args))) return p;
        } catch (RuntimeException | Error x) {
            p.close();
            throw x;
        }
        p.close();
        return null;
    }

    /** The fastest algorithm in the fastest form; null if there is none. */
    private Trials.Timed measure(ByteBuffer args, boolean sums, boolean tf32, String problem) {
        boolean mayRound = !sums && args.getLong(TYPE_Y) == DType.BF16.variant() && args.getLong(BIAS) != 0;
        Trials.Timed best = null;
        for (int form = 0; form <= (BF16_BIAS | PADDED | SUMS_APART); form++) {
            if ((form & BF16_BIAS) != 0
                    && (!mayRound || best != null && (best.entry().form() & BF16_BIAS) == 0)) continue;
            if ((form & SUMS_APART) != 0 && !sums) continue;
            try (Product p = new Product(args, sums, tf32, form)) {
                Trials.Timed t = (form & PADDED) != 0 && !p.pads() ? null : p.fastest(args, problem);
                if (t != null && (best == null || t.nanos() < best.nanos())) best = t;
            }
        }
        return best;
    }

    /** A product of fixed shapes. */
    private final class Product implements DeviceRuntime.LibraryKernel {
        private final cublasLtMatmulDescOpaque_t operation;
        private final cublasLtMatrixLayoutOpaque_t first, second, result;
        private final cublasLtMatmulAlgo_t algorithm = new cublasLtMatmulAlgo_t();
        private final int form;
        private final boolean bias, scale;
        private final Sums sums;
        private final long n;
        private final Memory castArgs;
        private final Padded padA, padB, padY;
        private long workspace;

        /** @param summed whether the bias is not added but takes the sums of a, which is stored transposed */
        Product(ByteBuffer args, boolean summed, boolean tf32, int form) {
            this.form = form;
            boolean in16 = args.getLong(TYPE_A) == DType.BF16.variant(),
                    out16 = args.getLong(TYPE_Y) == DType.BF16.variant();
            long m = args.getLong(M), k = args.getLong(K);
            n = args.getLong(N);
            sums = (form & SUMS_APART) == 0 ? null : new Sums(k, m, in16 ? DType.BF16 : DType.F32);
            bias = args.getLong(BIAS) != 0 && sums == null;
            scale = args.getLong(SCALE) != 0;
            boolean ta = args.getLong(TRANS_A) != 0, tb = args.getLong(TRANS_B) != 0;
            int in = in16 ? CUDA_R_16BF : CUDA_R_32F;
            try (PointerPointer<Pointer> at = new PointerPointer<>(1)) {
                check(
                        cublasLtMatmulDescCreate(
                                at, tf32 && !in16 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                        "cublasLtMatmulDescCreate");
                operation = new cublasLtMatmulDescOpaque_t(at.get(0));
                DType typeIn = in16 ? DType.BF16 : DType.F32, typeOut = out16 ? DType.BF16 : DType.F32;
                padA = ta ? pad(k, m, typeIn) : pad(m, k, typeIn);
                padB = tb ? pad(n, k, typeIn) : pad(k, n, typeIn);
                padY = pad(m, n, typeOut);
                first = tb ? layout(at, in, k, n, padB) : layout(at, in, n, k, padB);
                second = ta ? layout(at, in, m, k, padA) : layout(at, in, k, m, padA);
                result = layout(at, out16 ? CUDA_R_16BF : CUDA_R_32F, n, m, padY);
            }
            set(CUBLASLT_MATMUL_DESC_TRANSA, tb ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(CUBLASLT_MATMUL_DESC_TRANSB, ta ? CUBLAS_OP_T : CUBLAS_OP_N);
            if (scale) set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
            if (bias) {
                set(CUBLASLT_MATMUL_DESC_EPILOGUE, summed ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_BIAS);
                set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (form & BF16_BIAS) != 0 ? CUDA_R_16BF : CUDA_R_32F);
            }
            // The library decides by the address whether it can; the launch brings the real one, which lies on 256
            // bytes as this does.
            if (bias) bias(deviceZero.address());
            castArgs = (form & BF16_BIAS) != 0 ? Memory.allocate(32) : null;
        }

        private Padded pad(long rows, long columns, DType type) {
            return (form & PADDED) == 0 || columns * type.bytes() % 16 == 0 ? null : new Padded(rows, columns, type);
        }

        boolean pads() {
            return padA != null || padB != null || padY != null;
        }

        /** Column-major: {@code rows} is the length of a stored row. */
        private static cublasLtMatrixLayoutOpaque_t layout(
                PointerPointer<Pointer> at, int type, long rows, long columns, Padded pad) {
            check(
                    cublasLtMatrixLayoutCreate(at, type, rows, columns, pad == null ? rows : pad.width),
                    "cublasLtMatrixLayoutCreate");
            return new cublasLtMatrixLayoutOpaque_t(at.get(0));
        }

        private void set(int attribute, int value) {
            try (IntPointer v = new IntPointer(1).put(value)) {
                check(cublasLtMatmulDescSetAttribute(operation, attribute, v, 4), "cublasLtMatmulDescSetAttribute");
            }
        }

        private void bias(long address) {
            try (LongPointer v = new LongPointer(1).put(address)) {
                check(
                        cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, v, 8),
                        "cublasLtMatmulDescSetAttribute");
            }
        }

        /** Takes an algorithm if the library still agrees. */
        boolean use(AlgorithmCache.Entry e) {
            for (int i = 0; i < 8; i++) algorithm.data(i, e.words()[i]);
            try (cublasLtMatmulHeuristicResult_t need = new cublasLtMatmulHeuristicResult_t()) {
                int status = cublasLtMatmulAlgoCheck(handle, operation, first, second, result, result, algorithm, need);
                workspace = align(need.workspaceSize());
                if (status != CUBLAS_STATUS_SUCCESS) refusals.add("cublasLtMatmulAlgoCheck: " + name(status));
                return status == CUBLAS_STATUS_SUCCESS && need.workspaceSize() <= WORKSPACE;
            }
        }

        /** Times the heuristic's candidates, with all that this form adds to them; null if none runs. */
        Trials.Timed fastest(ByteBuffer args, String problem) {
            List<AlgorithmCache.Entry> found = candidates(problem);
            if (found.isEmpty()) return null;
            try {
                ByteBuffer at = trial(args, WORKSPACE);
                return trials.fastest(found, this::use, () -> run(at), CublasLt::name, failures);
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to time products; the library's first choice is taken, not tried: "
                        + e.getMessage());
                return new Trials.Timed(found.get(0), Long.MAX_VALUE);
            }
        }

        /** Whether the algorithm in use does. */
        boolean runs(ByteBuffer args) {
            try {
                ByteBuffer at = trial(args, workspace);
                String failure = trials.failure(() -> run(at), CublasLt::name);
                if (failure != null) failures.add(failure);
                return failure == null;
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to try a product's algorithm, which is taken all the same: "
                        + e.getMessage());
                return true;
            }
        }

        /** Arguments with operands for a trial. */
        private ByteBuffer trial(ByteBuffer args, long workspace) {
            long m = args.getLong(M), k = args.getLong(K), in = args.getLong(TYPE_A) == DType.BF16.variant() ? 2 : 4;
            long out = args.getLong(TYPE_Y) == DType.BF16.variant() ? 2 : 4;
            long[] room = trials.room(workspace + copies(), m * k * in, k * n * in, m * n * out, 4 * Math.max(m, n));
            return ByteBuffer.allocate(args.capacity())
                    .order(args.order())
                    .putLong(A, room[0])
                    .putLong(B, room[1])
                    .putLong(Y, room[2])
                    .putLong(BIAS, room[3])
                    .putLong(SCALE, room[3])
                    .putLong(SCRATCH, room[4]);
        }

        private List<AlgorithmCache.Entry> candidates(String problem) {
            List<AlgorithmCache.Entry> found = new ArrayList<>();
            try (PointerPointer<Pointer> at = new PointerPointer<>(1);
                    LongPointer bytes = new LongPointer(1).put(WORKSPACE);
                    IntPointer schemes = new IntPointer(1).put(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
                    cublasLtMatmulHeuristicResult_t results = new cublasLtMatmulHeuristicResult_t(CANDIDATES)) {
                check(cublasLtMatmulPreferenceCreate(at), "cublasLtMatmulPreferenceCreate");
                cublasLtMatmulPreferenceOpaque_t preference = new cublasLtMatmulPreferenceOpaque_t(at.get(0));
                int[] count = new int[1];
                int status;
                try {
                    check(
                            cublasLtMatmulPreferenceSetAttribute(
                                    preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes, 8),
                            "cublasLtMatmulPreferenceSetAttribute");
                    check(
                            cublasLtMatmulPreferenceSetAttribute(
                                    preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes, 4),
                            "cublasLtMatmulPreferenceSetAttribute");
                    status = cublasLtMatmulAlgoGetHeuristic(
                            handle, operation, first, second, result, result, preference, CANDIDATES, results, count);
                } finally {
                    cublasLtMatmulPreferenceDestroy(preference);
                }
                if (status != CUBLAS_STATUS_SUCCESS) {
                    refusals.add(name(status));
                    // Not "there is none": the library takes the description for a wrong one. It is said once a form.
                    if (status == CUBLAS_STATUS_INVALID_VALUE && invalid.add(form))
                        note.accept("cuBLASLt calls CortiGAN's description of the product " + problem + formText()
                                + " invalid (" + name(status) + "), which is a fault of CortiGAN's; please report it");
                    return found;
                }
                for (int i = 0; i < count[0]; i++) {
                    cublasLtMatmulHeuristicResult_t h = results.getPointer(i);
                    if (h.state() != CUBLAS_STATUS_SUCCESS) continue;
                    long[] words = new long[8];
                    for (int w = 0; w < 8; w++) words[w] = h.algo().data(w);
                    found.add(new AlgorithmCache.Entry(words, h.workspaceSize(), form));
                }
                return found;
            }
        }

        /** Bytes of the copies, which lie in scratch behind the library's workspace. */
        private long copies() {
            long bytes = castArgs == null ? 0 : align(2 * n);
            for (Padded p : new Padded[] {padA, padB, padY}) bytes += p == null ? 0 : p.bytes();
            return bytes + (sums == null ? 0 : sums.bytes());
        }

        private String formText() {
            return ((form & BF16_BIAS) != 0 ? ", bf16 bias" : "")
                    + ((form & PADDED) != 0 ? ", padded" : "")
                    + ((form & SUMS_APART) != 0 ? ", sums apart" : "");
        }

        /** As {@link Served#form}. */
        String form(AlgorithmCache.Entry e) {
            return "algorithm " + e.text() + ", workspace " + workspace + " bytes" + formText();
        }

        @Override
        public long scratchBytes() {
            return workspace + copies();
        }

        @Override
        public void launch(ByteBuffer args) {
            check(run(args), "cublasLtMatmul");
        }

        /** The library's status. */
        private int run(ByteBuffer args) {
            long scratch = args.getLong(SCRATCH), room = scratch + workspace, vector = args.getLong(BIAS);
            if (castArgs != null) {
                castArgs.view(0, 32)
                        .putLong(0, vector)
                        .putLong(8, room)
                        .putLong(16, n)
                        .putLong(24, DType.BF16.variant());
                r.launch("cast", DType.F32, castArgs.address());
                vector = room;
                room += align(2 * n);
            }
            if (bias) bias(vector);
            long a = args.getLong(A), b = args.getLong(B), y = args.getLong(Y);
            if (sums != null) {
                sums.add(a, vector, room);
                room += sums.bytes();
            }
            if (padA != null) {
                padA.copy(a, padA.columns, room, padA.width);
                a = room;
                room += padA.bytes();
            }
            if (padB != null) {
                padB.copy(b, padB.columns, room, padB.width);
                b = room;
                room += padB.bytes();
            }
            long to = padY == null ? y : room;
            int status = cublasLtMatmul(
                    handle,
                    operation,
                    scale ? at(args.getLong(SCALE)) : one,
                    at(b),
                    first,
                    at(a),
                    second,
                    scale ? at(deviceZero.address()) : zero,
                    at(to),
                    result,
                    at(to),
                    result,
                    algorithm,
                    at(scratch),
                    workspace,
                    r.cudaStream());
            if (status == CUBLAS_STATUS_SUCCESS && padY != null) padY.copy(to, padY.width, y, padY.columns);
            return status;
        }

        @Override
        public void close() {
            cublasLtMatrixLayoutDestroy(first);
            cublasLtMatrixLayoutDestroy(second);
            cublasLtMatrixLayoutDestroy(result);
            cublasLtMatmulDescDestroy(operation);
            algorithm.close();
            if (castArgs != null) castArgs.close();
            for (Padded p : new Padded[] {padA, padB, padY}) if (p != null) p.args.close();
            if (sums != null) sums.args.close();
        }
    }

    /** A stored matrix and the width of rows on 16 bytes, to or from which the kernel of assemble copies. */
    private final class Padded {
        private final long rows, columns, width;
        private final DType type;
        private final Memory args = Memory.allocate(8 * (5 + 2 * 4));

        Padded(long rows, long columns, DType type) {
            this.rows = rows;
            this.columns = columns;
            this.type = type;
            int one = 16 / type.bytes();
            width = (columns + one - 1) / one * one;
        }

        long bytes() {
            return align(rows * width * type.bytes());
        }

        void copy(long from, long stride, long to, long toWidth) {
            // AssembleArgs, then its pieces: a row, and zeros behind it
            ByteBuffer w = args.view(0, args.bytes());
            w.putLong(to)
                    .putLong(rows)
                    .putLong(toWidth)
                    .putLong(args.address() + w.position() + 16)
                    .putLong(2);
            w.putLong(from).putLong(0).putLong(stride).putLong(columns);
            w.putLong(0).putLong(0).putLong(0).putLong(toWidth - columns);
            r.launch("assemble", type, args.address());
        }
    }

    /** Sums over the rows of a stored matrix, by the kernel of sum_leading. */
    private final class Sums {
        private final DType type;
        private final Memory args = Memory.allocate(8 * (3 + 5));
        private final long bytes;

        Sums(long rows, long columns, DType type) {
            this.type = type;
            // SumLeadingArgs and its one row
            ByteBuffer w = args.view(0, args.bytes());
            w.putLong(8, args.address() + 24).putLong(16, 1);
            w.putLong(40, rows).putLong(48, columns).putDouble(56, 1);
            bytes = align(Native.kernel_scratch(Kernels.CUDA, Kernels.id("sum_leading"), args.address()));
        }

        long bytes() {
            return bytes;
        }

        void add(long matrix, long to, long scratch) {
            args.view(0, args.bytes()).putLong(0, scratch).putLong(24, matrix).putLong(32, to);
            r.launch("sum_leading", type, args.address());
        }
    }

    @Override
    public void close() {
        deviceZero.close();
        cublasLtDestroy(handle);
        one.close();
        zero.close();
    }
}
