// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** The machine code (SASS) of the CUDA kernels, as NVIDIA's cuobjdump lists it, with its loops. */
public final class Sass {
    /** What to say where {@link #disassembler()} finds none. */
    public static final String MISSING =
            "no cuobjdump: neither CORTIGAN_CUOBJDUMP names it nor is it on PATH or beside nvcc there";

    /** The architecture whose code counts: that of H100 and H200. */
    private static final String ARCHITECTURE = "sm_90a";

    private Sass() {}

    /** @param predicate such as {@code @!P0}, or empty */
    public record Instruction(int address, String predicate, String opcode, String operands) {
        private static final Pattern LINE =
                Pattern.compile("\\s*+/\\*([0-9a-f]{4,})\\*/\\s+(?:(@!?U?P\\w+)\\s+)?([\\w.]+)\\s*([^;]*?)\\s*;.*");

        static Optional<Instruction> of(String line) {
            Matcher m = LINE.matcher(line);
            if (!m.matches()) return Optional.empty();
            String predicate = m.group(2) == null ? "" : m.group(2);
            return Optional.of(new Instruction(Integer.parseInt(m.group(1), 16), predicate, m.group(3), m.group(4)));
        }

        /** Whether the opcode is one of these, with any modifiers: {@code LDG} is also {@code LDG.E.128}. */
        public boolean is(String... opcodes) {
            for (String o : opcodes) if (opcode.equals(o) || opcode.startsWith(o + ".")) return true;
            return false;
        }

        /** A product of tensor cores. */
        public boolean tensor() {
            return opcode.matches("[A-Z]+MMA\\..*");
        }

        /**
         * Part of an integer division or remainder, or a conversion between integers and floating point on the unit of
         * the special functions. I2FP, which a logarithm has, takes no longer than an addition.
         */
        public boolean division() {
            return is("I2F", "F2I", "IMAD.HI");
        }

        /** An access to local memory: registers that did not fit, or an array with an index known only at run time. */
        public boolean local() {
            return is("LDL", "STL");
        }

        /** An access to global memory. */
        public boolean global() {
            return is("LDG", "LD", "LDGSTS", "STG", "ST", "ATOMG", "ATOM", "RED", "REDG", "UBLKCP", "UTMALDG");
        }

        /** Bytes that each thread loads from global memory, 0 for another instruction. */
        public int loads() {
            return is("LDG", "LD", "LDGSTS") ? width() : 0;
        }

        /** Bytes that each thread stores to global memory, 0 for another instruction. */
        public int stores() {
            return is("STG", "ST") ? width() : 0;
        }

        private int width() {
            List<String> modifiers = List.of(opcode.split("\\."));
            if (modifiers.contains("128")) return 16;
            if (modifiers.contains("64")) return 8;
            if (modifiers.contains("U16") || modifiers.contains("S16")) return 2;
            return modifiers.contains("U8") || modifiers.contains("S8") ? 1 : 4;
        }

        /** The address to which a branch or call goes. */
        private int target() {
            String[] operand = operands.split("[ ,]+");
            return Integer.decode(operand[operand.length - 1]);
        }

        private boolean conditional() {
            return !predicate.isEmpty() || is("BRA.DIV") || is("BRA") && operands.contains(",");
        }

        @Override
        public String toString() {
            return Stream.of(predicate, opcode, operands)
                            .filter(s -> !s.isEmpty())
                            .collect(Collectors.joining(" "))
                    + String.format(Locale.ROOT, " at 0x%x", address);
        }
    }

    /**
     * A natural loop.
     *
     * @param code all its instructions, those of inner loops included
     * @param own its instructions that are in no inner loop
     */
    public record Loop(List<Instruction> code, List<Instruction> own) {}

    /**
     * @param file the source file
     * @param name as in {@link PtxasReport}
     */
    public record Kernel(String file, String name, List<Instruction> code) {
        /** The instructions up to the first unconditional exit. */
        public List<Instruction> straight() {
            for (int i = 0; i < code.size(); i++)
                if (code.get(i).is("EXIT") && !code.get(i).conditional()) return code.subList(0, i + 1);
            return code;
        }

        /** All loops, in the order of their first instructions. */
        public List<Loop> loops() {
            return new Flow(code).loops();
        }

        /**
         * The part with the widest loads from global memory, and of those the most bytes: the own instructions of a
         * loop, or the straight code without its loops.
         */
        public List<Instruction> hot() {
            List<Loop> loops = loops();
            Set<Instruction> inside = new HashSet<>();
            loops.forEach(l -> inside.addAll(l.code()));
            List<Instruction> outside =
                    straight().stream().filter(i -> !inside.contains(i)).toList();
            return Stream.concat(Stream.of(outside), loops.stream().map(Loop::own))
                    .max(Comparator.<List<Instruction>>comparingInt(
                                    c -> loads(c).max().orElse(0))
                            .thenComparingInt(c -> loads(c).sum()))
                    .orElseThrow();
        }

