// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;
import static org.cortigan.cuda.CudaRuntime.align;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.cuda.cudnn.cudnnConvolutionFwdAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnConvolutionStruct;
import org.bytedeco.cuda.cudnn.cudnnFilterStruct;
import org.bytedeco.cuda.cudnn.cudnnTensorStruct;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.SizeTPointer;
import org.cortigan.exec.DeviceRuntime;
import org.cortigan.exec.Served;
import org.cortigan.graph.DType;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.jspecify.annotations.Nullable;

/**
 * A convolution of fixed shapes, or one of its gradients. Scratch memory holds the reordered weight, then converted
 * operands, then the library's workspace.
 */
@SuppressWarnings("deprecation") // the legacy API, see Cudnn
abstract class CudnnConvolution implements DeviceRuntime.KernelCall {
    private static final long WORKSPACE = 256 << 20;
    static final int CANDIDATES = 16;

    /** Byte offsets of the addresses in the kernel's arguments. */
    private record Offsets(int first, int second, int result, int scratch) {}

    /**
     * An algorithm of the library.
     *
     * @param number an engine of the graph API if there is a plan, otherwise an algorithm of the legacy API
     * @param fused whether the library adds the bias
     * @param workspace bytes of memory that the library needs
     * @param type the type of the operands that the library reads
     * @param plan null for the legacy API
     */
    private record Algorithm(
            int number,
            int mathType,
            boolean fused,
            long workspace,
            DType type,
            @Nullable CudnnPlan plan) {}

    final Cudnn cudnn;
    final ConvolutionShape shape;
    final cudnnTensorStruct x = new cudnnTensorStruct(), y = new cudnnTensorStruct();
    final cudnnFilterStruct w = new cudnnFilterStruct();
    final cudnnConvolutionStruct operation = new cudnnConvolutionStruct();
    /** The one type that x, the weight and y, or their gradients, have in the legacy API. */
    final DType type;
    /** Whether the library needs the weight, or returns its gradient, in another order than CortiGAN's. */
    final boolean reorders;
    /** Why the library refused algorithms, and how algorithms failed when tried. */
    final Set<String> refusals = new LinkedHashSet<>(), failures = new LinkedHashSet<>();

    private final ConvolutionShape.Kind kind;
    private final boolean exact;
    private final String arithmetic;
    private final Offsets offsets;
    /** Kernels that are launched around the library call. */
    private final List<OwnKernel> own = new ArrayList<>();

    /** Copies the weight into the library's order, or its gradient back; null if the orders are the same. */
    OwnKernel.@Nullable Copy reorder;

    /** Plans of the graph API that have been tried, by their text. */
    private final Map<String, CudnnPlan> plans = new HashMap<>();

    private Algorithm chosen = new Algorithm(0, 0, false, 0, DType.F32, null);

    /** Makes nothing that must be freed; {@link #prepare} does. */
    CudnnConvolution(Cudnn cudnn, ConvolutionShape.Kind kind, ConvolutionShape shape, DType type, boolean tf32) {
        this.cudnn = cudnn;
        this.kind = kind;
        this.shape = shape;
        this.type = type;
        exact = !shape.in16() && !tf32;
        arithmetic = shape.in16() ? "bf16" : tf32 ? "tf32" : "f32";
        reorders = shape.c() > 1 && shape.taps() > 1;
        ArgStruct s = Kernels.args(kind.kernel);
        offsets = new Offsets(s.offset(kind.first), s.offset(kind.second), s.offset(kind.result), s.offset("scratch"));
    }

    /**
     * Makes a convolution; {@link #use} selects its algorithm.
     *
     * @param tf32 whether f32 products may be computed in TF32
     */
    static CudnnConvolution of(Cudnn cudnn, ConvolutionShape.Kind kind, ByteBuffer args, boolean tf32) {
        ConvolutionShape shape = ConvolutionShape.of(kind.kernel, args);
        CudnnConvolution c = switch (kind) {
            case FORWARD -> new CudnnForward(cudnn, shape, args, tf32);
            case BY_X -> new CudnnGradX(cudnn, shape, tf32);
            case BY_W -> new CudnnGradW(cudnn, shape, tf32);
        };
        try {
            c.prepare();
        } catch (RuntimeException | Error e) {
            c.close();
            throw e;
        }
        return c;
    }

