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
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;

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

    /**
     * A product y = op(a) op(b) as a kernel's arguments describe it.
     *
     * @param sums whether the sums of a, which is stored transposed, go to the vector; otherwise it is an optional bias
     * @param tf32 whether the product may be computed in TF32
     */
    private record Problem(
            long m,
            long n,
            long k,
            boolean transA,
            boolean transB,
            boolean in16,
            boolean out16,
            boolean sums,
            boolean bias,
            boolean scale,
            boolean tf32,
            Places at) {

        static Problem of(String kernel, ByteBuffer args, boolean tf32) {
            ArgStruct s = Kernels.args(kernel);
            Places at = Places.of(kernel, s);
            boolean sums = kernel.equals("linear_grad");
            boolean in16 = bf16(args, s, sums ? "type" : "type_a");
            return new Problem(
                    args.getLong(s.offset("M")),
                    args.getLong(s.offset("N")),
                    args.getLong(s.offset("K")),
                    sums || args.getLong(s.offset("trans_a")) != 0,
                    !sums && args.getLong(s.offset("trans_b")) != 0,
                    in16,
                    !sums && bf16(args, s, "type_y"),
                    sums,
                    !sums && args.getLong(at.vector) != 0,
                    at.scale >= 0 && args.getLong(at.scale) != 0,
                    tf32 && !in16,
                    at);
        }

        private static boolean bf16(ByteBuffer args, ArgStruct s, String type) {
            return args.getLong(s.offset(type)) == DType.BF16.variant();
        }

        DType in() {
            return in16 ? DType.BF16 : DType.F32;
        }

        DType out() {
            return out16 ? DType.BF16 : DType.F32;
        }

        /** For messages and the cache of algorithms. */
        String text() {
            return String.format(
                    "%d x %d x %d%s%s%s%s, %s to %s%s",
                    m,
                    n,
                    k,
                    transA ? ", a transposed" : "",
                    transB ? ", b transposed" : "",
                    sums ? ", sums" : bias ? ", bias" : "",
                    scale ? ", scale" : "",
                    in16 ? "bf16" : "f32",
                    out16 ? "bf16" : "f32",
                    tf32 ? ", tf32" : "");
        }
    }

    /**
     * Where the addresses are in a kernel's arguments, in bytes.
     *
     * @param vector the bias, or where the sums go
     * @param scale negative where the kernel has none
     */
    private record Places(int a, int b, int y, int vector, int scale, int scratch) {
        static Places of(String kernel, ArgStruct s) {
            if (kernel.equals("linear_grad"))
                return new Places(
                        s.offset("dY"), s.offset("x"), s.offset("dW"), s.offset("db"), -1, s.offset("scratch"));
            return new Places(
                    s.offset("a"),
                    s.offset("b"),
                    s.offset("y"),
                    s.offset("bias"),
                    s.offset("scale"),
                    s.offset("scratch"));
        }
    }

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
        Problem problem = Problem.of(kernel, args, tf32);
        String text = problem.text();
        String key = card + ", cuBLASLt " + cublasLtGetVersion() + ": " + text;
        AlgorithmCache.Entry e = cache.get(key);
        Product p = e == null ? null : product(problem, args, e, !proven.contains(key));
        if (p == null) {
            Trials.Timed t = measure(problem, args);
            e = t == null ? null : t.entry();
            p = e == null ? null : product(problem, args, e, false);
            if (p != null && t.measured()) cache.put(key, e);
        }
        if (p != null && cache.get(key) != null) proven.add(key);
        if (!failures.isEmpty() && p != null)
            note.accept("cuBLASLt: algorithms that failed when tried are left out of the product " + text + " ("
                    + String.join("; ", failures) + ")");
        if (p != null) return new DeviceRuntime.Service(p, Served.library("cuBLASLt", p.form(e)));
        refusals.addAll(failures);
        return VendorKernels.refused("cuBLASLt", "the product " + text, refusals, note);
    }

    /**
     * Null if the library no longer agrees, or the algorithm fails.
     *
     * @param tried whether it is to be run
     */
    private Product product(Problem problem, ByteBuffer args, AlgorithmCache.Entry e, boolean tried) {
        if ((e.form() & ~(BF16_BIAS | PADDED | SUMS_APART)) != 0) return null;
        Product p = new Product(problem, e.form());
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
    private Trials.Timed measure(Problem problem, ByteBuffer args) {
        boolean mayRound = problem.bias && problem.out16;
        Trials.Timed best = null;
        for (int form = 0; form <= (BF16_BIAS | PADDED | SUMS_APART); form++) {
            if ((form & BF16_BIAS) != 0
                    && (!mayRound || best != null && (best.entry().form() & BF16_BIAS) == 0)) continue;
            if ((form & SUMS_APART) != 0 && !problem.sums) continue;
            try (Product p = new Product(problem, form)) {
                Trials.Timed t = (form & PADDED) != 0 && !p.pads() ? null : p.fastest(args);
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
        private final Problem problem;
        private final Places places;
        private final int form;
        /** Whether the vector is the epilogue's. */
        private final boolean bias;

        private final Sums sums;
        private final OwnKernel.Copy castBias;
        private final Padded padA, padB, padY;
        private long workspace;

        Product(Problem problem, int form) {
            this.problem = problem;
            this.form = form;
            places = problem.at;
            long m = problem.m, n = problem.n, k = problem.k;
            sums = (form & SUMS_APART) == 0 ? null : new Sums(k, m, problem.in());
            bias = problem.bias || problem.sums && sums == null;
            boolean ta = problem.transA, tb = problem.transB;
            int in = problem.in16 ? CUDA_R_16BF : CUDA_R_32F;
            try (PointerPointer<Pointer> at = new PointerPointer<>(1)) {
                check(
                        cublasLtMatmulDescCreate(
                                at, problem.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                        "cublasLtMatmulDescCreate");
                operation = new cublasLtMatmulDescOpaque_t(at.get(0));
                padA = ta ? pad(k, m, problem.in(), true) : pad(m, k, problem.in(), true);
                padB = tb ? pad(n, k, problem.in(), true) : pad(k, n, problem.in(), true);
                padY = pad(m, n, problem.out(), false);
                first = tb ? layout(at, in, k, n, padB) : layout(at, in, n, k, padB);
                second = ta ? layout(at, in, m, k, padA) : layout(at, in, k, m, padA);
                result = layout(at, problem.out16 ? CUDA_R_16BF : CUDA_R_32F, n, m, padY);
            }
            set(CUBLASLT_MATMUL_DESC_TRANSA, tb ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(CUBLASLT_MATMUL_DESC_TRANSB, ta ? CUBLAS_OP_T : CUBLAS_OP_N);
            if (problem.scale) set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
            if (bias) {
                set(CUBLASLT_MATMUL_DESC_EPILOGUE, problem.sums ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_BIAS);
                set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (form & BF16_BIAS) != 0 ? CUDA_R_16BF : CUDA_R_32F);
            }
            // The library decides by the address whether it can; the launch brings the real one, which lies on 256
            // bytes as this does.
            if (bias) bias(deviceZero.address());
            castBias = (form & BF16_BIAS) == 0 ? null : OwnKernel.Copy.cast(r, n, DType.F32, DType.BF16);
        }

        private Padded pad(long rows, long columns, DType type, boolean in) {
            return (form & PADDED) == 0 || columns * type.bytes() % 16 == 0
                    ? null
                    : new Padded(rows, columns, type, in);
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
        Trials.Timed fastest(ByteBuffer args) {
            List<AlgorithmCache.Entry> found = candidates();
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
            long m = problem.m, n = problem.n, k = problem.k;
            long in = problem.in().bytes(), out = problem.out().bytes();
            long[] room = trials.room(workspace + copies(), m * k * in, k * n * in, m * n * out, 4 * Math.max(m, n));
            ByteBuffer operands = ByteBuffer.allocate(args.capacity())
                    .order(args.order())
                    .putLong(places.a, room[0])
                    .putLong(places.b, room[1])
                    .putLong(places.y, room[2])
                    .putLong(places.vector, room[3])
                    .putLong(places.scratch, room[4]);
            return places.scale < 0 ? operands : operands.putLong(places.scale, room[3]);
        }

        private List<AlgorithmCache.Entry> candidates() {
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
                        note.accept("cuBLASLt calls CortiGAN's description of the product " + problem.text()
                                + formText() + " invalid (" + name(status)
                                + "), which is a fault of CortiGAN's; please report it");
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
            long bytes = castBias == null ? 0 : align(2 * problem.n);
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
            long scratch = args.getLong(places.scratch), room = scratch + workspace;
            long vector = args.getLong(places.vector);
            if (castBias != null) {
                castBias.launch(vector, room);
                vector = room;
                room += align(2 * problem.n);
            }
            if (bias) bias(vector);
            long a = args.getLong(places.a), b = args.getLong(places.b), y = args.getLong(places.y);
            if (sums != null) {
                sums.add(a, vector, room);
                room += sums.bytes();
            }
            if (padA != null) {
                padA.copy.launch(a, room);
                a = room;
                room += padA.bytes();
            }
            if (padB != null) {
                padB.copy.launch(b, room);
                b = room;
                room += padB.bytes();
            }
            long to = padY == null ? y : room;
            int status = cublasLtMatmul(
                    handle,
                    operation,
                    problem.scale ? at(args.getLong(places.scale)) : one,
                    at(b),
                    first,
                    at(a),
                    second,
                    problem.scale ? at(deviceZero.address()) : zero,
                    at(to),
                    result,
                    at(to),
                    result,
                    algorithm,
                    at(scratch),
                    workspace,
                    r.cudaStream());
            if (status == CUBLAS_STATUS_SUCCESS && padY != null) padY.copy.launch(to, y);
            return status;
        }

        @Override
        public void close() {
            cublasLtMatrixLayoutDestroy(first);
            cublasLtMatrixLayoutDestroy(second);
            cublasLtMatrixLayoutDestroy(result);
            cublasLtMatmulDescDestroy(operation);
            algorithm.close();
            if (castBias != null) castBias.close();
            for (Padded p : new Padded[] {padA, padB, padY}) if (p != null) p.copy.close();
            if (sums != null) sums.kernel.close();
        }
    }

    /** A stored matrix with the width of rows on 16 bytes, to or from which the kernel of assemble copies. */
    private final class Padded {
        private final long rows, width;
        private final DType type;
        private final OwnKernel.Copy copy;

        /** @param in whether copies go to the padded rows, not from them */
        Padded(long rows, long columns, DType type, boolean in) {
            this.rows = rows;
            this.type = type;
            int one = 16 / type.bytes();
            width = (columns + one - 1) / one * one;
            long[] lengths = {columns, in ? width - columns : 0}; // a stored row, and zeros behind it
            OwnKernel k = new OwnKernel(
                    r,
                    "assemble",
                    type,
                    w -> w.output("y", 0)
                            .i64("outer", rows)
                            .i64("width", in ? width : columns)
                            .rows(
                                    "rows",
                                    "n",
                                    lengths.length,
                                    i -> w.input("src", 0)
                                            .i64("offset", 0)
                                            .i64("stride", i > 0 ? 0 : in ? columns : width)
                                            .i64("len", lengths[i])));
            copy = new OwnKernel.Copy(k, k.offset("rows", 0, "src"), k.offset("y"));
        }

        long bytes() {
            return align(rows * width * type.bytes());
        }
    }

    /** Sums over the rows of a stored matrix, by the kernel of sum_leading. */
    private final class Sums {
        private final OwnKernel kernel;
        private final int x, y, scratch;
        private final long bytes;

        Sums(long rows, long columns, DType type) {
            kernel = new OwnKernel(
                    r,
                    "sum_leading",
                    type,
                    w -> w.output("scratch", 0)
                            .rows(
                                    "rows",
                                    "n",
                                    1,
                                    i -> w.input("x", 0)
                                            .output("y", 0)
                                            .i64("R", rows)
                                            .i64("C", columns)
                                            .f64("scale", 1)));
            x = kernel.offset("rows", 0, "x");
            y = kernel.offset("rows", 0, "y");
            scratch = kernel.offset("scratch");
            bytes = align(kernel.scratchBytes());
        }

        long bytes() {
            return bytes;
        }

        void add(long matrix, long sums, long room) {
            kernel.set(x, matrix).set(y, sums).set(scratch, room).launch();
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
