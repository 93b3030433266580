// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.ArchConfiguration;
import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Checks which package uses which. Reads the class files, not the sources, so that a fully qualified name counts like
 * an import. Only constants of primitive types and strings escape, because the compiler copies them.
 */
class ArchitectureTest {
    private static final String ROOT = "org.cortigan";

    /**
     * A package and the packages of this project that its classes may use; every package may use
     * {@link InputException}.
     */
    private record Rule(String name, List<String> may) {
        static Rule of(String name, String... may) {
            return new Rule(name, List.of(may));
        }
    }

    /** The package that a build with {@code -DskipIntegrations} leaves out. */
    private static final String SPARK = "spark";

    /** The packages from the bottom to the top: a package may use only packages earlier in this list. */
    private static final List<Rule> PACKAGES = List.of(
            Rule.of("graph"),
            Rule.of("onnx"),
            Rule.of("op", "onnx", "graph"),
            Rule.of("grad", "op", "graph"),
            Rule.of("plan", "op", "graph"),
            Rule.of("features"),
            Rule.of("jni"),
            Rule.of("io", "graph"),
            Rule.of("config", "io"),
            Rule.of("cortex", "io"),
            Rule.of("surface", "cortex", "io"),
            Rule.of("simulate", "surface", "cortex", "io"),
            Rule.of("exec", "jni", "plan", "op", "graph"),
            Rule.of("ranks", "exec", "jni"),
            Rule.of("cuda", "exec", "io", "jni", "op", "graph"),
            Rule.of("nn", "config", "features", "op", "graph"),
            Rule.of("model", "nn", "exec", "cortex", "config", "io", "features", "plan", "op", "onnx", "graph"),
            Rule.of("djl", "model", "cortex"),
            Rule.of("eval", "cortex", "io"),
            Rule.of("nsd", "eval", "cortex", "io"),
            Rule.of("ridge", "eval", "jni"),
            Rule.of("prof", "exec", "io", "op", "graph"),
            Rule.of(
                    "train",
                    "ridge",
                    "eval",
                    "model",
                    "nn",
                    "exec",
                    "cortex",
                    "config",
                    "io",
                    "jni",
                    "features",
                    "plan",
                    "grad",
                    "op",
                    "graph"),
            Rule.of("report", "train", "eval", "surface", "cortex", "config", "io"),
            Rule.of(
                    "experiment",
                    "train",
                    "ridge",
                    "eval",
                    "model",
                    "nn",
                    "exec",
                    "simulate",
                    "cortex",
                    "config",
                    "io",
                    "jni",
                    "features",
                    "graph"),
            Rule.of(
                    "cli",
                    "report",
                    "experiment",
                    "nsd",
                    "train",
                    "ranks",
                    "prof",
                    "ridge",
                    "eval",
                    "model",
                    "exec",
                    "simulate",
                    "surface",
                    "cortex",
                    "config",
                    "io",
                    "jni",
                    "features"),
            Rule.of(SPARK, "experiment", "train", "ranks", "eval", "model", "exec", "cortex", "config", "io"));

    /**
     * Libraries that only some packages may use: the beginning of the library's package names, and the packages that
     * may use it.
     */
    private static final Map<String, List<String>> LIBRARIES = Map.of(
            "ai.djl", List.of("djl"),
            "org.bytedeco.cuda", List.of("cuda"),
            "org.bytedeco.openblas", List.of("ridge"),
            "org.bytedeco", List.of("jni", "cuda", "ridge"),
            "picocli", List.of("cli"),
            "io.jhdf", List.of("nsd"),
            "us.hebi.matlab", List.of("nsd"),
            "org.apache.spark", List.of(SPARK),
            "org.apache.hadoop", List.of(SPARK),
            "scala", List.of(SPARK));

