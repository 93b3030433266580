// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.ByteBuffer;
import org.cortigan.graph.DType;
import org.cortigan.graph.Shape;
import org.cortigan.jni.Memory;

/**
 * A {@code DLManagedTensor} of DLPack (dmlc/dlpack, dlpack.h, the layout of versions 0.2 to 0.8) that describes a
 * tensor, for array libraries in the same process: a PyCapsule named {@code dltensor} with its {@link #address} is what
 * {@code torch.from_dlpack}, JAX and CuPy take. The struct has no deleter, so a consumer frees nothing: the struct must
 * stay open until the consumer has taken it, and the tensor's owner until the consumer no longer uses the array.
 */
public final class DlPack implements AutoCloseable {
    private static final int CPU = 1, CUDA = 2;

    /** Bytes of the struct, in front of the shape and the strides. */
    private static final int STRUCT = 64;

    private final Memory memory;

    /** Describes a tensor; to be closed. */
    public DlPack(TensorMemory tensor) {
        Shape shape = tensor.type().shape();
        memory = Memory.allocate(STRUCT + 2L * Long.BYTES * shape.rank());
        long shapeAt = memory.address() + STRUCT, stridesAt = shapeAt + (long) Long.BYTES * shape.rank();
        DType t = tensor.type().dtype();
        ByteBuffer b = memory.view(0, memory.bytes());
        b.putLong(tensor.address())
                .putInt(tensor.onHost() ? CPU : CUDA)
                .putInt(tensor.device())
                .putInt(shape.rank())
                .put(code(t))
                .put((byte) (Byte.SIZE * t.bytes()))
                .putShort((short) 1) // lanes
                .putLong(shapeAt)
                .putLong(stridesAt);
        b.position(STRUCT); // byte_offset, manager_ctx and deleter are 0
        for (int d : shape.dims()) b.putLong(d);
        for (int i = 0; i < shape.rank(); i++) b.putLong(shape.elements(i + 1, shape.rank()));
    }

    /** DLDataTypeCode. */
    private static byte code(DType t) {
        return switch (t) {
            case I32 -> 0;
            case U8 -> 1;
            case F32, F64 -> 2;
            case BF16 -> 4;
            case F8E4M3, F8E5M2 -> throw new IllegalArgumentException("DLPack 0.8 has no " + t);
        };
    }

    /**
     * Address of the struct.
     *
     * @throws IllegalStateException if it is closed
     */
    public long address() {
        return memory.address();
    }

    @Override
    public void close() {
        memory.close();
    }
}
