// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.cortigan.InputException;
import org.cortigan.exec.Ranks;
import org.cortigan.io.Json;

/** Checks that all ranks of a run were started for the same run, which every step takes for granted. */
final class Agreement {
    /** Name of the device: its kind, and of a processor what the bits of its kernels depend on. */
    static final String DEVICE = "the device";

    private Agreement() {}

    /**
     * Compares the ranks; all must call it.
     *
     * @param own values of this rank by name, in the order in which they are compared
     * @throws InputException on every rank, if one differs from rank 0; it names the first that does, and in what
     */
    static void require(Ranks ranks, Map<String, Object> own) {
        List<Map<String, Object>> all = ranks.gather(Json.compact(own).getBytes(StandardCharsets.UTF_8)).stream()
                .map(b -> Json.object(Json.parse(b, "a rank"), "a rank"))
                .toList();
        Map<String, Object> first = all.get(0);
        for (int q = 1; q < all.size(); q++) {
            Map<String, Object> other = all.get(q);
            Set<String> names = new LinkedHashSet<>(first.keySet());
            names.addAll(other.keySet());
            for (String name : names)
                if (!text(name, first).equals(text(name, other)))
                    throw new InputException(
                            "rank " + q + " on " + ranks.hosts().get(q),
                            name + " is " + text(name, other) + ", rank 0 has " + text(name, first),
                            name.equals(DEVICE)
                                    ? "Give all the same --device and --threads, and where processors differ CORTIGAN_ISA=avx2"
                                    : "Start all ranks with the same command, recipe and data");
        }
    }

    private static String text(String name, Map<String, Object> values) {
        return values.containsKey(name) ? Json.compact(values.get(name)) : "none";
    }
}