    /**
     * The known circles of classes, each with the reason why it stays. Any other circle fails, except those of a sealed
     * type with the types that it permits and those around {@link #OPS}.
     */
    private static final Map<Set<String>, String> CIRCLES = Map.of(
            Set.of("graph.Graph", "graph.Leaf", "graph.Node", "graph.Operation", "graph.Value"),
            "a graph has nodes, which have values, which know their node",
            Set.of("jni.ArgStruct", "jni.Schema"),
            "a schema begins structs, which look their members up in it",
            Set.of("exec.Binding", "exec.PreparedGraph", "exec.Session"),
            "a session is made of the two, which read its options",
            Set.of("exec.Launcher", "exec.Scalars", "exec.StreamLauncher"),
            "a launcher makes the scalars that wait for it",
            Set.of("exec.DeviceStorage", "exec.HostStorage", "exec.InputBuffer", "exec.Storage"),
            "a storage is one of two kinds, each with its buffer",
            Set.of("exec.Mirror", "exec.MirroredStorage"),
            "a mirror makes the storages that write through it",
            Set.of(
                    "cuda.CublasLt",
                    "cuda.CudaRuntime",
                    "cuda.Cudnn",
                    "cuda.CudnnConvolution",
                    "cuda.CudnnForward",
                    "cuda.CudnnGradW",
                    "cuda.CudnnGradX",
                    "cuda.Nccl",
                    "cuda.OwnKernel",
                    "cuda.Trials",
                    "cuda.VendorKernels"),
            "the runtime asks the libraries, which allocate and launch by the runtime");

    /**
     * The centre of a circle that every new op joins: {@code Ops} makes ops, whose gradients are built with
     * {@code Ops}.
     */
    private static final String OPS = "op.Ops";

    private static final JavaClasses CLASSES = read();

