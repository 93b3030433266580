// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.nio.ByteBuffer;
import java.util.function.Consumer;
import org.cortigan.graph.DType;
import org.cortigan.jni.ArgBuffer;
import org.cortigan.jni.ArgStruct;
import org.cortigan.jni.Backend;
import org.cortigan.jni.Kernels;
import org.cortigan.jni.Memory;
import org.cortigan.jni.Native;

/**
 * One of the project's own kernels, launched before or after a library's call. Shapes are written once and by name;
 * launches set addresses alone. Launches that may be in the queue at once need an object each, since they read its
 * memory when they run.
 */
final class OwnKernel implements AutoCloseable {
    private final CudaRuntime r;
    private final String kernel;
    private final DType type;
    private final ArgStruct struct;
    private final Memory memory;
    private final ByteBuffer args;

    /** @param write writes all arguments; addresses that launches will set are 0 */
    OwnKernel(CudaRuntime r, String kernel, DType type, Consumer<ArgBuffer> write) {
        this.r = r;
        this.kernel = kernel;
        this.type = type;
        struct = Kernels.args(kernel);
        ArgBuffer count = new ArgBuffer(kernel, null, 0);
        write.accept(count);
        memory = Memory.allocate(count.bytes());
        args = memory.view(0, memory.bytes());
        ArgBuffer all = new ArgBuffer(kernel, args, memory.address());
        write.accept(all);
        all.finish();
    }

    /** Where an address is in the arguments, for {@link #set}. */
    int offset(String member) {
        return struct.offset(member);
    }

    /** Where an address is in a row of a table, for {@link #set}. */
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
        r.launch(kernel, type, memory.address());
    }

    @Override
    public void close() {
        memory.close();
    }

    /** A kernel that reads one tensor and writes another. */
    record Copy(OwnKernel kernel, int from, int to) implements AutoCloseable {
        /** Of n elements into another type. */
        static Copy cast(CudaRuntime r, long n, DType from, DType to) {
            OwnKernel k = new OwnKernel(
                    r,
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
