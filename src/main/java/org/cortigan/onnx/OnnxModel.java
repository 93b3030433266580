// SPDX-License-Identifier: Apache-2.0
package org.cortigan.onnx;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * A model of ONNX (onnx.ai, onnx.proto of IR version 8) in the making: nodes of the standard operators, weights, inputs
 * and outputs. Weights are read when the file is written, one at a time, and never held.
 */
public final class OnnxModel {
    /** Version of the standard operators. */
    public static final int OPSET = 17;

    /** The name of the extent that a model leaves open: the number of photographs. */
    public static final String BATCH = "N";

    /** The most bytes of a file, a limit of Protocol Buffers. Larger models keep their weights in a file beside it. */
    public static final long LIMIT_BYTES = Integer.MAX_VALUE;

    /** Weights begin at multiples of this many bytes in a file of their own, so that it can be mapped. */
    private static final int ALIGNMENT = 4096;

    /** Smaller weights stay in the model's own file: shapes, which a reader needs before it opens other files. */
    private static final int INLINE_BYTES = 1024;

    private static final int IR_VERSION = 8;

    /** Element types of tensors. */
    public enum Element {
        FLOAT(1, 4),
        UINT8(2, 1),
        INT32(6, 4),
        INT64(7, 8);

        private final int code;
        private final int bytes;

        Element(int code, int bytes) {
            this.code = code;
            this.bytes = bytes;
        }

        /** The type's number in onnx.proto, as the attribute {@code to} of Cast takes it. */
        public int code() {
            return code;
        }
    }

    /** Writes the little-endian bytes of a tensor. */
    private interface Content {
        void write(OutputStream out) throws IOException;
    }

    private record Tensor(String name, Element type, long[] dims, Content content) {
        long bytes() {
            return Arrays.stream(dims).reduce(type.bytes, Math::multiplyExact);
        }

        /** TensorProto without the content. */
        Message head() {
            Message m = new Message();
            for (long d : dims) m.integer(1, d);
            return m.integer(2, type.code).text(8, name);
        }
    }

    private final String name;
    private final List<Message> nodes = new ArrayList<>();
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();
    private final List<Message> inputs = new ArrayList<>(), outputs = new ArrayList<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();

    /** An empty model. */
    public OnnxModel(String name) {
        this.name = name;
    }

    /** A node in the making: its operator, inputs and attributes. */
    public final class Node {
        private final Message m = new Message();
        private final String name;

        private Node(String operator, String name, List<String> inputs) {
            this.name = name;
            for (String i : inputs) m.text(1, i);
            m.text(3, name).text(4, operator);
        }

        private Node attribute(String key, int type, Message value) {
            // AttributeProto: a message's fields may be written in any order.
            Message all = new Message().text(1, key).integer(20, type);
            m.message(5, all.append(value));
            return this;
        }

        /** An attribute that is an integer. */
        public Node with(String key, long value) {
            return attribute(key, 2, new Message().integer(3, value));
        }

        /** An attribute that is a number. */
        public Node with(String key, float value) {
            return attribute(key, 1, new Message().single(2, value));
        }

        /** An attribute that is a text. */
        public Node with(String key, String value) {
            return attribute(key, 3, new Message().text(4, value));
        }

        /** An attribute that is a list of integers. */
        public Node withList(String key, int... values) {
            Message list = new Message();
            for (int v : values) list.integer(8, v);
            return attribute(key, 7, list);
        }

        /** Adds the node to the model. @return the name of its output */
        public String add() {
            return add(1).get(0);
        }

        /** Adds the node to the model. @return the names of its outputs */
        public List<String> add(int outputs) {
            List<String> names = IntStream.range(0, outputs)
                    .mapToObj(i -> name + (i == 0 ? "" : ":" + i))
                    .toList();
            for (String o : names) m.text(2, o);
            nodes.add(m);
            return names;
        }
    }

    /**
     * A node.
     *
     * @param operator name of a standard operator
     * @param name of the node and of its first output; no other may have it
     * @param inputs names of inputs, weights or outputs of earlier nodes; "" for an optional input that is left out
     */
    public Node node(String operator, String name, List<String> inputs) {
        return new Node(operator, name, inputs);
    }

    /**
     * A weight in f32.
     *
     * @param values read once, when the file is written
     * @return its name
     */
    public String floats(String name, int[] dims, Supplier<float[]> values) {
        long[] extents = Arrays.stream(dims).asLongStream().toArray();
        return tensor(new Tensor(name, Element.FLOAT, extents, out -> write(out, values.get())));
    }

    /** A weight in i32; otherwise as {@link #floats}. */
    public String ints(String name, int[] dims, int[] values) {
        long[] extents = Arrays.stream(dims).asLongStream().toArray();
        return tensor(new Tensor(name, Element.INT32, extents, out -> {
            ByteBuffer b = buffer(values.length * Integer.BYTES);
            b.asIntBuffer().put(values);
            out.write(b.array());
        }));
    }

