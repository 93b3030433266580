// SPDX-License-Identifier: Apache-2.0
package org.cortigan.gpucheck;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.cortigan.InputException;

/**
 * The command line of a call.
 *
 * @param call smoke or measure
 * @param out folder for the results
 * @param work folder for caches that need not be kept; a second call on the same machine reuses them
 * @param files folder with the golden run and the PyTorch scripts
 * @param device a device name, as for {@code --device} of every command
 * @param python Python interpreter that has PyTorch
 * @param seconds time limit of the whole call
 * @param small whether to use shapes that a CPU computes in seconds
 * @param stages stages to run, empty for all
 * @param families op families to check, empty for all
 * @param plant faults to inject, {@code dies:ITEM} or {@code hangs:ITEM}, passed on to the pieces
 */
record Options(
        Call call,
        Path out,
        Path work,
        Path files,
        String device,
        String python,
        double seconds,
        boolean small,
        List<String> stages,
        List<String> families,
        List<String> plant) {
    enum Call {
        SMOKE(200),
        MEASURE(420);

        private final int seconds;

        Call(int seconds) {
            this.seconds = seconds;
        }

        String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    static Options parse(String[] a) {
        Call call = null;
        for (Call c : Call.values()) if (a.length > 0 && a[0].equals(c.text())) call = c;
        if (call == null)
            throw new InputException(
                    "gpu-check",
                    a.length == 0 ? "no call is given" : "'" + a[0] + "' is unknown",
                    "Use smoke or measure");
        String out = "gpu-check-results",
                work = System.getProperty("java.io.tmpdir") + "/cortigan-gpu-check",
                files = ".";
        String device = "cuda:0", python = "python3", seconds = "" + call.seconds;
        boolean small = false;
        List<String> stages = new ArrayList<>(), families = new ArrayList<>(), plant = new ArrayList<>();
        for (int i = 1; i < a.length; i++) {
            if (a[i].equals("--small")) {
                small = true;
                continue;
            }
            String option = a[i];
            if (++i == a.length) throw new InputException("gpu-check " + option, "has no value", "Give it a value");
            switch (option) {
                case "--out" -> out = a[i];
                case "--work" -> work = a[i];
                case "--files" -> files = a[i];
                case "--device" -> device = a[i];
                case "--python" -> python = a[i];
                case "--seconds" -> seconds = a[i];
                case "--stages" -> stages.addAll(List.of(a[i].split(",")));
                case "--families" -> families.addAll(List.of(a[i].split(",")));
                case "--plant" -> plant.add(a[i]);
                default -> throw new InputException("gpu-check " + option, "is unknown", "See tools/gpu-check --help");
            }
        }
        double limit;
        try {
            limit = Double.parseDouble(seconds);
        } catch (NumberFormatException e) {
            throw new InputException(
                    "gpu-check --seconds", "'" + seconds + "' is not a number", "Give seconds, for example 200", e);
        }
        if (!(limit > 0))
            throw new InputException(
                    "gpu-check --seconds", "'" + seconds + "' is not above 0", "Give seconds, for example 200");
        for (String p : plant)
            if (!p.matches("(dies|hangs):.+"))
                throw new InputException("gpu-check --plant", "'" + p + "' is unknown", "Use dies:ITEM or hangs:ITEM");
        for (String x : families)
            if (!Piece.families().contains(x))
                throw new InputException(
                        "gpu-check --families",
                        "'" + x + "' is unknown",
                        "Use one or more of " + String.join(", ", Piece.families()));
        Path f = Path.of(files);
        if (!Files.exists(f.resolve(Driver.GOLDEN)))
            throw new InputException(
                    f.resolve(Driver.GOLDEN).toString(),
                    "is missing",
                    "Pass the folder of the unpacked bundle with --files");
        return new Options(call, Path.of(out), Path.of(work), f, device, python, limit, small, stages, families, plant);
    }

    boolean cuda() {
        return device.startsWith("cuda");
    }
}
