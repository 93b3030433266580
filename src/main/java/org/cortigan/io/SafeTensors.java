// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.graph.Half;
import org.jspecify.annotations.Nullable;

/**
 * Named tensors in one file, in the safetensors format: an 8-byte little-endian header length, a JSON header, and the
 * little-endian bytes of the tensors without gaps. Opening verifies the header: length, JSON, dtypes, shapes, that
 * offsets agree with sizes, and that the tensors cover the data exactly, without overlap. The file is memory-mapped.
 * Thread-safe; {@link #close} forbids further reads, and the file stays mapped until nothing refers to this object.
 * Source of the format: the safetensors project's README and reference implementation.
 */
public final class SafeTensors implements AutoCloseable {
    private static final int MAX_HEADER_BYTES = 1 << 25;
    private static final int MAX_RANK = 32;
    private static final int CHUNK_BYTES = 1 << 16;
    private static final String METADATA = "__metadata__";
    private static final String CONVERT =
            "Give a safetensors file; a PyTorch file is converted by safetensors.torch.save_file(torch.load(FILE,"
                    + " weights_only=True), 'model.safetensors'), one of Stable Diffusion (.ckpt) with ['state_dict']"
                    + " behind load(...)";

    /** Element types by their names in the format, in the order in which the reference implementation stores them. */
    public enum DType {
        U64(64),
        I64(64),
        F64(64),
        C64(64),
        F32(32),
        U32(32),
        I32(32),
        BF16(16),
        F16(16),
        U16(16),
        I16(16),
        F8_E5M2FNUZ(8),
        F8_E4M3FNUZ(8),
        F8_E8M0(8),
        F8_E4M3(8),
        F8_E5M2(8),
        I8(8),
        U8(8),
        F6_E3M2(6),
        F6_E2M3(6),
        F4(4),
        BOOL(8);

        private final int bits;

        DType(int bits) {
            this.bits = bits;
        }

        /** Bits of one element: several elements of fewer than 8 share bytes. */
        public int bits() {
            return bits;
        }

        /** Whether {@link SafeTensors#floats} reads it. */
        public boolean isRead() {
            return this == F32 || this == F64 || this == F16 || this == BF16;
        }
    }

    /**
     * A tensor in the file.
     *
     * @param offset position of the first byte in the file
     * @param bytes size in bytes
     */
    public record Entry(String name, DType dtype, long[] shape, long offset, long bytes) {
        /** Number of elements: the product of the shape. */
        public long elements() {
            return bytes * 8 / dtype.bits;
        }

        /** Name, type and shape, for messages: the name comes from an untrusted file. */
        @Override
        public String toString() {
            return InputFiles.quote(name) + " " + dtype + Arrays.toString(shape);
        }
    }

    private final Path path;
    private final Map<String, Entry> entries;
    private final Map<String, String> metadata;
    private final long dataOffset;
    private final MappedBytes.Handle data;

    private SafeTensors(Path path, Header header, MappedBytes data) {
        this.path = path;
        this.entries = header.entries;
        this.metadata = header.metadata;
        this.dataOffset = header.dataOffset;
        this.data = new MappedBytes.Handle(path, data);
    }

    private record Header(Map<String, Entry> entries, Map<String, String> metadata, long dataOffset) {}

    /**
     * Opens and verifies a file.
     *
     * @throws InputException if the file is missing or violates the format
     */
    public static SafeTensors open(Path path) {
        return open(path, MappedBytes.SEGMENT);
    }

    static SafeTensors open(Path path, int segment) {
        try (FileChannel channel = InputFiles.open(path)) {
            long size = channel.size();
            byte[] start = InputFiles.read(channel, (int) Math.min(size, FileKind.START));
            int length = headerLength(path, start, size);
            byte[] json = new byte[length];
            ByteBuffer into = ByteBuffer.wrap(json);
            int got = 0;
            while (into.hasRemaining() && got >= 0) {
                got = channel.read(into, 8L + into.position());
            }
            Header header = header(path, json, size);
            return new SafeTensors(
                    path, header, MappedBytes.map(channel, header.dataOffset, size - header.dataOffset, segment));
        } catch (IOException e) {
            throw InputFiles.unreadable(path, e);
        }
    }

