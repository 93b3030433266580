// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;
import static org.cortigan.cuda.CudaRuntime.align;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import org.bytedeco.cuda.cudnn.cudnnActivationStruct;
import org.bytedeco.cuda.cudnn.cudnnConvolutionFwdAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnTensorStruct;
import org.bytedeco.javacpp.SizeTPointer;
import org.cortigan.graph.DType;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Kernels;
import org.cortigan.op.Binary;
import org.jspecify.annotations.Nullable;

/** y = scale (x * w) + bias. Either the library or the kernel {@code binary} adds the bias. */
@SuppressWarnings("deprecation") // the legacy API, see Cudnn
final class CudnnForward extends CudnnConvolution {
    /** The kernel {@code binary}, applied in place, with the offsets of its addresses. */
    private record Update(OwnKernel kernel, int a, int b, int y) {
        void launch(long tensor, long by) {
            kernel.set(a, tensor).set(b, by).set(y, tensor).launch();
        }
    }

    private final int biasAt, scaleAt;
    private final boolean bias, scale;
    private final cudnnTensorStruct vector = new cudnnTensorStruct();
    private final cudnnActivationStruct identity = new cudnnActivationStruct();
    /** Kernels around the library call; null if the convolution does not need them. */
    private OwnKernel.@Nullable Copy castBias;

    private @Nullable Update multiply, add;

    CudnnForward(Cudnn cudnn, ConvolutionShape shape, ByteBuffer args, boolean tf32) {
        super(cudnn, ConvolutionShape.Kind.FORWARD, shape, shape.type(), tf32);
        ArgStruct s = Kernels.args(ConvolutionShape.Kind.FORWARD.kernel);
        biasAt = s.offset("bias");
        scaleAt = s.offset("scale");
        bias = args.getLong(biasAt) != 0;
        scale = args.getLong(scaleAt) != 0;
    }

    @Override
    void describe(int dataType) {
        super.describe(dataType);
        tensor(vector, dataType, 1, shape.o(), 1, 1);
        Cudnn.check(cudnnCreateActivationDescriptor(identity), "cudnnCreateActivationDescriptor");
        Cudnn.check(
                cudnnSetActivationDescriptor(identity, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0),
                "cudnnSetActivationDescriptor");
    }

    @Override
    void makeKernels() {
        if (shape.in16() && bias) castBias = cast(shape.o(), DType.F32, DType.BF16);
        if (scale) multiply = binary(1, Binary.Kind.MUL);
        if (bias) add = binary(shape.o(), Binary.Kind.ADD);
    }

    /** y op= m floats, which are repeated along y. */
    private Update binary(long m, Binary.Kind op) {
        OwnKernel k = own(new OwnKernel(
                cudnn.runtime,
                "binary",
                type,
                args -> args.input("a", 0)
                        .input("b", 0)
                        .output("y", 0)
                        .i64("n", shape.outputElements())
                        .i64("m", m)
                        .choice("op", op)
                        .choice("type_b", DType.F32.name())
                        .f64("alpha", 0)
                        .f64("beta", 0)));
        return new Update(k, k.offset("a"), k.offset("b"), k.offset("y"));
    }

    @Override
    String options() {
        return (bias ? ", bias" : "") + (scale ? ", scale" : "");
    }

    @Override
    boolean direct(int a) {
        return a == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM
                || a == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM
                || a == CUDNN_CONVOLUTION_FWD_ALGO_GEMM
                || a == CUDNN_CONVOLUTION_FWD_ALGO_DIRECT;
    }

    @Override
    boolean mayFuse() {
        return bias && !scale;
    }

    @Override
    boolean mayFuse(int a) {
        return mayFuse() && a == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    }

    @Override
    int workspaceSize(int a, SizeTPointer bytes) {
        return cudnnGetConvolutionForwardWorkspaceSize(cudnn.handle, x, w, operation, y, a, bytes);
    }

    @Override
    int heuristic(int[] n, cudnnConvolutionFwdAlgoPerf_t results) {
        return cudnnGetConvolutionForwardAlgorithm_v7(cudnn.handle, x, w, operation, y, CANDIDATES, n, results);
    }

    @Override
    long[] operandBytes() {
        long size = type.bytes();
        return new long[] {size * shape.inputElements(), size * shape.weightElements(), size * shape.outputElements()};
    }

    @Override
    void putVector(ByteBuffer args, long address) {
        args.putLong(biasAt, address).putLong(scaleAt, address);
    }

    @Override
    long convertedBytes() {
        return castBias != null && fused() && plan() == null ? align(2L * shape.o()) : 0;
    }

    @Override
    int run(ByteBuffer args) {
        long input = first(args), weight = orderedWeight(args), output = result(args);
        CudnnPlan plan = plan();
        if (fused())
            return plan != null
                    ? plan.run(workspaceAt(args), input, weight, output, args.getLong(biasAt))
                    : runFused(args, input, weight, output);
        int status = plan != null
                ? plan.run(workspaceAt(args), input, weight, output)
                : cudnnConvolutionForward(
                        cudnn.handle,
                        cudnn.one,
                        x,
                        at(input),
                        w,
                        at(weight),
                        operation,
                        algorithm(),
                        workspace(args),
                        workspaceBytes(),
                        cudnn.zero,
                        y,
                        at(output));
        if (status != CUDNN_STATUS_SUCCESS) return status;
        if (multiply != null) multiply.launch(output, args.getLong(scaleAt));
        if (add != null) add.launch(output, args.getLong(biasAt));
        return status;
    }

    private int runFused(ByteBuffer args, long input, long weight, long output) {
        long b = args.getLong(biasAt);
        if (castBias != null) {
            castBias.launch(b, converted(args));
            b = converted(args);
        }
        return cudnnConvolutionBiasActivationForward(
                cudnn.handle,
                cudnn.one,
                x,
                at(input),
                w,
                at(weight),
                operation,
                algorithm(),
                workspace(args),
                workspaceBytes(),
                cudnn.zero,
                y,
                at(output),
                vector,
                at(b),
                identity,
                y,
                at(output));
    }

    @Override
    public void close() {
        if (!vector.isNull()) cudnnDestroyTensorDescriptor(vector);
        if (!identity.isNull()) cudnnDestroyActivationDescriptor(identity);
        super.close();
    }
}
