// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import us.hebi.matlab.mat.format.Mat5;
import us.hebi.matlab.mat.format.Mat5File;
import us.hebi.matlab.mat.types.Array;
import us.hebi.matlab.mat.types.Matrix;
import us.hebi.matlab.mat.types.Sources;

/**
 * Which photograph a subject saw in which trial: nsd_expdesign.mat. Its numbers count from 1, those of this class from
 * 0. Source: NSD's data manual, "Experiments".
 *
 * @param order {@code masterordering}: column of {@code subjectim} for each trial, the same for all subjects
 * @param images {@code subjectim}: the photographs of each subject, [subjects, photographs]
 * @param shared {@code sharedix}: the photographs that all subjects were to see
 * @param sessions number of sessions that the design has: the first axis of {@code stimpattern}; 0 without it
 */
record ExperimentDesign(Path path, int[] order, int[][] images, Set<Integer> shared, int sessions) {
    private static final int MAX_BYTES = 64 << 20;
    private static final Set<String> NAMES = Set.of("masterordering", "subjectim", "sharedix", "stimpattern");

    /** @throws InputException if the file is no MAT file of version 5 to 7 or lacks a variable */
    static ExperimentDesign read(Path path) {
        byte[] bytes = InputFiles.readAll(path, MAX_BYTES, "an experimental design");
        if (new String(bytes, 0, Math.min(bytes.length, 10), StandardCharsets.US_ASCII).equals("MATLAB 7.3"))
            throw new InputException(
                    path.toString(),
                    "is a MAT file of version 7.3",
                    "Give NSD's own file, or save the variables in MATLAB with save -v7");
        if (isVersion4(bytes))
            throw new InputException(
                    path.toString(),
                    "is a MAT file of version 4",
                    "Give NSD's own file, or save the variables in MATLAB with save -v7");
        Mat5File file;
        try {
            file = Mat5.newReader(Sources.wrap(bytes))
                    .setEntryFilter(e -> NAMES.contains(e.getName()))
                    .disableSubsystemProcessing()
                    .readMat();
        } catch (IOException | RuntimeException e) {
            throw NsdFiles.refused(path, "MAT file", e);
        }
        Variable subjectim = Variable.of(path, file, "subjectim");
        int[][] images = IntStream.range(0, subjectim.values.getNumRows())
                .mapToObj(s -> IntStream.range(0, subjectim.values.getNumCols())
                        .map(i -> subjectim.index(s + i * subjectim.values.getNumRows(), Integer.MAX_VALUE))
                        .toArray())
                .toArray(int[][]::new);
        return new ExperimentDesign(
                path,
                Variable.of(path, file, "masterordering").indices(subjectim.values.getNumCols()),
                images,
                Arrays.stream(Variable.of(path, file, "sharedix").indices(Integer.MAX_VALUE))
                        .boxed()
                        .collect(Collectors.toSet()),
                sessions(file));
    }

    private static int sessions(Mat5File file) {
        for (var e : file.getEntries())
            if (e.getName().equals("stimpattern")) return e.getValue().getDimensions()[0];
        return 0;
    }

    /** MAT 4 has no signature: a type of four digits (byte order, 0, number type, kind), three sizes and a name. */
    private static boolean isVersion4(byte[] bytes) {
        if (bytes.length < 22) return false;
        for (ByteOrder order : List.of(ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN)) {
            ByteBuffer b = ByteBuffer.wrap(bytes).order(order);
            int type = b.getInt(), rows = b.getInt(), columns = b.getInt(), complex = b.getInt(), name = b.getInt();
            boolean known = type / 1000 == (order == ByteOrder.LITTLE_ENDIAN ? 0 : 1)
                    && type / 100 % 10 == 0
                    && type / 10 % 10 <= 5
                    && type % 10 <= 2;
            if (known
                    && rows >= 0
                    && columns >= 0
                    && (complex == 0 || complex == 1)
                    && name > 1
                    && name <= bytes.length - 20
                    && bytes[19 + name] == 0) return true;
        }
        return false;
    }

    /** A numeric variable. */
    private record Variable(String where, Matrix values) {
        static Variable of(Path path, Mat5File file, String name) {
            for (var e : file.getEntries()) {
                if (!e.getName().equals(name)) continue;
                Array a = e.getValue();
                if (a instanceof Matrix m && m.getNumElements() > 0 && m.getNumDimensions() == 2)
                    return new Variable(path + ", variable " + name, m);
                throw new InputException(
                        path + ", variable " + name, "is no matrix of numbers", "Give NSD's nsd_expdesign.mat");
            }
            throw new InputException(path.toString(), "has no variable " + name, "Give NSD's nsd_expdesign.mat");
        }

        /** The elements of a vector. In a matrix the order of the axes would be a guess. */
        int[] indices(int count) {
            if (values.getNumRows() != 1 && values.getNumCols() != 1)
                throw new InputException(
                        where,
                        "has " + values.getNumRows() + " rows and " + values.getNumCols()
                                + " columns, but is a vector in the NSD",
                        "Give NSD's nsd_expdesign.mat");
            return IntStream.range(0, values.getNumElements())
                    .map(i -> index(i, count))
                    .toArray();
        }

        /** Element {@code i}, in column order, as an index that counts from 0. */
        int index(int i, int count) {
            double d = values.getDouble(i);
            if (d != Math.rint(d) || d < 1 || d > count)
                throw new InputException(
                        where + ", element " + (i + 1),
                        d + " is no index from 1" + (count == Integer.MAX_VALUE ? "" : " to " + count),
                        "Give NSD's nsd_expdesign.mat");
            return (int) d - 1;
        }
    }

    /** @throws InputException if there is no such subject; the first is 1 */
    void requireSubject(int subject) {
        if (subject < 1 || subject > images.length)
            throw new InputException(
                    "--subject " + subject,
                    "is not in " + path + ", which has " + images.length + " subjects",
                    "Give 1 to " + images.length);
    }

    /**
     * Checks that a session of betas has all trials of a session of the design: otherwise the trials of all later
     * sessions would get other photographs.
     */
    void requireWholeSessions(Path betas, int trials) {
        boolean whole = sessions > 0 ? trials * (long) sessions == order.length : order.length % trials == 0;
        if (!whole)
            throw new InputException(
                    betas.toString(),
                    "has " + trials + " trials, but " + path + " has "
                            + (sessions > 0
                                    ? order.length / sessions + " a session"
                                    : order.length + " in all, which are no whole sessions"),
                    "Give the betas of whole sessions");
    }

    /** The photograph of each of the first {@code trials} trials of a subject. */
    int[] trials(int subject, int trials) {
        if (trials > order.length)
            throw new InputException(
                    path + ", variable masterordering",
                    "has " + order.length + " trials, but the sessions have " + trials,
                    "Give the design and the betas of one experiment");
        return Arrays.stream(order, 0, trials).map(i -> images[subject - 1][i]).toArray();
    }
}
