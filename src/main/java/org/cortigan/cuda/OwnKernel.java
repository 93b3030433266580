// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.Optional;
import java.util.function.Consumer;
import org.cortigan.graph.DType;
import org.cortigan.jni.ArgBuffer;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;

/**
 * One of CortiGAN's own kernels, launched before or after a library call. The constructor writes the shapes by name;
 * launches only set addresses. A launch reads the arguments before it returns, so an object may be launched again with
 * other addresses at once.
 */
final class OwnKernel implements AutoCloseable {
    private final CudaRuntime runtime;
    private final String kernel;
    private final ArgStruct struct;
    private final long function;
    private final Memory memory;
    private final ByteBuffer args;

    /** @param write writes all arguments; addresses that launches will set are 0 */
    OwnKernel(CudaRuntime runtime, String kernel, DType type, Consumer<ArgBuffer> write) {
        this.runtime = runtime;
        this.kernel = kernel;
        struct = Kernels.args(kernel);
        ArgBuffer count = new ArgBuffer(kernel, null, 0);
        write.accept(count);
        memory = Memory.allocate(count.bytes());
        args = memory.view(0, memory.bytes());
        ArgBuffer all = new ArgBuffer(kernel, args, memory.address());
        write.accept(all);
        all.finish();
        // These kernels have one implementation each, so the choice does not wait for the addresses.
        function = Kernels.function(Backend.CUDA.number(), kernel, type.variant(), memory.address(), Optional.empty())
                .address();
    }

    /** Byte offset of an address in the arguments, for {@link #set}. */
    int offset(String member) {
        return struct.offset(member);
    }

    /** Byte offset of an address in a row of a table, for {@link #set}. */
    int offset(String table, int row, String member) {
        ArgStruct rows = struct.rows(table);
        int begin = Math.toIntExact(args.getLong(struct.offset(table)) - memory.address());
        return begin + row * rows.bytes() + rows.offset(member);
    }

    OwnKernel set(int offset, long address) {
        args.putLong(offset, address);
        return this;
    }

    long scratchBytes() {
        return Native.kernel_scratch(Backend.CUDA.number(), Kernels.id(kernel), memory.address());
    }

    void launch() {
        Native.launch(function, memory.address(), runtime.stream());
    }

    @Override
    public void close() {
        memory.close();
    }

    /** A kernel that reads one tensor and writes another. */
    record Copy(OwnKernel kernel, int from, int to) implements AutoCloseable {
        /** Converts n elements to another type. */
        static Copy cast(CudaRuntime runtime, long n, DType from, DType to) {
            OwnKernel k = new OwnKernel(
                    runtime,
                    "cast",
                    from,
                    w -> w.input("x", 0).output("y", 0).i64("n", n).choice("type_y", to.name()));
            return new Copy(k, k.offset("x"), k.offset("y"));
        }

        void launch(long source, long target) {
            kernel.set(from, source).set(to, target).launch();
        }

        @Override
        public void close() {
            kernel.close();
        }
    }
}
