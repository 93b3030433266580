// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;
import org.cortigan.InputException;
import org.cortigan.graph.Half;
import org.jspecify.annotations.Nullable;

/**
 * Virtual machine for the pickle of one 0-d numpy object array, protocols 0 to 5 (sources: Python's pickletools and
 * numpy's {@code __reduce__} methods). Values are null, Boolean, Long, Double, String, byte[], Tuple, List, Map,
 * {@link Name}, {@link DType} and {@link NdArray}.
 *
 * <p>Limits: a step consumes at least one byte of the file and creates at most one object, and the number of steps is
 * limited. Byte strings are copied only when they are consumed, and conversions take at most {@link #MAX_SCALAR_BYTES}.
 * Values are never traversed recursively (containers are neither hashed nor printed), so that cycles and shared
 * references are harmless.
 */
final class Unpickler {
    private static final int MAX_STEPS = 100_000;
    private static final int MAX_SCALAR_BYTES = 256;

    /** The only names that a file may refer to. */
    private enum Name {
        RECONSTRUCT,
        SCALAR,
        NDARRAY,
        DTYPE,
        ENCODE,
        ORDERED_DICT,
        DEFAULT_DICT,
        /** A type of Python, which makes the default values of a defaultdict; never called here. */
        TYPE
    }

    private static final Map<String, Name> NAMES = Map.of(
            "numpy.core.multiarray._reconstruct", Name.RECONSTRUCT,
            "numpy._core.multiarray._reconstruct", Name.RECONSTRUCT,
            "numpy.core.multiarray.scalar", Name.SCALAR,
            "numpy._core.multiarray.scalar", Name.SCALAR,
            "numpy.ndarray", Name.NDARRAY,
            "numpy.dtype", Name.DTYPE,
            "_codecs.encode", Name.ENCODE,
            "collections.OrderedDict", Name.ORDERED_DICT,
            "collections.defaultdict", Name.DEFAULT_DICT);

    private static final Pattern TYPES =
            Pattern.compile("(builtins|__builtin__)\\.(str|unicode|int|long|float|bool|list|tuple|set|dict)");

    private record Tuple(@Nullable Object[] items) {}

    /** A dtype such as O8, i8 or U5. */
    private static final class DType {
        final char kind;
        final int bytes;
        boolean built;

        DType(char kind, int bytes) {
            this.kind = kind;
            this.bytes = bytes;
        }
    }

    private static final class NdArray {
        boolean built;

        @Nullable
        Object item;
    }

    private final PickleInput in;
    private final List<@Nullable Object> stack = new ArrayList<>();
    private final List<Integer> marks = new ArrayList<>();
    private final Map<Long, @Nullable Object> memo = new HashMap<>();

    Unpickler(Path path, byte[] file, int offset) {
        in = new PickleInput(path, file, offset);
    }

    /** Runs the program and returns the element of the 0-d array. */
    @Nullable
    Object run() {
        for (int steps = 0; steps < MAX_STEPS; steps++) {
            int op = in.opcode();
            if (op == '.') {
                Object result = pop();
                if (!stack.isEmpty() || !marks.isEmpty() || in.remaining() > 0) {
                    throw bad("the pickle ends with values or bytes left over");
                }
                if (!(result instanceof NdArray array) || !array.built) {
                    throw bad("the pickle makes " + describe(result) + ", not a 0-d array");
                }
                return array.item;
            }
            step(op);
        }
        throw bad("more than " + MAX_STEPS + " instructions");
    }

    private void step(int op) {
        boolean known = frame(op)
                || constant(op)
                || string(op)
                || manipulateStack(op)
                || tupleOrList(op)
                || dict(op)
                || useMemo(op)
                || object(op);
        if (!known) {
            throw refused(unwanted(op));
        }
    }

    // Groups of instructions, as in Python's pickletools. Each method returns false for an instruction of other groups.