    private static JavaClasses read() {
        // Names of outside classes are enough: reading the JDK's classes takes ten times as long.
        ArchConfiguration.get().setResolveMissingDependenciesFromClassPath(false);
        try {
            return new ClassFileImporter()
                    .importPath(Path.of(InputException.class
                            .getProtectionDomain()
                            .getCodeSource()
                            .getLocation()
                            .toURI()));
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void packagesUseOnlyPackagesBelowThem() {
        Map<String, Rule> rules = new HashMap<>();
        for (Rule r : PACKAGES) {
            for (String below : r.may) assertTrue(rules.containsKey(below), r.name + " must come after " + below);
            rules.put(r.name, r);
        }
        Set<String> wrong = new TreeSet<>();
        Map<String, Set<String>> used = new TreeMap<>();
        for (JavaClass c : CLASSES) {
            String here = packageOf(c);
            if (here.isEmpty()) continue;
            if (!rules.containsKey(here)) wrong.add("package " + here + " is not in PACKAGES");
            for (JavaClass target : targets(c)) {
                String there = packageOf(target);
                if (there.isEmpty() || there.equals(here)) continue;
                used.computeIfAbsent(here, k -> new TreeSet<>()).add(there);
                if (rules.containsKey(here) && !rules.get(here).may.contains(there))
                    wrong.add(nameOf(c) + " uses " + nameOf(target) + ", but " + here + " may not use " + there);
            }
        }
        boolean hasSpark = CLASSES.stream().anyMatch(c -> packageOf(c).equals(SPARK));
        for (Rule r : PACKAGES)
            for (String there : r.may)
                if ((hasSpark || !r.name.equals(SPARK))
                        && !used.getOrDefault(r.name, Set.of()).contains(there))
                    wrong.add(r.name + " may use " + there + ", but does not: take it out of PACKAGES");
        assertTrue(wrong.isEmpty(), () -> String.join("\n", wrong));
        assertTrue(used.size() > 5, "packages read: " + used.keySet());
    }

    @Test
    void librariesAreUsedOnlyByTheirPackages() {
        Set<String> wrong = new TreeSet<>();
        for (JavaClass c : CLASSES)
            for (Dependency d : c.getDirectDependenciesFromSelf())
                LIBRARIES.forEach((library, who) -> {
                    if (d.getTargetClass()
                                    .getBaseComponentType()
                                    .getPackageName()
                                    .startsWith(library)
                            && !who.contains(packageOf(c)))
                        wrong.add(nameOf(c) + " uses " + library + ", which only " + who + " may");
                });
        assertTrue(wrong.isEmpty(), () -> String.join("\n", wrong));
    }

    @Test
    void classesFormOnlyTheKnownCircles() {
        Map<String, Set<String>> uses = new TreeMap<>();
        for (JavaClass c : CLASSES) {
            Set<String> to = uses.computeIfAbsent(nameOf(c), k -> new TreeSet<>());
            for (JavaClass target : targets(c)) to.add(nameOf(target));
        }
        Set<Set<String>> found = circles(uses).stream()
                .filter(c -> !(c.contains(OPS) && c.stream().allMatch(n -> n.startsWith("op."))))
                .filter(c -> c.stream().noneMatch(n -> isSealedWith(n, c)))
                .collect(Collectors.toCollection(HashSet::new));
        Set<Set<String>> gone = new HashSet<>(CIRCLES.keySet());
        gone.removeAll(found);
        found.removeAll(CIRCLES.keySet());
        assertEquals(Set.of(), found, "new circles of classes");
        assertEquals(Set.of(), gone, "circles that no longer exist: take them out of CIRCLES");
    }

    /** The table of docs/ARCHITECTURE.md lists PACKAGES from the top to the bottom. */
    @Test
    void theDocumentationHasTheSameTable() throws IOException {
        StringBuilder table = new StringBuilder("| package | may use |\n|---|---|\n");
        for (int i = PACKAGES.size() - 1; i >= 0; i--) {
            Rule r = PACKAGES.get(i);
            String may = r.may.stream().map(p -> "`" + p + "`").collect(Collectors.joining(" "));
            table.append("| `" + r.name + "` | " + (may.isEmpty() ? "nothing" : may) + " |\n");
        }
        String text = Files.readString(Path.of("docs/ARCHITECTURE.md"));
        String begin = "<!-- packages: begin -->\n", end = "<!-- packages: end -->";
        int from = text.indexOf(begin), to = text.indexOf(end);
        assertTrue(from >= 0 && to > from, "docs/ARCHITECTURE.md lacks " + begin.strip() + " and " + end);
        assertEquals(table.toString(), text.substring(from + begin.length(), to));
    }

    @Test
    void everyPackageHasADescription() throws IOException {
        Path sources = Path.of("src/main/java/org/cortigan");
        List<Path> without;
        try (Stream<Path> all = Files.walk(sources)) {
            without = all.filter(Files::isDirectory)
                    .filter(p -> Files.notExists(p.resolve("package-info.java")))
                    .toList();
        }
        assertEquals(List.of(), without, "packages without package-info.java");
    }

    /** The package below the root, "" for the root itself. */
    private static String packageOf(JavaClass c) {
        String name = c.getBaseComponentType().getPackageName();
        return name.equals(ROOT) ? "" : name.substring(ROOT.length() + 1);
    }

    /** The class of a source file, without the root package: {@code op.Ops}. */
    private static String nameOf(JavaClass c) {
        return c.getBaseComponentType().getName().substring(ROOT.length() + 1).replaceFirst("[$].*", "");
    }

    /** Whether a circle is nothing but a sealed type and the types that it permits. */
    private static boolean isSealedWith(String name, Set<String> circle) {
        try {
            Class<?> type = Class.forName(ROOT + "." + name, false, ArchitectureTest.class.getClassLoader());
            if (!type.isSealed()) return false;
            Set<String> permitted = new HashSet<>(Set.of(name));
            for (Class<?> c : type.getPermittedSubclasses())
                permitted.add(c.getName().substring(ROOT.length() + 1));
            return permitted.containsAll(circle);
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Classes of this project that a class depends on. */
    private static List<JavaClass> targets(JavaClass c) {
        return c.getDirectDependenciesFromSelf().stream()
                .map(d -> d.getTargetClass().getBaseComponentType())
                .filter(t -> t.getName().startsWith(ROOT + "."))
                .toList();
    }

    /** Strongly connected components of at least two classes. */
    private static Set<Set<String>> circles(Map<String, Set<String>> uses) {
        Map<String, Set<String>> reach = new HashMap<>();
        for (String from : uses.keySet()) {
            Set<String> seen = new TreeSet<>();
            Deque<String> next = new ArrayDeque<>(uses.get(from));
            while (!next.isEmpty()) {
                String n = next.pop();
                if (seen.add(n)) next.addAll(uses.getOrDefault(n, Set.of()));
            }
            reach.put(from, seen);
        }
        return uses.keySet().stream()
                .map(a -> uses.keySet().stream()
                        .filter(b -> a.equals(b)
                                || (reach.get(a).contains(b) && reach.get(b).contains(a)))
                        .collect(Collectors.toCollection(TreeSet::new)))
                .filter(c -> c.size() > 1)
                .collect(Collectors.toSet());
    }
}
