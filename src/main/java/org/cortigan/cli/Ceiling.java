// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.cortigan.InputException;
import org.cortigan.eval.AveragedTrials;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.experiment.CeilingFiles;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.NpyWriter;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "ceiling",
        description = "Computes the noise ceiling of each vertex from repeated trials, or from NSD's ncsnr.",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "evaluate reads the files from the subject's folder (subj0X). The ceiling is that of the responses you"
                    + " evaluate on: say with --trials or --seen how many trials these average."
        })
final class Ceiling implements Callable<Integer> {
    @Mixin
    private Output output;

    @Option(
            names = "--lh",
            required = true,
            split = ",",
            paramLabel = "FILE",
            description = "Left hemisphere: one npy file [trials, images, vertices], or two or more files [images,"
                    + " vertices], one for each trial, separated by commas; with --ncsnr one file [vertices].")
    private List<Path> left;

    @Option(names = "--rh", required = true, split = ",", paramLabel = "FILE", description = "Right hemisphere.")
    private List<Path> right;

    @Option(
            names = "--ncsnr",
            description = "The files have the signal-to-noise ratio ncsnr of each vertex (needs --trials or --seen).")
    private boolean ncsnr;

    @Option(
            names = "--trials",
            paramLabel = "N",
            description = "The responses to evaluate on are means of N trials (default: of all trials in the files).")
    private @Nullable Integer trials;

    @Option(
            names = "--seen",
            split = ",",
            paramLabel = "A,B,C",
            description =
                    "The responses to evaluate on are to A images seen three times, B seen twice and C seen once.")
    private @Nullable List<Integer> seen;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "DIR",
            description = "Folder for {lh,rh}_noise_ceiling.npy (fractions), for example the subject's.")
    private Path out;

    @Override
    public Integer call() {
        Output.requireWritable(out);
        AveragedTrials averaged = averaged();
        NoiseCeiling lh = ceiling(left, averaged), rh = ceiling(right, averaged);
        if (averaged == null) requireEqualTrials(); // with ncsnr it is never null
        AtomicFiles.write(
                out,
                Map.of(
                        "lh_noise_ceiling.npy", NpyWriter.bytes(lh.toFloats(), lh.vertices()),
                        "rh_noise_ceiling.npy", NpyWriter.bytes(rh.toFloats(), rh.vertices())));
        output.line("lh: %s%nrh: %s%nwritten to %s", lh.summary(), rh.summary(), out);
        return 0;
    }

    private void requireEqualTrials() {
        long lh = CeilingFiles.trials(left), rh = CeilingFiles.trials(right);
        if (lh != rh)
            throw new InputException(
                    "ceiling",
                    "has " + lh + " trials of the left hemisphere and " + rh + " of the right",
                    "Say with --trials N how many the responses average that you evaluate on");
    }

    private NoiseCeiling ceiling(List<Path> files, @Nullable AveragedTrials averaged) {
        if (!ncsnr) return CeilingFiles.ofTrials(files, averaged);
        if (averaged == null)
            throw new InputException(
                    "ceiling --ncsnr",
                    "does not know how many trials the responses average",
                    "Add --trials N, or --seen A,B,C");
        return CeilingFiles.ofNcsnr(files, averaged);
    }

    private @Nullable AveragedTrials averaged() {
        if (trials != null && seen != null)
            throw new InputException("ceiling", "has both --trials and --seen", "Give one of them");
        if (trials != null) {
            if (trials < 1)
                throw new InputException("--trials " + trials, "is not a number of trials", "Give 1 or more");
            return AveragedTrials.of(trials);
        }
        if (seen == null) return null;
        if (seen.size() != 3
                || seen.stream().anyMatch(n -> n < 0)
                || seen.stream().allMatch(n -> n == 0))
            throw new InputException(
                    "--seen " + seen,
                    "is not three numbers of images",
                    "Give the numbers of images seen three times, twice and once, such as --seen 1000,0,0");
        return AveragedTrials.ofSeen(seen.get(0), seen.get(1), seen.get(2));
    }
}
