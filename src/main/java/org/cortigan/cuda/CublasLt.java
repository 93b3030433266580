package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cublas.*;
import static org.bytedeco.cuda.global.cudart.CUDA_R_16BF;
import static org.bytedeco.cuda.global.cudart.CUDA_R_32F;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
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
import org.cortigan.graph.DType;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.mem.Memory;

/**
 * Products y = scale op(a) op(b) + bias (kernels/matmul) by cuBLASLt. Row-major y is column-major y^T = op(b)^T op(a)^T, so b
 * goes first and a second, each as it is stored. f32 accumulation; scale = 1/sigma is the alpha, read from the device (pointer
 * mode DEVICE, with a zero of the device's for beta); the bias is the epilogue's. Where the library takes no f32 bias beside a
 * bf16 result, the bias is rounded to bf16 first, which is off by at most 2^-9 of it, half of what rounding the result is.
 *
 * <p>Only schemes whose sums have a fixed order are asked for. The candidates of the library's heuristic are timed once for each
 * problem, outside any recording, and the fastest is kept in a file ({@link AlgorithmCache}). Leading dimensions are the
 * tensors' own: with 39,548 vertices rows of bf16 lie on 8-byte boundaries, which the library has kernels for; these are the two
 * backward products of the heads alone, a few thousandths of a step's operations. GELU stays a kernel of its own: its gradient
 * needs the product itself, so that a fused one would write both.
 *
 * <p>Not measured on a GPU yet.
 */
final class CublasLt implements AutoCloseable {
    static final String[] LIBRARIES = {"libcublasLt.so.13", "libcublas.so.13"};
    private static final long WORKSPACE = 32 << 20;
    private static final int CANDIDATES = 8, ROUNDS = 4;
    // Members of MatmulArgs, in bytes.
    private static final int A = 8, B = 16, BIAS = 24, SCALE = 32, Y = 40, SCRATCH = 48, M = 56, N = 64, K = 72, TRANS_A = 80, TRANS_B = 88,
            TYPE_A = 96, TYPE_Y = 112;

    private final CudaRuntime r;
    private final String product;
    private final Consumer<String> note;
    private final AlgorithmCache cache;
    private final cublasLtContext handle = new cublasLtContext();
    private final FloatPointer one = new FloatPointer(1f);
    private final FloatPointer zero = new FloatPointer(0f);
    private final Memory deviceZero;
    private String refused = "";

