// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cublas.*;
import static org.bytedeco.cuda.global.cudart.CUDA_R_16BF;
import static org.bytedeco.cuda.global.cudart.CUDA_R_32F;
import static org.bytedeco.cuda.global.cudart.CUDA_R_8F_E4M3;
import static org.bytedeco.cuda.global.cudart.CUDA_R_8F_E5M2;
import static org.cortigan.cuda.CudaRuntime.align;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
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
import org.cortigan.graph.Fp8;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.jspecify.annotations.Nullable;

/**
 * Computes products y = scale op(a) op(b) + bias and gradients of linear layers (kernels/matmul) with cuBLASLt. A
 * row-major y is a column-major y^T = op(b)^T op(a)^T, so b is the library's first operand and a its second, each as
 * stored. Accumulation is f32. scale = 1/sigma is alpha, read from device memory (pointer mode DEVICE, with a zero in
 * device memory for beta). The epilogue adds the bias. Where the library supports no f32 bias beside a bf16 result, it
 * adds the bias rounded to bf16, with a relative error of at most 2^-8, like the rounding of the result: the copy that
 * the optimizer keeps, or else one made before the product. The bias gradient, the sums of dY over its rows, comes from
 * the epilogue of the product with dY, or from a separate kernel where that is faster.
 *
 * <p>Only reduction schemes with a fixed order of summation are requested. The candidates of the library's heuristic
 * are timed once for each problem, outside any recording, and the fastest is stored in a file ({@link AlgorithmCache}).
 *
 * <p>The library's fast kernels need rows aligned to 16 bytes; bf16 rows of 39,548 vertices are aligned to 8 bytes.
 * Such matrices may be copied to rows padded to a multiple of 16 bytes (39,552 vertices) before the product, and the
 * result copied back after it. Both variants are timed, copies included. Padding is local to this class: tensors and
 * losses never see it.
 *
 * <p>FP8 operands (kernels/scaled_matmul) come as the library demands on Hopper: k along the rows of both, extents that
 * are multiples of 16, a factor in device memory for each. The library's fast accumulation, which keeps fewer bits than
 * f32 between the steps along k, stays off: training sums over 25,000 rows.
 *
 * <p>GELU is not fused into the product: the library's epilogue approximates it by tanh, which differs from the exact
 * GELU that models are trained with by up to 5e-4, more than bf16 rounding.
 */
final class CublasLt implements AutoCloseable {
    static final String[] LIBRARIES = {"libcublasLt.so.13", "libcublas.so.13"};
    private static final long WORKSPACE = 64 << 20;
    private static final int CANDIDATES = 32;
    /** CortiGAN's own kernels that this class replaces. */
    static final Set<String> KERNELS = Set.of("matmul", "linear_grad", "scaled_matmul");

    /**
     * Bits of a product's form ({@link AlgorithmCache.Entry#form}): the library adds the bias as bf16; rows that are
     * not aligned to 16 bytes are padded; a separate kernel computes the sums.
     */
    private static final int BF16_BIAS = 1, PADDED = 2, SEPARATE_SUMS = 4;

