// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.cortigan.cortex.Images;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class ImportTest {
    @TempDir
    Path dir;

    private String run(int code, String... args) {
        StringWriter text = new StringWriter();
        CommandLine c = Main.commandLine().setOut(new PrintWriter(text)).setErr(new PrintWriter(text));
        assertEquals(code, c.execute(args), text.toString());
        return text.toString();
    }

    private String nsd(int code, String... args) {
        return run(
                code,
                Stream.concat(
                                Stream.of("import", "nsd", "--nsd", "src/test/resources/nsd", "-o", dir.toString()),
                                Stream.of(args))
                        .toArray(String[]::new));
    }

    @Test
    void optionsReachTheImport() {
        String text =
                nsd(0, "--subject", "1", "--rois", "none", "--no-ceilings", "--image-size", "4", "--test", "shared");
        Path subject = dir.resolve("subj01");
        assertTrue(text.endsWith(subject + System.lineSeparator()), text);
        assertEquals(
                4,
                Images.read(Images.list(subject.resolve("test_split/test_images"))
                                .get(0))
                        .stored()
                        .width());
        assertTrue(Files.notExists(subject.resolve("test_split/noise_ceiling")));
        assertTrue(Files.notExists(subject.resolve("roi_masks/mapping_streams.npy")));
        text = nsd(1, "--subject", "1", "--rois", "none", "--no-ceilings");
        assertTrue(text.contains("exists already") && !text.contains("\tat "), text);
        // The made-up data set has two of the six classes.
        text = nsd(1, "--subject", "1");
        assertTrue(text.contains("prf-visualrois.mgz.ctab: no such file"), text);
        text = nsd(1, "--subject", "3");
        assertTrue(text.contains("--subject 3"), text);
    }

    @Test
    void aDataSetMustBeNamed() {
        assertTrue(run(2, "import").contains("subcommand"));
    }
}
