// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OpCasesTest {
    private static final Path SOURCES = Path.of("src/main/java/org/cortigan/op");

    /** Compares the ops found by class files with the sources that declare cases. */
    @Test
    void everySourceFileWithCasesIsFound() throws IOException {
        Set<String> declared = new TreeSet<>();
        try (Stream<Path> files = Files.list(SOURCES)) {
            for (Path f : files.toList())
                if (Files.readString(f).contains("    public static List<OpCase> cases() {"))
                    declared.add(f.getFileName().toString().replace(".java", ""));
        }
        Set<String> found = OpCases.ops().stream()
                .filter(c -> !c.isMemberClass())
                .map(Class::getSimpleName)
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(declared, found);
        assertTrue(found.size() > 25, found.toString());
    }

    @Test
    void everyOpContributesItsCases() {
        Set<String> all = OpCases.all().stream().map(OpCase::name).collect(Collectors.toSet());
        for (OpCase c : SumLeading.cases()) assertTrue(all.contains(c.name()), c.name());
        for (OpCase c : Adam.cases()) assertTrue(all.contains(c.name()), c.name());
    }

    @Test
    void aJarGivesTheSameClassesAsItsFolder(@TempDir Path temp) throws IOException {
        Path jar = temp.resolve("ops.jar"), folder = OpCases.location();
        try (OutputStream file = Files.newOutputStream(jar);
                JarOutputStream out = new JarOutputStream(file);
                Stream<Path> classes = Files.walk(folder.resolve("org/cortigan"))) {
            for (Path c : classes.filter(Files::isRegularFile).toList()) {
                out.putNextEntry(new JarEntry(folder.relativize(c).toString().replace('\\', '/')));
                out.closeEntry();
            }
        }
        assertTrue(OpCases.classNames(folder).contains(Attention.Grad.class.getName()));
        assertEquals(OpCases.classNames(folder), OpCases.classNames(jar));
    }
}
