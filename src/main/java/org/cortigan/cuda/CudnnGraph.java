// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.cortigan.graph.DType;

/**
 * The plans that cuDNN's graph API offers for a convolution or one of its gradients. Which engines are taken:
 *
 * <ul>
 *   <li>those whose numerical notes are known and name neither Winograd, FFT, a varying order of sums, sums in less
 *       than f32 nor shortened operands; without TF32 no tensor cores either, which would read f32 as TF32;
 *   <li>precompiled ones. Engines that cuDNN compiles at run time (about 1 s each, with the compiler inside its own
 *       libraries) are taken only if no precompiled one does the work, the first {@value #COMPILED} of them. In cuDNN
 *       9.24 on Hopper these are the fused bias and the gradient of a weight in f32 from bf16 operands.
 * </ul>
 */
final class CudnnGraph implements AutoCloseable {
    /** Names of the tensors, or of their gradients. The bias's follows y's. */
    static final long X = 1, W = 2, Y = 3, BIAS = 4;

    private static final long SUM = 5;
    /** Plans that each of the heuristics contributes. */
    private static final int EACH = 10;

    private static final int COMPILED = 2;
    /** The heuristics: for Hopper the first offers 20 to 40 configurations, best first; the last is the slow rest. */
    private static final int[] MODES = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
    /** Every tensor of a session begins at a multiple of this many bytes. */
    private static final long ALIGNMENT = 16;

    /** A convolution's attributes in the graph: alpha, beta and the descriptor follow each other from {@code first}. */
    private record Operation(int kind, int first, int x, int w, int y) {
        static Operation of(ConvolutionShape.Kind k) {
            return switch (k) {
                case FORWARD ->
                    new Operation(
                            CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
                case BY_X ->
                    new Operation(
                            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY);
                case BY_W ->
                    new Operation(
                            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY);
            };
        }
    }

    private final cudnnContext handle;
    private final ConvolutionShape shape;
    private final DType type;
    private final boolean exact;
    private final Set<String> refusals;
    private final List<CudnnDescriptor> all = new ArrayList<>();

    private CudnnGraph(cudnnContext handle, ConvolutionShape shape, DType type, boolean exact, Set<String> refusals) {
        this.handle = handle;
        this.shape = shape;
        this.type = type;
        this.exact = exact;
        this.refusals = refusals;
    }

    /**
     * Asks for plans; the best are expected first.
     *
     * @param type the type of the operands; the result has it too, but the gradient of a weight is always f32
     * @param bias whether the plans add a bias in f32
     * @param exact whether products of f32 may not be computed in TF32
     * @param refusals receives the library's reasons if it offers nothing
     * @return each plan's text and its engine's number
     */
    static Map<String, Long> plans(
            cudnnContext handle,
            ConvolutionShape.Kind kind,
            ConvolutionShape shape,
            DType type,
            boolean bias,
            boolean exact,
            Set<String> refusals) {
        try (CudnnGraph g = new CudnnGraph(handle, shape, type, exact, refusals)) {
            return g.plans(g.graph(kind, bias));
        } catch (CudnnDescriptor.Refused e) {
            refusals.add(e.name());
            return Map.of();
        }
    }

    private CudnnDescriptor graph(ConvolutionShape.Kind kind, boolean bias) {
        ConvolutionShape s = shape;
        DType result = kind == ConvolutionShape.Kind.BY_W ? DType.F32 : type;
        CudnnDescriptor x = tensor(X, type, s.b(), s.c(), s.h(), s.w()),
                w = tensor(W, result, s.o(), s.c(), s.kh(), s.kw()),
                y = output(Y, type);
        CudnnDescriptor sum = bias ? output(SUM, DType.F32).yes(CUDNN_ATTR_TENSOR_IS_VIRTUAL) : y;
        for (CudnnDescriptor d : List.of(x, w, y)) d.finish();
        if (!bias) return graph(convolution(Operation.of(kind), x, w, y));
        return graph(
                convolution(Operation.of(kind), x, w, sum.finish()),
                sum(sum, tensor(BIAS, DType.F32, 1, s.o(), 1, 1).finish(), y));
    }

    private CudnnDescriptor make(int kind) {
        CudnnDescriptor d = new CudnnDescriptor(kind);
        all.add(d);
        return d;
    }

    private CudnnDescriptor output(long id, DType type) {
        return tensor(id, type, shape.b(), shape.o(), shape.outputHeight(), shape.outputWidth());
    }

