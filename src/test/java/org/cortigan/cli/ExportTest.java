// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExportTest {
    private static final String CHECKPOINTS = "src/test/resources/checkpoints/";

    /** Exports to a file. @return what the command printed */
    private static String run(int code, Path file, String... models) {
        StringWriter text = new StringWriter();
        String[] args = new String[models.length + 3];
        args[0] = "export";
        args[1] = "--onnx";
        args[2] = file.toString();
        System.arraycopy(models, 0, args, 3, models.length);
        assertEquals(
                code,
                Main.commandLine()
                        .setOut(new PrintWriter(text))
                        .setErr(new PrintWriter(text))
                        .execute(args),
                text.toString());
        return text.toString().strip();
    }

    @Test
    void aCheckpointBecomesAFileOfItsSize(@TempDir Path dir) throws Exception {
        Path file = dir.resolve("model.onnx");
        String checkpoint = CHECKPOINTS + "0.1-cnn-conv.safetensors";
        assertEquals(file.toString(), run(0, file, checkpoint));
        long one = Files.size(file);
        assertTrue(one > 4000, one + " bytes");
        assertTrue(run(1, file, checkpoint, checkpoint).contains("is given twice"));
        assertTrue(run(1, dir.resolve("model.pb"), checkpoint).contains("--onnx"));
        assertEquals(one, Files.size(file), "a refusal changes nothing");
        run(0, file, checkpoint, CHECKPOINTS + "0.1-vit-patch.safetensors");
        assertTrue(Files.size(file) > 2 * one, "the mean of two models");
    }
}
