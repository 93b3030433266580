// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.cortigan.InputException;
import org.cortigan.eval.AveragedTrials;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.eval.TrialVariance;
import org.cortigan.io.InputFiles;
import org.cortigan.io.NpyFile;
import org.jspecify.annotations.Nullable;

/** Computes the noise ceilings of a hemisphere from npy files. */
public final class CeilingFiles {
    private CeilingFiles() {}

    /**
     * From ncsnr.
     *
     * @param files one file [vertices]
     * @see NoiseCeiling#fromNcsnr
     */
    public static NoiseCeiling ofNcsnr(List<Path> files, AveragedTrials averaged) {
        Path file = files.get(0);
        if (files.size() > 1)
            throw new InputException(files.get(1).toString(), "is a second file of ncsnr", "Give one a hemisphere");
        try (NpyFile f = NpyFile.open(file)) {
            if (!f.isVector())
                throw new InputException(
                        file.toString(),
                        "has the shape " + Arrays.toString(f.shape()) + ", but ncsnr is one value for each vertex",
                        "Give a file of shape [vertices], or leave out --ncsnr if these are trials");
            return NoiseCeiling.fromNcsnr(
                    file.toString(),
                    f.toFloatArray(),
                    averaged,
                    "Give a file of ncsnr; noise ceilings in percent are used as they are, with --noise-ceiling-unit"
                            + " percent");
        }
    }

    /**
     * From repeated trials.
     *
     * @param files one file f32 [trials, images, vertices], or two or more files f32 [images, vertices], one for each
     *     trial
     * @param averaged trials of the responses whose ceiling is wanted; null for all trials in the files
     * @throws InputException if the files are no such arrays, or no vertex has finite values only
     */
    public static NoiseCeiling ofTrials(List<Path> files, @Nullable AveragedTrials averaged) {
        Set<Path> distinct = new HashSet<>();
        for (Path file : files)
            if (!distinct.add(InputFiles.real(file)))
                throw new InputException(file.toString(), "is given twice", "Give one file for each trial");
        List<NpyFile> open = new ArrayList<>();
        try {
            for (Path file : files) open.add(NpyFile.open(file));
            NoiseCeiling ceiling = of(Trials.of(open), averaged);
            if (ceiling.unknown() == ceiling.vertices())
                throw new InputException(
                        files.get(0).toString(),
                        "has a value that is not finite at every vertex, or another trial's file has",
                        "Leave out images that lack a trial");
            return ceiling;
        } finally {
            open.forEach(NpyFile::close);
        }
    }

    /**
     * Number of trials in files that {@link #ofTrials} takes.
     *
     * @throws InputException if there is one file, which cannot be read
     */
    public static long trials(List<Path> files) {
        if (files.size() > 1) return files.size();
        try (NpyFile f = NpyFile.open(files.get(0))) {
            return f.rows();
        }
    }

    private static NoiseCeiling of(Trials trials, @Nullable AveragedTrials averaged) {
        TrialVariance variance = new TrialVariance(trials.vertices, trials.count);
        float[] responses = new float[Math.multiplyExact(trials.count, trials.vertices)];
        List<int[]> equal = trials.pairs();
        for (int i = 0; i < trials.images; i++) {
            trials.read(i, responses);
            variance.add(responses);
            equal.removeIf(pair -> trials.differ(responses, pair));
        }
        if (!equal.isEmpty()) throw trials.equal(equal.get(0));
        return variance.noiseCeiling(averaged != null ? averaged : AveragedTrials.of(trials.count));
    }

    /** The trials of all images, in one file or in one for each trial. */
    private record Trials(List<NpyFile> files, int count, int images, int vertices) {
        static Trials of(List<NpyFile> files) {
            NpyFile first = files.get(0);
            long[] shape = first.shape();
            boolean together = files.size() == 1;
            for (NpyFile f : files) {
                if (f.isVector())
                    throw new InputException(
                            f.path().toString(),
                            "has one value for each vertex, but trials are needed",
                            "Add --ncsnr if these are signal-to-noise ratios");
                f.requireRank(together ? 3 : 2);
                f.checkFloatKeeps("vertex");
                if (!Arrays.equals(f.shape(), shape))
                    throw new InputException(
                            f.path().toString(),
                            "has the shape " + Arrays.toString(f.shape()) + ", but " + first.path() + " has "
                                    + Arrays.toString(shape),
                            "Give the same images and vertices for each trial");
            }
            long trials = together ? shape[0] : files.size(), images = together ? shape[1] : shape[0];
            if (trials < 2 || images < 2)
                throw new InputException(
                        first.path().toString(),
                        "has " + trials + " trials of " + images + " images",
                        "Give at least 2 trials of 2 images; the axes are [trials, images, vertices]");
            return new Trials(
                    files, Math.toIntExact(trials), Math.toIntExact(images), Math.toIntExact(shape[shape.length - 1]));
        }

        /** All pairs of trials. */
        List<int[]> pairs() {
            List<int[]> pairs = new ArrayList<>();
            for (int t = 0; t < count; t++) for (int u = t + 1; u < count; u++) pairs.add(new int[] {t, u});
            return pairs;
        }

        /** Whether two trials differ, of [trials, vertices]. */
        boolean differ(float[] responses, int[] pair) {
            int a = pair[0] * vertices, b = pair[1] * vertices;
            return !Arrays.equals(responses, a, a + vertices, responses, b, b + vertices);
        }

        /** The exception for two trials with equal responses to all images: noise would seem less than it is. */
        InputException equal(int[] pair) {
            boolean together = files.size() == 1;
            return new InputException(
                    files.get(together ? 0 : pair[1]).path().toString(),
                    together
                            ? "its trials " + pair[0] + " and " + pair[1] + " (counted from 0) are the same"
                            : "has the same responses as " + files.get(pair[0]).path(),
                    "Give each trial once");
        }

        /** Reads the trials of image i, [trials, vertices]. */
        void read(int i, float[] into) {
            for (int t = 0; t < count; t++) {
                NpyFile f = files.size() == 1 ? files.get(0) : files.get(t);
                long image = files.size() == 1 ? (long) t * images + i : i;
                f.read(image * vertices, into, t * vertices, vertices);
            }
        }
    }
}
