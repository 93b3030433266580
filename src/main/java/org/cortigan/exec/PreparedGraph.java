// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.op.Op;
import org.cortigan.plan.Plan;

/** A graph's plan and its prepared kernels. Planning prepares the kernels, because it needs their scratch sizes. */
final class PreparedGraph {
    private final Device device;
    private final Resources resources;
    private final Map<Node, PreparedKernel> kernels = new HashMap<>();
    private final Plan plan;

    /** @param resources owns the kernels' arguments and native state */
    PreparedGraph(Graph graph, Device device, Session.Options options, Resources resources) {
        this.device = device;
        this.resources = resources;
        DeviceRuntime runtime = device.runtime();
        runtime.use();
        try {
            plan = Plan.of(
                    graph,
                    graph.outputs().values(),
                    new Plan.Options(
                            device::elementBytes,
                            this::scratchBytes,
                            this::isParallel,
                            options.guardBytes(),
                            options.inPlace()));
        } finally {
            runtime.prepared();
        }
    }

    private long scratchBytes(Node n) {
        return n.op() instanceof Op.View || !device.computes() ? 0 : kernel(n).scratchBytes();
    }

    /** Whether a node may run beside another one. */
    private boolean isParallel(Node n) {
        return device.runtime().hasBranch()
                && n.op() instanceof Op.Product
                && kernel(n).followsStream();
    }

    private PreparedKernel kernel(Node n) {
        return kernels.computeIfAbsent(n, k -> new PreparedKernel(k, device, resources));
    }

    Plan plan() {
        return plan;
    }

    /** The kernels that a run launches, in order. */
    List<PreparedKernel> kernels() {
        return plan.steps().stream()
                .filter(kernels::containsKey)
                .map(kernels::get)
                .toList();
    }

    Served served(Node n) {
        return Objects.requireNonNull(kernels.get(n), "the node has no kernel").served();
    }
}
