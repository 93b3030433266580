// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.MghFile;

/**
 * The single-trial responses (betas) of a hemisphere: a file {@code lh.betas_sessionNN.mgh} for each session, with one
 * frame for each trial. {@link #measure} reads every file once, for the mean and standard deviation of each vertex in
 * each session; a photograph's response then reads only its own trials. Memory: one trial, and 16 bytes for each vertex
 * and session.
 */
final class SessionBetas implements AutoCloseable {
    private static final Pattern NAME = Pattern.compile("([lr]h)\\.betas_session(\\d\\d)\\.mg[hz]");

    private final List<MghFile> sessions = new ArrayList<>();
    private final float[] trial;
    private int[] vertices = {};
    /** By session and vertex. */
    private double[][] mean = {}, deviation = {};

    private SessionBetas(Path folder, String hemisphere, int count) {
        try {
            for (int s = 1; s <= count; s++) {
                MghFile f = MghFile.open(file(folder, hemisphere, s));
                sessions.add(f);
                MghFile first = sessions.get(0);
                if (f.values() != first.values() || f.frames() != first.frames())
                    throw new InputException(
                            f.path().toString(),
                            "has " + f.frames() + " trials of " + f.values() + " vertices, but " + first.path()
                                    + " has " + first.frames() + " of " + first.values(),
                            "Give the sessions of one subject in one space");
            }
        } catch (RuntimeException e) {
            close();
            throw e;
        }
        trial = new float[sessions.get(0).values()];
    }

    private static Path file(Path folder, String hemisphere, int session) {
        return folder.resolve(String.format(Locale.ROOT, "%s.betas_session%02d.mgh", hemisphere, session));
    }

    /** @throws InputException if a session is missing, damaged or has another size than the first */
    static SessionBetas open(Path folder, String hemisphere, int sessions) {
        return new SessionBetas(folder, hemisphere, sessions);
    }

    /**
     * The number of sessions in a folder.
     *
     * @param wanted 0 for all
     * @throws InputException if a session of a hemisphere is missing; names all that are
     */
    static int sessions(Path folder, int wanted) {
        TreeSet<String> present = new TreeSet<>();
        int last = wanted;
        for (Path p : Files.isDirectory(folder) ? InputFiles.list(folder) : List.<Path>of()) {
            String name = p.getFileName().toString();
            if (!NAME.matcher(name).matches()) continue;
            present.add(name);
            if (wanted == 0) last = Math.max(last, session(name));
        }
        if (present.isEmpty())
            throw new InputException(
                    folder.toString(),
                    "has no file such as lh.betas_session01.mgh",
                    "Download the betas in fsaverage space, or name their version with --betas");
        for (String name : present) {
            boolean unpacked = name.endsWith(".mgh") || present.contains(name.replaceFirst("z$", "h"));
            if (!unpacked && session(name) <= last) throw MghFile.compressed(folder.resolve(name));
        }
        List<String> missing = IntStream.rangeClosed(1, last)
                .boxed()
                .flatMap(i -> Stream.of("lh", "rh")
                        .map(h -> file(folder, h, i).getFileName().toString()))
                .filter(name -> !present.contains(name))
                .toList();
        if (!missing.isEmpty())
            throw new InputException(
                    folder.toString(),
                    "lacks " + String.join(", ", missing.subList(0, Math.min(8, missing.size())))
                            + (missing.size() > 8 ? " and " + (missing.size() - 8) + " more" : ""),
                    missing.get(0).contains("session01.")
                            ? "Download the files"
                            : "Download the files, or use only the sessions before with --sessions N");
        return last;
    }

    private static int session(String name) {
        Matcher m = NAME.matcher(name);
        if (!m.matches()) throw new IllegalArgumentException(name);
        return Integer.parseInt(m.group(2));
    }

    /** Vertices of the surface. */
    int surface() {
        return trial.length;
    }

    /** Trials of a session. */
    int trialsPerSession() {
        return sessions.get(0).frames();
    }

    Path path(int session) {
        return sessions.get(session).path();
    }

    /**
     * Measures the mean and the standard deviation (of the population, as scikit-learn's StandardScaler) of vertices in
     * each session, in one pass (Welford 1962).
     *
     * @return whether each of the vertices has a value in some trial that is not finite; all its responses become NaN
     */
    boolean[] measure(int[] chosen) {
        vertices = chosen;
        mean = new double[sessions.size()][chosen.length];
        deviation = new double[sessions.size()][chosen.length];
        boolean[] unknown = new boolean[chosen.length];
        for (int s = 0; s < sessions.size(); s++) {
            int trials = trialsPerSession();
            double[] m = mean[s], squares = deviation[s];
            for (int t = 0; t < trials; t++) {
                sessions.get(s).readFrame(t, trial);
                double share = 1.0 / (t + 1);
                for (int v = 0; v < chosen.length; v++) {
                    double x = trial[chosen[v]], d = x - m[v];
                    m[v] += d * share;
                    squares[v] += d * (x - m[v]);
                }
            }
            for (int v = 0; v < chosen.length; v++) {
                // A NaN or an infinity makes the sum of squares NaN.
                if (Double.isNaN(squares[v])) unknown[v] = true;
                // The scale of a vertex that is constant in a session stays 1: its z-scores are 0, not NaN.
                squares[v] = squares[v] == 0 ? 1 : Math.sqrt(squares[v] / trials);
            }
        }
        for (double[] m : mean) for (int v = 0; v < chosen.length; v++) if (unknown[v]) m[v] = Double.NaN;
        return unknown;
    }

    /**
     * The mean over trials of the responses, z-scored within their sessions.
     *
     * @param trials trials, counted from 0 over all sessions
     * @param columns which of the measured vertices, in the order of the result
     */
    void response(List<Integer> trials, int[] columns, float[] into) {
        double[] sum = new double[columns.length];
        for (int t : trials) {
            int s = t / trialsPerSession();
            sessions.get(s).readFrame(t % trialsPerSession(), trial);
            double[] m = mean[s], d = deviation[s];
            for (int i = 0; i < columns.length; i++) {
                int v = columns[i];
                sum[i] += (trial[vertices[v]] - m[v]) / d[v];
            }
        }
        for (int i = 0; i < columns.length; i++) into[i] = (float) (sum[i] / trials.size());
    }

    @Override
    public void close() {
        sessions.forEach(MghFile::close);
    }
}