    private void prepare() {
        describe(dataType());
        math(exact ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH);
        if (reorders)
            reorder =
                    kind == ConvolutionShape.Kind.BY_W ? swap(shape.taps(), shape.c()) : swap(shape.c(), shape.taps());
        makeKernels();
    }

    private int dataType() {
        return type == DType.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    }

    /** Makes the library's descriptors. */
    void describe(int dataType) {
        ConvolutionShape s = shape;
        tensor(x, dataType, s.b(), s.c(), s.h(), s.w());
        tensor(y, dataType, s.b(), s.o(), s.outputHeight(), s.outputWidth());
        Cudnn.check(cudnnCreateFilterDescriptor(w), "cudnnCreateFilterDescriptor");
        Cudnn.check(
                cudnnSetFilter4dDescriptor(w, dataType, CUDNN_TENSOR_NHWC, s.o(), s.c(), s.kh(), s.kw()),
                "cudnnSetFilter4dDescriptor");
        Cudnn.check(cudnnCreateConvolutionDescriptor(operation), "cudnnCreateConvolutionDescriptor");
        Cudnn.check(
                cudnnSetConvolution2dDescriptor(
                        operation, s.ph(), s.pw(), s.sh(), s.sw(), 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
                "cudnnSetConvolution2dDescriptor");
    }

    static void tensor(cudnnTensorStruct d, int type, int b, int c, int h, int w) {
        Cudnn.check(cudnnCreateTensorDescriptor(d), "cudnnCreateTensorDescriptor");
        Cudnn.check(cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, type, b, c, h, w), "cudnnSetTensor4dDescriptor");
    }

    private void math(int type) {
        Cudnn.check(cudnnSetConvolutionMathType(operation, type), "cudnnSetConvolutionMathType");
    }

    /** Makes CortiGAN's other kernels that are launched around the library call. */
    void makeKernels() {}

    /** Whether an algorithm adds products directly. */
    abstract boolean direct(int algorithm);

    /** Whether the library can add the bias. */
    boolean mayFuse() {
        return false;
    }

    /** Whether the legacy API can add the bias in the algorithm. */
    boolean mayFuse(int algorithm) {
        return false;
    }

    /** Asks for an algorithm's workspace; returns the library's status. */
    abstract int workspaceSize(int algorithm, SizeTPointer bytes);

    /**
     * Asks for at most {@link #CANDIDATES} algorithms; returns the library's status.
     *
     * @param n receives the number of results
     * @param results receives the results; those of the gradients are the same struct
     */
    abstract int heuristic(int[] n, cudnnConvolutionFwdAlgoPerf_t results);

    /** Bytes of the first operand, the second and the result. */
    abstract long[] operandBytes();

    /** Writes the address of a trial's vector to the arguments that need one. */
    void putVector(ByteBuffer args, long address) {}

    /** Bytes of scratch memory for converted operands. */
    abstract long convertedBytes();

    /** Queues the convolution and returns the library's status. */
    abstract int run(ByteBuffer args);

    /** What the problem has beside its shapes. */
    String options() {
        return "";
    }

    /** The problem as text, for messages and for keys of the cache. */
    String problem() {
        return kind.kernel + " of " + shape.text() + options() + ", " + arithmetic;
    }

    /** Selects an algorithm; false if the library does not accept it. */
    boolean use(AlgorithmCache.Entry e) {
        if (e.plan().isEmpty() ? !useLegacy(e) : !usePlan(e)) return false;
        return chosen.workspace <= WORKSPACE;
    }

    private boolean usePlan(AlgorithmCache.Entry e) {
        boolean fused = e.words()[2] != 0;
        if (fused && !mayFuse()) return false;
        try {
            CudnnPlan plan = plans.get(e.plan());
            if (plan == null) plans.put(e.plan(), plan = new CudnnPlan(cudnn.handle, e.plan()));
            DType operands = e.words()[1] == DType.F32.variant() ? DType.F32 : shape.type();
            chosen = new Algorithm((int) e.words()[0], 0, fused, align(plan.workspaceBytes), operands, plan);
            return true;
        } catch (CudnnDescriptor.Refused refused) {
            refusals.add(refused.name());
            return false;
        }
    }

