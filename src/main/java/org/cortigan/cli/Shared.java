// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.IntFunction;
import org.cortigan.InputException;
import org.cortigan.data.AlgonautsSubject;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.train.RunFolder;
import org.cortigan.train.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Options that several commands have. */
final class Shared {
    private Shared() {}

    /** Where a command prints. */
    @Command
    static final class Output {
        @Spec(Spec.Target.MIXEE)
        private CommandSpec spec;

        PrintWriter out() {
            return spec.commandLine().getOut();
        }

        PrintWriter err() {
            return spec.commandLine().getErr();
        }

        void line(String format, Object... args) {
            out().println(String.format(Locale.ROOT, format, args));
            out().flush();
        }

        /** For messages that are not the command's result. */
        void note(String text) {
            err().println(text);
            err().flush();
        }
    }

    /** A subject's data. */
    static final class Data {
        @Option(
                names = "--data",
                required = true,
                paramLabel = "DIR",
                description = "Folder with the challenge's subj01 ... subj08, or a simulated one.")
        Path data;

        @Option(
                names = "--subject",
                defaultValue = "1",
                paramLabel = "N",
                description = "1 to 8 (default ${DEFAULT-VALUE}).")
        int subject;

        @Option(
                names = "--cache",
                paramLabel = "DIR",
                description = "Folder for decoded photographs (default: .cortigan-cache in the data folder).")
        Path cache;

        AlgonautsSubject open() {
            return AlgonautsSubject.open(data, subject);
        }

        Path cache() {
            return cache != null ? cache : data.resolve(".cortigan-cache");
        }
    }

    /** A data set once for each size of photographs that models see, opened when it is first asked for. */
    static final class Sized<T extends TrainingData & AutoCloseable> implements IntFunction<T>, AutoCloseable {
        private final Map<Integer, T> bySide = new TreeMap<>();
        private final IntFunction<T> open;

        Sized(IntFunction<T> open) {
            this.open = open;
        }

        @Override
        public T apply(int side) {
            return bySide.computeIfAbsent(side, open::apply);
        }

        @Override
        public void close() throws Exception {
            for (T t : bySide.values()) t.close();
        }
    }

    /** How noise ceilings are written. */
    static final class Ceiling {
        @Option(
                names = "--noise-ceiling-unit",
                defaultValue = "FRACTION",
                paramLabel = "UNIT",
                description =
                        "Of {lh,rh}_noise_ceiling.npy in the subject's folder: fraction or percent (default ${DEFAULT-VALUE}).")
        NoiseCeiling.Unit unit;
    }

    /** Where to compute. */
    static final class Place {
        @Option(
                names = "--device",
                defaultValue = "auto",
                paramLabel = "NAME",
                description =
                        "auto, cpu, cuda or cuda:N (default ${DEFAULT-VALUE}). One that is named is used or the command fails saying why.")
        String device;

        @Option(
                names = "--threads",
                defaultValue = "0",
                paramLabel = "N",
                description = "Threads of the processor; 0 for all cores (default).")
        int threads;

        Device open(Output o) {
            return Devices.open(device, threads, o::note);
        }
    }

    /** A checkpoint named by its file or its run's folder. */
    static Path checkpoint(Path fileOrRun) {
        if (!Files.isDirectory(fileOrRun)) return fileOrRun;
        Path best = RunFolder.best(fileOrRun), last = RunFolder.last(fileOrRun);
        if (Files.exists(best)) return best;
        if (Files.exists(last)) return last;
        throw new InputException(
                fileOrRun.toString(),
                "has neither best.safetensors nor last.safetensors",
                "Give a run's folder or a checkpoint");
    }
}