    /**
     * A product y = op(a) op(b) as a kernel's arguments describe it.
     *
     * @param sums whether the vector receives the sums of a, which is stored transposed; otherwise the vector is an
     *     optional bias
     * @param biasCopy whether the kernel also receives the bias as bf16
     * @param tf32 whether the product may be computed in TF32
     */
    private record Problem(
            long m,
            long n,
            long k,
            boolean transA,
            boolean transB,
            DType a,
            DType b,
            DType out,
            boolean sums,
            boolean bias,
            boolean biasCopy,
            boolean scale,
            boolean tf32,
            Offsets offsets) {

        static Problem of(String kernel, ByteBuffer args, boolean tf32) {
            ArgStruct s = Kernels.args(kernel);
            Offsets offsets = Offsets.of(kernel, s);
            boolean sums = kernel.equals("linear_grad"), fp8 = kernel.equals("scaled_matmul");
            DType a = fp8 ? format(args, s, "format_a") : type(args, s, sums ? "type" : "type_a");
            return new Problem(
                    args.getLong(s.offset("M")),
                    args.getLong(s.offset("N")),
                    args.getLong(s.offset("K")),
                    sums || !fp8 && args.getLong(s.offset("trans_a")) != 0,
                    fp8 || !sums && args.getLong(s.offset("trans_b")) != 0,
                    a,
                    fp8 ? format(args, s, "format_b") : a,
                    sums ? DType.F32 : type(args, s, "type_y"),
                    sums,
                    !sums && args.getLong(offsets.vector) != 0,
                    !sums && args.getLong(offsets.copy) != 0,
                    offsets.scale >= 0 && args.getLong(offsets.scale) != 0,
                    tf32 && a == DType.F32,
                    offsets);
        }

        private static DType type(ByteBuffer args, ArgStruct s, String member) {
            return args.getLong(s.offset(member)) == DType.BF16.variant() ? DType.BF16 : DType.F32;
        }

        private static DType format(ByteBuffer args, ArgStruct s, String member) {
            return Fp8.values()[(int) args.getLong(s.offset(member))].dtype();
        }

        boolean fp8() {
            return a.isFp8();
        }

        /** The problem as text, for messages and for keys of the cache. */
        String text() {
            return String.format(
                    Locale.ROOT,
                    "%d x %d x %d%s%s%s%s, %s to %s%s",
                    m,
                    n,
                    k,
                    transA ? ", a transposed" : "",
                    transB ? ", b transposed" : "",
                    sums ? ", sums" : bias ? ", bias" : "",
                    scale ? ", scale" : "",
                    a == b ? name(a) : name(a) + " and " + name(b),
                    name(out),
                    tf32 ? ", tf32" : "");
        }
    }

    private static String name(DType t) {
        return t.name().toLowerCase(Locale.ROOT);
    }

    /**
     * Byte offsets of the addresses in a kernel's arguments.
     *
     * @param vector offset of the bias, or of the address for the sums
     * @param copy offset of the bias as bf16; negative if the kernel has none
     * @param scale negative if the kernel has no scale
     * @param scaleA offset of the address of the scale of a in FP8; negative if the kernel has none
     */
    private record Offsets(int a, int b, int y, int vector, int copy, int scale, int scaleA, int scaleB, int scratch) {
        static Offsets of(String kernel, ArgStruct s) {
            if (kernel.equals("linear_grad"))
                return new Offsets(
                        s.offset("dY"),
                        s.offset("x"),
                        s.offset("dW"),
                        s.offset("db"),
                        -1,
                        -1,
                        -1,
                        -1,
                        s.offset("scratch"));
            boolean fp8 = kernel.equals("scaled_matmul");
            return new Offsets(
                    s.offset("a"),
                    s.offset("b"),
                    s.offset("y"),
                    s.offset("bias"),
                    s.offset("bias16"),
                    s.offset("scale"),
                    fp8 ? s.offset("scale_a") : -1,
                    fp8 ? s.offset("scale_b") : -1,
                    s.offset("scratch"));
        }
    }

    private final CudaRuntime runtime;
    private final String card;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final cublasLtContext handle = new cublasLtContext();
    private final FloatPointer one = new FloatPointer(1f);
    private final FloatPointer zero = new FloatPointer(0f);
    private final Memory deviceZero;
    private final Trials trials;
    private final Set<Integer> invalid = new HashSet<>();
    /** Keys of the problems whose cached algorithm has run in this process. */
    private final Set<String> proven = new HashSet<>();
    /** For the product being prepared: why the library refused forms, and how algorithms failed. */
    private final Set<String> refusals = new LinkedHashSet<>(), failures = new LinkedHashSet<>();

