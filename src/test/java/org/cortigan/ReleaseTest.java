// SPDX-License-Identifier: Apache-2.0
package org.cortigan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.xpath.XPathFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;

/** The version is that of pom.xml everywhere, and the scripts of a release do what they say. */
class ReleaseTest {
    @TempDir
    Path dir;

    private static String pom(String path) throws Exception {
        Document pom = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(Path.of("pom.xml").toFile());
        return XPathFactory.newInstance().newXPath().evaluate("/project/" + path, pom);
    }

    @Test
    void programAndChangelogHaveThePomsVersion() throws Exception {
        Properties p = new Properties();
        try (InputStream in = ReleaseTest.class.getResourceAsStream("/org/cortigan/version.properties")) {
            p.load(in);
        }
        String version = pom("version"), number = version.replace("-SNAPSHOT", "");
        assertEquals(version, p.getProperty("version"));
        String heading = Files.readAllLines(Path.of("CHANGELOG.md")).stream()
                .filter(l -> l.startsWith("## "))
                .findFirst()
                .orElseThrow();
        if (version.equals(number)) assertTrue(heading.startsWith("## " + number + " "), heading);
        else assertEquals("## Unreleased (" + number + ")", heading);
    }

    @Test
    void noOtherFileStatesTheVersion() throws Exception {
        Pattern stated = Pattern.compile("(?i)cortigan[ :v-]{1,3}\\d+\\.\\d+(\\.\\d+)?");
        List<String> found = new ArrayList<>();
        for (String top : List.of("README.md", "CONTRIBUTING.md", "NOTICE", "docs", "native", "src/main", "tools")) {
            try (Stream<Path> files = Files.walk(Path.of(top))) {
                for (Path file : files.filter(Files::isRegularFile).toList()) {
                    Matcher m = stated.matcher(Files.readString(file, StandardCharsets.ISO_8859_1));
                    while (m.find()) found.add(file + ": " + m.group());
                }
            }
        }
        assertEquals(List.of(), found);
    }

    /** Source: central.sonatype.org/publish/requirements. */
    @Test
    void thePomHasWhatCentralDemands() throws Exception {
        for (String path : List.of(
                "groupId",
                "artifactId",
                "version",
                "name",
                "description",
                "url",
                "licenses/license/name",
                "licenses/license/url",
                "developers/developer/name",
                "scm/connection",
                "scm/developerConnection",
                "scm/url")) assertFalse(pom(path).isBlank(), "pom.xml lacks " + path);
    }

    private record Run(int code, String text) {}

    private Run run(String... command) throws Exception {
        Path out = Files.createTempFile(dir, "out", ".txt");
        ProcessBuilder b = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(out.toFile());
        b.environment().put("JAVA_HOME", System.getProperty("java.home"));
        return new Run(b.start().waitFor(), Files.readString(out));
    }

    @Test
    void theBundleHasEveryArtifactWithItsChecksums() throws Exception {
        String name = "lib-1-SNAPSHOT", time = "2026-01-01T00:00:00Z";
        for (String kind : List.of(".jar", "-sources.jar", "-javadoc.jar", "-cyclonedx.json"))
            Files.writeString(dir.resolve(name + kind), kind);
        String[] command = {"tools/bundle", dir.toString(), "org.some", "lib", "1-SNAPSHOT", time, "true"};
        Run incomplete = run(command);
        assertEquals(1, incomplete.code, incomplete.text);
        assertTrue(incomplete.text.contains("made no " + dir.resolve(name + "-cyclonedx.xml")), incomplete.text);

        Files.writeString(dir.resolve(name + "-cyclonedx.xml"), "xml");
        Files.writeString(dir.resolve(name + ".jar.asc"), "of an earlier, signed build");
        Run whole = run(command);
        assertEquals(0, whole.code, whole.text);
        assertTrue(whole.text.contains("snapshot") && whole.text.contains("not signed"), whole.text);
        TreeSet<String> entries = new TreeSet<>();
        try (ZipFile zip = new ZipFile(dir.resolve(name + "-bundle.zip").toFile())) {
            zip.stream().map(ZipEntry::getName).forEach(entries::add);
            byte[] jar = ".jar".getBytes(StandardCharsets.UTF_8);
            for (String sum : List.of("md5", "sha1", "sha256", "sha512")) {
                String algorithm = sum.equals("md5") ? "MD5" : sum.replace("sha", "SHA-");
                ZipEntry e = zip.getEntry("org/some/lib/1-SNAPSHOT/" + name + ".jar." + sum);
                assertEquals(
                        HexFormat.of()
                                .formatHex(MessageDigest.getInstance(algorithm).digest(jar)),
                        new String(zip.getInputStream(e).readAllBytes(), StandardCharsets.UTF_8));
            }
        }
        assertEquals(6 * 5, entries.size(), entries.toString());
    }

    @Test
    void theGluesFunctionsAreSorted() throws Exception {
        String head = "#define JNIEXPORT\n#define JNICALL\nextern \"C\" {\n", tail = "\n}\n";
        String a = "JNIEXPORT int JNICALL Java_a(int x) {\n\tif (x) {\n\t}\n\treturn 1;\n}\n",
                b = a.replace("_a", "_b");
        Path source = dir.resolve("glue.cpp");
        Files.writeString(source, head + b + a + tail);
        Run compiled = run("tools/jni-compiler", "-fsyntax-only", source.toString());
        assertEquals(0, compiled.code, compiled.text);
        assertEquals(head + a + b + tail, Files.readString(source));
    }
}
