// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.GiftiFile;
import org.cortigan.io.InputFiles;
import org.cortigan.io.MghFile;
import org.cortigan.io.NpyFile;
import org.jspecify.annotations.Nullable;

/** Files of one value for each vertex: .npy, GIFTI and MGH. */
public final class VertexFiles {
    /**
     * What names a hemisphere in a file's name, the plainest first: "right_button_lh.npy" is of the left one, and the L
     * of "ViT-L_rh.npy" says nothing.
     */
    private static final List<Pattern> SIDES = Stream.of("lh|rh", "hemi-[LR]", "left|right", "L|R")
            .map(s -> Pattern.compile("(?<=^|[._ -])(" + s + ")(?=[._ -])", Pattern.CASE_INSENSITIVE))
            .toList();

    private VertexFiles() {}

    /**
     * The hemisphere that a file's name tells.
     *
     * @return 0 left, 1 right, -1 none
     */
    public static int side(Path file) {
        Matcher m = mark(name(file));
        return m == null ? -1 : isLeft(m.group()) ? 0 : 1;
    }

    /** The first mark of the plainest kind; null if there is none. */
    private static @Nullable Matcher mark(String name) {
        for (Pattern side : SIDES) {
            Matcher m = side.matcher(name);
            if (m.find()) return m;
        }
        return null;
    }

    private static boolean isLeft(String mark) {
        return mark.toLowerCase(Locale.ROOT).replace("hemi-", "").startsWith("l");
    }

    /** The mark of the other hemisphere, in the same case. */
    private static String other(String mark) {
        boolean left = isLeft(mark);
        StringBuilder other = new StringBuilder();
        String from = mark.length() > 2 && !mark.toLowerCase(Locale.ROOT).startsWith("hemi")
                ? left ? "right" : "left"
                : mark.replaceFirst(left ? "(?i)l(?=h?$)" : "(?i)r(?=h?$)", left ? "r" : "l");
        for (int i = 0; i < from.length(); i++) {
            char like = mark.charAt(Math.min(i, mark.length() - 1)), c = from.charAt(i);
            other.append(Character.isUpperCase(like) ? Character.toUpperCase(c) : Character.toLowerCase(c));
        }
        return other.toString();
    }

    /** The file of the other hemisphere, which need not exist; null if the name tells no hemisphere. */
    static @Nullable Path other(Path file) {
        String name = name(file);
        Matcher m = mark(name);
        if (m == null) return null;
        String own = m.group(), once = name.substring(0, m.start()) + other(own) + name.substring(m.end());
        // A name may say it twice, as in S1.L.midthickness.10k_fsavg_L.func.gii.
        Path twice = file.resolveSibling(m.replaceAll(k -> k.group().equals(own) ? other(own) : k.group()));
        return Files.exists(twice) ? twice : file.resolveSibling(once);
    }

    /** A file's name without what tells its hemisphere and its format. */
    public static String stem(Path file) {
        String name = name(file).replaceFirst("(?i)(\\.(func|shape|label))?\\.(npy|gii|gii\\.gz|mgh|mgz)$", "");
        Matcher m = mark(name + ".");
        String without = m == null ? name : (name + ".").replaceFirst(Pattern.quote(m.group()), "");
        without = without.replaceAll("^[._-]+|[._-]+$", "");
        return without.isEmpty() ? name : without;
    }

    private static String name(Path file) {
        return String.valueOf(file.getFileName());
    }

    /**
     * The files of both hemispheres.
     *
     * @param files one or two
     * @return left and right file, null where there is none; or one file of both hemispheres
     * @throws InputException if there are more, or two of one hemisphere
     */
    public static @Nullable Path[] pair(List<Path> files) {
        if (files.size() > 2)
            throw new InputException(
                    InputFiles.names(files), "are " + files.size() + " files", "Give one for each hemisphere");
        Path first = files.get(0);
        int side = side(first);
        if (files.size() == 2) {
            Path second = files.get(1);
            int otherSide = side(second);
            if (side >= 0 && side == otherSide)
                throw new InputException(
                        second.toString(),
                        "is of the same hemisphere as " + first + ", as its name tells",
                        "Give one file for each hemisphere");
            boolean swapped = side == 1 || otherSide == 0;
            return swapped ? new Path[] {second, first} : new Path[] {first, second};
        }
        Path other = other(first);
        if (other == null) return new Path[] {first};
        Path found = Files.exists(other) ? other : null;
        return side == 0 ? new @Nullable Path[] {first, found} : new @Nullable Path[] {found, first};
    }

    /**
     * Reads the values of a file.
     *
     * @param row row of an npy array [rows, vertices] or column of a GIFTI file, from 0; null if there is but one
     * @throws InputException if the file is of another format, or has several rows and {@code row} chooses none
     */
    public static float[] read(Path file, @Nullable Integer row) {
        String name = name(file).toLowerCase(Locale.ROOT);
        if (name.endsWith(".gii") || name.endsWith(".gii.gz")) {
            byte[] bytes = InputFiles.readAll(file, GiftiFile.MAX_BYTES, "values of vertices");
            int says = GiftiFile.hemisphere(file, bytes), named = side(file);
            if (says >= 0 && named >= 0 && says != named)
                throw new InputException(
                        file.toString(),
                        "is of the " + (says == 0 ? "left" : "right") + " hemisphere, as AnatomicalStructurePrimary in"
                                + " it says, and its name says the other",
                        "Give it its right name");
            float[][] columns = GiftiFile.values(file, bytes);
            if (row == null && columns.length > 1) throw several(file, columns.length + " columns");
            return columns[checked(file, row == null ? 0 : row, columns.length)];
        }
        if (name.endsWith(".mgh") || name.endsWith(".mgz")) {
            double[] all = MghFile.readValues(file);
            checked(file, row == null ? 0 : row, 1);
            float[] values = new float[all.length];
            for (int v = 0; v < values.length; v++) values[v] = (float) all[v];
            return values;
        }
        if (name.endsWith(".npy"))
            try (NpyFile npy = NpyFile.open(file)) {
                if (npy.isVector()) {
                    checked(file, row == null ? 0 : row, 1);
                    return npy.toFloatArray();
                }
                if (row == null) throw several(file, "the shape " + Arrays.toString(npy.shape()));
                npy.requireRank(2);
                float[] values = new float[npy.rowElements()];
                npy.readRow(checked(file, row, (int) Math.min(npy.rows(), Integer.MAX_VALUE)), values, 0);
                return values;
            }
        throw new InputException(
                file.toString(),
                "is none of .npy, .func.gii, .shape.gii, .mgh and .mgz",
                "Give a file of one value for each vertex");
    }

    private static InputException several(Path file, String what) {
        return new InputException(
                file.toString(),
                "has " + what + ", not one value for each vertex",
                "Choose one with --row N, from 0 on, or save what you want to see, such as a mean over images");
    }

    private static int checked(Path file, int row, int rows) {
        if (row < 0 || row >= rows)
            throw new InputException(
                    "--row " + row,
                    file + " has " + rows + (rows == 1 ? " row" : " rows"),
                    rows == 1 ? "Leave --row out" : "Give 0 to " + (rows - 1));
        return row;
    }
}
