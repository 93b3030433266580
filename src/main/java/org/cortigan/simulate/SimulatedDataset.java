// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Challenge;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.Photograph;
import org.cortigan.cortex.Rgb;
import org.cortigan.io.Json;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.cortigan.io.NumpyPickle;
import org.cortigan.io.PendingFolder;
import org.cortigan.surface.Fsaverage;
import org.jspecify.annotations.Nullable;

/**
 * Writes a simulated subject in exactly the challenge's layout, from any photographs. The response to an image is the
 * mean of three repeats; in one repeat, signal and noise of a vertex together have unit variance. In addition to the
 * challenge's files: {@code {lh,rh}_noise_ceiling.npy} (fractions, of the mean responses), {@code dataset.json}, and
 * outside the subject folder {@code subj0X_held_out/{lh,rh}_test_fmri.npy}. Equal options and photographs give equal
 * bytes, for any number of threads. The vertices lie where {@link CorticalLayout} puts them. Memory does not grow with
 * the number of images.
 */
public final class SimulatedDataset {
    /** Vertices of a hemisphere in fsaverage space. */
    private static final int FSAVERAGE = Fsaverage.vertices(Fsaverage.LEVEL);

    /** Images per block; images for calibration; repeats of an image. */
    private static final int BLOCK = 64, CALIBRATION = 512, REPEATS = 3;

    /**
     * Options of a simulated data set.
     *
     * @param out folder of the data set
     * @param subject 1 to 8; determines the vertex counts and the ROIs
     * @param photographs files to crop images from
     * @param training number of training images
     * @param test number of test images
     * @param imageSize side of an image, in pixels; 425 in the challenge
     */
    public record Options(
            Path out, int subject, List<Path> photographs, int training, int test, int imageSize, long seed) {
        public Options {
            if (subject < 1 || subject > 8)
                throw new InputException("subject " + subject, "does not exist", "Choose 1 to 8");
            if (training < 2 || test < 2)
                throw new InputException("number of images", "is too small", "Give at least 2 for each split");
            if (training > 9999 || test > 9999)
                throw new InputException(
                        "number of images", "is too large for the challenge's file names", "Give at most 9999");
            if (imageSize < 32 || imageSize > Rgb.MAX_SIDE)
                throw new InputException(
                        "image size " + imageSize,
                        "is no side of an image",
                        "Choose 32 to " + Rgb.MAX_SIDE + " pixels");
            photographs = List.copyOf(photographs);
        }
    }

    private SimulatedDataset() {}

    /**
     * Writes the data set.
     *
     * @throws InputException if the subject folder already exists
     */
    public static void write(Options o, Consumer<String> log) {
        write(o, Challenge.vertices(o.subject), log);
    }

    /**
     * Writes a data set with other vertex counts than the challenge.
     *
     * @param vertices {left, right}
     */
    public static void write(Options o, int[] vertices, Consumer<String> log) {
        Path folder = o.out.resolve(AlgonautsSubject.folderName(o.subject)), heldOut = heldOut(o.out, o.subject);
        try (PendingFolder pending = new PendingFolder(folder, log)) {
            for (String d : List.of(
                    "training_split/training_images",
                    "training_split/training_fmri",
                    "test_split/test_images",
                    "roi_masks")) pending.create(d);
            Path responses = pending.create("held_out");
            write(o, vertices, pending.path(), responses, log);
            pending.requireFiles("training_split/training_images", o.training);
            pending.requireFiles("test_split/test_images", o.test);
            pending.moveOut(responses, heldOut);
            pending.commit();
        }
    }

    private static void write(Options o, int[] vertices, Path temp, Path heldOut, Consumer<String> log) {
        Map<String, boolean[]> present = presence(o.subject);
        SimulatedCortex cortex = new SimulatedCortex(
                o.seed * 1000003L + o.subject,
                vertices[0],
                vertices[1],
                (r, h) -> Objects.requireNonNull(present.get(r), "no presence of ROI " + r)[h]);
        Photos photos = new Photos(o.photographs, o.seed);
        log.accept("calibrating " + (vertices[0] + vertices[1]) + " vertices");
        int n = Math.min(CALIBRATION, o.training);
        float[][] examples = new float[n][];
        IntStream.range(0, n).parallel().forEach(i -> examples[i] = cortex.features(small(photos.image(o, true, i))));
        cortex.calibrate(Arrays.asList(examples));
        CorticalLayout[] layout = {
            CorticalLayout.of(0, cortex.hemispheres[0].ceiling), CorticalLayout.of(1, cortex.hemispheres[1].ceiling)
        };
        int[][] order = {layout[0].order(), layout[1].order()};
        split(o, cortex, order, photos, true, temp, temp.resolve("training_split/training_fmri"), log);
        split(o, cortex, order, photos, false, temp, heldOut, log);
        Images.noteOrientation(photos.turned, true, log);
        masks(cortex, layout, temp.resolve("roi_masks"));
        for (int h = 0; h < 2; h++)
            NpyWriter.save(
                    temp.resolve(List.of("lh", "rh").get(h) + "_noise_ceiling.npy"),
                    inOrder(cortex.hemispheres[h].ceiling, layout[h].order()),
                    vertices[h]);
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("what", "simulated subject in the layout of the Algonauts 2023 challenge; not measured data");
        about.put("subject", o.subject);
        about.put("photographs", o.photographs.size());
        about.put("training_images", o.training);
        about.put("test_images", o.test);
        about.put("splits_share_photographs", photos.shared());
        about.put("image_size", o.imageSize);
        about.put("seed", o.seed);
        about.put("repeats", REPEATS);
        Json.write(temp.resolve("dataset.json"), about);
    }

