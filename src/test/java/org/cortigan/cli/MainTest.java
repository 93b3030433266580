// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.cortigan.exec.CpuDevice;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class MainTest {
    @Test
    void doctorNamesTheDeviceThatSessionsUse() {
        StringWriter out = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(out));
        assertEquals(0, c.execute("doctor"));
        assertTrue(out.toString().contains(CpuDevice.best(0).name()), out.toString());
        assertTrue(out.toString().contains("oneDNN 3.11"), out.toString());
    }

    @Test
    void theVersionIsThatOfThePom() throws Exception {
        Matcher pom = Pattern.compile("<artifactId>cortigan</artifactId>\\s*<version>(.*)</version>")
                .matcher(Files.readString(Path.of("pom.xml")));
        assertTrue(pom.find());
        StringWriter out = new StringWriter();
        assertEquals(0, Main.commandLine().setOut(new PrintWriter(out)).execute("--version"));
        assertEquals(pom.group(1), out.toString().strip());
    }

    @Test
    void anUnknownCommandIsRefused() {
        StringWriter err = new StringWriter();
        assertEquals(2, Main.commandLine().setErr(new PrintWriter(err)).execute("trian"));
        assertTrue(err.toString().contains("trian"), err.toString());
    }

    /** A name that no file can have is wrong input as any other, not a stack trace or a screen of usage. */
    @Test
    void aNameThatNoFileCanHaveIsRefusedInOneLine() {
        for (String[] args : new String[][] {
            {"predict", "run", "--images", "a\0b", "--out", "o"},
            {"train", "-c", "a\0b", "--data", "d"}
        }) {
            StringWriter err = new StringWriter();
            assertEquals(1, Main.commandLine().setErr(new PrintWriter(err)).execute(args));
            assertTrue(err.toString().contains("'a\\u0000b': is no name of a file"), err.toString());
            assertEquals(1, err.toString().lines().count(), err.toString());
        }
    }
}
