// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.FileKind;
import org.cortigan.io.InputFiles;
import org.cortigan.io.MghFile;
import org.cortigan.io.NpyFile;

/**
 * Reads what has one value for each vertex of a surface: masks, ROI labels and the maps between surfaces. Also words
 * the refusal of files that a library could not read.
 */
final class NsdFiles {
    private static final int MAX_NAMES = 1 << 20;

    /** An ROI's id and name, then perhaps FreeSurfer's colours. */
    private static final Pattern ROI = Pattern.compile("(?<id>-?\\d{1,9})"
            + "(\\s+\"(?<quoted>[^\"\\t]+)\"|\\t+(?<tab>[^\\t\"]+)|\\s+(?<plain>[^\\s\"]+))(\\s+\\d+){0,4}");

    private NsdFiles() {}

    /**
     * Reads one value for each vertex.
     *
     * @param file an MGH file, or an npy file of real numbers
     * @throws InputException if the file is damaged or is of another surface
     */
    static double[] values(Path file, int surface) {
        double[] values;
        if (file.toString().toLowerCase(Locale.ROOT).endsWith(".npy")) {
            try (NpyFile f = NpyFile.open(file)) {
                values = f.toDoubleArray();
            }
        } else values = MghFile.readValues(file);
        if (values.length != surface)
            throw new InputException(
                    file.toString(),
                    "has " + values.length + " vertices, but the betas have " + surface,
                    "Give a file in the space of the betas, fsaverage");
        return values;
    }

    /**
     * Reads ROI labels of a subject's own surface and maps them to fsaverage: each fsaverage vertex takes the label of
     * its nearest vertex, as NSD's nsd_mapdata does. NaN and labels below 0 mark places outside; they become 0, no ROI.
     *
     * @param labels MGH file on the subject's surface
     * @param map MGH file, for each fsaverage vertex the subject's vertex, counted from 1
     * @param names ids and names of the ROIs
     */
    static int[] rois(Path labels, Path map, int surface, Map<Integer, String> names) {
        double[] own = MghFile.readValues(labels), at = values(map, surface);
        int[] ids = new int[surface];
        for (int v = 0; v < surface; v++) {
            if (!(at[v] >= 1 && at[v] <= own.length && at[v] % 1 == 0))
                throw new InputException(
                        map + ", vertex " + v,
                        at[v] + " is no vertex of " + labels + ", which has " + own.length,
                        "Give the labels and the map of one subject");
            double id = own[(int) at[v] - 1];
            if (Double.isNaN(id)) continue;
            if (id != Math.rint(id) || id > 0 && !names.containsKey((int) id))
                throw new InputException(
                        labels + ", vertex " + ((int) at[v] - 1),
                        id + " is no ROI id of its .ctab file",
                        "Give the labels and the .ctab file of one subject");
            ids[v] = Math.max(0, (int) id);
        }
        return ids;
    }

    /**
     * Reads the names of ROIs.
     *
     * @param file a line for each ROI: id and name, as NSD's .mgz.ctab; four more columns are FreeSurfer's colours. A
     *     name with blanks is in quotes or between tabs. Ids below 0 are ignored: they mark places outside.
     */
    static Map<Integer, String> names(Path file) {
        String text = InputFiles.readText(file, MAX_NAMES, "names of ROIs");
        Map<Integer, String> names = new TreeMap<>();
        int number = 0;
        for (String line : text.split("\\R")) {
            number++;
            if (line.isBlank() || line.strip().startsWith("#")) continue;
            Matcher m = ROI.matcher(line.strip());
            if (!m.matches())
                throw new InputException(
                        file + ", line " + number,
                        InputFiles.quote(line) + " is no id and name of an ROI",
                        "Write lines such as '1 V1v'; a name with blanks needs quotes");
            int id = Integer.parseInt(m.group("id"));
            if (id < 0) continue;
            String name = Stream.of("quoted", "tab", "plain")
                    .map(m::group)
                    .filter(Objects::nonNull)
                    .findFirst()
                    .orElseThrow()
                    .strip();
            String other = names.put(id, name);
            if (other != null && !other.equals(name))
                throw new InputException(
                        file + ", line " + number,
                        "names the ROI id " + id + " " + InputFiles.quote(name) + ", but a line above names it "
                                + InputFiles.quote(other),
                        "Remove one of the lines");
        }
        if (names.isEmpty())
            throw new InputException(file.toString(), "names no ROI", "Copy or download the file again");
        return names;
    }

    /** The vertices that a mask marks with a number above 0. */
    static int[] marked(double[]... masks) {
        return IntStream.range(0, masks[0].length)
                .filter(v -> Arrays.stream(masks).anyMatch(m -> m[v] > 0))
                .toArray();
    }

    /**
     * The exception for a file that a library could not open: says what the file is, or that it is damaged if it is of
     * the wanted kind.
     */
    static InputException refused(Path file, String wanted, Exception e) {
        byte[] start;
        try (FileChannel c = InputFiles.open(file)) {
            start = InputFiles.read(c, FileKind.START);
        } catch (IOException unreadable) {
            return InputFiles.unreadable(file, unreadable);
        }
        return FileKind.describe(file, start).contains(wanted)
                ? damaged(file, e)
                : FileKind.refusal(file, start, wanted, "Copy or download the file again");
    }

    /** The exception for a file in which a library found a fault. */
    static InputException damaged(Path file, Exception e) {
        return new InputException(
                file.toString(), "is damaged or cut off" + reason(e), "Copy or download the file again", e);
    }

    /** What a library says of a fault, without the names of its exceptions. */
    private static String reason(Exception e) {
        String said = String.valueOf(e.getMessage())
                .replaceAll("\\R", " ")
                .replaceAll("[\\w.$]+(Exception|Error)\\b:?\\s*", "")
                .strip();
        return said.isEmpty() || said.equals("null") ? "" : ": " + said;
    }

    /**
     * Finds a file of the NSD that is not part of every download. An MGH file may be compressed (.mgz) or not (.mgh),
     * whatever it is in the NSD.
     */
    static Path require(Path file, String remedy) {
        if (Files.exists(file)) return file;
        String name = file.toString();
        String last = file.getFileName().toString();
        Path other = file.resolveSibling(
                last.contains(".mgz") ? last.replace(".mgz", ".mgh") : last.replace(".mgh", ".mgz"));
        if (!Files.exists(other)) throw new InputException(name, "no such file", remedy);
        return other;
    }
}