    private boolean useLegacy(AlgorithmCache.Entry e) {
        int a = (int) e.words()[0], mathType = (int) e.words()[1];
        boolean fused = e.words()[2] != 0;
        if (!direct(a) || exact && mathType != CUDNN_FMA_MATH || fused && !mayFuse(a)) return false;
        math(mathType);
        try (SizeTPointer bytes = new SizeTPointer(1)) {
            int status = workspaceSize(a, bytes);
            chosen = new Algorithm(a, mathType, fused, align(bytes.get()), type, null);
            if (status != CUDNN_STATUS_SUCCESS) refusals.add(CudnnDescriptor.name(status));
            return status == CUDNN_STATUS_SUCCESS;
        }
    }

    /** Times the candidates; null if none runs. */
    Trials.@Nullable Timed fastest(ByteBuffer args) {
        long most = 0;
        List<AlgorithmCache.Entry> found = new ArrayList<>();
        for (AlgorithmCache.Entry e : candidates())
            if (use(e)) {
                found.add(e);
                most = Math.max(most, scratchBytes());
            }
        if (found.isEmpty()) return null;
        try {
            List<ByteBuffer> at = cudnn.trials.sets(most, operands()).stream()
                    .map(addresses -> trial(args, addresses))
                    .toList();
            Trials.Timed t = cudnn.trials.fastest(
                    found, this::use, Trials.inTurn(at, this::run), CudnnDescriptor::name, failures);
            // The heuristic also offers unsupported algorithms, which count as refused and not as failed.
            List<String> unsupported = failures.stream()
                    .filter(f -> f.startsWith("CUDNN_STATUS_NOT_SUPPORTED"))
                    .toList();
            refusals.addAll(unsupported);
            unsupported.forEach(failures::remove);
            return t;
        } catch (OutOfMemoryError e) {
            cudnn.note.accept("too little memory to time convolutions; using the library's first choice untested: "
                    + e.getMessage());
            return new Trials.Timed(found.get(0), Long.MAX_VALUE);
        }
    }

    /** Whether the selected algorithm runs. */
    boolean runs(ByteBuffer args) {
        try {
            ByteBuffer at = trial(args, cudnn.trials.memory(scratchBytes(), operands()));
            String failure = cudnn.trials.failure(() -> run(at), CudnnDescriptor::name);
            if (failure != null) failures.add(failure);
            return failure == null;
        } catch (OutOfMemoryError e) {
            cudnn.note.accept(
                    "too little memory to try a convolution's algorithm; using it untested: " + e.getMessage());
            return true;
        }
    }

    /** Sizes of the first operand, the second, the result and the vector. */
    private long[] operands() {
        long[] bytes = operandBytes();
        return new long[] {bytes[0], bytes[1], bytes[2], 4L * shape.o()};
    }

    /** Arguments that hold the addresses of a trial's operands and scratch memory. */
    private ByteBuffer trial(ByteBuffer args, long[] addresses) {
        ByteBuffer at = ByteBuffer.allocate(args.capacity())
                .order(args.order())
                .putLong(offsets.first, addresses[0])
                .putLong(offsets.second, addresses[1])
                .putLong(offsets.result, addresses[2])
                .putLong(offsets.scratch, addresses[4]);
        putVector(at, addresses[3]);
        return at;
    }

    private List<AlgorithmCache.Entry> candidates() {
        List<AlgorithmCache.Entry> found = new ArrayList<>();
        if (mayFuse()) addPlans(found, shape.type(), true);
        addPlans(found, shape.type(), false);
        if (type != shape.type()) addPlans(found, type, false);
        addLegacy(found);
        return found;
    }

    private void addPlans(List<AlgorithmCache.Entry> found, DType operands, boolean fused) {
        CudnnGraph.plans(cudnn.handle, kind, shape, operands, fused, exact, refusals)
                .forEach((text, engine) -> {
                    long[] words = {engine, operands.variant(), fused ? 1 : 0, 0, 0, 0, 0, 0};
                    found.add(new AlgorithmCache.Entry(words, 0, 0, text));
                });
    }

    private void addLegacy(List<AlgorithmCache.Entry> found) {
        int[] n = new int[1];
        try (cudnnConvolutionFwdAlgoPerf_t results = new cudnnConvolutionFwdAlgoPerf_t(CANDIDATES)) {
            int status = heuristic(n, results);
            if (status != CUDNN_STATUS_SUCCESS) {
                refusals.add(CudnnDescriptor.name(status));
                return;
            }
            for (int i = 0; i < n[0]; i++) {
                cudnnConvolutionFwdAlgoPerf_t h = results.getPointer(i);
                if (h.status() != CUDNN_STATUS_SUCCESS || h.determinism() != CUDNN_DETERMINISTIC || !direct(h.algo()))
                    continue;
                int math = exact ? CUDNN_FMA_MATH : h.mathType();
                if (mayFuse(h.algo())) add(found, h.algo(), math, 1, h.memory());
                add(found, h.algo(), math, 0, h.memory());
            }
        }
    }

