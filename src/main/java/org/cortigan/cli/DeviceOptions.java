// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Ranks;
import picocli.CommandLine.Option;

/** Options that choose the device. */
final class DeviceOptions {
    @Option(
            names = "--device",
            defaultValue = "auto",
            paramLabel = "NAME",
            description = "auto, cpu, cuda or cuda:N (default ${DEFAULT-VALUE}). If you name a device, the command uses"
                    + " it or fails.")
    private String device;

    @Option(
            names = "--threads",
            defaultValue = "0",
            paramLabel = "N",
            description = "CPU threads; 0 for all cores (default).")
    private int threads;

    /** The device's name as it was given. */
    String name() {
        return device;
    }

    /** CPU threads; 0 for all cores. */
    int threads() {
        return Devices.requireThreads(threads);
    }

    Device open(Output output) {
        return Devices.open(device, threads, output::note);
    }

    /**
     * The device of one rank.
     *
     * @param share threads of the rank, unless the user names a number
     */
    Device open(Output output, Ranks ranks, int share) {
        if (ranks.size() == 1) return open(output);
        return Devices.open(device, threads > 0 ? threads : share, ranks, output::note);
    }
}
