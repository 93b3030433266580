// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.zip.CRC32;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.io.Json;
import org.cortigan.train.HeldOut;

/** Ensures that all runs of a table have the same data, split and noise ceilings. */
final class ComparisonData {
    private ComparisonData() {}

    /**
     * Compares the data of a subject with the data that the runs in the folder used, and records them at first.
     *
     * @throws InputException if the data are wrong or differ from those that the runs used
     */
    static void check(AlgonautsSubject subject, ComparisonOptions options) {
        subject.checkFinite();
        HeldOut.ceiling(subject, options.unit()); // Finds a wrong unit before hours of training.
        Map<String, Object> now = properties(subject, options);
        Path file = options.out().resolve(AlgonautsSubject.folderName(subject.number()) + ".json");
        if (!Files.exists(file)) {
            Json.write(file, now);
            return;
        }
        Map<String, Object> before = Json.readObject(file);
        now.forEach((key, value) -> {
            if (!value.equals(before.get(key)))
                throw new InputException(
                        file + ", " + key,
                        "the runs in this folder used '" + before.get(key) + "', the data now have '" + value + "'",
                        "Give the data that the runs used, or another folder with -o");
        });
    }

    private static Map<String, Object> properties(AlgonautsSubject subject, ComparisonOptions options) {
        Map<String, Object> p = new LinkedHashMap<>();
        p.put("vertices", subject.left() + " + " + subject.right());
        p.put(
                "images",
                subject.trainingImages().size() + " training, "
                        + subject.testImages().size() + " test");
        p.put("responses", String.format(Locale.ROOT, "CRC-32 %08x of the first and the last", checksum(subject)));
        p.put("evaluated_on", options.data().hasHeldOut(subject.number()) ? "test" : "validation");
        p.put(
                "noise_ceilings",
                subject.noiseCeiling().isEmpty()
                        ? "none"
                        : options.unit().name().toLowerCase(Locale.ROOT));
        return p;
    }

    /** CRC-32 of the responses to the first and the last training image. */
    private static long checksum(AlgonautsSubject subject) {
        CRC32 crc = new CRC32();
        ByteBuffer row = ByteBuffer.allocate(4 * subject.vertices());
        for (int i : new int[] {0, subject.trainingImages().size() - 1}) {
            subject.responses(i, row.clear());
            crc.update(row.array());
        }
        return crc.getValue();
    }
}
