// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import java.util.Objects;
import org.cortigan.graph.Node;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Native;
import org.cortigan.op.Op;
import org.jspecify.annotations.Nullable;

/** CortiGAN's own kernel as the call that computes a node. */
final class NativeKernel implements DeviceRuntime.KernelCall {
    private final Device device;
    private final String kernel;
    private final int variant;
    /** Address of the arguments in host memory. */
    private final long args;
    /** What the kernel prepared for its arguments; 0 if it prepares nothing. */
    private final long state;

    private Kernels.@Nullable Function function;

    NativeKernel(Device device, Node node, ByteBuffer args, long address) {
        this.device = device;
        this.args = address;
        Op op = Op.of(node);
        kernel = op.kernel();
        variant = device.reference() ? 0 : op.variant(node).variant();
        state = Native.kernel_prepare(device.backend(), Kernels.id(kernel), address);
        if (state != 0) args.putLong(Kernels.args(kernel).offset("state"), state);
    }

    @Override
    public long state() {
        return state;
    }

    @Override
    public long scratchBytes() {
        return Native.kernel_scratch(device.backend(), Kernels.id(kernel), args);
    }

    @Override
    public void bound() {
        function = Kernels.function(device.backend(), kernel, variant, args, device.preferred());
    }

    @Override
    public String implementation() {
        boolean choice =
                Kernels.implementations(device.backend(), kernel, variant).size() > 1;
        return choice ? bound(function).implementation() : "";
    }

    @Override
    public boolean followsStream() {
        return true;
    }

    @Override
    public void launch(ByteBuffer buffer) {
        launchOn(device.runtime().stream());
    }

    /** Launches the kernel where the last work on the stream is another own kernel. */
    void launchAfterKernel() {
        launchOn(device.runtime().streamAfterKernel());
    }

    private void launchOn(long stream) {
        Native.launch(bound(function).address(), args, stream);
    }

    private static Kernels.Function bound(Kernels.@Nullable Function f) {
        return Objects.requireNonNull(f, "the kernel has no addresses yet");
    }

    @Override
    public void close() {
        if (state != 0) Native.kernel_release(device.backend(), Kernels.id(kernel), state);
    }
}