    private boolean frame(int op) {
        switch (op) {
            case 0x80 -> { // PROTO
                int protocol = in.u8();
                if (protocol > 5) {
                    throw bad("pickle protocol " + protocol + " is unknown");
                }
            }
            case 0x95 -> { // FRAME
                long length = in.i64();
                if (length < 0 || length > in.remaining()) {
                    throw bad("a frame of " + Long.toUnsignedString(length) + " bytes, but " + in.remaining()
                            + " are left");
                }
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    /** None, booleans and numbers. */
    private boolean constant(int op) {
        switch (op) {
            case 'N' -> stack.add(null);
            case 0x88 -> stack.add(true);
            case 0x89 -> stack.add(false);
            case 'K' -> stack.add((long) in.u8());
            case 'M' -> stack.add((long) in.u16());
            case 'J' -> stack.add((long) in.i32());
            case 0x8a -> stack.add(littleEndian(in.u8()));
            case 0x8b -> stack.add(littleEndian(in.i32()));
            case 'I' -> intLine();
            case 'L' -> {
                String line = in.line();
                stack.add(in.number(line.endsWith("L") ? line.substring(0, line.length() - 1) : line));
            }
            case 'G' -> stack.add(Double.longBitsToDouble(Long.reverseBytes(in.i64())));
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean string(int op) {
        switch (op) {
            case 'X' -> stack.add(in.text(in.i32(), StandardCharsets.UTF_8));
            case 0x8c -> stack.add(in.text(in.u8(), StandardCharsets.UTF_8));
            case 0x8d -> stack.add(in.text(in.i64(), StandardCharsets.UTF_8));
            case 'T' -> stack.add(in.text(in.i32(), StandardCharsets.US_ASCII)); // Python 2's str
            case 'U' -> stack.add(in.text(in.u8(), StandardCharsets.US_ASCII));
            case 'C' -> stack.add(in.bytes(in.u8()));
            case 'B' -> stack.add(in.bytes(in.i32()));
            case 0x8e -> stack.add(in.bytes(in.i64()));
            case 'V' -> stack.add(in.unescape(in.line(), false));
            case 'S' -> quotedLine();
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean manipulateStack(int op) {
        switch (op) {
            case '(' -> marks.add(stack.size());
            case '0' -> popOrMark();
            case '1' -> popMark();
            case '2' -> stack.add(top());
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean tupleOrList(int op) {
        switch (op) {
            case ')' -> stack.add(new Tuple(new Object[0]));
            case 0x85 -> tuple(1);
            case 0x86 -> tuple(2);
            case 0x87 -> tuple(3);
            case 't' -> stack.add(new Tuple(popMark()));
            case ']' -> stack.add(new ArrayList<>());
            case 'l' -> stack.add(new ArrayList<>(Arrays.asList(popMark())));
            case 'a' -> {
                Object item = pop();
                list().add(item);
            }
            case 'e' -> {
                @Nullable Object[] items = popMark();
                list().addAll(Arrays.asList(items));
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean dict(int op) {
        switch (op) {
            case '}' -> stack.add(new LinkedHashMap<>());
            case 'd' -> {
                @Nullable Object[] items = popMark();
                stack.add(new LinkedHashMap<>());
                putAll(items);
            }
            case 's' -> {
                Object value = pop();
                putAll(new Object[] {pop(), value});
            }
            case 'u' -> putAll(popMark());
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean useMemo(int op) {
        switch (op) {
            case 'p' -> memo.put(in.number(in.line()), top());
            case 'q' -> memo.put((long) in.u8(), top());
            case 'r' -> memo.put(in.i32() & 0xffffffffL, top());
            case 0x94 -> memo.put((long) memo.size(), top());
            case 'g' -> recall(in.number(in.line()));
            case 'h' -> recall(in.u8());
            case 'j' -> recall(in.i32() & 0xffffffffL);
            default -> {
                return false;
            }
        }
        return true;
    }

    /** Names, calls and states. */
    private boolean object(int op) {
        switch (op) {
            case 'c' -> {
                String module = in.line();
                stack.add(name(module, in.line()));
            }
            case 0x93 -> { // STACK_GLOBAL
                Object attribute = pop();
                Object module = pop();
                if (!(module instanceof String m) || !(attribute instanceof String a)) {
                    throw bad("STACK_GLOBAL with a name that is not a string");
                }
                stack.add(name(m, a));
            }
            case 'R' -> {
                Object args = pop();
                stack.add(reduce(pop(), args));
            }
            case 'b' -> {
                Object state = pop();
                build(top(), state);
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    /** Describes an instruction that no ROI mapping needs. */
    private String unwanted(int op) {
        return switch (op) {
            case 'i' -> {
                String module = in.line();
                yield "instance of " + InputFiles.quote(module + "." + in.line());
            }
            case 'o' -> "instruction OBJ";
            case 0x81 -> "instruction NEWOBJ";
            case 0x92 -> "instruction NEWOBJ_EX";
            case 'P', 'Q' -> "persistent reference";
            case 0x82, 0x83, 0x84 -> "reference to Python's extension registry";
            default -> String.format(Locale.ROOT, "instruction 0x%02x", op);
        };
    }

    private Name name(String module, String attribute) {
        String whole = module + "." + attribute;
        Name name = TYPES.matcher(whole).matches() ? Name.TYPE : NAMES.get(whole);
        if (name == null) {
            throw refused("name " + InputFiles.quote(whole));
        }
        return name;
    }

    private Object reduce(@Nullable Object function, @Nullable Object args) {
        if (!(function instanceof Name name) || !(args instanceof Tuple tuple)) {
            throw bad("REDUCE of " + describe(function) + " with " + describe(args));
        }
        @Nullable Object[] a = tuple.items;
        switch (name) {
            case RECONSTRUCT -> {
                // (ndarray, (0,), b'b'): an empty array. BUILD sets its state later, so its initial shape and type
                // have no effect.
                if (a.length == 3 && a[0] == Name.NDARRAY && a[1] instanceof Tuple && isB(a[2])) {
                    return new NdArray();
                }
            }
            case ORDERED_DICT -> {
                if (a.length == 0) {
                    return new LinkedHashMap<>(); // its entries follow, as those of a dict do
                }
                throw refused("a call of OrderedDict with arguments, as Python 2 wrote it");
            }
            case DEFAULT_DICT -> {
                if (a.length == 0 || a.length == 1 && (a[0] == null || a[0] == Name.TYPE)) {
                    return new LinkedHashMap<>();
                }
                throw refused("a call of defaultdict with other arguments than a type of Python");
            }
            case DTYPE -> {
                if (a.length == 3 && a[0] instanceof String text && text.matches("[ObiufU][0-9]{1,3}")) {
                    char kind = text.charAt(0);
                    int n = Integer.parseInt(text.substring(1));
                    boolean known = switch (kind) {
                        case 'U' -> true;
                        case 'O' -> n == 8;
                        case 'b' -> n == 1;
                        case 'f' -> n == 2 || n == 4 || n == 8;
                        default -> n == 1 || n == 2 || n == 4 || n == 8;
                    };
                    if (known) {
                        return new DType(kind, kind == 'U' ? 4 * n : n);
                    }
                }
                if (a.length == 3 && a[0] instanceof String text) {
                    throw refused("dtype " + InputFiles.quote(text));
                }
            }
            case SCALAR -> {
                if (a.length == 2 && a[0] instanceof DType type && type.kind != 'O' && type.built) {
                    byte[] raw = a[1] instanceof String s
                            ? s.getBytes(StandardCharsets.ISO_8859_1)
                            : a[1] instanceof byte[] b ? b : new byte[0];
                    if (raw.length == type.bytes && raw.length > 0 && raw.length <= MAX_SCALAR_BYTES) {
                        return scalar(type, raw);
                    }
                }
            }
            case ENCODE -> {
                if (a.length == 2
                        && a[0] instanceof String s
                        && s.length() <= MAX_SCALAR_BYTES
                        && a[1] instanceof String codec
                        && codec.equals("latin1")
                        && StandardCharsets.ISO_8859_1.newEncoder().canEncode(s)) {
                    return s.getBytes(StandardCharsets.ISO_8859_1);
                }
            }
            default -> {}
        }
        throw bad("the arguments of " + name + " are not what numpy writes");
    }

    private static boolean isB(@Nullable Object o) {
        return o instanceof byte[] b && b.length == 1 && b[0] == 'b' || o instanceof String s && s.equals("b");
    }

    private Object scalar(DType type, byte[] raw) {
        if (type.kind == 'U') {
            StringBuilder s = new StringBuilder();
            ByteBuffer chars = ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN);
            while (chars.hasRemaining()) {
                int c = chars.getInt();
                if (!Character.isValidCodePoint(c)) {
                    throw bad("a numpy string with an invalid character");
                }
                s.appendCodePoint(c);
            }
            int end = s.length();
            while (end > 0 && s.charAt(end - 1) == 0) { // numpy pads with zeros
                end--;
            }
            return s.substring(0, end);
        }
        long v = 0;
        for (int i = 0; i < raw.length; i++) {
            v |= (raw[i] & 0xffL) << 8 * i;
        }
        if (type.kind == 'b') {
            return v != 0;
        }
        if (type.kind == 'f') {
            return raw.length == 8
                    ? Double.longBitsToDouble(v)
                    : (double) (raw.length == 4 ? Float.intBitsToFloat((int) v) : Half.fromF16((short) v));
        }
        int unused = 64 - 8 * raw.length;
        if (type.kind == 'u' && raw.length == 8 && v < 0) {
            throw bad("an integer beyond 64 bits");
        }
        return type.kind == 'u' ? v : v << unused >> unused;
    }

    private void build(@Nullable Object target, @Nullable Object state) {
        @Nullable Object[] s = state instanceof Tuple t ? t.items : new Object[0];
        if (target instanceof DType type && !type.built) {
            // (version, byte order, subdtype, names, fields, size, alignment, flags[, metadata])
            if (s.length >= 8
                    && s[0] instanceof Long
                    && s[1] instanceof String order
                    && s[2] == null
                    && s[3] == null
                    && s[4] == null) {
                if (order.equals(">")) {
                    throw refused("big-endian dtype");
                }
                if (order.equals("|") || order.equals("<") || order.equals("=")) {
                    type.built = true;
                    return;
                }
            }
            throw bad("the state of a dtype is not what numpy writes");
        }
        if (target instanceof NdArray array && !array.built) {
            // (version, shape, dtype, Fortran order, list of objects)
            if (s.length == 5
                    && s[0] instanceof Long
                    && s[1] instanceof Tuple shape
                    && s[2] instanceof DType type
                    && s[3] instanceof Boolean
                    && s[4] instanceof List<?> items) {
                if (!Arrays.stream(shape.items).allMatch(Long.valueOf(1)::equals)
                        || type.kind != 'O'
                        || !type.built
                        || items.size() != 1) {
                    throw bad("the pickled array is not an object array of one element");
                }
                array.item = items.get(0);
                array.built = true;
                return;
            }
            throw bad("the state of an array is not what numpy writes");
        }
        throw refused("state set on " + describe(target));
    }

    private void recall(long key) {
        Object value = memo.get(key);
        if (value == null && !memo.containsKey(key)) {
            throw bad("memo entry " + key + " is not set");
        }
        stack.add(value);
    }

    private void tuple(int n) {
        @Nullable Object[] items = new Object[n];
        for (int i = n - 1; i >= 0; i--) {
            items[i] = pop();
        }
        stack.add(new Tuple(items));
    }

    private void putAll(@Nullable Object[] items) {
        if (!(top() instanceof Map<?, ?>) || items.length % 2 != 0) {
            throw bad("dictionary entries without a dictionary or without a value");
        }
        @SuppressWarnings("unchecked") // this machine creates no other maps
        Map<@Nullable Object, @Nullable Object> map = (Map<@Nullable Object, @Nullable Object>) top();
        for (int i = 0; i < items.length; i += 2) {
            Object key = items[i];
            if (!(key == null
                    || key instanceof Long
                    || key instanceof Double
                    || key instanceof Boolean
                    || key instanceof String)) {
                throw in.noId(describe(key));
            }
            map.put(key, items[i + 1]);
        }
    }

    private List<@Nullable Object> list() {
        if (!(top() instanceof List<?>)) {
            throw bad("list items without a list");
        }
        @SuppressWarnings("unchecked") // this machine creates no other lists
        List<@Nullable Object> list = (List<@Nullable Object>) top();
        return list;
    }

    private int bottom() {
        return marks.isEmpty() ? 0 : marks.get(marks.size() - 1);
    }

    private @Nullable Object top() {
        if (stack.size() <= bottom()) {
            throw bad("the stack is empty");
        }
        return stack.get(stack.size() - 1);
    }

    private @Nullable Object pop() {
        Object top = top();
        stack.remove(stack.size() - 1);
        return top;
    }

    private void popOrMark() {
        if (!marks.isEmpty() && stack.size() == bottom()) {
            marks.remove(marks.size() - 1);
        } else {
            pop();
        }
    }

    private @Nullable Object[] popMark() {
        if (marks.isEmpty()) {
            throw bad("no mark on the stack");
        }
        List<@Nullable Object> above = stack.subList(marks.remove(marks.size() - 1), stack.size());
        @Nullable Object[] items = above.toArray();
        above.clear();
        return items;
    }

    private long littleEndian(int n) {
        if (n < 0 || n > 8) {
            throw bad("an integer of " + n + " bytes");
        }
        byte[] raw = in.bytes(n);
        return n == 0 ? 0 : (Long) scalar(new DType('i', n), raw);
    }

    private void intLine() {
        String line = in.line();
        stack.add(
                switch (line) {
                    case "00" -> (Object) false;
                    case "01" -> true;
                    default -> in.number(line);
                });
    }

    private void quotedLine() {
        String line = in.line();
        int n = line.length();
        if (n < 2 || line.charAt(0) != line.charAt(n - 1) || line.charAt(0) != '\'' && line.charAt(0) != '"') {
            throw bad("a string without quotes");
        }
        stack.add(in.unescape(line.substring(1, n - 1), true));
    }

    /** Describes a value for messages, without the content of containers. */
    static String describe(@Nullable Object value) {
        if (value == null) {
            return "None";
        }
        if (value instanceof String s) {
            return "the string " + InputFiles.quote(s);
        }
        if (value instanceof Boolean b) {
            return b ? "True" : "False";
        }
        if (value instanceof Long || value instanceof Double || value instanceof Name) {
            return value.toString();
        }
        return value instanceof byte[]
                ? "bytes"
                : value instanceof Tuple
                        ? "a tuple"
                        : value instanceof List
                                ? "a list"
                                : value instanceof Map ? "a dict" : value instanceof DType ? "a dtype" : "an array";
    }

    private InputException refused(String what) {
        return in.refused(what);
    }

    private InputException bad(String problem) {
        return in.bad(problem);
    }
}