    /** Parses a file that is already in memory; {@code path} only names it in messages. */
    static SafeTensors parse(Path path, byte[] file) {
        int length = headerLength(path, file, file.length);
        Header header = header(path, Arrays.copyOfRange(file, 8, 8 + length), file.length);
        return new SafeTensors(
                path, header, MappedBytes.of(ByteBuffer.wrap(file, 8 + length, file.length - 8 - length)));
    }

    private static int headerLength(Path path, byte[] start, long fileBytes) {
        long length = start.length < 9
                ? 0
                : ByteBuffer.wrap(start).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        boolean plausible = length >= 2 && length <= MAX_HEADER_BYTES && start[8] == '{';
        if (!plausible && !FileKind.isUnknown(path, start)) {
            throw FileKind.refusal(path, start, "safetensors file", CONVERT);
        }
        if (start.length < 8) {
            throw bad(path, "the file has only " + start.length + " bytes");
        }
        if (length < 2 || length > fileBytes - 8) {
            throw bad(
                    path,
                    "the header claims " + Long.toUnsignedString(length) + " bytes, but the file has " + (fileBytes - 8)
                            + " after the header length");
        }
        if (length > MAX_HEADER_BYTES) {
            throw bad(path, "a header of " + length + " bytes is not plausible (limit " + MAX_HEADER_BYTES + ")");
        }
        return (int) length;
    }

    private static Header header(Path path, byte[] json, long fileBytes) {
        if (json[0] != '{') {
            throw bad(path, "the header does not start with '{'");
        }
        Map<String, Object> root = parsed(path, json);
        Map<String, String> metadata = new LinkedHashMap<>();
        if (root.containsKey(METADATA)) {
            if (!(root.remove(METADATA) instanceof Map<?, ?> entries)) {
                throw bad(path, METADATA + " is no JSON object");
            }
            Json.object(entries, METADATA).forEach((key, value) -> {
                if (!(value instanceof String s)) {
                    throw bad(path, METADATA + " field " + InputFiles.quote(key) + " is not a string");
                }
                metadata.put(key, s);
            });
        }
        long dataOffset = 8L + json.length;
        List<Entry> ordered = new ArrayList<>();
        root.forEach((name, value) -> ordered.add(entry(path, name, value, dataOffset, fileBytes - dataOffset)));
        ordered.sort(Comparator.comparingLong(Entry::offset).thenComparingLong(Entry::bytes));
        long end = dataOffset;
        String previous = "the header";
        Map<String, Entry> entries = new LinkedHashMap<>();
        for (Entry e : ordered) {
            String name = "tensor " + InputFiles.quote(e.name);
            if (e.offset < end) {
                throw bad(path, name + " overlaps " + previous);
            }
            if (e.offset > end) {
                throw bad(path, "unused bytes between " + previous + " and " + name);
            }
            end += e.bytes;
            previous = name;
            entries.put(e.name, e);
        }
        if (end != fileBytes) {
            throw bad(path, "the tensors end at byte " + end + ", the file at byte " + fileBytes);
        }
        return new Header(Collections.unmodifiableMap(entries), Collections.unmodifiableMap(metadata), dataOffset);
    }

    private static Map<String, Object> parsed(Path path, byte[] json) {
        try {
            return Json.object(Json.parse(json, "header"), "header");
        } catch (InputException e) {
            throw bad(path, "its header: " + e.problem());
        }
    }

