// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Uses the jar and its libraries from an empty folder, without the build. */
class ShippedJarIT {
    @TempDir
    Path dir;

    private record Run(Process process, Path output) {
        String text() throws Exception {
            assertTrue(process.waitFor(2, TimeUnit.MINUTES), "the process does not end");
            return Files.readString(output);
        }
    }

    private String classPath(boolean picocli) throws Exception {
        Path home = dir.resolve("home");
        if (!Files.exists(home)) {
            Files.createDirectories(home);
            Files.copy(Path.of(System.getProperty("cortigan.jar")), home.resolve("cortigan.jar"));
            try (Stream<Path> s = Files.list(Path.of(System.getProperty("cortigan.lib")))) {
                for (Path p : s.toList()) Files.copy(p, home.resolve(p.getFileName()));
            }
        }
        List<String> cp = new ArrayList<>();
        try (Stream<Path> s = Files.list(home)) {
            s.filter(p -> picocli || !p.getFileName().toString().startsWith("picocli"))
                    .forEach(p -> cp.add(p.toString()));
        }
        return String.join(":", cp);
    }

    private Run java(String cache, String classPath, String... args) throws Exception {
        Path cwd = Files.createDirectories(dir.resolve("cwd")), out = Files.createTempFile(dir, "out", ".txt");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dorg.bytedeco.javacpp.cachedir=" + cache,
                "-cp",
                classPath));
        command.addAll(List.of(args));
        return new Run(
                new ProcessBuilder(command)
                        .directory(cwd.toFile())
                        .redirectErrorStream(true)
                        .redirectOutput(out.toFile())
                        .start(),
                out);
    }

    @Test
    void severalJvmsUnpackAndLoadItAtOnce() throws Exception {
        List<Run> runs = new ArrayList<>();
        for (int i = 0; i < 3; i++)
            runs.add(java(dir.resolve("cache").toString(), classPath(true), "org.cortigan.cli.Main", "doctor"));
        for (Run r : runs) {
            String text = r.text();
            assertEquals(0, r.process.exitValue(), text);
            assertTrue(text.contains("libraries") && text.contains("available"), text);
        }
    }

    /** Jars of libraries are not modules: oneDNN's requires the bindings, which CortiGAN does without. */
    private String module(String... args) throws Exception {
        List<String> modules = new ArrayList<>(), libraries = new ArrayList<>();
        for (String p : classPath(true).split(":")) (p.contains("-linux-") ? libraries : modules).add(p);
        List<String> all = new ArrayList<>(
                List.of("--module-path", String.join(":", modules), "--module", "org.cortigan/org.cortigan.cli.Main"));
        all.addAll(List.of(args));
        Run run = java(dir.resolve("cache6").toString(), String.join(":", libraries), all.toArray(String[]::new));
        String text = run.text();
        assertEquals(0, run.process.exitValue(), text);
        return text;
    }

    @Test
    void itIsAModule() throws Exception {
        String text = module("doctor");
        assertTrue(text.matches("(?s).*device +cpu [^\n]*available.*"), text);
    }

    /** The manifest names the libraries beside it and, for Java 24 and later, allows native code without a warning. */
    @Test
    void itRunsByItself() throws Exception {
        Run doctor = java(dir.resolve("cache7").toString(), ".", "-jar", System.getProperty("cortigan.jar"), "doctor");
        String text = doctor.text();
        assertEquals(0, doctor.process.exitValue(), text);
        assertTrue(text.contains("libraries") && !text.contains("WARNING"), text);
    }

    /** Java 24 and later know the option; before, it is one of another kind and 17 refuses this value. */
    @Test
    void deniedNativeCodeNamesTheOption() throws Exception {
        assumeTrue(Runtime.version().feature() >= 24, "this Java denies no native code");
        Run r = java(
                dir.resolve("cache8").toString(),
                classPath(true),
                "--illegal-native-access=deny",
                "org.cortigan.cli.Main",
                "doctor");
        String text = r.text();
        assertEquals(1, r.process.exitValue(), text);
        assertTrue(text.contains("--enable-native-access=ALL-UNNAMED") && !text.contains("\tat "), text);
    }

    /** A shell makes the name, because this JVM may be one that cannot encode it. */
    @Test
    void inThePosixLocaleANameBeyondAsciiIsRefusedWithTheRemedy() throws Exception {
        Path out = dir.resolve("posix.txt");
        Process p = new ProcessBuilder(
                        "sh",
                        "-c",
                        "LC_ALL=C exec \"$0\" -cp \"$1\" org.cortigan.cli.Main evaluate \"$(printf 'caf\\303\\251')\""
                                + " --data d",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        classPath(true))
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        String text = new Run(p, out).text();
        assertEquals(1, p.exitValue(), text);
        assertTrue(text.contains("cannot decode or encode") && text.contains("LC_ALL=C.UTF-8"), text);
        // A JVM names the options that its environment has.
        assertEquals(1, text.lines().filter(l -> !l.startsWith("Picked up ")).count(), text);
    }

    /** jHDF's libraries are modules that it does not name, and its logging must not warn. */
    @Test
    void asAModuleItReadsHdf5AndMatFiles() throws Exception {
        String nsd = Path.of(System.getProperty("cortigan.testClasses"))
                .resolve("nsd")
                .toAbsolutePath()
                .toString();
        String text = module("import", "nsd", "--nsd", nsd, "--subject", "1", "--rois", "none", "-o", dir.toString());
        assertTrue(text.contains("subj01") && !text.contains("SLF4J"), text);
    }

    @Test
    void withoutTheCudaBindingsOnlyCudaIsMissing() throws Exception {
        List<String> with = List.of(classPath(true).split(":"));
        String cp = String.join(
                ":",
                with.stream()
                        .filter(p -> !Path.of(p).getFileName().toString().startsWith("cuda-"))
                        .toList());
        assertEquals(with.size() - 2, cp.split(":").length, "exactly the two jars of the bindings are left out");
        Run doctor = java(dir.resolve("cache4").toString(), cp, "org.cortigan.cli.Main", "doctor");
        String text = doctor.text();
        assertEquals(0, doctor.process.exitValue(), text);
        assertTrue(text.contains("cuda: unavailable: device cuda: the bindings are not on the class path"), text);
        Run cuda = java(
                dir.resolve("cache4").toString(),
                cp,
                "org.cortigan.cli.Main",
                "profile",
                "-c",
                "quickstart",
                "--device",
                "cuda");
        text = cuda.text();
        assertEquals(1, cuda.process.exitValue(), text);
        assertTrue(text.contains("bindings are not on the class path") && !text.contains("\tat "), text);
    }

    @Test
    void aCpuRunLoadsNoCudaClasses() throws Exception {
        Run r = java(
                dir.resolve("cache5").toString(),
                classPath(true),
                "-verbose:class",
                "org.cortigan.cli.Main",
                "profile",
                "-c",
                "quickstart",
                "--device",
                "cpu",
                "-o",
                "train.batch=2",
                "--repeats",
                "1");
        String text = r.text();
        assertEquals(0, r.process.exitValue(), text);
        assertTrue(
                text.contains("org.cortigan.exec.CpuDevice") && !text.contains("org.bytedeco.cuda"),
                "classes of CUDA were loaded");
    }

    @Test
    void theExampleRunsWithoutPicocli() throws Exception {
        Path classes = dir.resolve("example"),
                from = Path.of(System.getProperty("cortigan.testClasses"), "org/cortigan/example");
        Files.createDirectories(classes.resolve("org/cortigan/example"));
        try (Stream<Path> s = Files.list(from)) {
            for (Path p : s.toList())
                Files.copy(p, classes.resolve("org/cortigan/example").resolve(p.getFileName()));
        }
        Run r = java(
                dir.resolve("cache2").toString(),
                classes + ":" + classPath(false),
                "org.cortigan.example.EmbeddingExample",
                dir.resolve("model").toString());
        Files.createDirectories(dir.resolve("model"));
        String text = r.text();
        assertEquals(0, r.process.exitValue(), text);
        assertTrue(text.contains("epoch 2") && text.contains("12 vertices, the first 5 of them left"), text);
    }

    @Test
    void aLibraryThatDoesNotLoadNamesTheReason() throws Exception {
        String cp = classPath(true);
        try (FileSystem jar = FileSystems.newFileSystem(dir.resolve("home/cortigan.jar"))) {
            Files.writeString(jar.getPath("/org/cortigan/jni/linux-x86_64/libcortigan_cpu.so"), "no library");
        }
        Run r = java(dir.resolve("cache3").toString(), cp, "org.cortigan.cli.Main", "profile", "-c", "quickstart");
        String text = r.text();
        assertEquals(1, r.process.exitValue(), text);
        assertTrue(
                text.contains("native library of CortiGAN") && text.contains("caused by") && text.contains("glibc"),
                text);
        assertFalse(text.contains("\tat "), text);
    }

    @Test
    void theJarNamesNoFolderOfTheMachineThatBuiltIt() throws Exception {
        Path lib = dir.resolve("lib.so");
        try (java.util.zip.ZipFile z = new java.util.zip.ZipFile(System.getProperty("cortigan.jar"))) {
            for (String name : List.of("libcortigan_cpu.so", "libjniNative.so", "libcortigan_cuda.so")) {
                var e = z.getEntry("org/cortigan/jni/linux-x86_64/" + name);
                if (e == null && name.contains("cuda")) continue; // built without nvcc
                Files.write(lib, z.getInputStream(e).readAllBytes());
                String text = Files.readString(lib, StandardCharsets.ISO_8859_1);
                assertFalse(
                        text.contains(Path.of("").toAbsolutePath().toString()),
                        name + " contains the path of the build folder");
            }
        }
    }
}