    /** A tensor [b, c, h, w] whose channels lie together; not finished. */
    private CudnnDescriptor tensor(long id, DType type, long b, long c, long h, long w) {
        return make(CUDNN_BACKEND_TENSOR_DESCRIPTOR)
                .longs(CUDNN_ATTR_TENSOR_UNIQUE_ID, id)
                .constant(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, dataType(type))
                .longs(CUDNN_ATTR_TENSOR_DIMENSIONS, b, c, h, w)
                .longs(CUDNN_ATTR_TENSOR_STRIDES, h * w * c, 1, w * c, c)
                .longs(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT);
    }

    private static int dataType(DType t) {
        return t == DType.BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    }

    private CudnnDescriptor convolution(Operation o, CudnnDescriptor x, CudnnDescriptor w, CudnnDescriptor y) {
        long[] padding = {shape.ph(), shape.pw()};
        CudnnDescriptor c = make(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
                .constant(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
                .constant(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
                .longs(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2)
                .longs(CUDNN_ATTR_CONVOLUTION_DILATIONS, 1, 1)
                .longs(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, shape.sh(), shape.sw())
                .longs(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding)
                .longs(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding)
                .finish();
        return make(o.kind)
                .number(o.first, 1)
                .number(o.first + 1, 0)
                .descriptors(o.first + 2, c)
                .descriptors(o.x, x)
                .descriptors(o.w, w)
                .descriptors(o.y, y)
                .finish();
    }

    /** y = a + b, where b is repeated along y. */
    private CudnnDescriptor sum(CudnnDescriptor a, CudnnDescriptor b, CudnnDescriptor y) {
        CudnnDescriptor add = make(CUDNN_BACKEND_POINTWISE_DESCRIPTOR)
                .constant(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, CUDNN_POINTWISE_ADD)
                .constant(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
                .finish();
        return make(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
                .descriptors(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add)
                .descriptors(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a)
                .descriptors(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b)
                .descriptors(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)
                .finish();
    }

    private CudnnDescriptor graph(CudnnDescriptor... operations) {
        return make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
                .handle(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle)
                .descriptors(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations)
                .finish();
    }

    private Map<String, Long> plans(CudnnDescriptor graph) {
        Map<String, Long> plans = new LinkedHashMap<>();
        List<CudnnDescriptor> compiled = new ArrayList<>();
        for (int mode : MODES) {
            List<CudnnDescriptor> ready = new ArrayList<>();
            for (CudnnDescriptor c : configurations(graph, mode)) sort(c, ready, compiled);
            plan(ready, EACH, plans);
        }
        if (plans.isEmpty()) plan(compiled, COMPILED, plans);
        return plans;
    }

    /** The configurations of engines that a heuristic offers. */
    private List<CudnnDescriptor> configurations(CudnnDescriptor graph, int mode) {
        try {
            CudnnDescriptor h = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
                    .descriptors(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
                    .constant(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode)
                    .finish();
            int n = h.count(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR);
            CudnnDescriptor[] c = IntStream.range(0, n)
                    .mapToObj(i -> make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR))
                    .toArray(CudnnDescriptor[]::new);
            return List.of(c).subList(0, n == 0 ? 0 : h.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, c));
        } catch (CudnnDescriptor.Refused e) {
            refusals.add(e.name());
            return List.of();
        }
    }

    /** Adds a configuration to the ready or the compiled ones, or to neither. */
    private void sort(CudnnDescriptor configuration, List<CudnnDescriptor> ready, List<CudnnDescriptor> compiled) {
        CudnnDescriptor engine = engine(configuration);
        for (int note : engine.getConstants(
                CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT))
            if (note != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP && (exact || note != CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
                return;
        boolean compiles = false;
        for (int note : engine.getConstants(
                CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT)) {
            compiles |= note == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
            if (note == CUDNN_BEHAVIOR_NOTE_REQUIRES_FILTER_INT8x32_REORDER
                    || note == CUDNN_BEHAVIOR_NOTE_REQUIRES_BIAS_INT8x32_REORDER) return;
        }
        (compiles ? compiled : ready).add(configuration);
    }

    private CudnnDescriptor engine(CudnnDescriptor configuration) {
        CudnnDescriptor engine = make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
        configuration.get(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
        return engine;
    }

    /** Makes plans until {@code most} have been made; a plan that the library cannot make is left out. */
    private void plan(List<CudnnDescriptor> configurations, int most, Map<String, Long> plans) {
        int made = 0;
        for (CudnnDescriptor c : configurations) {
            if (made == most) return;
            try (CudnnDescriptor plan = new CudnnDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)) {
                plan.handle(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle)
                        .descriptors(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, c)
                        .finish();
                plans.putIfAbsent(
                        plan.getText(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION),
                        engine(c).getLong(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
                made++;
            } catch (CudnnDescriptor.Refused e) {
                refusals.add(e.name());
            }
        }
    }

    @Override
    public void close() {
        for (int i = all.size() - 1; i >= 0; i--) all.get(i).close();
    }
}
