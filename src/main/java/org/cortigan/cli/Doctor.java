// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.PrintWriter;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.DeviceProvider;
import org.cortigan.exec.Devices;
import org.cortigan.jni.Native;
import org.cortigan.jni.NativeLoader;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Shows what this machine offers. */
@Command(
        name = "doctor",
        description = "Shows the processor, the libraries and their versions, and why a device is unavailable.",
        mixinStandardHelpOptions = true)
final class Doctor implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        out.printf(Locale.ROOT, "java        %s (%s)%n", Runtime.version(), System.getProperty("java.vendor"));
        out.printf(Locale.ROOT, "system      %s %s%n", System.getProperty("os.name"), System.getProperty("os.arch"));
        NativeLoader.load();
        CpuDevice cpu = CpuDevice.best(0);
        out.printf(Locale.ROOT, "processor   %s%n", Native.cpu_features());
        out.printf(Locale.ROOT, "libraries   %s%n", Native.library_versions());
        out.printf(Locale.ROOT, "kernels     %d%n", Native.kernel_count());
        out.printf(Locale.ROOT, "device      %s: available%n", cpu.name());
        out.printf(Locale.ROOT, "bf16        %s%n", cpu.supportsBf16() ? "available" : "unavailable: needs avx512bf16");
        for (DeviceProvider p : Devices.providers())
            for (String line : p.report()) out.printf(Locale.ROOT, "device      %s%n", line);
        out.flush();
        return 0;
    }
}