        /** Integer divisions and conversions in a loop, also in the subroutines that it calls. */
        public List<Instruction> divisions(Loop l) {
            return l.code().stream()
                    .flatMap(i -> i.is("CALL") ? subroutine(i.target()) : Stream.of(i))
                    .filter(Instruction::division)
                    .toList();
        }

        private Stream<Instruction> subroutine(int address) {
            return code.stream().dropWhile(i -> i.address() != address).takeWhile(i -> !i.is("RET"));
        }

        private static IntStream loads(List<Instruction> code) {
            return code.stream().mapToInt(Instruction::loads);
        }

        @Override
        public String toString() {
            return name + " of " + file;
        }
    }

    /** The flow of control between the instructions of a kernel, by their indices. */
    private static final class Flow {
        private final List<Instruction> code;
        private final List<List<Integer>> after = new ArrayList<>(), before = new ArrayList<>();
        private final List<Integer> entries = new ArrayList<>(List.of(0));

        Flow(List<Instruction> code) {
            this.code = code;
            Map<Integer, Integer> index = new HashMap<>();
            for (int i = 0; i < code.size(); i++) index.put(code.get(i).address(), i);
            code.forEach(c -> {
                after.add(new ArrayList<>());
                before.add(new ArrayList<>());
            });
            for (int i = 0; i < code.size(); i++) {
                Instruction c = code.get(i);
                if (c.is("BRX", "JMX", "JMP")) throw new IllegalStateException("the parser does not know " + c);
                if (c.is("CALL")) entries.add(index.get(c.target()));
                if (c.is("BRA")) edge(i, index.get(c.target()));
                boolean ends = c.is("BRA", "EXIT", "RET") && !c.conditional();
                if (!ends && i + 1 < code.size()) edge(i, i + 1);
            }
        }

        private void edge(int from, int to) {
            after.get(from).add(to);
            before.get(to).add(from);
        }

        /** Walks depth first; an edge to an instruction on the path closes a loop. */
        List<Loop> loops() {
            Map<Integer, BitSet> bodies = new TreeMap<>();
            BitSet seen = new BitSet(), open = new BitSet();
            for (int entry : entries) {
                Deque<int[]> path = new ArrayDeque<>();
                path.push(new int[] {entry, 0});
                while (!path.isEmpty()) {
                    int[] top = path.peek();
                    int i = top[0];
                    if (top[1] == 0) {
                        seen.set(i);
                        open.set(i);
                    }
                    if (top[1] == after.get(i).size()) {
                        open.clear(i);
                        path.pop();
                        continue;
                    }
                    int next = after.get(i).get(top[1]++);
                    if (open.get(next))
                        bodies.computeIfAbsent(next, k -> new BitSet()).or(body(next, i));
                    else if (!seen.get(next)) path.push(new int[] {next, 0});
                }
            }
            // Every listing ends in an endless branch to itself, which is padding.
            bodies.values().removeIf(b -> b.cardinality() == 1);
            return bodies.values().stream().map(b -> loop(b, bodies.values())).toList();
        }

        /** What reaches the loop's last instruction without passing its first. */
        private BitSet body(int first, int last) {
            BitSet in = new BitSet();
            in.set(first);
            Deque<Integer> open = new ArrayDeque<>(List.of(last));
            while (!open.isEmpty()) {
                int i = open.pop();
                if (in.get(i)) continue;
                in.set(i);
                before.get(i).forEach(open::push);
            }
            return in;
        }

        private Loop loop(BitSet all, Iterable<BitSet> loops) {
            BitSet own = (BitSet) all.clone();
            for (BitSet inner : loops) if (inner.cardinality() < all.cardinality()) own.andNot(inner);
            return new Loop(
                    all.stream().mapToObj(code::get).toList(),
                    own.stream().mapToObj(code::get).toList());
        }
    }

    /** The kernels of a listing, with the names that it has for them. */
    public static List<Kernel> parse(String file, Stream<String> listing) {
        List<Kernel> all = new ArrayList<>();
        listing.forEach(line -> {
            int name = line.indexOf("Function : ");
            if (name >= 0) all.add(new Kernel(file, line.substring(name + 11).strip(), new ArrayList<>()));
            else if (!all.isEmpty())
                Instruction.of(line).ifPresent(all.get(all.size() - 1).code()::add);
        });
        return all;
    }