    private static Entry entry(Path path, String name, Object value, long dataOffset, long dataBytes) {
        String tensor = "tensor " + InputFiles.quote(name);
        if (!(value instanceof Map<?, ?> map) || !map.keySet().equals(Set.of("dtype", "shape", "data_offsets"))) {
            throw bad(path, tensor + " must have exactly the fields dtype, shape, data_offsets");
        }
        DType dtype = null;
        for (DType d : DType.values()) {
            dtype = d.name().equals(map.get("dtype")) ? d : dtype;
        }
        if (dtype == null) {
            throw bad(
                    path,
                    tensor + " has the unknown dtype "
                            + (map.get("dtype") instanceof String s ? InputFiles.quote(s) : "(not a string)"));
        }
        long[] shape = sizes(path, tensor + " field shape", map.get("shape"));
        long[] range = sizes(path, tensor + " field data_offsets", map.get("data_offsets"));
        if (range.length != 2 || range[0] > range[1] || range[1] > dataBytes) {
            throw bad(
                    path,
                    tensor + " lies at " + Arrays.toString(range) + ", outside the " + dataBytes + " bytes of data");
        }
        long bits = dtype.bits;
        try {
            for (long n : shape) {
                bits = Math.multiplyExact(bits, n);
            }
        } catch (ArithmeticException e) {
            throw bad(path, tensor + " has the shape " + Arrays.toString(shape) + ", whose size overflows");
        }
        if (bits % 8 != 0) {
            throw bad(path, tensor + " of " + dtype + Arrays.toString(shape) + " ends within a byte");
        }
        if (bits / 8 != range[1] - range[0]) {
            throw bad(
                    path,
                    tensor + " of " + dtype + Arrays.toString(shape) + " needs " + bits / 8 + " bytes, but has "
                            + (range[1] - range[0]));
        }
        return new Entry(name, dtype, shape, dataOffset + range[0], bits / 8);
    }

    private static long[] sizes(Path path, String what, @Nullable Object value) {
        if (!(value instanceof List<?> list) || list.size() > MAX_RANK) {
            throw bad(path, what + " is not a list of at most " + MAX_RANK + " integers");
        }
        long[] out = new long[list.size()];
        for (int i = 0; i < out.length; i++) {
            if (!(list.get(i) instanceof Long v) || v < 0) {
                throw bad(path, what + " holds a value that is not a size");
            }
            out[i] = v;
        }
        return out;
    }

    private static InputException bad(Path path, String problem) {
        return new InputException(
                path.toString(), "is not a valid safetensors file: " + problem, "Copy or download the file again");
    }

    /** Names of the tensors, in the order of the data in the file. */
    public Set<String> names() {
        return entries.keySet();
    }

    /**
     * The tensor of a name.
     *
     * @throws InputException if there is no such tensor
     */
    public Entry entry(String name) {
        Entry e = entries.get(name);
        if (e == null) {
            throw new InputException(
                    path.toString(),
                    "has no tensor " + InputFiles.quote(name) + " among its " + entries.size(),
                    "Check that the file belongs to this model");
        }
        return e;
    }

    /** The metadata of the file, by key. */
    public Map<String, String> metadata() {
        return metadata;
    }

    public Path path() {
        return path;
    }

    /**
     * The same as {@link #finite} for a tensor whose size is known.
     *
     * @throws InputException also if the tensor has another number of elements
     */
    public float[] floats(String name, long elements) {
        long found = entry(name).elements();
        if (found != elements)
            throw new InputException(
                    path + ", tensor " + InputFiles.quote(name),
                    "has " + found + " elements, the model needs " + elements,
                    "The file is damaged or belongs to another model");
        return finite(name);
    }

    /**
     * The same as {@link #floats(String)} for parameters.
     *
     * @throws InputException also if an element is NaN or infinite
     */
    public float[] finite(String name) {
        return finite(name, 0, (int) requireReadable(name).elements());
    }

    /**
     * The same for a part of a tensor.
     *
     * @param from index of the part's first element
     * @param count of its elements
     */
    public float[] finite(String name, long from, int count) {
        float[] values = floats(requireReadable(name), from, count);
        for (int i = 0; i < values.length; i++)
            if (!Float.isFinite(values[i]))
                throw new InputException(
                        path + ", tensor " + InputFiles.quote(name),
                        "is " + values[i] + " at index " + Arrays.toString(index(from + i, entry(name).shape)),
                        "Its network computes nothing but NaN: make or download the file anew");
        return values;
    }

    /** The index of the i-th element of a tensor. */
    private static long[] index(long i, long[] shape) {
        long[] index = new long[shape.length];
        long left = i;
        for (int axis = shape.length - 1; axis >= 0; axis--) {
            index[axis] = left % shape[axis];
            left /= shape[axis];
        }
        return index;
    }

