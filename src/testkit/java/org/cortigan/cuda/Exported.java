// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.bytedeco.javacpp.annotation.Name;

/**
 * Finds the symbols that shared libraries export and import, and the functions of NVIDIA's bindings that classes call.
 */
public final class Exported {
    private static final String BINDINGS = "org/bytedeco/cuda/global/";
    private static final int SYMTAB = 11, ENTRY = 24;

    private Exported() {}

    /** Names of the functions and variables that a library exports. */
    public static Set<String> of(Path library) throws IOException {
        return symbols(library, true);
    }

    /** Names that a library imports. */
    public static Set<String> needed(Path library) throws IOException {
        return symbols(library, false);
    }

    /** Reads .dynsym of a little-endian ELF file of 64 bits. */
    private static Set<String> symbols(Path library, boolean defined) throws IOException {
        ByteBuffer b = read(library, 0, 64);
        if (b.getInt(0) != 0x464c457f || b.get(4) != 2 || b.get(5) != 1)
            throw new IOException(library + " is not a 64-bit ELF file");
        int size = b.getShort(0x3a), count = b.getShort(0x3c);
        ByteBuffer sections = read(library, b.getLong(0x28), size * count);
        Set<String> names = new TreeSet<>();
        for (int i = 0; i < count; i++) {
            if (sections.getInt(i * size + 4) != SYMTAB) continue;
            ByteBuffer table = section(library, sections, i * size);
            ByteBuffer text = section(library, sections, sections.getInt(i * size + 0x28) * size);
            for (int at = ENTRY; at < table.capacity(); at += ENTRY) {
                int info = table.get(at + 4), binding = info >> 4 & 15, visibility = table.get(at + 5) & 3;
                if (binding == 0
                        || (table.getShort(at + 6) != 0) != defined
                        || defined && visibility != 0 && visibility != 3) continue;
                int from = table.getInt(at), to = from;
                while (text.get(to) != 0) to++;
                names.add(new String(text.array(), from, to - from, StandardCharsets.UTF_8));
            }
        }
        if (names.isEmpty() && defined) throw new IOException(library + " has no .dynsym");
        return names;
    }

    private static ByteBuffer section(Path library, ByteBuffer sections, int at) throws IOException {
        return read(library, sections.getLong(at + 0x18), Math.toIntExact(sections.getLong(at + 0x20)));
    }

    private static ByteBuffer read(Path library, long from, int bytes) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        try (var channel = Files.newByteChannel(library)) {
            channel.position(from);
            while (b.hasRemaining()) if (channel.read(b) < 0) throw new IOException(library + " ends too early");
        }
        return b;
    }

    /**
     * The native functions that the classes of org.cortigan.cuda in a folder or jar call, by binding ({@code cudart},
     * {@code cublas}, {@code cudnn}) and under the library's names. Members that the bindings define in Java, such as
     * constants, are left out.
     */
    public static Map<String, Set<String>> called(Path classes) throws IOException {
        Map<String, Set<String>> methods = new TreeMap<>();
        if (Files.isDirectory(classes)) scan(classes, methods);
        else
            try (FileSystem jar = FileSystems.newFileSystem(classes)) {
                scan(jar.getPath("/"), methods);
            }
        Map<String, Set<String>> functions = new TreeMap<>();
        for (var e : methods.entrySet()) {
            Map<String, String> names = names(e.getKey());
            Set<String> of = functions.computeIfAbsent(e.getKey(), k -> new TreeSet<>());
            for (String m : e.getValue()) if (names.containsKey(m)) of.add(names.get(m));
        }
        return functions;
    }

    private static void scan(Path root, Map<String, Set<String>> methods) throws IOException {
        try (Stream<Path> files = Files.list(root.resolve("org/cortigan/cuda"))) {
            for (Path p : files.toList())
                if (p.toString().endsWith(".class")) constants(Files.readAllBytes(p), methods);
        }
    }

    /** Adds the binding methods that a class file's constant pool refers to. */
    private static void constants(byte[] file, Map<String, Set<String>> methods) throws IOException {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(file));
        in.skipBytes(8);
        int n = in.readUnsignedShort();
        int[][] refs = new int[n][];
        String[] text = new String[n];
        int[] tags = new int[n];
        for (int i = 1; i < n; i++) {
            tags[i] = in.readUnsignedByte();
            switch (tags[i]) {
                case 1 -> text[i] = in.readUTF();
                case 7, 8, 16, 19, 20 -> refs[i] = new int[] {in.readUnsignedShort()};
                case 9, 10, 11, 12, 17, 18 -> refs[i] = new int[] {in.readUnsignedShort(), in.readUnsignedShort()};
                case 3, 4 -> in.readInt();
                case 15 -> in.skipBytes(3);
                case 5, 6 -> {
                    in.readLong();
                    i++;
                }
                default -> throw new IOException("unknown constant pool tag " + tags[i]);
            }
        }
        for (int i = 1; i < n; i++) {
            if (tags[i] != 10) continue;
            String owner = text[refs[refs[i][0]][0]], name = text[refs[refs[i][1]][0]];
            if (owner.startsWith(BINDINGS))
                methods.computeIfAbsent(owner.substring(BINDINGS.length()), k -> new TreeSet<>())
                        .add(name);
        }
    }

    /** Maps a binding's native methods to the library's function names. */
    private static Map<String, String> names(String binding) throws IOException {
        try {
            Map<String, String> names = new HashMap<>();
            ClassLoader loader = Exported.class.getClassLoader();
            for (Method m : Class.forName((BINDINGS + binding).replace('/', '.'), false, loader)
                    .getMethods()) {
                Name name = m.getAnnotation(Name.class);
                if (Modifier.isNative(m.getModifiers()))
                    names.put(m.getName(), name == null ? m.getName() : name.value()[0]);
            }
            return names;
        } catch (ClassNotFoundException e) {
            throw new IOException(e);
        }
    }

    /** The library files that hold a binding's functions. */
    public static List<String> libraries(String binding) {
        return switch (binding) {
            case "cudart" -> List.of("libcudart.so.13");
            case "cublas" -> List.of(CublasLt.LIBRARIES);
            case "cudnn" -> List.of(Cudnn.LIBRARIES);
            case "nccl" -> List.of("libnccl.so.2");
            default -> throw new IllegalArgumentException("no libraries for " + binding);
        };
    }
}