    /** NVIDIA's cuobjdump: the one that CORTIGAN_CUOBJDUMP names, or one on PATH or beside an nvcc there. */
    public static Optional<Path> disassembler() throws IOException {
        String named = System.getenv("CORTIGAN_CUOBJDUMP");
        if (named != null) {
            if (!Files.isExecutable(Path.of(named)))
                throw new IOException("CORTIGAN_CUOBJDUMP names " + named + ", which is no program");
            return Optional.of(Path.of(named));
        }
        for (String folder : System.getenv("PATH").split(File.pathSeparator)) {
            Path here = Path.of(folder, "cuobjdump"), nvcc = Path.of(folder, "nvcc");
            if (Files.isExecutable(here)) return Optional.of(here);
            if (!Files.exists(nvcc)) continue;
            Path beside = nvcc.toRealPath().resolveSibling("cuobjdump");
            if (Files.isExecutable(beside)) return Optional.of(beside);
        }
        return Optional.empty();
    }

    /** Every kernel in ptxas's report that has code for sm_90a. */
    public static List<Kernel> read(Path disassembler) {
        List<String> files = PtxasReport.read().stream()
                .filter(k -> k.arch().equals(ARCHITECTURE))
                .map(PtxasReport.Kernel::file)
                .distinct()
                .toList();
        List<Kernel> all = files.parallelStream()
                .flatMap(f -> disassemble(disassembler, f).stream())
                .toList();
        List<String> names = lines(
                List.of("tools/ptxas-report", "--names"),
                all.stream().map(Kernel::name).toList());
        List<Kernel> named = new ArrayList<>();
        for (int i = 0; i < all.size(); i++)
            named.add(new Kernel(all.get(i).file(), names.get(i), all.get(i).code()));
        return named;
    }

    private static List<Kernel> disassemble(Path disassembler, String file) {
        String object = "target/native/cuda/" + file.replaceFirst("\\.cu$", ".o");
        List<String> command = List.of(disassembler.toString(), "-arch", ARCHITECTURE, "-sass", object);
        return parse(file, lines(command, List.of()).stream());
    }

    /** Runs a command with these lines of input and returns its lines of output. */
    private static List<String> lines(List<String> command, List<String> input) {
        try {
            Process p = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            try (var to = p.outputWriter(StandardCharsets.UTF_8)) {
                for (String line : input) to.write(line + "\n");
            }
            try (BufferedReader from =
                    new BufferedReader(new InputStreamReader(p.getInputStream(), StandardCharsets.UTF_8))) {
                List<String> all = from.lines().toList();
                if (p.waitFor() != 0) throw new IOException(String.join(" ", command) + " failed: " + p.exitValue());
                return all;
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Prints the figures of the kernels whose name or file contains a text, and of their loops: tools/sass [TEXT] */
    public static void main(String[] args) throws IOException {
        String text = args.length == 0 ? "" : args[0];
        Path disassembler = disassembler().orElseThrow(() -> new IOException(MISSING));
        Map<String, PtxasReport.Kernel> report = PtxasReport.read().stream()
                .filter(k -> k.arch().equals(ARCHITECTURE))
                .collect(Collectors.toMap(k -> k.name() + " of " + k.file(), k -> k));
        for (Kernel k : read(disassembler)) {
            if (!k.toString().contains(text)) continue;
            System.out.println(k + ": " + report.get(k.toString()).registers() + " registers, "
                    + k.code().size() + " instructions");
            System.out.println("  to the first exit: " + figures(k.straight()));
            for (Loop l : k.loops()) {
                String inner = l.code().size() == l.own().size()
                        ? ""
                        : ", with inner loops " + l.code().size();
                System.out.printf(
                        Locale.ROOT, "  loop 0x%x: %s%s%n", l.code().get(0).address(), figures(l.own()), inner);
            }
        }
    }

    private static String figures(List<Instruction> code) {
        Map<String, Integer> counts = new TreeMap<>();
        for (Instruction c : code) {
            if (c.loads() > 0) counts.merge("loads of " + c.loads() + " B", 1, Integer::sum);
            if (c.stores() > 0) counts.merge("stores of " + c.stores() + " B", 1, Integer::sum);
            if (c.tensor()) counts.merge("tensor", 1, Integer::sum);
            if (c.is("MUFU")) counts.merge("MUFU", 1, Integer::sum);
            if (c.division()) counts.merge("division", 1, Integer::sum);
            if (c.local()) counts.merge("local", 1, Integer::sum);
            if (c.is("LDS", "STS", "LDSM", "STSM")) counts.merge("shared", 1, Integer::sum);
            if (c.is("BAR")) counts.merge("barriers", 1, Integer::sum);
        }
        String each = counts.entrySet().stream()
                .map(e -> ", " + e.getValue() + " " + e.getKey())
                .collect(Collectors.joining());
        return code.size() + " instructions" + each;
    }
}
