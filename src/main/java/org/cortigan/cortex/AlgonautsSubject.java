// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.io.NumpyPickle;
import org.jspecify.annotations.Nullable;

/**
 * One subject of the Algonauts 2023 challenge, in the challenge's folder layout. Vertex counts come from the files. In
 * addition to the challenge's files, {@code {lh,rh}_noise_ceiling.npy} in the subject folder is read if it exists.
 * Responses are memory-mapped; any number of threads may read.
 */
public final class AlgonautsSubject implements AutoCloseable {
    private static final List<String> HEMISPHERES = List.of("lh", "rh");
    private static final Pattern IMAGE = Pattern.compile("(train|test)-(\\d{1,9})_nsd-(\\d+)\\.(?i:png)");

    private final Path folder;
    private final int number;
    private final List<Path> training;
    private final List<Path> test;
    private final NpyFile left;
    private final NpyFile right;
    private final List<VertexGroup> groups;
    /** By hemisphere; null if there are no noise ceilings. */
    private final float @Nullable [][] ceiling;

    private AlgonautsSubject(
            Path folder,
            int number,
            List<Path> training,
            List<Path> test,
            NpyFile left,
            NpyFile right,
            List<VertexGroup> groups,
            float @Nullable [][] ceiling) {
        this.folder = folder;
        this.number = number;
        this.training = training;
        this.test = test;
        this.left = left;
        this.right = right;
        this.groups = groups;
        this.ceiling = ceiling;
    }

    /** Name of a subject folder, such as {@code subj01}. */
    public static String folderName(int subject) {
        return String.format(Locale.ROOT, "subj%02d", subject);
    }

    /**
     * Opens a subject and checks that its files fit together.
     *
     * @param data folder that holds subj01 .. subj08, or the subject folder itself
     * @throws InputException if a file is missing or does not fit; names the file
     */
    public static AlgonautsSubject open(Path data, int subject) {
        Path folder = data.resolve(folderName(subject));
        if (!Files.isDirectory(folder)
                && data.toAbsolutePath().getFileName() != null
                && data.toAbsolutePath().getFileName().toString().equals(folderName(subject))) folder = data;
        if (!Files.isDirectory(folder))
            throw new InputException(
                    data.toString(),
                    "has no folder " + folderName(subject),
                    "Give the folder that holds the challenge's subjects, or create one with the command simulate");
        List<Path> training = images(folder.resolve("training_split/training_images"), "train", false);
        List<Path> test = images(folder.resolve("test_split/test_images"), "test", true);
        NpyFile l = responses(folder.resolve("training_split/training_fmri/lh_training_fmri.npy"), training.size());
        try {
            NpyFile r = responses(folder.resolve("training_split/training_fmri/rh_training_fmri.npy"), training.size());
            try {
                List<VertexGroup> groups = groups(folder.resolve("roi_masks"), l.rowElements(), r.rowElements());
                return new AlgonautsSubject(
                        folder,
                        subject,
                        training,
                        test,
                        l,
                        r,
                        groups,
                        ceiling(folder, l.rowElements(), r.rowElements()));
            } catch (RuntimeException e) {
                r.close();
                throw e;
            }
        } catch (RuntimeException e) {
            l.close();
            throw e;
        }
    }

    private static List<Path> images(Path folder, String kind, boolean mayLack) {
        if (mayLack && !Files.isDirectory(folder)) return List.of();
        Map<Integer, Path> byNumber = new TreeMap<>();
        for (Path p : Images.list(folder)) {
            Matcher m = IMAGE.matcher(p.getFileName().toString());
            if (!m.matches() || !m.group(1).equals(kind))
                throw new InputException(
                        p.toString(),
                        "is not named like " + kind + "-0001_nsd-00013.png",
                        "Keep only the challenge's images in this folder");
            if (byNumber.put(Integer.parseInt(m.group(2)), p) != null)
                throw new InputException(
                        p.toString(), "has the same number as another image: " + m.group(2), "Remove one of them");
        }
        int want = 1;
        for (Map.Entry<Integer, Path> e : byNumber.entrySet())
            if (e.getKey() != want++)
                throw new InputException(
                        folder.toString(),
                        "image number " + (want - 1) + " of " + byNumber.size() + " is missing",
                        "Extract the challenge's archive again");
        return List.copyOf(byNumber.values());
    }

    private static NpyFile responses(Path file, int images) {
        NpyFile f = NpyFile.open(file);
        try {
            f.require(NpyType.F32, 2);
            if (f.rows() != images)
                throw new InputException(
                        file.toString(),
                        "has responses to " + f.rows() + " images, but there are " + images + " training images",
                        "Give the images and the responses of one subject, both complete");
            return f;
        } catch (RuntimeException e) {
            f.close();
            throw e;
        }
    }

