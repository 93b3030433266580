// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.bytedeco.cuda.global.cudnn.*;

import org.bytedeco.cuda.cudnn.cudnnBackendDescriptor_t;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;

/** A descriptor of cuDNN's backend API: attributes are set, then {@link #finish} checks them, then they can be read. */
final class CudnnDescriptor implements AutoCloseable {
    /** The library does not support what a descriptor describes, or refuses it for another reason. */
    static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;

        final int status;

        private Refused(int status) {
            super(CudnnDescriptor.name(status));
            this.status = status;
        }

        /** The name of the library's status. */
        String name() {
            return CudnnDescriptor.name(status);
        }
    }

    final cudnnBackendDescriptor_t pointer = new cudnnBackendDescriptor_t();

    /** @param kind one of CUDNN_BACKEND_..._DESCRIPTOR */
    CudnnDescriptor(int kind) {
        check(cudnnBackendCreateDescriptor(kind, pointer));
    }

    /** The name of a status of the library. */
    static String name(int status) {
        return cudnnGetErrorString(status).getString();
    }

    private static void check(int status) {
        if (status != CUDNN_STATUS_SUCCESS) throw new Refused(status);
    }

    /** Sets 64-bit integers. */
    CudnnDescriptor longs(int attribute, long... values) {
        try (LongPointer p = new LongPointer(values)) {
            return set(attribute, CUDNN_TYPE_INT64, values.length, p);
        }
    }

    /** Sets a constant of an enumeration. */
    CudnnDescriptor constant(int attribute, int type, int value) {
        try (IntPointer p = new IntPointer(1)) {
            return set(attribute, type, 1, p.put(value));
        }
    }

    CudnnDescriptor number(int attribute, float value) {
        try (FloatPointer p = new FloatPointer(1)) {
            return set(attribute, CUDNN_TYPE_FLOAT, 1, p.put(value));
        }
    }

    CudnnDescriptor yes(int attribute) {
        try (BytePointer p = new BytePointer(1)) {
            return set(attribute, CUDNN_TYPE_BOOLEAN, 1, p.put((byte) 1));
        }
    }

    CudnnDescriptor text(int attribute, String text) {
        byte[] bytes = text.getBytes(UTF_8);
        try (BytePointer p = new BytePointer(bytes.length)) {
            return set(attribute, CUDNN_TYPE_CHAR, bytes.length, p.put(bytes, 0, bytes.length));
        }
    }

    CudnnDescriptor handle(int attribute, cudnnContext handle) {
        return addresses(attribute, CUDNN_TYPE_HANDLE, handle.address());
    }

    CudnnDescriptor addresses(int attribute, int type, long... addresses) {
        try (LongPointer p = new LongPointer(addresses)) {
            return set(attribute, type, addresses.length, p);
        }
    }

    CudnnDescriptor descriptors(int attribute, CudnnDescriptor... others) {
        return addresses(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, addressesOf(others));
    }

    private CudnnDescriptor set(int attribute, int type, long n, Pointer values) {
        check(cudnnBackendSetAttribute(pointer, attribute, type, n, values));
        return this;
    }

    /** Ends the setting of attributes. */
    CudnnDescriptor finish() {
        check(cudnnBackendFinalize(pointer));
        return this;
    }

    long getLong(int attribute) {
        try (LongPointer p = new LongPointer(1)) {
            get(attribute, CUDNN_TYPE_INT64, 1, p);
            return p.get();
        }
    }

    /** @param most the most constants that the attribute can have */
    int[] getConstants(int attribute, int type, int most) {
        try (IntPointer p = new IntPointer(most)) {
            int[] all = new int[(int) get(attribute, type, most, p)];
            p.get(all);
            return all;
        }
    }

    String getText(int attribute) {
        int n = count(attribute, CUDNN_TYPE_CHAR);
        try (BytePointer p = new BytePointer(n)) {
            byte[] bytes = new byte[(int) get(attribute, CUDNN_TYPE_CHAR, n, p)];
            p.get(bytes);
            int end = bytes.length;
            while (end > 0 && bytes[end - 1] == 0) end--; // the library counts the terminator
            return new String(bytes, 0, end, UTF_8);
        }
    }

    /** The number of an attribute's elements. */
    int count(int attribute, int type) {
        try (Pointer none = new Pointer()) {
            return (int) get(attribute, type, 0, none);
        }
    }

    /** Lets others, which are not finished, describe an attribute's elements; returns how many do. */
    int get(int attribute, CudnnDescriptor... others) {
        try (LongPointer p = new LongPointer(addressesOf(others))) {
            return (int) get(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, others.length, p);
        }
    }

    /** Returns the number of elements: of all if {@code most} is 0, otherwise of those read. */
    private long get(int attribute, int type, long most, Pointer values) {
        long[] n = new long[1];
        check(cudnnBackendGetAttribute(pointer, attribute, type, most, n, values));
        return n[0];
    }

    private static long[] addressesOf(CudnnDescriptor[] all) {
        long[] a = new long[all.length];
        for (int i = 0; i < a.length; i++) a[i] = all[i].pointer.address();
        return a;
    }

    @Override
    public void close() {
        cudnnBackendDestroyDescriptor(pointer);
    }
}
