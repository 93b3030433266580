// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import org.cortigan.InputException;
import org.cortigan.graph.Node;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;
import org.cortigan.op.Op;
import org.jspecify.annotations.Nullable;

/**
 * One node's kernel and its argument block. The kernel is prepared before planning, which needs the size of its scratch
 * memory, and bound to addresses afterwards.
 */
final class PreparedKernel {
    private final Node node;
    private final Op op;
    private final Device device;
    private final ByteBuffer args;
    private final long address;
    private final Served served;
    /** The library call that replaces the kernel, or null. */
    private final DeviceRuntime.@Nullable LibraryKernel library;

    private final long state;
    private long function;

    /** @param resources owns the kernel's arguments and native state */
    PreparedKernel(Node node, Device device, Resources resources) {
        this.node = node;
        this.device = device;
        op = Op.of(node);
        Memory block = resources.own(Memory.allocate(ArgBlock.bytes(node)));
        args = block.view(0, block.bytes());
        address = block.address();
        ArgBlock.write(node, args, address, ArgBlock.Addresses.BOUND_LATER);
        try {
            DeviceRuntime.Service service = device.runtime().service(op.kernel(), args);
            served = service.served();
            library = service.call();
            state = library == null ? Native.kernel_prepare(device.backend(), kernel(), address) : 0;
        } catch (InputException e) {
            throw e;
        } catch (RuntimeException e) {
            throw new IllegalStateException("preparing " + node + ": " + e.getMessage(), e);
        }
        resources.onClose(this::release);
        if (state != 0) args.putLong(Kernels.args(op.kernel()).offset("state"), state);
    }

    private int kernel() {
        return Kernels.id(op.kernel());
    }

    Node node() {
        return node;
    }

    Served served() {
        return served;
    }

    long scratchBytes() {
        return library != null ? library.scratchBytes() : Native.kernel_scratch(device.backend(), kernel(), address);
    }

    /** What the kernel's prepare function returned. */
    long state() {
        return state;
    }

    /** Writes the final arguments. The kernel may be launched afterwards. */
    void bind(ArgBlock.Addresses at) {
        ArgBlock.write(node, args, address, at);
        if (library == null) function = function();
    }

    private long function() {
        int variant = device.reference() ? 0 : op.variant(node).variant();
        long f = Native.kernel_function(device.backend(), kernel(), variant);
        if (f == 0)
            throw new IllegalStateException("no kernel " + op.kernel() + " for " + node + " on " + device.name());
        return f;
    }

    void launch(long stream) {
        if (library != null) library.launch(args);
        else Native.launch(function, address, stream);
    }

    private void release() {
        if (library != null) library.close();
        else if (state != 0) Native.kernel_release(device.backend(), kernel(), state);
    }
}