    /**
     * The tensor of a name, if {@link #floats(String)} can read it.
     *
     * @throws InputException if the dtype is another than F32, F64, F16 and BF16, the name is unknown, or the tensor
     *     has too many elements for an array
     */
    public Entry requireReadable(String name) {
        Entry e = entry(name);
        if (!e.dtype.isRead()) {
            throw new InputException(
                    path + ", tensor " + InputFiles.quote(name),
                    "has the dtype " + e.dtype + ", which is not read",
                    "Convert it to F32, F16 or BF16");
        }
        if (e.elements() > Integer.MAX_VALUE - 8) {
            throw new InputException(
                    path.toString(),
                    "tensor " + InputFiles.quote(name) + " has " + e.elements() + " elements, too many for one array",
                    "Split it");
        }
        return e;
    }

    /**
     * Reads a tensor of F32, F64, F16 or BF16 as floats (F64 is rounded).
     *
     * @throws InputException see {@link #requireReadable}
     */
    public float[] floats(String name) {
        Entry e = requireReadable(name);
        return floats(e, 0, (int) e.elements());
    }

    private float[] floats(Entry e, long from, int count) {
        Objects.checkFromIndexSize(from, count, e.elements());
        float[] out = new float[count];
        int size = e.dtype.bits() / Byte.SIZE;
        long start = e.offset - dataOffset + from * size, bytes = (long) count * size;
        ByteBuffer chunk =
                ByteBuffer.allocate((int) Math.min(CHUNK_BYTES, bytes)).order(ByteOrder.LITTLE_ENDIAN);
        MappedBytes in = data.get();
        int i = 0;
        for (long done = 0; done < bytes; done += chunk.limit()) {
            chunk.clear().limit((int) Math.min(CHUNK_BYTES, bytes - done));
            in.get(start + done, chunk, chunk.limit());
            chunk.flip();
            if (e.dtype == DType.F32) { // at the speed of a copy
                chunk.asFloatBuffer().get(out, i, chunk.limit() / Float.BYTES);
                i += chunk.limit() / Float.BYTES;
                continue;
            }
            while (chunk.hasRemaining()) {
                out[i++] = switch (e.dtype) {
                    case F64 -> (float) chunk.getDouble();
                    case F16 -> Half.fromF16(chunk.getShort());
                    default -> Half.fromBf16(chunk.getShort());
                };
            }
        }
        return out;
    }

    /** Copies the raw little-endian bytes of a tensor to the position of {@code dst}, which advances. */
    public void read(String name, ByteBuffer dst) {
        Entry e = entry(name);
        if (dst.remaining() < e.bytes) {
            throw new IllegalArgumentException(
                    "tensor " + name + " has " + e.bytes + " bytes, but the buffer has " + dst.remaining() + " left");
        }
        data.get().get(e.offset - dataOffset, dst, (int) e.bytes);
    }

    @Override
    public void close() {
        data.close();
    }

    /**
     * Collects tensors and writes them in one {@link #commit}. The bytes do not depend on the order of the calls: as in
     * the reference implementation, tensors are sorted by dtype, larger ones first (which aligns every tensor), then by
     * name; metadata are sorted by key; the header is padded so that the data start at a multiple of 8.
     */
    public static final class Writer {
        private record Pending(DType dtype, long[] shape, int bytes, Supplier<ByteBuffer> data) {}

        private final Path path;
        private final Map<String, String> metadata = new TreeMap<>();
        private final Map<String, Pending> tensors = new TreeMap<>();

        /** Starts a file, which {@link #commit} writes. */
        public Writer(Path path) {
            this.path = path;
        }

        /** Adds an entry to the metadata, or replaces it. */
        public Writer metadata(String key, String value) {
            metadata.put(key, value);
            return this;
        }

        public Writer metadata(Map<String, String> all) {
            metadata.putAll(all);
            return this;
        }

        /** Adds a tensor whose little-endian bytes are between position and limit of the buffer at commit. */
        public Writer add(String name, DType dtype, long[] shape, ByteBuffer data) {
            return add(name, dtype, shape, () -> data);
        }

