// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;
import static org.cortigan.cuda.CudaRuntime.align;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import org.bytedeco.cuda.cudnn.cudnnConvolutionBwdFilterAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnConvolutionFwdAlgoPerf_t;
import org.bytedeco.javacpp.SizeTPointer;
import org.cortigan.graph.DType;
import org.jspecify.annotations.Nullable;

/**
 * The gradient of a convolution with respect to the weight, in f32. An engine of the graph API may take bf16 operands
 * as they are; for others, and for the legacy API, which would return bf16, they are converted first.
 */
@SuppressWarnings("deprecation") // the legacy API, see Cudnn
final class CudnnGradW extends CudnnConvolution {
    /** Kernels around the library call; null if the gradient does not need them. */
    private OwnKernel.@Nullable Copy castInput, castGradient;

    CudnnGradW(Cudnn cudnn, ConvolutionShape shape, boolean tf32) {
        super(cudnn, ConvolutionShape.Kind.BY_W, shape, DType.F32, tf32);
    }

    @Override
    void makeKernels() {
        if (shape.in16()) {
            castInput = cast(shape.inputElements(), DType.BF16, DType.F32);
            castGradient = cast(shape.outputElements(), DType.BF16, DType.F32);
        }
    }

    @Override
    boolean direct(int a) {
        return a == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
    }

    @Override
    int workspaceSize(int a, SizeTPointer bytes) {
        return cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnn.handle, x, y, operation, w, a, bytes);
    }

    @Override
    int heuristic(int[] n, cudnnConvolutionFwdAlgoPerf_t results) {
        return cudnnGetConvolutionBackwardFilterAlgorithm_v7(
                cudnn.handle, x, y, operation, w, CANDIDATES, n, new cudnnConvolutionBwdFilterAlgoPerf_t(results));
    }

    @Override
    long[] operandBytes() {
        long size = shape.type().bytes();
        return new long[] {size * shape.inputElements(), size * shape.outputElements(), 4 * shape.weightElements()};
    }

    private boolean converts() {
        return operandType() != shape.type();
    }

    @Override
    long convertedBytes() {
        return converts() ? align(4 * shape.inputElements()) + align(4 * shape.outputElements()) : 0;
    }

    @Override
    String form() {
        return super.form() + (converts() ? ", x and dY in f32" : "");
    }

    @Override
    int run(ByteBuffer args) {
        long input = first(args), gradient = second(args), result = result(args);
        if (converts() && castInput != null && castGradient != null) {
            long to = converted(args);
            castInput.launch(input, to);
            input = to;
            to += align(4 * shape.inputElements());
            castGradient.launch(gradient, to);
            gradient = to;
        }
        long weight = reorders ? weight(args) : result;
        CudnnPlan plan = plan();
        int status = plan != null
                ? plan.run(workspaceAt(args), input, weight, gradient)
                : cudnnConvolutionBackwardFilter(
                        cudnn.handle,
                        cudnn.one,
                        x,
                        at(input),
                        y,
                        at(gradient),
                        operation,
                        algorithm(),
                        workspace(args),
                        workspaceBytes(),
                        cudnn.zero,
                        w,
                        at(weight));
        if (status == CUDNN_STATUS_SUCCESS && reorder != null) reorder.launch(weight, result);
        return status;
    }
}
