// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;
import static org.cortigan.cuda.CudaRuntime.at;

import java.nio.ByteBuffer;
import org.bytedeco.cuda.cudnn.cudnnConvolutionBwdDataAlgoPerf_t;
import org.bytedeco.cuda.cudnn.cudnnConvolutionFwdAlgoPerf_t;
import org.bytedeco.javacpp.SizeTPointer;

/** The gradient of a convolution with respect to x. */
@SuppressWarnings("deprecation") // the legacy API, see Cudnn
final class CudnnGradX extends CudnnConvolution {
    CudnnGradX(Cudnn cudnn, ConvolutionShape shape, boolean tf32) {
        super(cudnn, ConvolutionShape.Kind.BY_X, shape, shape.type(), tf32);
    }

    @Override
    boolean direct(int a) {
        return a == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
    }

    @Override
    int workspaceSize(int a, SizeTPointer bytes) {
        return cudnnGetConvolutionBackwardDataWorkspaceSize(cudnn.handle, w, y, operation, x, a, bytes);
    }

    @Override
    int heuristic(int[] n, cudnnConvolutionFwdAlgoPerf_t results) {
        return cudnnGetConvolutionBackwardDataAlgorithm_v7(
                cudnn.handle, w, y, operation, x, CANDIDATES, n, new cudnnConvolutionBwdDataAlgoPerf_t(results));
    }

    @Override
    long[] operandBytes() {
        long size = type.bytes();
        return new long[] {size * shape.outputElements(), size * shape.weightElements(), size * shape.inputElements()};
    }

    @Override
    long convertedBytes() {
        return 0;
    }

    @Override
    int run(ByteBuffer args) {
        long weight = orderedWeight(args);
        CudnnPlan plan = plan();
        if (plan != null) return plan.run(workspaceAt(args), result(args), weight, first(args));
        return cudnnConvolutionBackwardData(
                cudnn.handle,
                cudnn.one,
                w,
                at(weight),
                y,
                at(first(args)),
                operation,
                algorithm(),
                workspace(args),
                workspaceBytes(),
                cudnn.zero,
                x,
                at(result(args)));
    }
}