    /** A vector of constants, i64; equal ones are one. @return its name */
    public String longs(long... values) {
        return tensor(new Tensor(Arrays.toString(values), Element.INT64, new long[] {values.length}, out -> {
            ByteBuffer b = buffer(values.length * Long.BYTES);
            b.asLongBuffer().put(values);
            out.write(b.array());
        }));
    }

    /** A constant, f32 without axes; equal ones are one. @return its name */
    public String scalar(float value) {
        return floats(Float.toString(value), new int[0], () -> new float[] {value});
    }

    private String tensor(Tensor t) {
        tensors.putIfAbsent(t.name, t);
        return t.name;
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void write(OutputStream out, float[] values) throws IOException {
        ByteBuffer b = buffer(1 << 16);
        for (int at = 0; at < values.length; at += b.capacity() / Float.BYTES) {
            int n = Math.min(b.capacity() / Float.BYTES, values.length - at);
            b.asFloatBuffer().put(values, at, n);
            out.write(b.array(), 0, n * Float.BYTES);
        }
    }

    /** Declares an input; an extent of -1 is {@value #BATCH}. */
    public void input(String name, Element type, int... dims) {
        inputs.add(described(name, type, dims));
    }

    /** Declares an output, which a node computes; an extent of -1 is {@value #BATCH}. */
    public void output(String name, Element type, int... dims) {
        outputs.add(described(name, type, dims));
    }

    /** ValueInfoProto. */
    private static Message described(String name, Element type, int... dims) {
        Message shape = new Message();
        for (int d : dims) shape.message(1, d < 0 ? new Message().text(2, BATCH) : new Message().integer(1, d));
        Message tensor = new Message().integer(1, type.code).message(2, shape);
        return new Message().text(1, name).message(2, new Message().message(1, tensor));
    }

    /** A note of the file, for example of where it comes from. */
    public void note(String key, String value) {
        metadata.put(key, value);
    }

    /** Bytes of all weights. */
    public long weightBytes() {
        return tensors.values().stream().mapToLong(Tensor::bytes).sum();
    }

    /**
     * Writes the model with its weights.
     *
     * @param version of CortiGAN
     * @param description for people
     */
    public void write(OutputStream out, String version, String description) throws IOException {
        write(out, version, description, t -> t.head().length(9, t.bytes()), t -> true);
    }

    /** Writes the model without its larger weights, which are in the file {@code weights} beside it. */
    public void write(OutputStream out, String version, String description, String weights) throws IOException {
        Map<Tensor, Long> offsets = offsets();
        write(
                out,
                version,
                description,
                t -> {
                    Message m = t.head();
                    if (!offsets.containsKey(t)) return m.length(9, t.bytes());
                    entry(m, 13, "location", weights);
                    entry(m, 13, "offset", Long.toString(offsets.get(t)));
                    return entry(m, 13, "length", Long.toString(t.bytes())).integer(14, 1);
                },
                t -> !offsets.containsKey(t));
    }

    /** Writes the larger weights, as the file beside the model has them. */
    public void writeWeights(OutputStream out) throws IOException {
        long at = 0;
        for (Map.Entry<Tensor, Long> e : offsets().entrySet()) {
            out.write(new byte[(int) (e.getValue() - at)]);
            e.getKey().content.write(out);
            at = e.getValue() + e.getKey().bytes();
        }
    }

    private Map<Tensor, Long> offsets() {
        Map<Tensor, Long> offsets = new LinkedHashMap<>();
        long at = 0;
        for (Tensor t : tensors.values()) {
            if (t.bytes() < INLINE_BYTES) continue;
            offsets.put(t, at);
            at = (at + t.bytes() + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        return offsets;
    }

    private interface Head {
        /** A tensor up to its content. */
        Message of(Tensor t);
    }

    private interface Inline {
        boolean has(Tensor t);
    }

    private void write(OutputStream out, String version, String description, Head head, Inline inline)
            throws IOException {
        Message graph = new Message();
        nodes.forEach(n -> graph.message(1, n));
        graph.text(2, name);
        inputs.forEach(i -> graph.message(11, i));
        outputs.forEach(o -> graph.message(12, o));
        long size = graph.size();
        for (Tensor t : tensors.values()) {
            long bytes = head.of(t).size() + (inline.has(t) ? t.bytes() : 0);
            size += new Message().length(5, bytes).size() + bytes;
        }
        Message model = new Message()
                .integer(1, IR_VERSION)
                .text(2, "CortiGAN")
                .text(3, version)
                .text(6, description)
                .message(8, new Message().text(1, "").integer(2, OPSET));
        metadata.forEach((key, value) -> entry(model, 14, key, value));
        out.write(model.length(7, size).toBytes());
        out.write(graph.toBytes());
        for (Tensor t : tensors.values()) {
            Message m = head.of(t);
            long bytes = m.size() + (inline.has(t) ? t.bytes() : 0);
            out.write(new Message().length(5, bytes).toBytes());
            out.write(m.toBytes());
            if (inline.has(t)) t.content.write(out);
        }
    }

    /** StringStringEntryProto. */
    private static Message entry(Message m, int field, String key, String value) {
        return m.message(field, new Message().text(1, key).text(2, value));
    }
}
