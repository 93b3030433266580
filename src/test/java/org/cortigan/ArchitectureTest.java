// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Dependencies point downwards only. */
class ArchitectureTest {
    /** What each package may import of this project. */
    private static final Map<String, List<String>> MAY = Map.ofEntries(
            entry("graph"),
            entry("op", "graph"),
            entry("grad", "op", "graph"),
            entry("plan", "grad", "op", "graph"),
            entry("jni"),
            entry("mem", "jni"),
            entry("exec", "plan", "op", "graph", "jni", "mem", "data"),
            entry("cuda", "exec", "op", "graph", "jni", "mem", "data"),
            entry("data"),
            entry("eval", "data"),
            entry("nn", "op", "graph"),
            entry("model", "optim", "nn", "op", "graph", "exec", "mem", "data"),
            entry("optim", "nn", "op", "graph", "data"),
            entry("prof", "exec", "plan", "op", "graph", "data"),
            entry("train", "model", "optim", "nn", "grad", "exec", "plan", "op", "graph", "mem", "data", "eval"),
            entry("experiment", "train", "model", "nn", "exec", "graph", "jni", "data", "eval"),
            entry("cli", "experiment", "train", "prof", "model", "exec", "jni", "data", "eval"));

    private static Map.Entry<String, List<String>> entry(String name, String... may) {
        return Map.entry(name, List.of(may));
    }

    @Test
    void importsPointDownwards() throws IOException {
        Path root = Path.of("src/main/java/org/cortigan");
        int seen = 0;
        List<Path> files;
        try (Stream<Path> s = Files.walk(root)) {
            files = s.filter(p -> p.toString().endsWith(".java")).toList();
        }
        for (Path p : files) {
            Path rel = root.relativize(p);
            if (rel.getNameCount() < 2) continue;
            String here = rel.getName(0).toString();
            assertTrue(MAY.containsKey(here), "package " + here + " has no rule");
            for (String line : Files.readAllLines(p)) {
                if (!line.startsWith("import ")) continue;
                String name = line.replaceFirst("import (static )?", "");
                if (name.startsWith("org.bytedeco.cuda")) assertTrue(here.equals("cuda"), p + " knows CUDA");
                else if (name.startsWith("org.bytedeco"))
                    assertTrue(List.of("jni", "mem", "cuda").contains(here), p + " knows JavaCPP");
                if (name.startsWith("picocli")) assertTrue(here.equals("cli"), p + " knows picocli");
                if (!name.startsWith("org.cortigan.") || name.matches("org\\.cortigan\\.[A-Z].*")) continue;
                String there = name.split("\\.")[2];
                assertTrue(here.equals("cuda") || !there.equals("cuda"), p + " would load CUDA's classes");
                seen++;
                assertTrue(there.equals(here) || MAY.get(here).contains(there), p + " imports " + name.strip());
            }
        }
        assertTrue(seen > 50, "imports read: " + seen);
    }
}
