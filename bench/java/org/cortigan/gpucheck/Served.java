package org.cortigan.gpucheck;

import java.util.Objects;
import java.util.TreeMap;
import org.cortigan.exec.Session;
import org.cortigan.graph.Node;

/** Whose kernels run. */
final class Served {
    private Served() {}

    /** How many nodes of a session each library serves. */
    static TreeMap<String, Object> count(Session s) {
        TreeMap<String, Object> n = new TreeMap<>();
        for (Node node : s.launched()) n.merge(Objects.requireNonNullElse(s.library(node), "CortiGAN"), 1L, (a, b) -> (Long) a + (Long) b);
        return n;
    }
}