    private static List<VertexGroup> groups(Path masks, int left, int right) {
        if (!Files.isDirectory(masks)) return List.of();
        TreeSet<String> classes = new TreeSet<>();
        try (Stream<Path> s = Files.list(masks)) {
            s.forEach(p -> {
                Matcher m = Pattern.compile("mapping_(.+)\\.npy|[lr]h\\.(.+)_challenge_space\\.npy")
                        .matcher(p.getFileName().toString());
                if (m.matches()) classes.add(m.group(1) != null ? m.group(1) : m.group(2));
            });
        } catch (IOException e) {
            throw InputFiles.unreadable(masks, e);
        }
        List<VertexGroup> groups = new ArrayList<>();
        for (String c : classes) {
            Map<Integer, String> mapping = NumpyPickle.readMapping(masks.resolve("mapping_" + c + ".npy"));
            for (String h : HEMISPHERES) {
                Path file = masks.resolve(h + "." + c + "_challenge_space.npy");
                int[] mask;
                try (NpyFile f = NpyFile.open(file)) {
                    int want = h.equals("lh") ? left : right;
                    if (f.shape().length != 1 || f.rows() != want)
                        throw new InputException(
                                file.toString(),
                                "has the shape " + java.util.Arrays.toString(f.shape()) + ", but that hemisphere has "
                                        + want + " vertices",
                                "Give the masks and the responses of one subject");
                    mask = f.toIntArray();
                }
                Map<Integer, List<Integer>> members = new LinkedHashMap<>();
                new TreeMap<>(mapping)
                        .keySet().stream().filter(id -> id != 0).forEach(id -> members.put(id, new ArrayList<>()));
                for (int v = 0; v < mask.length; v++) {
                    if (mask[v] == 0) continue;
                    List<Integer> m = members.get(mask[v]);
                    if (m == null)
                        throw new InputException(
                                file.toString(),
                                "vertex " + v + " has the ROI id " + mask[v] + ", which mapping_" + c + ".npy lacks",
                                "Give the masks and the mappings of one data set");
                    m.add(v);
                }
                members.forEach((id, m) -> groups.add(new VertexGroup(
                        c,
                        Objects.requireNonNull(mapping.get(id), "no name of ROI id " + id),
                        h,
                        m.stream().mapToInt(i -> i).toArray())));
            }
        }
        return groups;
    }

    private static float @Nullable [][] ceiling(Path folder, int left, int right) {
        Path l = folder.resolve("lh_noise_ceiling.npy"), r = folder.resolve("rh_noise_ceiling.npy");
        if (!Files.exists(l) && !Files.exists(r)) return null;
        return new float[][] {ceilingOf(l, left), ceilingOf(r, right)};
    }

    private static float[] ceilingOf(Path file, int vertices) {
        try (NpyFile f = NpyFile.open(file)) {
            if (f.shape().length != 1 || f.rows() != vertices)
                throw new InputException(
                        file.toString(),
                        "has the shape " + java.util.Arrays.toString(f.shape()) + ", not [" + vertices + "]",
                        "Give one value for each vertex of that hemisphere");
            return f.toFloatArray();
        }
    }

    /**
     * Reads all responses.
     *
     * @throws InputException if a response is infinite or NaN
     */
    public void checkFinite() {
        left.checkFinite("responses");
        right.checkFinite("responses");
    }

    public Path folder() {
        return folder;
    }

    /** Number of the subject, 1 to 8. */
    public int number() {
        return number;
    }

    /** Vertices of the left hemisphere. */
    public int left() {
        return left.rowElements();
    }

    /** Vertices of the right hemisphere. */
    public int right() {
        return right.rowElements();
    }

    /** Vertices of both hemispheres. */
    public int vertices() {
        return left() + right();
    }

    /** Training photographs, in the order of the rows of the responses. */
    public List<Path> trainingImages() {
        return training;
    }

    /** Test photographs; empty if there is no test split. */
    public List<Path> testImages() {
        return test;
    }

    /** ROIs of both hemispheres, including ROIs without vertices; empty if there are no masks. */
    public List<VertexGroup> groups() {
        return groups;
    }

    /** Noise ceilings {left, right} in the unit of the files; empty if there are no files. */
    public Optional<float[][]> noiseCeiling() {
        return Optional.ofNullable(ceiling);
    }

    /**
     * Writes the responses to training image i, f32 little-endian, left vertices then right, at the buffer's position,
     * which advances.
     */
    public void responses(int i, ByteBuffer into) {
        left.readRow(i, into);
        right.readRow(i, into);
    }

    /**
     * Reads the responses to the test images, which {@code simulate} writes outside the subject folder.
     *
     * @param heldOut folder with {lh,rh}_test_fmri.npy
     * @return [images, vertices], left vertices then right
     */
    public float[] testResponses(Path heldOut) {
        float[] out = new float[Math.multiplyExact(test.size(), vertices())];
        int at = 0;
        for (String h : HEMISPHERES) {
            Path file = heldOut.resolve(h + "_test_fmri.npy");
            int n = h.equals("lh") ? left() : right();
            try (NpyFile f = NpyFile.open(file).require(NpyType.F32, 2)) {
                if (f.rows() != test.size() || f.rowElements() != n)
                    throw new InputException(
                            file.toString(),
                            "has the shape " + java.util.Arrays.toString(f.shape()) + ", not [" + test.size() + ", " + n
                                    + "]",
                            "Give the test responses of this subject");
                f.checkFinite("responses");
                for (int i = 0; i < test.size(); i++) f.readRow(i, out, i * vertices() + at);
            }
            at += n;
        }
        return out;
    }

    @Override
    public void close() {
        left.close();
        right.close();
    }
}
