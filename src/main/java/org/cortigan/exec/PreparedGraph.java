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
                            device::elementBytes, this::scratchBytes, options.guardBytes(), options.inPlace()));
        } finally {
            runtime.prepared();
        }
    }

    private long scratchBytes(Node n) {
        if (n.op() instanceof Op.View || !device.computes()) return 0;
        PreparedKernel k = new PreparedKernel(n, device, resources);
        kernels.put(n, k);
        return k.scratchBytes();
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
