// SPDX-License-Identifier: Apache-2.0
package org.cortigan.onnx;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * A message of Protocol Buffers in its wire format (protobuf.dev/programming-guides/encoding). ONNX needs five kinds of
 * field, and its files hold gigabytes, which generated classes would hold in memory: hence no library.
 */
final class Message {
    private static final int VARINT = 0, LENGTH = 2, FIXED32 = 5;

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    private Message tag(int field, int wireType) {
        return varint(field << 3 | wireType);
    }

    /** Seven bits a byte, the lowest first; negative numbers take ten bytes. */
    private Message varint(long value) {
        long rest = value;
        for (; (rest & ~0x7fL) != 0; rest >>>= 7) bytes.write((int) (rest & 0x7f | 0x80));
        bytes.write((int) rest);
        return this;
    }

    Message integer(int field, long value) {
        return tag(field, VARINT).varint(value);
    }

    Message single(int field, float value) {
        tag(field, FIXED32);
        byte[] four = ByteBuffer.allocate(Float.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putFloat(value)
                .array();
        bytes.writeBytes(four);
        return this;
    }

    Message text(int field, String value) {
        byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
        length(field, utf8.length);
        bytes.writeBytes(utf8);
        return this;
    }

    Message message(int field, Message value) {
        length(field, value.size());
        bytes.writeBytes(value.toBytes());
        return this;
    }

    /** The start of a field of so many bytes, which the caller writes behind this message. */
    Message length(int field, long length) {
        return tag(field, LENGTH).varint(length);
    }

    /** Adds the fields of another message. */
    Message append(Message fields) {
        bytes.writeBytes(fields.toBytes());
        return this;
    }

    int size() {
        return bytes.size();
    }

    byte[] toBytes() {
        return bytes.toByteArray();
    }
}