    /** @param card the GPU's name */
    CublasLt(CudaRuntime runtime, String card, AlgorithmCache cache, Trials trials, Consumer<String> note) {
        this.runtime = runtime;
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
            deviceZero = runtime.allocate(4);
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

    private static int cudaType(DType t) {
        return switch (t) {
            case F32 -> CUDA_R_32F;
            case BF16 -> CUDA_R_16BF;
            case F8E4M3 -> CUDA_R_8F_E4M3;
            case F8E5M2 -> CUDA_R_8F_E5M2;
            default -> throw new IllegalArgumentException("no products of " + t);
        };
    }

    private static String name(int status) {
        return cublasLtGetStatusName(status).getString();
    }

    /**
     * Chooses an algorithm and tries it before the session relies on it: an algorithm from the cache runs once, the
     * candidates of a measurement several times.
     *
     * @param tf32 whether f32 products may be computed in TF32
     * @return CortiGAN's own kernel, with a line to the user, if the library has no algorithm that runs
     */
    DeviceRuntime.Service product(String kernel, ByteBuffer args, boolean tf32) {
        runtime.use();
        refusals.clear();
        failures.clear();
        Problem problem = Problem.of(kernel, args, tf32);
        String text = problem.text();
        String key = card + ", cuBLASLt " + cublasLtGetVersion() + ": " + text;
        AlgorithmCache.Entry e = cache.get(key);
        Product p = e == null ? null : product(problem, args, e, !proven.contains(key));
        if (p == null) {
            Trials.Timed t = measure(problem, args);
            if (t != null) {
                e = t.entry();
                p = product(problem, args, e, false);
                if (p != null && t.measured()) cache.put(key, e);
            }
        }
        if (p != null && cache.get(key) != null) proven.add(key);
        if (!failures.isEmpty() && p != null)
            note.accept("cuBLASLt: algorithms that failed when tried are left out of the product " + text + " ("
                    + String.join("; ", failures) + ")");
        if (p != null && e != null) return DeviceRuntime.Service.library(p, Served.library("cuBLASLt", p.form(e)));
        refusals.addAll(failures);
        return VendorKernels.refused("cuBLASLt", "the product " + text, refusals, note);
    }

    /**
     * Null if the library no longer accepts the algorithm, or the algorithm fails.
     *
     * @param tried whether to run the algorithm once
     */
    private @Nullable Product product(Problem problem, ByteBuffer args, AlgorithmCache.Entry e, boolean tried) {
        if ((e.form() & ~(BF16_BIAS | PADDED | SEPARATE_SUMS)) != 0) return null;
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
    private Trials.@Nullable Timed measure(Problem problem, ByteBuffer args) {
        boolean mayRound = problem.bias && problem.out == DType.BF16;
        Trials.Timed best = null;
        for (int form = 0; form <= (BF16_BIAS | PADDED | SEPARATE_SUMS); form++) {
            if ((form & BF16_BIAS) != 0
                    && (!mayRound || best != null && (best.entry().form() & BF16_BIAS) == 0)) continue;
            if ((form & SEPARATE_SUMS) != 0 && !problem.sums) continue;
            try (Product p = new Product(problem, form)) {
                Trials.Timed t = (form & PADDED) != 0 && !p.pads() ? null : p.fastest(args);
                if (t != null && (best == null || t.nanos() < best.nanos())) best = t;
            }
        }
        return best;
    }

    /** A product of fixed shapes. */
    private final class Product implements DeviceRuntime.KernelCall {
        private final cublasLtMatmulDescOpaque_t operation;
        private final Matrix a, b, y;
        private final cublasLtMatmulAlgo_t algorithm = new cublasLtMatmulAlgo_t();
        private final Problem problem;
        private final int form;
        /** Whether the epilogue handles the vector: it adds the bias or computes the sums. */
        private final boolean bias;

        private final @Nullable Sums sums;
        private final OwnKernel.@Nullable Copy castBias;
        private long workspace;

        Product(Problem problem, int form) {
            this.problem = problem;
            this.form = form;
            long m = problem.m, n = problem.n, k = problem.k;
            sums = (form & SEPARATE_SUMS) == 0 ? null : new Sums(k, m, problem.a);
            bias = problem.bias || problem.sums && sums == null;
            boolean ta = problem.transA, tb = problem.transB;
            try (PointerPointer<Pointer> at = new PointerPointer<>(1)) {
                check(
                        cublasLtMatmulDescCreate(
                                at, problem.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                        "cublasLtMatmulDescCreate");
                operation = new cublasLtMatmulDescOpaque_t(at.get(0));
                a = matrix(at, ta ? k : m, ta ? m : k, problem.a, true);
                b = matrix(at, tb ? n : k, tb ? k : n, problem.b, true);
                y = matrix(at, m, n, problem.out, false);
            }
            set(CUBLASLT_MATMUL_DESC_TRANSA, tb ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(CUBLASLT_MATMUL_DESC_TRANSB, ta ? CUBLAS_OP_T : CUBLAS_OP_N);
            if (problem.scale) set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
            if (bias) {
                set(CUBLASLT_MATMUL_DESC_EPILOGUE, problem.sums ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_BIAS);
                set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (form & BF16_BIAS) != 0 ? CUDA_R_16BF : CUDA_R_32F);
            }
            if (problem.fp8()) scales(deviceZero.address(), deviceZero.address());
            // The heuristic takes the address's alignment into account. The launch sets the real address, which is
            // aligned to 256 bytes like this one.
            if (bias) bias(deviceZero.address());
            castBias = (form & BF16_BIAS) == 0 || problem.biasCopy
                    ? null
                    : OwnKernel.Copy.cast(runtime, n, DType.F32, DType.BF16);
        }

        /**
         * A row-major matrix, which is column-major to the library.
         *
         * @param operand whether the product reads the matrix; otherwise it writes the matrix
         */
        private Matrix matrix(PointerPointer<Pointer> at, long rows, long columns, DType type, boolean operand) {
            boolean pads = (form & PADDED) != 0 && columns * type.bytes() % 16 != 0;
            Padded padded = pads ? new Padded(rows, columns, type, operand) : null;
            check(
                    cublasLtMatrixLayoutCreate(
                            at, cudaType(type), columns, rows, padded == null ? columns : padded.width),
                    "cublasLtMatrixLayoutCreate");
            return new Matrix(new cublasLtMatrixLayoutOpaque_t(at.get(0)), padded);
        }

        boolean pads() {
            return a.padded != null || b.padded != null || y.padded != null;
        }

        private void set(int attribute, int value) {
            try (IntPointer v = new IntPointer(1).put(value)) {
                check(cublasLtMatmulDescSetAttribute(operation, attribute, v, 4), "cublasLtMatmulDescSetAttribute");
            }
        }

        private void bias(long address) {
            address(CUBLASLT_MATMUL_DESC_BIAS_POINTER, address);
        }

        /** Sets the factors of a and b, which are the library's second and first operand. */
        private void scales(long ofA, long ofB) {
            address(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, ofB);
            address(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, ofA);
        }

        private void address(int attribute, long address) {
            try (LongPointer v = new LongPointer(1).put(address)) {
                check(cublasLtMatmulDescSetAttribute(operation, attribute, v, 8), "cublasLtMatmulDescSetAttribute");
            }
        }

        /** Selects an algorithm; false if the library no longer accepts it. */
        boolean use(AlgorithmCache.Entry e) {
            for (int i = 0; i < 8; i++) algorithm.data(i, e.words()[i]);
            try (cublasLtMatmulHeuristicResult_t need = new cublasLtMatmulHeuristicResult_t()) {
                int status = cublasLtMatmulAlgoCheck(
                        handle, operation, b.layout, a.layout, y.layout, y.layout, algorithm, need);
                workspace = align(need.workspaceSize());
                if (status != CUBLAS_STATUS_SUCCESS) refusals.add("cublasLtMatmulAlgoCheck: " + name(status));
                return status == CUBLAS_STATUS_SUCCESS && need.workspaceSize() <= WORKSPACE;
            }
        }

        /** Times the heuristic's candidates, including this form's copies and sums; null if none runs. */
        Trials.@Nullable Timed fastest(ByteBuffer args) {
            List<AlgorithmCache.Entry> found = candidates();
            if (found.isEmpty()) return null;
            try {
                List<ByteBuffer> at = trials.sets(WORKSPACE + copies(), operandBytes()).stream()
                        .map(addresses -> trial(args, addresses))
                        .toList();
                return trials.fastest(found, this::use, Trials.inTurn(at, this::run), CublasLt::name, failures);
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to time products; using the library's first choice untested: "
                        + e.getMessage());
                return new Trials.Timed(found.get(0), Long.MAX_VALUE);
            }
        }

        /** Whether the selected algorithm runs. */
        boolean runs(ByteBuffer args) {
            try {
                ByteBuffer at = trial(args, trials.memory(workspace + copies(), operandBytes()));
                String failure = trials.failure(() -> run(at), CublasLt::name);
                if (failure != null) failures.add(failure);
                return failure == null;
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to try a product's algorithm; using it untested: " + e.getMessage());
                return true;
            }
        }

        /** Sizes of a, b, y and the vector. */
        private long[] operandBytes() {
            long m = problem.m, n = problem.n, k = problem.k;
            return new long[] {
                m * k * problem.a.bytes(), k * n * problem.b.bytes(), m * n * problem.out.bytes(), 4 * Math.max(m, n)
            };
        }

        /** Arguments that hold the addresses of a trial's operands and scratch memory. */
        private ByteBuffer trial(ByteBuffer args, long[] addresses) {
            Offsets offsets = problem.offsets;
            ByteBuffer operands = ByteBuffer.allocate(args.capacity())
                    .order(args.order())
                    .putLong(offsets.a, addresses[0])
                    .putLong(offsets.b, addresses[1])
                    .putLong(offsets.y, addresses[2])
                    .putLong(offsets.vector, addresses[3])
                    .putLong(offsets.scratch, addresses[4]);
            if (offsets.copy >= 0) operands.putLong(offsets.copy, addresses[3]);
            if (offsets.scale >= 0) operands.putLong(offsets.scale, addresses[3]);
            if (problem.fp8()) operands.putLong(offsets.scaleA, addresses[3]).putLong(offsets.scaleB, addresses[3]);
            return operands;
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
                            handle,
                            operation,
                            b.layout,
                            a.layout,
                            y.layout,
                            y.layout,
                            preference,
                            CANDIDATES,
                            results,
                            count);
                } finally {
                    cublasLtMatmulPreferenceDestroy(preference);
                }
                if (status != CUBLAS_STATUS_SUCCESS) {
                    refusals.add(name(status));
                    // The library considers the description invalid, which is not the same as having no algorithm.
                    // Reported once per form.
                    if (status == CUBLAS_STATUS_INVALID_VALUE && invalid.add(form))
                        note.accept("cuBLASLt rejects the description of the product " + problem.text() + formText()
                                + " as invalid (" + name(status) + "): this is a bug in CortiGAN, please report it");
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

        /** Bytes of scratch memory that this form needs after the library's workspace. */
        private long copies() {
            long bytes = castBias == null ? 0 : align(2 * problem.n);
            bytes += a.paddedBytes() + b.paddedBytes() + y.paddedBytes();
            return bytes + (sums == null ? 0 : sums.bytes());
        }

        private String formText() {
            return ((form & BF16_BIAS) == 0 ? "" : castBias == null ? ", bf16 bias" : ", bias cast to bf16")
                    + ((form & PADDED) != 0 ? ", padded" : "")
                    + ((form & SEPARATE_SUMS) != 0 ? ", separate sums" : "");
        }

        /** Text for {@link Served#form}. */
        String form(AlgorithmCache.Entry e) {
            return "algorithm " + e.text() + ", workspace " + workspace + " bytes" + formText();
        }

        @Override
        public long scratchBytes() {
            return workspace + copies();
        }

        @Override
        public boolean followsStream() {
            return true;
        }

        @Override
        public void launch(ByteBuffer args) {
            check(run(args), "cublasLtMatmul");
        }

        /** Queues the product and returns the library's status. */
        private int run(ByteBuffer args) {
            Offsets offsets = problem.offsets;
            long scratch = args.getLong(offsets.scratch), next = scratch + workspace;
            boolean copied = (form & BF16_BIAS) != 0 && problem.biasCopy;
            long vector = args.getLong(copied ? offsets.copy : offsets.vector);
            if (castBias != null) {
                castBias.launch(vector, next);
                vector = next;
                next += align(2 * problem.n);
            }
            if (bias) bias(vector);
            if (problem.fp8()) scales(args.getLong(offsets.scaleA), args.getLong(offsets.scaleB));
            long atA = args.getLong(offsets.a), atB = args.getLong(offsets.b), atY = args.getLong(offsets.y);
            if (sums != null) {
                sums.add(atA, vector, next);
                next += sums.bytes();
            }
            atA = a.operand(atA, next);
            next += a.paddedBytes();
            atB = b.operand(atB, next);
            next += b.paddedBytes();
            long to = y.padded == null ? atY : next;
            int status = cublasLtMatmul(
                    handle,
                    operation,
                    problem.scale ? at(args.getLong(offsets.scale)) : one,
                    at(atB),
                    b.layout,
                    at(atA),
                    a.layout,
                    problem.scale ? at(deviceZero.address()) : zero,
                    at(to),
                    y.layout,
                    at(to),
                    y.layout,
                    algorithm,
                    at(scratch),
                    workspace,
                    runtime.cudaStream());
            if (status == CUBLAS_STATUS_SUCCESS && y.padded != null) y.padded.copy.launch(to, atY);
            return status;
        }

        @Override
        public void close() {
            a.close();
            b.close();
            y.close();
            cublasLtMatmulDescDestroy(operation);
            algorithm.close();
            if (castBias != null) castBias.close();
            if (sums != null) sums.kernel.close();
        }
    }

    /**
     * A matrix of a product.
     *
     * @param padded null if the library reads or writes the rows as stored
     */
    private record Matrix(
            cublasLtMatrixLayoutOpaque_t layout, @Nullable Padded padded) implements AutoCloseable {
        /** Copies the matrix to padded rows at {@code space} if it needs them; returns the library's operand. */
        long operand(long address, long space) {
            if (padded == null) return address;
            padded.copy.launch(address, space);
            return space;
        }

        long paddedBytes() {
            return padded == null ? 0 : padded.bytes();
        }

        @Override
        public void close() {
            cublasLtMatrixLayoutDestroy(layout);
            if (padded != null) padded.copy.close();
        }
    }

    /** A matrix with rows padded to a multiple of 16 bytes; the kernel {@code assemble} copies to or from it. */
    private final class Padded {
        private final long rows, width;
        private final DType type;
        private final OwnKernel.Copy copy;

        /** @param in whether the kernel copies to the padded rows; otherwise it copies from them */
        Padded(long rows, long columns, DType type, boolean in) {
            this.rows = rows;
            this.type = type;
            int unit = 16 / type.bytes();
            width = (columns + unit - 1) / unit * unit;
            long[] lengths = {columns, in ? width - columns : 0}; // a stored row, then zeros
            OwnKernel k = new OwnKernel(
                    runtime,
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

    /** Sums of a matrix over its rows, by the kernel {@code sum_leading}. */
    private final class Sums {
        private final OwnKernel kernel;
        private final int x, y, scratch;
        private final long bytes;

        Sums(long rows, long columns, DType type) {
            kernel = new OwnKernel(
                    runtime,
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

        void add(long matrix, long sums, long scratchAddress) {
            kernel.set(x, matrix).set(y, sums).set(scratch, scratchAddress).launch();
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