    /** @param product the card's name */
    CublasLt(CudaRuntime r, String product, AlgorithmCache cache, Consumer<String> note) {
        this.r = r;
        this.product = product;
        this.cache = cache;
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
                    call + ": " + cublasLtGetStatusName(status).getString() + ": " + cublasLtGetStatusString(status).getString());
    }

    /**
     * @param tf32 whether f32 products may be computed in TF32
     * @return null where the library has no such product, which is said
     */
    DeviceRuntime.LibraryKernel matmul(ByteBuffer args, boolean tf32) {
        r.use();
        boolean in16 = args.getLong(TYPE_A) == DType.BF16.variant(), out16 = args.getLong(TYPE_Y) == DType.BF16.variant();
        String problem = String.format("%d x %d x %d%s%s%s%s, %s to %s%s", args.getLong(M), args.getLong(N), args.getLong(K),
                args.getLong(TRANS_A) != 0 ? ", a transposed" : "", args.getLong(TRANS_B) != 0 ? ", b transposed" : "",
                args.getLong(BIAS) != 0 ? ", bias" : "", args.getLong(SCALE) != 0 ? ", scale" : "", in16 ? "bf16" : "f32",
                out16 ? "bf16" : "f32", tf32 && !in16 ? ", tf32" : "");
        String key = product + ", cuBLASLt " + cublasLtGetVersion() + ": " + problem;
        AlgorithmCache.Entry known = cache.get(key);
        if (known != null) {
            Product p = new Product(args, in16, out16, tf32, known.bf16Bias());
            if (p.use(known)) return p;
            p.close();
        }
        boolean mayConvert = out16 && args.getLong(BIAS) != 0;
        for (boolean bf16Bias : mayConvert ? new boolean[] {false, true} : new boolean[] {false}) {
            Product p = new Product(args, in16, out16, tf32, bf16Bias);
            try {
                AlgorithmCache.Entry fastest = p.fastest(args);
                if (fastest != null && p.use(fastest)) {
                    cache.put(key, fastest);
                    return p;
                }
            } catch (RuntimeException | Error e) {
                p.close();
                throw e;
            }
            p.close();
        }
        note.accept("cuBLASLt has no deterministic algorithm for the product " + problem + refused + ": CortiGAN's own kernel computes it");
        return null;
    }

    private static long align(long bytes) {
        return (bytes + 255) / 256 * 256;
    }

    /** A product of fixed shapes. */
    private final class Product implements DeviceRuntime.LibraryKernel {
        private final cublasLtMatmulDescOpaque_t operation;
        private final cublasLtMatrixLayoutOpaque_t first, second, result;
        private final cublasLtMatmulAlgo_t algorithm = new cublasLtMatmulAlgo_t();
        private final boolean bias, scale;
        private final long n;
        private final Memory castArgs;
        private long workspace;

        Product(ByteBuffer args, boolean in16, boolean out16, boolean tf32, boolean bf16Bias) {
            long m = args.getLong(M), k = args.getLong(K);
            n = args.getLong(N);
            bias = args.getLong(BIAS) != 0;
            scale = args.getLong(SCALE) != 0;
            boolean ta = args.getLong(TRANS_A) != 0, tb = args.getLong(TRANS_B) != 0;
            int in = in16 ? CUDA_R_16BF : CUDA_R_32F;
            try (PointerPointer<Pointer> at = new PointerPointer<>(1)) {
                check(cublasLtMatmulDescCreate(at, tf32 && !in16 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                        "cublasLtMatmulDescCreate");
                operation = new cublasLtMatmulDescOpaque_t(at.get(0));
                first = tb ? layout(at, in, k, n) : layout(at, in, n, k);
                second = ta ? layout(at, in, m, k) : layout(at, in, k, m);
                result = layout(at, out16 ? CUDA_R_16BF : CUDA_R_32F, n, m);
            }
            set(CUBLASLT_MATMUL_DESC_TRANSA, tb ? CUBLAS_OP_T : CUBLAS_OP_N);
            set(CUBLASLT_MATMUL_DESC_TRANSB, ta ? CUBLAS_OP_T : CUBLAS_OP_N);
            if (scale) set(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_DEVICE);
            if (bias) {
                set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
                set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bf16Bias ? CUDA_R_16BF : CUDA_R_32F);
            }
            castArgs = bf16Bias ? Memory.allocate(32) : null;
        }

        private static cublasLtMatrixLayoutOpaque_t layout(PointerPointer<Pointer> at, int type, long rows, long columns) {
            check(cublasLtMatrixLayoutCreate(at, type, rows, columns, rows), "cublasLtMatrixLayoutCreate");
            return new cublasLtMatrixLayoutOpaque_t(at.get(0));
        }

        private void set(int attribute, int value) {
            try (IntPointer v = new IntPointer(1).put(value)) {
                check(cublasLtMatmulDescSetAttribute(operation, attribute, v, 4), "cublasLtMatmulDescSetAttribute");
            }
        }

        private void bias(long address) {
            try (LongPointer v = new LongPointer(1).put(address)) {
                check(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, v, 8), "cublasLtMatmulDescSetAttribute");
            }
        }

        /** Takes an algorithm if the library still agrees. */
        boolean use(AlgorithmCache.Entry e) {
            for (int i = 0; i < 8; i++) algorithm.data(i, e.words()[i]);
            try (cublasLtMatmulHeuristicResult_t need = new cublasLtMatmulHeuristicResult_t()) {
                int status = cublasLtMatmulAlgoCheck(handle, operation, first, second, result, result, algorithm, need);
                workspace = align(need.workspaceSize());
                return status == CUBLAS_STATUS_SUCCESS && need.workspaceSize() <= WORKSPACE;
            }
        }

        /** Times the heuristic's candidates on zeros; null if there are none. */
        AlgorithmCache.Entry fastest(ByteBuffer args) {
            List<AlgorithmCache.Entry> found = candidates();
            if (found.isEmpty()) return null;
            long m = args.getLong(M), k = args.getLong(K), in = args.getLong(TYPE_A) == DType.BF16.variant() ? 2 : 4;
            long out = args.getLong(TYPE_Y) == DType.BF16.variant() ? 2 : 4;
            AlgorithmCache.Entry best = found.get(0);
            try (Memory a = r.allocate(m * k * in);
                    Memory b = r.allocate(k * n * in);
                    Memory y = r.allocate(m * n * out);
                    Memory vector = r.allocate(4 * n);
                    Memory scratch = r.allocate(WORKSPACE + align(2 * n));
                    DeviceRuntime.Marks marks = r.marks(2)) {
                ByteBuffer at = ByteBuffer.allocate(args.capacity()).order(args.order());
                at.putLong(A, a.address()).putLong(B, b.address()).putLong(Y, y.address()).putLong(SCRATCH, scratch.address());
                at.putLong(BIAS, vector.address()).putLong(SCALE, vector.address());
                long least = Long.MAX_VALUE;
                for (AlgorithmCache.Entry e : found) {
                    if (!use(e)) continue;
                    launch(at);
                    marks.mark(0);
                    for (int i = 0; i < ROUNDS; i++) launch(at);
                    marks.mark(1);
                    r.synchronize();
                    long t = marks.nanos(0, 1);
                    if (t < least) {
                        least = t;
                        best = e;
                    }
                }
            } catch (OutOfMemoryError e) {
                note.accept("too little memory to time products; the library's first choice is taken: " + e.getMessage());
            }
            return best;
        }

        private List<AlgorithmCache.Entry> candidates() {
            List<AlgorithmCache.Entry> found = new ArrayList<>();
            try (PointerPointer<Pointer> at = new PointerPointer<>(1);
                    LongPointer bytes = new LongPointer(1).put(WORKSPACE);
                    IntPointer schemes = new IntPointer(1).put(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
                    cublasLtMatmulHeuristicResult_t results = new cublasLtMatmulHeuristicResult_t(CANDIDATES)) {
                if (bias) bias(deviceZero.address());
                check(cublasLtMatmulPreferenceCreate(at), "cublasLtMatmulPreferenceCreate");
                cublasLtMatmulPreferenceOpaque_t preference = new cublasLtMatmulPreferenceOpaque_t(at.get(0));
                int[] count = new int[1];
                int status;
                try {
                    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, bytes, 8),
                            "cublasLtMatmulPreferenceSetAttribute");
                    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes, 4),
                            "cublasLtMatmulPreferenceSetAttribute");
                    status = cublasLtMatmulAlgoGetHeuristic(
                            handle, operation, first, second, result, result, preference, CANDIDATES, results, count);
                } finally {
                    cublasLtMatmulPreferenceDestroy(preference);
                }
                refused = status == CUBLAS_STATUS_SUCCESS ? "" : " (" + cublasLtGetStatusName(status).getString() + ")";
                if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return found;
                check(status, "cublasLtMatmulAlgoGetHeuristic");
                for (int i = 0; i < count[0]; i++) {
                    cublasLtMatmulHeuristicResult_t h = results.getPointer(i);
                    if (h.state() != CUBLAS_STATUS_SUCCESS) continue;
                    long[] words = new long[8];
                    for (int w = 0; w < 8; w++) words[w] = h.algo().data(w);
                    found.add(new AlgorithmCache.Entry(words, h.workspaceSize(), castArgs != null));
                }
                return found;
            }
        }

        @Override
        public String library() {
            return "cuBLASLt";
        }

        @Override
        public long scratchBytes() {
            return workspace + (castArgs == null ? 0 : align(2 * n));
        }

        @Override
        public void launch(ByteBuffer args) {
            long scratch = args.getLong(SCRATCH), vector = args.getLong(BIAS);
            if (castArgs != null) {
                long rounded = scratch + workspace;
                castArgs.view(0, 32).putLong(0, vector).putLong(8, rounded).putLong(16, n).putLong(24, DType.BF16.variant());
                long cast = Native.kernel_function(Kernels.CUDA, Kernels.id("cast"), DType.F32.variant());
                Native.launch(cast, castArgs.address(), r.stream());
                vector = rounded;
            }
            if (bias) bias(vector);
            check(cublasLtMatmul(
                            handle, operation, scale ? at(args.getLong(SCALE)) : one, at(args.getLong(B)), first, at(args.getLong(A)), second,
                            scale ? at(deviceZero.address()) : zero, at(args.getLong(Y)), result, at(args.getLong(Y)), result, algorithm,
                            at(scratch), workspace, r.cudaStream()),
                    "cublasLtMatmul");
        }

        private static Pointer at(long place) {
            return new Pointer() {
                {
                    address = place;
                }
            };
        }

        @Override
        public void close() {
            cublasLtMatrixLayoutDestroy(first);
            cublasLtMatrixLayoutDestroy(second);
            cublasLtMatrixLayoutDestroy(result);
            cublasLtMatmulDescDestroy(operation);
            algorithm.close();
            if (castArgs != null) castArgs.close();
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
