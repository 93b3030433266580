// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;
import java.util.zip.CRC32C;
import org.cortigan.io.AtomicFiles;

/**
 * Writes scalars for TensorBoard: a file of TFRecords (length, masked CRC-32C, data, masked CRC-32C), each of which
 * holds an Event message in the protocol buffer encoding. Formats: TensorFlow's record_writer and event.proto. Every
 * instance creates a new file, as TensorFlow does; TensorBoard reads all files of a folder.
 */
public final class EventWriter implements AutoCloseable {
    private final FileChannel file;
    private final Path path;

    /** Creates a file of a run that begins, in a folder, which is created if it does not exist. */
    public EventWriter(Path folder) {
        this(folder, 0);
    }

    /**
     * Creates a file of a run that resumes. TensorBoard forgets the values of later steps that earlier files have.
     *
     * @param resumedAt last step whose values stay
     */
    public EventWriter(Path folder, long resumedAt) {
        String host = System.getenv().getOrDefault("HOSTNAME", "local").replaceAll("[^A-Za-z0-9.-]", "_");
        AtomicFiles.createFolder(folder);
        Path p = folder;
        FileChannel f = null;
        try {
            for (int i = 0; f == null; i++) {
                p = folder.resolve(String.format(
                        Locale.ROOT, "events.out.tfevents.%010d.%s.%d", System.currentTimeMillis() / 1000, host, i));
                if (!Files.exists(p)) f = FileChannel.open(p, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
            }
        } catch (IOException e) {
            throw AtomicFiles.failed(p, e);
        }
        path = p;
        file = f;
        record(event().bytes(3, "brain.Event:2".getBytes(StandardCharsets.UTF_8)));
        // SessionLog { status: START } at a step: readers drop what earlier files have of this step and later ones.
        record(event().varint(2, resumedAt + 1)
                .bytes(7, new Message().varint(1, 1).toByteArray()));
    }

    /** An Event with the time now. */
    private static Message event() {
        return new Message().fixed64(1, Double.doubleToLongBits(System.currentTimeMillis() / 1000.0));
    }

    /** Writes the value of a scalar at a step. */
    public void scalar(String tag, double value, long step) {
        byte[] v = new Message()
                .bytes(1, tag.getBytes(StandardCharsets.UTF_8))
                .fixed32(2, Float.floatToIntBits((float) value))
                .toByteArray();
        record(event().varint(2, step).bytes(5, new Message().bytes(1, v).toByteArray()));
    }

    private void record(Message event) {
        byte[] data = event.toByteArray();
        ByteBuffer b = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        b.putLong(data.length)
                .putInt(masked(b.array(), 0, 8))
                .put(data)
                .putInt(masked(data, 0, data.length))
                .flip();
        try {
            while (b.hasRemaining()) file.write(b);
        } catch (IOException e) {
            throw AtomicFiles.failed(path, e);
        }
    }

    /** TensorFlow's masked CRC-32C of n bytes. */
    static int masked(byte[] data, int from, int n) {
        CRC32C c = new CRC32C();
        c.update(data, from, n);
        int x = (int) c.getValue();
        return (x >>> 15 | x << 17) + 0xa282ead8;
    }

    @Override
    public void close() {
        try {
            file.close();
        } catch (IOException e) {
            throw AtomicFiles.failed(path, e);
        }
    }

    /** A protocol buffer under construction. */
    private static final class Message extends ByteArrayOutputStream {
        private Message key(int field, int wire) {
            return raw((long) field << 3 | wire);
        }

        private Message raw(long v) {
            while ((v & ~0x7fL) != 0) {
                write((int) (v & 0x7f | 0x80));
                v >>>= 7;
            }
            write((int) v);
            return this;
        }

        Message varint(int field, long v) {
            return key(field, 0).raw(v);
        }

        Message fixed64(int field, long v) {
            key(field, 1);
            for (int i = 0; i < 8; i++) write((int) (v >>> 8 * i));
            return this;
        }

        Message fixed32(int field, int v) {
            key(field, 5);
            for (int i = 0; i < 4; i++) write(v >>> 8 * i);
            return this;
        }

        Message bytes(int field, byte[] b) {
            key(field, 2).raw(b.length);
            writeBytes(b);
            return this;
        }
    }
}
