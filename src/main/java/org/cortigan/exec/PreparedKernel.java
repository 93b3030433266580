// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import org.cortigan.InputException;
import org.cortigan.graph.Node;
import org.cortigan.jni.Memory;
import org.cortigan.op.Op;

/**
 * What computes one node, and its argument block. The call is prepared before planning, which needs the size of its
 * scratch memory, and bound to addresses afterwards.
 */
final class PreparedKernel {
    private final Node node;
    private final Device device;
    private final ByteBuffer args;
    private final long address;
    private final Served served;
    private final DeviceRuntime.KernelCall call;

    /** @param resources owns the call and its arguments */
    PreparedKernel(Node node, Device device, Resources resources) {
        this.node = node;
        this.device = device;
        Memory block = resources.own(Memory.allocate(ArgBlock.bytes(node)));
        args = block.view(0, block.bytes());
        address = block.address();
        ArgBlock.write(node, args, address, ArgBlock.Addresses.BOUND_LATER);
        try {
            DeviceRuntime.Service service = device.runtime().service(Op.of(node).kernel(), args);
            served = service.served();
            call = service.library().orElseGet(() -> new NativeKernel(device, node, args, address));
        } catch (InputException e) {
            throw e;
        } catch (RuntimeException e) {
            throw new IllegalStateException("preparing " + node + ": " + e.getMessage(), e);
        }
        resources.onClose(call::close);
    }

    Node node() {
        return node;
    }

    Served served() {
        return call.implementation().isEmpty() ? served : served.in(call.implementation());
    }

    long scratchBytes() {
        return call.scratchBytes();
    }

    /** Whether all work of a launch is queued on the runtime's stream. */
    boolean followsStream() {
        return call.followsStream();
    }

    long state() {
        return call.state();
    }

    /** Writes the final arguments. The kernel may be launched afterwards. */
    void bind(ArgBlock.Addresses at) {
        ArgBlock.write(node, args, address, at);
        try {
            call.bound();
        } catch (RuntimeException e) {
            throw new IllegalStateException("binding " + node + " on " + device.name() + ": " + e.getMessage(), e);
        }
    }

    /** Whether CortiGAN's own kernel computes the node, and not a library. */
    boolean isOwn() {
        return call instanceof NativeKernel;
    }

    /** @param afterOwn whether the last work on the stream is an own kernel */
    void launch(boolean afterOwn) {
        if (afterOwn && call instanceof NativeKernel k) k.launchAfterKernel();
        else call.launch(args);
    }
}
