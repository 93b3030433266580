// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Which library or kernel computes a node.
 *
 * @param by the library's name, or {@link #OWN}
 * @param form how the library is called: algorithm, workspace, conversions and copies around it; for an own kernel with
 *     several implementations, the name of the one that computes the node; otherwise empty
 * @param why why CortiGAN's own kernel computes a product or convolution although the device has a library for it;
 *     otherwise empty
 * @param refused whether the library was asked and offered no algorithm that runs; false if it is not asked, by design
 */
public record Served(String by, String form, String why, boolean refused) {
    public static final String OWN = "CortiGAN";

    private static final Served KERNEL = new Served(OWN, "", "", false);

    /** CortiGAN's own kernel, for an op that no library is asked to compute. */
    public static Served kernel() {
        return KERNEL;
    }

    /** A call of the library {@code name}. */
    public static Served library(String name, String form) {
        return new Served(name, form, "", false);
    }

    /** The same library or kernel, called in the form {@code form}. */
    Served in(String form) {
        return new Served(by, form, why, refused);
    }

    /** CortiGAN's own kernel, because the library is not asked for this kind of product or convolution. */
    public static Served byDesign(String why) {
        return new Served(OWN, "", why, false);
    }

    /** CortiGAN's own kernel, because the library offered no algorithm that runs. */
    public static Served refused(String why) {
        return new Served(OWN, "", why, true);
    }

    /** Whether CortiGAN's own kernel computes the node. */
    public boolean own() {
        return by.equals(OWN);
    }

    /** Whether the node is a product or convolution on a device that has a library for these. */
    public boolean libraryWork() {
        return !own() || !why.isEmpty();
    }

    /** Text for a row of a table; empty if there is nothing to report. */
    public String text() {
        if (!own()) return by + (form.isEmpty() ? "" : ": " + form);
        if (why.isEmpty()) return form.isEmpty() ? "" : OWN + ": " + form;
        return OWN + "'s own" + (refused ? ", refused: " : ", by design: ") + why;
    }

    /**
     * How many products and convolutions each library and CortiGAN compute, then one line for each reason of an own
     * kernel. Empty if there is no product or convolution.
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