    /**
     * The folder of the responses to the test images, outside the subject folder, so that training never reads them.
     */
    public static Path heldOut(Path data, int subject) {
        return data.resolve(AlgonautsSubject.folderName(subject) + "_held_out");
    }

    private static byte[] small(Rgb image) {
        return image.resize(PhotoFeatures.SIDE, PhotoFeatures.SIDE).pixels();
    }

    /** Crops of the photographs. Seed, split and index determine photograph, position and size of a crop. */
    private static final class Photos {
        private static final int DISJOINT = 20;
        private final List<Path> files;
        private final long seed;
        private final int[] order;
        /** Files that are not stored upright. */
        private final Set<Path> turned = new ConcurrentSkipListSet<>();

        /** The photographs in memory; null if there are too many. */
        private final Rgb @Nullable [] kept;

        Photos(List<Path> files, long seed) {
            if (files.isEmpty())
                throw new InputException("photographs", "the list is empty", "Give a folder of PNG or JPEG files");
            this.files = files;
            this.seed = seed;
            order = IntStream.range(0, files.size()).toArray();
            SplittableRandom r = new SplittableRandom(seed ^ 0x70686F746FL);
            for (int i = order.length - 1; i > 0; i--) {
                int j = r.nextInt(i + 1), t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
            // A few photographs with many crops stay in memory.
            kept = shared() ? files.stream().map(this::read).toArray(Rgb[]::new) : null;
        }

        private Rgb read(Path file) {
            Photograph p = Images.read(file);
            if (p.orientation() != 1) turned.add(file);
            return p.upright();
        }

        /** Whether training and test images are different crops of the same photographs. */
        boolean shared() {
            return files.size() < DISJOINT;
        }

        Rgb image(Options o, boolean training, int i) {
            SplittableRandom r = new SplittableRandom((seed * 31 + (training ? 1 : 2)) * 1_000_003L + i);
            int forTest = shared() ? 0 : Math.max(1, files.size() / 10), n = files.size();
            int pick = shared() ? i % n : training ? i % (n - forTest) : n - forTest + i % forTest;
            Rgb photo = kept != null ? kept[order[pick]] : read(files.get(order[pick]));
            int shorter = Math.min(photo.height(), photo.width());
            // The first image of a photograph is its centre, further images are random crops.
            boolean whole = !shared() && i < (training ? n - forTest : forTest);
            int side =
                    whole ? shorter : Math.max(Math.min(shorter, 24), (int) (shorter * (0.2 + 0.5 * r.nextDouble())));
            int x = whole ? (photo.width() - side) / 2 : r.nextInt(photo.width() - side + 1);
            int y = whole ? (photo.height() - side) / 2 : r.nextInt(photo.height() - side + 1);
            return photo.crop(x, y, side, side).resize(o.imageSize, o.imageSize);
        }
    }