    private static void add(List<AlgorithmCache.Entry> found, int algorithm, int math, int fused, long bytes) {
        long[] words = {algorithm, math, fused, 0, 0, 0, 0, 0};
        for (AlgorithmCache.Entry e : found) if (e.plan().isEmpty() && Arrays.equals(e.words(), words)) return;
        found.add(new AlgorithmCache.Entry(words, bytes, 0));
    }

    /** Text for {@link Served#form}. */
    String form() {
        String algorithm = chosen.plan == null
                ? "algorithm " + chosen.number + ", math type " + chosen.mathType
                : "graph engine " + chosen.number;
        return algorithm + ", workspace " + chosen.workspace + " bytes" + (chosen.fused ? ", fused bias" : "")
                + (reorders ? ", weight reordered" : "");
    }

    @Override
    public final long scratchBytes() {
        return weightBytes() + convertedBytes() + chosen.workspace;
    }

    private long weightBytes() {
        return reorders ? align(type.bytes() * shape.weightElements()) : 0;
    }

    @Override
    public final void launch(ByteBuffer args) {
        Cudnn.check(run(args), kind.kernel);
    }

    int algorithm() {
        return chosen.number;
    }

    /** The type of the operands that the library reads. */
    DType operandType() {
        return chosen.type;
    }

    /** The plan of the graph API; null for the legacy API. */
    @Nullable
    CudnnPlan plan() {
        return chosen.plan;
    }

    /** Whether the library adds the bias. */
    boolean fused() {
        return chosen.fused;
    }

    long first(ByteBuffer args) {
        return args.getLong(offsets.first);
    }

    long second(ByteBuffer args) {
        return args.getLong(offsets.second);
    }

    long result(ByteBuffer args) {
        return args.getLong(offsets.result);
    }

    /** Address of the weight in the library's order; queues the copy if the orders differ. */
    final long orderedWeight(ByteBuffer args) {
        long weight = second(args);
        if (reorder == null) return weight;
        reorder.launch(weight, weight(args));
        return weight(args);
    }

    /** Address of the reordered weight. */
    long weight(ByteBuffer args) {
        return args.getLong(offsets.scratch);
    }

    /** Address of the converted operands. */
    long converted(ByteBuffer args) {
        return weight(args) + weightBytes();
    }

    Pointer workspace(ByteBuffer args) {
        return at(workspaceAt(args));
    }

    long workspaceAt(ByteBuffer args) {
        return converted(args) + convertedBytes();
    }

    /** Frees what is needed only while algorithms are tried. */
    void prepared() {
        plans.values().removeIf(p -> {
            if (p != chosen.plan) p.close();
            return p != chosen.plan;
        });
    }

    long workspaceBytes() {
        return chosen.workspace;
    }

    /** A transposition of [o, a, b] to [o, b, a]. */
    private OwnKernel.Copy swap(long a, long b) {
        OwnKernel k = new OwnKernel(
                cudnn.runtime,
                "swap_leading",
                type,
                args -> args.input("x", 0)
                        .output("y", 0)
                        .i64("A", a)
                        .i64("B", b)
                        .i64("C", 1)
                        .i64("N", shape.o()));
        return own(new OwnKernel.Copy(k, k.offset("x"), k.offset("y")));
    }

    /** A conversion of n elements. */
    OwnKernel.Copy cast(long n, DType from, DType to) {
        return own(OwnKernel.Copy.cast(cudnn.runtime, n, from, to));
    }

    private OwnKernel.Copy own(OwnKernel.Copy c) {
        own.add(c.kernel());
        return c;
    }

    /** Registers a kernel, which {@link #close} frees. */
    OwnKernel own(OwnKernel k) {
        own.add(k);
        return k;
    }

    @Override
    public void close() {
        for (cudnnTensorStruct d : new cudnnTensorStruct[] {x, y}) if (!d.isNull()) cudnnDestroyTensorDescriptor(d);
        if (!w.isNull()) cudnnDestroyFilterDescriptor(w);
        if (!operation.isNull()) cudnnDestroyConvolutionDescriptor(operation);
        plans.values().forEach(CudnnPlan::close);
        own.forEach(OwnKernel::close);
    }
}
