// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NumpyPickle;

/**
 * One subject of the Algonauts 2023 challenge, in the challenge's folder layout. Vertex counts come from the files;
 * vertices that were not measured ({@link #missing}) are left out everywhere, as if the files lacked them. In addition
 * to the challenge's files, {@code {lh,rh}_noise_ceiling.npy} is read if it exists: in the subject folder, or where the
 * organisers' scripts (github.com/gifale95/algonauts_2023) put it, in test_split/noise_ceiling. Responses are
 * memory-mapped; any number of threads may read.
 */
public final class AlgonautsSubject implements AutoCloseable {
    /** Where the organisers' scripts put the responses to the test images, in the subject's folder. */
    public static final String TEST_FMRI = "test_split/test_fmri";

    private static final List<String> HEMISPHERES = List.of("lh", "rh");
    private static final Pattern IMAGE = Pattern.compile("(train|test)-(\\d{1,9})_nsd-(\\d+)\\.(?i:png)");

    private static final Pattern NCSNR = Pattern.compile(".*ncsnr.*\\.npy", Pattern.CASE_INSENSITIVE);

    /** The names of the masks' files, with their ROI class. */
    private static final Pattern MASK =
            Pattern.compile("mapping_(.+)\\.npy|[lr]h\\.(.+)_challenge_space\\.npy", Pattern.DOTALL);

    private final Path folder;
    private final int number;
    private final List<Path> training;
    private final List<Path> test;
    private final ResponseFile left;
    private final ResponseFile right;
    private final List<VertexGroup> groups;
    /** By hemisphere; empty if there are no noise ceilings. */
    private final List<VertexValues> ceiling;

    /**
     * A number for each vertex of a hemisphere.
     *
     * @param file that they are from
     * @param values of the vertices that are not missing
     */
    public record VertexValues(Path file, float[] values) {}

    /**
     * The responses to the test images.
     *
     * @param values [images, vertices], left vertices then right
     * @param notMeasured vertices, in the order of the columns, whose responses to all test images are NaN or infinite;
     *     0 among the values
     */
    public record TestResponses(float[] values, int[] notMeasured) {}

