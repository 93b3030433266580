// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Who computes a node.
 *
 * @param by the library's name, or {@link #OWN}
 * @param form how the library is called: algorithm, workspace, conversions and copies around it; empty for own kernels
 * @param why why an own kernel computes a product or convolution on a device that has a library for those; empty for
 *     all others
 * @param refused whether the library was asked and has nothing that runs; false where it is not asked, by design
 */
public record Served(String by, String form, String why, boolean refused) {
    public static final String OWN = "CortiGAN";

    private static final Served KERNEL = new Served(OWN, "", "", false);

    /** A node for which no library is thought of. */
    public static Served kernel() {
        return KERNEL;
    }

    public static Served library(String name, String form) {
        return new Served(name, form, "", false);
    }

    public static Served byDesign(String why) {
        return new Served(OWN, "", why, false);
    }

    public static Served refused(String why) {
        return new Served(OWN, "", why, true);
    }

    public boolean own() {
        return by.equals(OWN);
    }

    /** Whether it is a product or convolution on a device that has a library for those. */
    public boolean libraryWork() {
        return !own() || !why.isEmpty();
    }

    /** For a line of a table; empty where there is nothing to say. */
    public String text() {
        if (!own()) return by + (form.isEmpty() ? "" : ": " + form);
        return why.isEmpty() ? "" : OWN + "'s own" + (refused ? ", refused: " : ", by design: ") + why;
    }

    /**
     * How many products and convolutions each computes, and the reasons of own kernels, a line each; empty if there are
     * none.
     */
    public static List<String> summary(Collection<Served> all) {
        Map<String, Integer> libraries = new TreeMap<>(), refused = new TreeMap<>(), design = new TreeMap<>();
        for (Served s : all)
            if (!s.own()) libraries.merge(s.by, 1, Integer::sum);
            else if (s.libraryWork()) (s.refused ? refused : design).merge(s.why, 1, Integer::sum);
        List<String> parts = new ArrayList<>(), lines = new ArrayList<>();
        libraries.forEach((name, n) -> parts.add(name + " " + n));
        parts.add(OWN + "'s own " + sum(refused) + " (refused), " + sum(design) + " (by design)");
        if (libraries.isEmpty() && refused.isEmpty() && design.isEmpty()) return lines;
        lines.add("products and convolutions: " + String.join(", ", parts));
        refused.forEach((why, n) -> lines.add("  refused, " + n + ": " + why));
        design.forEach((why, n) -> lines.add("  by design, " + n + ": " + why));
        return lines;
    }

    private static int sum(Map<String, Integer> m) {
        return m.values().stream().mapToInt(i -> i).sum();
    }
}