    private static void split(
            Options o,
            SimulatedCortex cortex,
            int[][] order,
            Photos photos,
            boolean training,
            Path subject,
            Path responses,
            Consumer<String> log) {
        String kind = training ? "training" : "test", prefix = training ? "train" : "test";
        int n = training ? o.training : o.test;
        SimulatedCortex.Hemisphere l = cortex.hemispheres[0], r = cortex.hemispheres[1];
        Path images = subject.resolve(kind + "_split/" + kind + "_images");
        float[][] left = new float[BLOCK][], right = new float[BLOCK][];
        try (NpyWriter lw =
                        NpyWriter.create(responses.resolve("lh_" + kind + "_fmri.npy"), NpyType.F32, n, l.vertices);
                NpyWriter rw =
                        NpyWriter.create(responses.resolve("rh_" + kind + "_fmri.npy"), NpyType.F32, n, r.vertices)) {
            for (int at = 0; at < n; at += BLOCK) {
                int from = at, count = Math.min(BLOCK, n - at);
                IntStream.range(0, count).parallel().forEach(k -> {
                    int i = from + k;
                    Rgb image = photos.image(o, training, i);
                    // Image numbers of the Natural Scenes Dataset run from 0 to 72999; any distinct numbers will do.
                    Images.writePng(
                            images.resolve(String.format(
                                    Locale.ROOT, "%s-%04d_nsd-%05d.png", prefix, i + 1, 7 * i + (training ? 0 : 3))),
                            image);
                    float[] f = cortex.features(small(image));
                    SplittableRandom noise = new SplittableRandom((o.seed * 17 + (training ? 5 : 6)) * 1_000_003L + i);
                    left[k] = inOrder(respond(cortex, l, f, noise), order[0]);
                    right[k] = inOrder(respond(cortex, r, f, noise), order[1]);
                });
                for (int k = 0; k < count; k++) {
                    lw.writeRow(left[k], 0, l.vertices);
                    rw.writeRow(right[k], 0, r.vertices);
                }
                if ((at / BLOCK) % 16 == 15) log.accept(kind + " images: " + (at + count) + " of " + n);
            }
            lw.commit();
            rw.commit();
        }
        log.accept(n + " " + kind + " images written");
    }

    /**
     * Adds noise to the signal. Let x be the fraction of the variance of one repeat that is signal. The noise ceiling
     * of the mean of three repeats is NC = x / (x + (1 - x) / 3), hence x = NC / (3 - 2 NC).
     */
    private static float[] respond(
            SimulatedCortex c, SimulatedCortex.Hemisphere h, float[] features, SplittableRandom noise) {
        float[] out = new float[h.vertices];
        c.signal(h, features, out, 0);
        for (int v = 0; v < h.vertices; v++) {
            double nc = h.ceiling[v], x = nc / (REPEATS - (REPEATS - 1) * nc);
            out[v] = (float) (Math.sqrt(x) * out[v] + Math.sqrt((1 - x) / REPEATS) * noise.nextGaussian());
        }
        return out;
    }

    /** Values on the simulation's line of vertices, in the challenge's order. */
    private static float[] inOrder(float[] values, int[] order) {
        float[] out = new float[values.length];
        for (int v = 0; v < out.length; v++) out[v] = values[order[v]];
        return out;
    }

    private static void masks(SimulatedCortex cortex, CorticalLayout[] layout, Path folder) {
        for (Map.Entry<String, List<String>> c : SimulatedCortex.CLASSES.entrySet()) {
            Map<Integer, String> mapping = new LinkedHashMap<>();
            mapping.put(0, "Unknown");
            for (String roi : c.getValue()) mapping.put(mapping.size(), roi);
            NumpyPickle.writeMapping(folder.resolve("mapping_" + c.getKey() + ".npy"), mapping);
        }
        for (SimulatedCortex.Hemisphere h : cortex.hemispheres) {
            String name = h.isLeft ? "lh." : "rh.";
            int[] where = layout[h.isLeft ? 0 : 1].ascending(), order = layout[h.isLeft ? 0 : 1].order();
            int[] all = new int[FSAVERAGE];
            for (int v : where) all[v] = 1;
            NpyWriter.save(folder.resolve(name + "all-vertices_fsaverage_space.npy"), all, FSAVERAGE);
            h.masks.forEach((c, mask) -> {
                int[] challenge = Arrays.stream(order).map(v -> mask[v]).toArray(), space = new int[FSAVERAGE];
                for (int v = 0; v < challenge.length; v++) space[where[v]] = challenge[v];
                NpyWriter.save(folder.resolve(name + c + "_challenge_space.npy"), challenge, challenge.length);
                NpyWriter.save(folder.resolve(name + c + "_fsaverage_space.npy"), space, FSAVERAGE);
            });
        }
    }

    /** Whether a challenge subject has an ROI: {left, right} by ROI name. */
    private static Map<String, boolean[]> presence(int subject) {
        Map<String, boolean[]> m = new LinkedHashMap<>();
        try (BufferedReader in = new BufferedReader(new InputStreamReader(
                SimulatedDataset.class.getResourceAsStream("/org/cortigan/simulate/roi_presence.csv"),
                StandardCharsets.UTF_8))) {
            in.readLine();
            for (String line; (line = in.readLine()) != null; ) {
                String[] f = line.split(",");
                m.put(f[0], new boolean[] {f[2 * subject - 1].equals("1"), f[2 * subject].equals("1")});
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        return m;
    }
}