    private AlgonautsSubject(
            Path folder,
            int number,
            List<Path> training,
            List<Path> test,
            ResponseFile left,
            ResponseFile right,
            List<VertexGroup> groups,
            List<VertexValues> ceiling) {
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
     * The folder of a subject, which need not exist.
     *
     * @param data folder that holds subj01 .. subj08, or the subject folder itself
     */
    public static Path folder(Path data, int subject) {
        Path folder = data.resolve(folderName(subject));
        Path own = data.toAbsolutePath().normalize().getFileName();
        if (!Files.isDirectory(folder) && own != null && own.toString().equals(folderName(subject))) return data;
        return folder;
    }

    /** Opens a subject without notes for the user. */
    public static AlgonautsSubject open(Path data, int subject) {
        return open(data, subject, note -> {});
    }

    /**
     * Opens a subject and checks that its files fit together.
     *
     * @param data folder that holds subj01 .. subj08, or the subject folder itself
     * @param log receives what the user should know about the files, such as missing vertices
     * @throws InputException if a file is missing or does not fit; names the file
     */
    public static AlgonautsSubject open(Path data, int subject, Consumer<String> log) {
        return open(data, subject, true, log);
    }

    /** Opens a subject whose photographs are not needed, and need not be there: it has none. */
    public static AlgonautsSubject withoutPhotographs(Path data, int subject, Consumer<String> log) {
        return open(data, subject, false, log);
    }

    private static AlgonautsSubject open(Path data, int subject, boolean photographs, Consumer<String> log) {
        Path folder = folder(data, subject);
        if (!Files.exists(data))
            throw new InputException(
                    data.toString(), "no such folder", "Check the path, or create data with the command simulate");
        if (!Files.isDirectory(folder))
            throw new InputException(
                    data.toString(),
                    "has no folder " + folderName(subject),
                    "Give the folder that holds the challenge's subjects, or create one with the command simulate");
        List<Path> training =
                photographs ? images(folder.resolve("training_split/training_images"), "train", false) : List.of();
        List<Path> test = photographs ? images(folder.resolve("test_split/test_images"), "test", true) : List.of();
        Path fmri = folder.resolve("training_split/training_fmri");
        ResponseFile l =
                ResponseFile.open(fmri.resolve("lh_training_fmri.npy"), photographs ? training : null, "training", log);
        try {
            ResponseFile r = ResponseFile.open(
                    fmri.resolve("rh_training_fmri.npy"), photographs ? training : null, "training", log);
            try {
                l.tellMissing(log);
                r.tellMissing(log);
                List<VertexGroup> groups = groups(folder.resolve("roi_masks"), l, r, log);
                return new AlgonautsSubject(folder, subject, training, test, l, r, groups, ceiling(folder, l, r, log));
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

    private static List<VertexGroup> groups(Path masks, ResponseFile left, ResponseFile right, Consumer<String> log) {
        if (!Files.isDirectory(masks)) return List.of();
        TreeSet<String> classes = new TreeSet<>();
        for (Path p : InputFiles.list(masks)) {
            Matcher m = MASK.matcher(p.getFileName().toString());
            if (m.matches()) classes.add(m.group(1) != null ? m.group(1) : m.group(2));
        }
        List<VertexGroup> groups = new ArrayList<>();
        for (String c : classes) {
            Path names = masks.resolve("mapping_" + c + ".npy");
            List<Path> files = HEMISPHERES.stream()
                    .map(h -> masks.resolve(h + "." + c + "_challenge_space.npy"))
                    .toList();
            requireAll(c, Stream.concat(Stream.of(names), files.stream()).toList());
            Map<Integer, String> mapping = NumpyPickle.readMapping(names);
            tellShared(names, mapping, log);
            int negative = 0;
            for (String h : HEMISPHERES) {
                Path file = files.get(HEMISPHERES.indexOf(h));
                ResponseFile responses = h.equals("lh") ? left : right;
                int[] mask = mask(file, responses.inFile());
                negative += (int) Arrays.stream(mask).filter(id -> id < 0).count();
                groups.addAll(groups(c, h, file, mask, responses.present(), mapping));
            }
            if (negative > 0)
                log.accept(masks + ", class " + c + ": " + negative
                        + " vertices have a negative ROI id, which counts as no ROI");
        }
        return groups;
    }

    /** Tells which ROI ids have one name. */
    private static void tellShared(Path file, Map<Integer, String> mapping, Consumer<String> log) {
        Map<String, Set<Integer>> ids = new TreeMap<>();
        mapping.forEach((id, name) -> {
            if (id > 0) ids.computeIfAbsent(name, n -> new TreeSet<>()).add(id);
        });
        ids.forEach((name, own) -> {
            if (own.size() > 1)
                log.accept(file + ": the ROI ids " + own + " are all named " + InputFiles.quote(name)
                        + " and count as one ROI");
        });
    }

    /** Checks that the files of an ROI class are there, of which one is. */
    private static void requireAll(String roiClass, List<Path> files) {
        Map<Boolean, List<Path>> there =
                files.stream().collect(Collectors.partitioningBy(f -> Files.exists(f, LinkOption.NOFOLLOW_LINKS)));
        List<Path> present = Objects.requireNonNull(there.get(true)), absent = Objects.requireNonNull(there.get(false));
        if (!absent.isEmpty())
            throw new InputException(
                    present.get(0).toString(),
                    "is of the ROI class " + InputFiles.quote(roiClass) + ", which needs also "
                            + InputFiles.names(absent),
                    "Add what is missing, or move " + InputFiles.names(present) + " out of the folder");
    }

    private static int[] mask(Path file, int vertices) {
        try (NpyFile f = NpyFile.open(file)) {
            if (!f.isVector(vertices))
                throw new InputException(
                        file.toString(),
                        "has the shape " + Arrays.toString(f.shape()) + ", but that hemisphere has " + vertices
                                + " vertices",
                        "Give the masks and the responses of one subject");
            return f.toIntArray();
        }
    }

    /**
     * The ROIs of a class in one hemisphere.
     *
     * @param mask ROI id of each vertex of the file
     * @param present vertices of the file that are not missing
     */
    private static List<VertexGroup> groups(
            String roiClass, String hemisphere, Path file, int[] mask, int[] present, Map<Integer, String> mapping) {
        Map<String, List<Integer>> members = new LinkedHashMap<>();
        SortedSet<Integer> ids = new TreeSet<>(mapping.keySet()).tailSet(1);
        for (int id : ids) members.put(Objects.requireNonNull(mapping.get(id)), new ArrayList<>());
        for (int v = 0; v < mask.length; v++)
            if (mask[v] > 0 && !ids.contains(mask[v]))
                throw new InputException(
                        file.toString(),
                        "vertex " + v + " has the ROI id " + mask[v] + ", but mapping_" + roiClass
                                + ".npy names only the ids " + ids,
                        "Add the id to the mapping, or set the mask to 0 there (vertices count from 0)");
        for (int v = 0; v < present.length; v++)
            if (mask[present[v]] > 0)
                Objects.requireNonNull(members.get(mapping.get(mask[present[v]])))
                        .add(v);
        List<VertexGroup> groups = new ArrayList<>();
        members.forEach((name, m) -> groups.add(new VertexGroup(
                roiClass, name, hemisphere, m.stream().mapToInt(i -> i).toArray())));
        return groups;
    }

    private static List<VertexValues> ceiling(
            Path folder, ResponseFile left, ResponseFile right, Consumer<String> log) {
        Optional<Path> found =
                found(List.of(folder, folder.resolve("test_split/noise_ceiling")), "_noise_ceiling.npy", log);
        if (found.isEmpty()) {
            tellNcsnr(folder, log);
            return List.of();
        }
        return List.of(
                ceiling(found.get().resolve("lh_noise_ceiling.npy"), left, log),
                ceiling(found.get().resolve("rh_noise_ceiling.npy"), right, log));
    }

    /** Tells how to make noise ceilings of files that are named like NSD's ncsnr. */
    private static void tellNcsnr(Path folder, Consumer<String> log) {
        List<String> names = new ArrayList<>();
        for (Path place : List.of(folder, folder.resolve("test_split/noise_ceiling"))) {
            if (!Files.isDirectory(place)) continue;
            for (Path f : InputFiles.list(place))
                if (NCSNR.matcher(f.getFileName().toString()).matches()) names.add(f.toString());
        }
        if (!names.isEmpty())
            log.accept(folder + " has no noise ceilings, but " + String.join(", ", names)
                    + ": cortigan ceiling --ncsnr --lh FILE --rh FILE --seen A,B,C -o " + folder
                    + " makes them of ncsnr");
    }

    private static VertexValues ceiling(Path file, ResponseFile responses, Consumer<String> log) {
        try (NpyFile f = NpyFile.open(file)) {
            if (!f.isVector(responses.inFile()))
                throw new InputException(
                        file.toString(),
                        "has the shape " + Arrays.toString(f.shape()) + ", not [" + responses.inFile() + "]",
                        "Give one value for each vertex of that hemisphere");
            if (!f.conversion().isEmpty()) log.accept(file + ": " + f.conversion());
            float[] all = f.toFloatArray();
            int[] present = responses.present();
            float[] values = new float[present.length];
            for (int v = 0; v < values.length; v++) values[v] = all[present[v]];
            return new VertexValues(file, values);
        }
    }

    /**
     * The first of some folders that has files of a hemisphere.
     *
     * @param suffix of the files' names behind lh and rh
     * @param log is told if a later folder has other files
     */
    public static Optional<Path> found(List<Path> folders, String suffix, Consumer<String> log) {
        List<Path> found = folders.stream()
                .filter(f -> HEMISPHERES.stream().anyMatch(h -> Files.exists(f.resolve(h + suffix))))
                .toList();
        if (found.isEmpty()) return Optional.empty();
        for (Path other : found.subList(1, found.size()))
            for (String h : HEMISPHERES) {
                Path used = found.get(0).resolve(h + suffix), unused = other.resolve(h + suffix);
                if (Files.exists(used) && Files.exists(unused) && differ(used, unused))
                    log.accept(used + " is used; " + unused + " has other content and is not read");
            }
        return Optional.of(found.get(0));
    }

    private static boolean differ(Path a, Path b) {
        InputFiles.check(a);
        InputFiles.check(b);
        try {
            return Files.mismatch(a, b) >= 0;
        } catch (IOException e) {
            throw InputFiles.unreadable(b, e);
        }
    }

    /**
     * Reads all responses.
     *
     * @throws InputException if a response is infinite or NaN, but not all responses of its vertex are
     */
    public void checkFinite() {
        left.check();
        right.check();
    }

    /** The vertices of the files that were not measured and are left out. */
    public MissingVertices missing() {
        return new MissingVertices(left.missing(), right.missing());
    }

    public Path folder() {
        return folder;
    }

    /** Number of the subject, 1 to 8. */
    public int number() {
        return number;
    }

    /** Vertices of the left hemisphere that are not missing. */
    public int left() {
        return left.vertices();
    }

    /** Vertices of the right hemisphere that are not missing. */
    public int right() {
        return right.vertices();
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

    /** The same ROIs with vertices counted as in the files, missing ones included. */
    public List<VertexGroup> groupsInFiles() {
        int[] l = left.present(), r = right.present();
        return groups.stream()
                .map(g -> {
                    int[] present = g.hemisphere().equals("lh") ? l : r;
                    int[] vertices =
                            Arrays.stream(g.vertices()).map(v -> present[v]).toArray();
                    return new VertexGroup(g.roiClass(), g.name(), g.hemisphere(), vertices);
                })
                .toList();
    }

    /** Noise ceilings of the left and the right hemisphere in the unit of the files; empty if there are no files. */
    public List<VertexValues> noiseCeiling() {
        return ceiling;
    }

    /**
     * Writes the responses to training image i, f32 little-endian, left vertices then right, at the buffer's position,
     * which advances.
     *
     * @throws InputException if a response is not finite, but not all responses of its vertex are
     */
    public void responses(int i, ByteBuffer into) {
        left.read(i, into);
        right.read(i, into);
    }

    /**
     * Reads the responses to the test images, which the challenge does not publish.
     *
     * @param heldOut folder with {lh,rh}_test_fmri.npy
     * @param log receives what the user should know about the files
     */
    public TestResponses testResponses(Path heldOut, Consumer<String> log) {
        if (test.isEmpty()) throw new InputException(folder.toString(), "has no test images", "Use --split validation");
        float[] values = new float[Math.multiplyExact(test.size(), vertices())];
        List<Integer> notMeasured = new ArrayList<>();
        int at = 0;
        for (String h : HEMISPHERES) {
            ResponseFile training = h.equals("lh") ? left : right;
            Path file = heldOut.resolve(h + "_test_fmri.npy");
            try (ResponseFile f = ResponseFile.open(file, test, "test", log)) {
                if (f.inFile() != training.inFile())
                    throw new InputException(
                            file.toString(),
                            "has the shape " + f.shape() + ", not [" + test.size() + ", " + training.inFile() + "]",
                            "Give the test responses of this subject");
                f.check();
                Set<Integer> missing = new HashSet<>(f.missing());
                for (int v : training.present()) {
                    if (missing.contains(v)) notMeasured.add(at);
                    else for (int i = 0; i < test.size(); i++) values[i * vertices() + at] = f.value(i, v);
                    at++;
                }
            }
        }
        return new TestResponses(values, notMeasured.stream().mapToInt(v -> v).toArray());
    }

    @Override
    public void close() {
        left.close();
        right.close();
    }
}