        /** Adds a tensor of at most 2 GiB. Its bytes are requested at commit, one tensor at a time. */
        public Writer add(String name, DType dtype, long[] shape, Supplier<ByteBuffer> data) {
            long bits = dtype.bits;
            for (long n : shape) {
                if (n < 0) {
                    throw new IllegalArgumentException(name + ": negative length in " + Arrays.toString(shape));
                }
                bits = Math.multiplyExact(bits, n);
            }
            if (name.equals(METADATA)
                    || tensors.put(name, new Pending(dtype, shape.clone(), Math.toIntExact(bits / 8), data)) != null) {
                throw new IllegalArgumentException("tensor name " + name + " is taken");
            }
            return this;
        }

        /** Adds a float32 tensor. */
        public Writer add(String name, float[] data, long... shape) {
            return add(name, DType.F32, shape, () -> {
                ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(data.length, Float.BYTES))
                        .order(ByteOrder.LITTLE_ENDIAN);
                bytes.asFloatBuffer().put(data);
                return bytes;
            });
        }

        /**
         * Writes the file atomically, see {@link AtomicFiles}.
         *
         * @throws InputException if the file cannot be written; an older file of that name is then unchanged
         */
        public void commit() {
            commit(AtomicFiles.Opener.NEW_FILE);
        }

        void commit(AtomicFiles.Opener opener) {
            List<Map.Entry<String, Pending>> order = order();
            ByteBuffer head = head(order);
            AtomicFiles.deleteAbandoned(AtomicFiles.folderOf(path), AtomicFiles.ABANDONED, path.getFileName() + ".");
            try (AtomicFiles.Pending file = new AtomicFiles.Pending(path, head.remaining() + bytes(order), opener)) {
                file.write(head);
                for (Map.Entry<String, Pending> e : order) file.write(data(e));
                file.commit();
            }
        }

        /** The content of the file, of at most 2 GiB, which is not written. */
        public byte[] bytes() {
            List<Map.Entry<String, Pending>> order = order();
            ByteBuffer head = head(order);
            ByteBuffer all = ByteBuffer.allocate(Math.toIntExact(head.remaining() + bytes(order)));
            all.put(head);
            for (Map.Entry<String, Pending> e : order) all.put(data(e));
            return all.array();
        }

        private List<Map.Entry<String, Pending>> order() {
            List<Map.Entry<String, Pending>> order = new ArrayList<>(tensors.entrySet());
            order.sort(Comparator.comparing(e -> e.getValue().dtype)); // The sort is stable: names stay sorted.
            return order;
        }

        private static long bytes(List<Map.Entry<String, Pending>> order) {
            return order.stream().mapToLong(e -> e.getValue().bytes).sum();
        }

        private ByteBuffer head(List<Map.Entry<String, Pending>> order) {
            Map<String, Object> header = new LinkedHashMap<>();
            if (!metadata.isEmpty()) {
                header.put(METADATA, metadata);
            }
            long end = 0;
            for (Map.Entry<String, Pending> e : order) {
                Pending t = e.getValue();
                Map<String, Object> fields = new LinkedHashMap<>(); // The order of Map.of differs in every run.
                fields.put("dtype", t.dtype.name());
                fields.put("shape", t.shape);
                fields.put("data_offsets", new long[] {end, end + t.bytes});
                header.put(e.getKey(), fields);
                end += t.bytes;
            }
            byte[] json = Json.compact(header).getBytes(StandardCharsets.UTF_8);
            int length = (json.length + 7) / 8 * 8;
            ByteBuffer head = ByteBuffer.allocate(8 + length).order(ByteOrder.LITTLE_ENDIAN);
            head.putLong(length).put(json);
            while (head.hasRemaining()) {
                head.put((byte) ' ');
            }
            return head.flip();
        }

        private static ByteBuffer data(Map.Entry<String, Pending> tensor) {
            ByteBuffer data = tensor.getValue().data.get().duplicate();
            if (data.remaining() != tensor.getValue().bytes) {
                throw new IllegalStateException("tensor " + tensor.getKey() + " has " + data.remaining()
                        + " bytes, but its shape needs " + tensor.getValue().bytes);
            }
            return data;
        }
    }
}
