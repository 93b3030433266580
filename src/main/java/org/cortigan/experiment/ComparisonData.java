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

/** Keeps runs on different data, splits or noise ceilings out of one table. */
final class ComparisonData {
    private ComparisonData() {}

    /**
     * Compares a subject's data with those of the runs that the folder has, and writes down what they are.
     *
     * @throws InputException if the data are wrong or are not those of the folder's runs
     */
    static void check(AlgonautsSubject subject, ComparisonOptions options) {
        subject.checkFinite();
        HeldOut.ceiling(subject, options.unit()); // finds a wrong unit before hours of training
        Map<String, Object> now = properties(subject, options);
        Path file = options.out().resolve(AlgonautsSubject.folderName(subject.number()) + ".json");
        if (Files.exists(file)) {
            Map<String, Object> before = Json.readObject(file);
            now.forEach((key, value) -> {
                if (!value.equals(before.get(key)))
                    throw new InputException(
                            file + ", " + key,
                            "the runs there are of '" + before.get(key) + "', the data are now '" + value + "'",
                            "Give the data of the first time, or another folder by -o");
            });
        }
        Json.write(file, now);
    }

    private static Map<String, Object> properties(AlgonautsSubject subject, ComparisonOptions options) {
        Map<String, Object> p = new LinkedHashMap<>();
        p.put("vertices", subject.left() + " + " + subject.right());
        p.put(
                "images",
                subject.trainingImages().size() + " training, "
                        + subject.testImages().size() + " test");
        p.put("responses", String.format("CRC-32 %08x of the first and the last", checksum(subject)));
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
