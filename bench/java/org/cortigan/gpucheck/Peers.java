// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** PyTorch on this machine, and the scripts that measure it (tools/gpu_peer_*.py). */
final class Peers {
    /** Prints versions without importing the packages, which takes seconds, or half a minute from a cold disk. */
    private static final String VERSIONS = String.join(
            "\n",
            "import importlib.metadata as m, platform",
            "print('python', platform.python_version(), end='')",
            "for p in ('torch', 'triton', 'nvidia-cublas', 'nvidia-cudnn-cu13', 'nvidia-cuda-runtime'):",
            "    try: print(',', p, m.version(p), end='')",
            "    except m.PackageNotFoundError: pass");

    private final Options options;
    private final String versions;

    Peers(Options o) {
        options = o;
        versions = Driver.output(o.python(), "-c", VERSIONS);
    }

    void describe(Map<String, Object> m) {
        m.put("peers", versions.isEmpty() ? options.python() + " does not run" : versions);
    }

    boolean torch() {
        return versions.contains(", torch ");
    }

    /** @param script {@code steps}, {@code kernels} or {@code sd} */
    List<String> command(String script, String... more) {
        List<String> w = new ArrayList<>(List.of(
                options.python(),
                options.files().resolve("gpu_peer_" + script + ".py").toString(),
                "--device",
                options.device()));
        if (options.small()) w.add("--small");
        if (script.equals("steps"))
            w.addAll(List.of("--state", options.work().resolve("peers.json").toString()));
        w.addAll(List.of(more));
        return w;
    }
}
