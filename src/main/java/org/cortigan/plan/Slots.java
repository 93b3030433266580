// SPDX-License-Identifier: Apache-2.0
package org.cortigan.plan;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;

/**
 * The time slots of a plan. Two adjacent steps share one if they may run at the same time: the device can run both in
 * parallel, neither reads what the other computes, and neither writes to storage that it did not create. Every buffer
 * that one of them uses is then in use during both, so that no memory passes from one to the other.
 */
final class Slots {
    private final List<Node> steps;
    /** The first step of each pair. */
    private final Set<Node> pairs = new HashSet<>();

    /** @param parallel whether the device may run a node beside another one */
    Slots(List<Node> steps, Predicate<Node> parallel) {
        this.steps = steps;
        for (int i = 0; i + 1 < steps.size(); i++) {
            Node n = steps.get(i), next = steps.get(i + 1);
            if (!independent(n, next) || !parallel.test(n) || !parallel.test(next)) continue;
            pairs.add(n);
            i++;
        }
    }

    /** Whether two adjacent steps can run at the same time. No view lies between them, so reading is direct. */
    private static boolean independent(Node n, Node next) {
        for (Value in : next.inputs()) if (in.node() == n) return false;
        return writesOwnStorage(n) && writesOwnStorage(next);
    }

    private static boolean writesOwnStorage(Node n) {
        for (Value out : n.outputs()) if (n.op().storage(out.index()) >= 0) return false;
        return true;
    }

    /** Whether a node runs beside the step after it. */
    boolean besideNext(Node n) {
        return pairs.contains(n);
    }

    /** The first step of a step's slot. */
    int first(int step) {
        return step > 0 && besideNext(steps.get(step - 1)) ? step - 1 : step;
    }

    /** The last step of a step's slot. */
    int last(int step) {
        return step < steps.size() && besideNext(steps.get(step)) ? step + 1 : step;
    }
}
