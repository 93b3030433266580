// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import java.util.zip.ZipFile;
import org.cortigan.InputException;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.cortigan.io.NumpyPickle;
import org.cortigan.simulate.BundledPhotos;
import org.cortigan.simulate.SimulatedDataset;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Photographs, their cache, simulated subjects, and the faults in a subject's files that are refused. */
class SubjectTest {
    @TempDir
    Path dir;

    private static final int[] FEW = {400, 420};

    private Path simulate(String name, int training, int test, long seed) {
        Path out = dir.resolve(name);
        List<Path> photos = BundledPhotos.extract(dir.resolve("photos"));
        SimulatedDataset.write(new SimulatedDataset.Options(out, 1, photos, training, test, 64, seed), FEW, s -> {});
        return out;
    }

    private static Map<String, byte[]> files(Path root) throws Exception {
        Map<String, byte[]> m = new HashMap<>();
        try (Stream<Path> s = Files.walk(root)) {
            for (Path p : s.filter(Files::isRegularFile).toList())
                m.put(root.relativize(p).toString(), Files.readAllBytes(p));
        }
        return m;
    }

    @Test
    @Tag("slow")
    void equalOptionsGiveEqualBytesAndOtherSeedsOtherBytes() throws Exception {
        Map<String, byte[]> a = files(simulate("a", 70, 6, 1)),
                b = files(simulate("b", 70, 6, 1)),
                c = files(simulate("c", 70, 6, 2));
        assertEquals(a.keySet(), b.keySet());
        a.forEach((k, v) -> assertArrayEquals(v, b.get(k), k));
        String fmri = "subj01/training_split/training_fmri/lh_training_fmri.npy";
        assertFalse(Arrays.equals(a.get(fmri), c.get(fmri)));
    }

    @Test
    @Tag("slow")
    void aSimulatedSubjectHasTheChallengesLayout() {
        Path data = simulate("d", 130, 12, 3);
        try (AlgonautsSubject s = AlgonautsSubject.open(data, 1)) {
            s.checkFinite();
            assertEquals(
                    List.of(400, 420, 130, 12),
                    List.of(
                            s.left(),
                            s.right(),
                            s.trainingImages().size(),
                            s.testImages().size()));
            assertTrue(s.trainingImages().get(0).endsWith("train-0001_nsd-00000.png"));
            Set<String> classes = new HashSet<>();
            int[] owners = new int[400];
            boolean empty = false;
            for (VertexGroup g : s.groups()) {
                classes.add(g.roiClass());
                empty |= g.vertices().length == 0;
                if (g.hemisphere().equals("lh")) for (int v : g.vertices()) owners[v]++;
            }
            assertEquals(
                    Set.of("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words", "streams"),
                    classes);
            assertTrue(empty, "one ROI must be empty");
            assertTrue(
                    Arrays.stream(owners).anyMatch(n -> n == 0)
                            && Arrays.stream(owners).anyMatch(n -> n > 1),
                    "some vertices are in no ROI, some in several");
            // responses have a mean near 0 and about the variance that is left after averaging three repeats
            float[] row = new float[820];
            ByteBuffer b = ByteBuffer.allocate(4 * 820).order(java.nio.ByteOrder.LITTLE_ENDIAN);
            double sum = 0, squares = 0;
            for (int i = 0; i < 130; i++) {
                b.clear();
                s.responses(i, b);
                b.flip().order(java.nio.ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(row);
                for (float x : row) {
                    sum += x;
                    squares += x * x;
                }
            }
            double mean = sum / (130 * 820), var = squares / (130 * 820) - mean * mean;
            assertEquals(0, mean, 0.05);
            assertTrue(var > 0.35 && var < 0.75, "variance " + var);
            assertEquals(2, s.noiseCeiling().size());
            for (AlgonautsSubject.VertexValues h : s.noiseCeiling())
                for (float x : h.values()) assertTrue(x >= 0 && x <= 0.9, "noise ceiling " + x);
            assertEquals(
                    12 * 820,
                    s.testResponses(SimulatedDataset.heldOut(data, 1), note -> {})
                            .values()
                            .length);
            assertFalse(Files.exists(s.folder().resolve("test_split/test_fmri")));
        }
    }

    @Test
    void inconsistentFilesAreRefusedByName() throws Exception {
        Path data = simulate("e", 8, 3, 4),
                s = data.resolve("subj01"),
                fmri = s.resolve("training_split/training_fmri/lh_training_fmri.npy");
        byte[] good = Files.readAllBytes(fmri);
        NpyWriter.save(fmri, new float[7 * 400], 7, 400);
        refused(data, "lh_training_fmri.npy", "7 images", "8 training images");
        NpyWriter.save(fmri, new float[8 * 400], 8, 20, 20);
        refused(data, "lh_training_fmri.npy", "2 axes");
        Files.write(fmri, Arrays.copyOf(good, good.length - 100));
        refused(data, "lh_training_fmri.npy");
        Files.write(fmri, good);
        Path mask = s.resolve("roi_masks/rh.streams_challenge_space.npy");
        byte[] m = Files.readAllBytes(mask);
        Files.delete(mask);
        refused(data, "rh.streams_challenge_space.npy");
        NpyWriter.save(mask, new int[419], 419);
        refused(data, "rh.streams_challenge_space.npy", "419", "420");
        int[] unknown = new int[420];
        unknown[3] = 99;
        NpyWriter.save(mask, unknown, 420);
        refused(data, "rh.streams_challenge_space.npy", "vertex 3", "99", "mapping_streams.npy", "set the mask to 0");
        Files.write(mask, m);
        Path mapping = s.resolve("roi_masks/mapping_streams.npy");
        byte[] intact = Files.readAllBytes(mapping);
        Files.delete(mapping);
        refused(data, "mapping_streams.npy");
        Files.write(mapping, intact);
        Path image = s.resolve("training_split/training_images/train-0003_nsd-00014.png");
        Path away = dir.resolve("away.png");
        Files.move(image, away);
        refused(data, "training_images", "number 3");
        Files.move(away, image.resolveSibling("train-0003_nsd-00014.PNG"));
        Files.writeString(image.resolveSibling("._train-0003_nsd-00014.png"), "AppleDouble");
        AlgonautsSubject.open(data, 1).close();
        refused(dir.resolve("nowhere"), "nowhere: no such folder", "simulate");
    }

    private static float[] responses(int images, int vertices) {
        SplittableRandom random = new SplittableRandom(3);
        float[] y = new float[images * vertices];
        for (int i = 0; i < y.length; i++) y[i] = (float) random.nextDouble(-2, 2);
        return y;
    }

    @Test
    void verticesThatAreNeverFiniteAreMissing() throws Exception {
        Path data = simulate("m", 8, 3, 4), fmri = data.resolve("subj01/training_split/training_fmri");
        float[] y = responses(8, 400);
        for (int i = 0; i < 8; i++) {
            y[400 * i + 5] = Float.NaN;
            y[400 * i + 9] = i % 2 == 0 ? Float.POSITIVE_INFINITY : Float.NaN;
        }
        Path lh = fmri.resolve("lh_training_fmri.npy");
        NpyWriter.save(lh, y, 8, 400);
        Path streams = data.resolve("subj01/roi_masks/lh.streams_challenge_space.npy");
        int[] mask = new int[400];
        mask[4] = 1;
        mask[5] = 1;
        mask[10] = 1;
        mask[20] = -1;
        NpyWriter.save(streams, mask, 1, 400);
        float[] ceilings = new float[400];
        ceilings[10] = 0.5f;
        NpyWriter.save(data.resolve("subj01/lh_noise_ceiling.npy"), ceilings, 400, 1);
        List<String> log = new ArrayList<>();
        try (AlgonautsSubject s = AlgonautsSubject.open(data, 1, log::add)) {
            s.checkFinite();
            assertEquals(new MissingVertices(List.of(5, 9), List.of()), s.missing());
            assertEquals(List.of(398, 420), List.of(s.left(), s.right()));
            ByteBuffer row = ByteBuffer.allocate(4 * 818).order(java.nio.ByteOrder.LITTLE_ENDIAN);
            s.responses(3, row);
            assertEquals(y[3 * 400 + 10], row.getFloat(4 * 8));
            assertEquals(y[3 * 400 + 399], row.getFloat(4 * 397));
            assertArrayEquals(
                    new int[] {4, 8},
                    s.groups().stream()
                            .filter(g -> g.hemisphere().equals("lh")
                                    && g.roiClass().equals("streams")
                                    && g.name().equals("early"))
                            .findFirst()
                            .orElseThrow()
                            .vertices());
            assertEquals(0.5f, s.noiseCeiling().get(0).values()[8]);
        }
        assertEquals(2, log.size(), log.toString());
        assertTrue(
                log.get(0).contains("2 of 400 vertices have no responses (NaN or infinite) and are left out: 5, 9"),
                log.get(0));
        assertTrue(log.get(1).contains("class streams: 1 vertices have a negative ROI id"), log.get(1));

        y[3 * 400 + 9] = 1; // finite for one image only
        NpyWriter.save(lh, y, 8, 400);
        partly(data, "vertex 9", "7 of 8 images", "train-0001");
        y[3 * 400 + 9] = Float.NaN;
        y[2 * 400 + 77] = Float.NaN;
        NpyWriter.save(lh, y, 8, 400);
        partly(data, "vertex 77 is NaN for 1 of 8 images", "image row 2 (train-0003", "NaN for all images");
        // Two bad images, the first and the last, are no reason to call a vertex missing.
        y = responses(8, 400);
        y[9] = Float.NaN;
        y[7 * 400 + 9] = Float.NaN;
        NpyWriter.save(lh, y, 8, 400);
        log.clear();
        AlgonautsSubject.open(data, 1, log::add).close();
        assertEquals(1, log.size(), log.toString()); // of the negative ROI id
        partly(data, "vertex 9 is NaN for 2 of 8 images");
        for (int row : new int[] {4, 0}) {
            y = responses(8, 400);
            Arrays.fill(y, row * 400, row * 400 + 400, Float.NaN);
            NpyWriter.save(lh, y, 8, 400);
            partly(data, "image row " + row + " (train-000" + (row + 1), "Leave out that photograph");
        }
        Arrays.fill(y, Float.NaN);
        NpyWriter.save(lh, y, 8, 400);
        refused(data, "lh_training_fmri.npy", "no vertex with a finite response to any of the images [0, 1, 2");
    }

    @Test
    void roiIdsOfOneNameAreOneRoi() throws Exception {
        Path data = simulate("n", 8, 3, 4), masks = data.resolve("subj01/roi_masks");
        NumpyPickle.writeMapping(masks.resolve("mapping_streams.npy"), Map.of(0, "Unknown", 1, "V1", 2, "V1", 3, "V2"));
        int[] mask = new int[400];
        mask[7] = 2;
        mask[8] = 3;
        mask[9] = 1;
        NpyWriter.save(masks.resolve("lh.streams_challenge_space.npy"), mask, 400);
        NpyWriter.save(masks.resolve("rh.streams_challenge_space.npy"), new int[420], 420);
        List<String> log = new ArrayList<>();
        try (AlgonautsSubject s = AlgonautsSubject.open(data, 1, log::add)) {
            List<VertexGroup> streams = s.groups().stream()
                    .filter(g -> g.roiClass().equals("streams"))
                    .toList();
            assertEquals(
                    List.of("lh V1", "lh V2", "rh V1", "rh V2"),
                    streams.stream().map(g -> g.hemisphere() + " " + g.name()).toList());
            assertArrayEquals(new int[] {7, 9}, streams.get(0).vertices());
        }
        assertEquals(1, log.size(), log.toString());
        assertTrue(
                log.get(0).contains("mapping_streams.npy: the ROI ids [1, 2] are all named 'V1' and count as one ROI"),
                log.get(0));
    }

    /** Asserts that the check of all responses and the reading of some refuse the subject with the same reason. */
    private static void partly(Path data, String... names) {
        try (AlgonautsSubject s = AlgonautsSubject.open(data, 1)) {
            ByteBuffer row = ByteBuffer.allocate(4 * s.vertices());
            InputException checked = assertThrows(InputException.class, s::checkFinite);
            for (String n : names) assertTrue(checked.getMessage().contains(n), checked.getMessage());
            InputException read = assertThrows(InputException.class, () -> {
                for (int i = 0; i < 8; i++) s.responses(i, row.clear());
            });
            assertEquals(checked.getMessage(), read.getMessage());
        }
    }

    /** The places of the organisers' scripts, in float64 and Fortran order, and what a lab adds. */
    @Test
    void theOrganisersLayoutIsRead() throws Exception {
        Path data = simulate("o", 8, 3, 4), s = data.resolve("subj01"), away = SimulatedDataset.heldOut(data, 1);
        float[] plain;
        try (AlgonautsSubject open = AlgonautsSubject.open(data, 1)) {
            plain = open.testResponses(away, note -> {}).values();
        }
        Path fmri = Files.createDirectories(s.resolve("test_split/test_fmri")),
                ceilings = Files.createDirectories(s.resolve("test_split/noise_ceiling"));
        for (int h = 0; h < 2; h++) {
            String name = h == 0 ? "lh" : "rh";
            int n = FEW[h], from = h == 0 ? 0 : 400;
            ByteBuffer columns = ByteBuffer.allocate(8 * 3 * n).order(java.nio.ByteOrder.LITTLE_ENDIAN);
            for (int v = 0; v < n; v++) for (int i = 0; i < 3; i++) columns.putDouble(plain[820 * i + from + v]);
            String header = new String(
                            NpyWriter.header(NpyType.F64, 3, n), java.nio.charset.StandardCharsets.ISO_8859_1)
                    .replace("False", "True ");
            Path file = fmri.resolve(name + "_test_fmri.npy");
            Files.write(file, header.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1));
            Files.write(file, columns.array(), java.nio.file.StandardOpenOption.APPEND);
            Files.move(s.resolve(name + "_noise_ceiling.npy"), ceilings.resolve(name + "_noise_ceiling.npy"));
        }
        Files.write(s.resolve("lh.ncsnr.npy"), new byte[0]);
        List<String> log = new ArrayList<>();
        try (AlgonautsSubject open = AlgonautsSubject.open(data, 1, log::add)) {
            assertEquals(List.of(), log);
            assertEquals(
                    ceilings.resolve("rh_noise_ceiling.npy"),
                    open.noiseCeiling().get(1).file());
            assertArrayEquals(plain, open.testResponses(fmri, log::add).values());
            assertEquals(2, log.size());
            assertTrue(log.get(0).contains("F64") && log.get(0).contains("Fortran"), log.get(0));
        }
        // A ceiling of the lab's own comes before the organisers'; without any, files named ncsnr are offered.
        NpyWriter.save(s.resolve("lh_noise_ceiling.npy"), new float[400], 400);
        NpyWriter.save(s.resolve("rh_noise_ceiling.npy"), new float[420], 420);
        log.clear();
        AlgonautsSubject.open(data, 1, log::add).close();
        assertEquals(2, log.size());
        assertTrue(log.get(0).contains("is used") && log.get(0).contains("is not read"), log.get(0));
        for (Path folder : List.of(s, ceilings))
            for (String h : List.of("lh", "rh")) Files.delete(folder.resolve(h + "_noise_ceiling.npy"));
        log.clear();
        AlgonautsSubject.open(data, 1, log::add).close();
        assertEquals(1, log.size());
        assertTrue(log.get(0).contains("lh.ncsnr.npy") && log.get(0).contains("ceiling --ncsnr"), log.get(0));
    }

    private static void refused(Path data, String... names) {
        InputException e = assertThrows(
                InputException.class, () -> AlgonautsSubject.open(data, 1).close());
        for (String n : names) assertTrue(e.getMessage().contains(n), e.getMessage());
        assertFalse(e.getMessage().contains("\n"), e.getMessage());
    }

    @Test
    void damagedImagesAreRefusedByName() throws Exception {
        List<Path> photos = BundledPhotos.extract(dir.resolve("p"));
        for (Path p : photos) {
            byte[] all = Files.readAllBytes(p);
            Path bad = dir.resolve("bad-" + p.getFileName());
            Files.write(bad, Arrays.copyOf(all, all.length / 2));
            InputException e = assertThrows(InputException.class, () -> Images.read(bad));
            assertTrue(e.getMessage().contains(bad.getFileName().toString()), e.getMessage());
        }
        Path text = dir.resolve("text.png");
        Files.writeString(text, "no image");
        assertTrue(assertThrows(InputException.class, () -> Images.read(text))
                .getMessage()
                .contains("is no PNG or JPEG file but a text"));
        assertThrows(InputException.class, () -> Images.read(dir.resolve("none.png")));
        Files.createDirectories(dir.resolve("empty"));
        assertThrows(InputException.class, () -> Images.list(dir.resolve("empty")));
        // one damaged file among good ones: no partial cache remains
        Path folder = Files.createDirectories(dir.resolve("some"));
        List<Path> mixed = new ArrayList<>(photos);
        mixed.add(text);
        assertThrows(InputException.class, () -> ImageCache.open(folder, mixed, 16, s -> {}));
        try (Stream<Path> s = Files.list(folder)) {
            assertEquals(List.of(), s.toList());
        }
    }

    @Test
    void resizingKeepsMeansAndGreys() {
        SplittableRandom r = new SplittableRandom(1);
        byte[] b = new byte[60 * 60 * 3];
        r.nextBytes(b);
        double mean = 0, small = 0;
        for (byte x : b) mean += (x & 0xff) / (double) b.length;
        byte[] s = new Rgb(b, 60, 60).resize(20, 20).pixels();
        for (byte x : s) small += (x & 0xff) / (double) s.length;
        assertEquals(mean, small, 1.5);
        byte[] flat = new byte[7 * 5 * 3];
        Arrays.fill(flat, (byte) 77);
        for (byte x : new Rgb(flat, 7, 5).resize(16, 3).pixels()) assertEquals(77, x);
        Path png = dir.resolve("x.png");
        Images.writePng(png, new Rgb(b, 60, 60));
        assertArrayEquals(b, Images.read(png).stored().pixels());
    }

    @Test
    void aStaleCacheIsRebuilt() throws Exception {
        List<Path> photos = BundledPhotos.extract(dir.resolve("p"));
        List<String> log = new ArrayList<>();
        Path cache = dir.resolve("cache");
        byte[] first = new byte[24 * 24 * 3];
        try (ImageCache c = ImageCache.open(cache, photos, 24, log::add)) {
            c.read(2, ByteBuffer.wrap(first));
            assertArrayEquals(Images.read(photos.get(2)).stored().square(24), first);
        }
        ImageCache.open(cache, photos, 24, log::add).close();
        assertEquals(1, log.size());
        ImageCache.open(cache, photos, 16, log::add).close();
        assertEquals(2, log.size());
        Files.copy(photos.get(0), photos.get(2), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        try (ImageCache c = ImageCache.open(cache, photos, 24, log::add)) {
            c.read(2, ByteBuffer.wrap(first));
            assertArrayEquals(Images.read(photos.get(0)).stored().square(24), first);
        }
        assertEquals(3, log.size());
        try (Stream<Path> s = Files.list(cache)) { // a damaged cache is rebuilt
            for (Path p : s.filter(x -> x.toString().endsWith(".npy")).toList()) Files.write(p, new byte[50]);
        }
        ImageCache.open(cache, photos, 24, log::add).close();
        assertEquals(4, log.size());
    }

    @Test
    @Tag("slow")
    void aSubmissionIsCheckedAndPacked() throws Exception {
        Path good = Files.createDirectories(dir.resolve("good"));
        int[] v = Challenge.vertices(8);
        NpyWriter.save(good.resolve("lh_pred_test.npy"), new float[395 * v[0]], 395, v[0]);
        NpyWriter.save(good.resolve("rh_pred_test.npy"), new float[395 * v[1]], 395, v[1]);
        Path zip = dir.resolve("s.zip");
        List<String> said = new ArrayList<>();
        assertEquals(List.of(1, 2, 3, 4, 5, 6, 7), Submission.write(zip, Map.of(8, List.of(good)), said::add));
        assertEquals(2, said.size());
        assertEquals(
                "warning: subject 8: the predictions of 18981 of 18981 vertices of the left hemisphere are constant over"
                        + " the images; the challenge's script computes NaN for them and for the mean of all vertices",
                said.get(0));
        try (ZipFile z = new ZipFile(zip.toFile())) {
            assertEquals(
                    List.of("subj08/lh_pred_test.npy", "subj08/rh_pred_test.npy"),
                    z.stream().map(e -> e.getName()).toList());
            assertEquals(
                    Files.size(good.resolve("lh_pred_test.npy")),
                    z.getEntry("subj08/lh_pred_test.npy").getSize());
        }
        Path link = Files.createSymbolicLink(dir.resolve("link"), good);
        assertTrue(assertThrows(
                        InputException.class, () -> Submission.write(zip, Map.of(7, List.of(good), 8, List.of(link))))
                .getMessage()
                .contains("link: is given for subject 7 and for subject 8"));
        Path ones = Files.createDirectories(dir.resolve("ones"));
        for (int h = 0; h < 2; h++) {
            float[] one = new float[395 * v[h]];
            Arrays.fill(one, 1);
            NpyWriter.save(ones.resolve(h == 0 ? "lh_pred_test.npy" : "rh_pred_test.npy"), one, 395, v[h]);
        }
        // Vertex 3 of the left hemisphere varies in each file, and is constant in their mean; vertex 4 varies.
        float[] up = new float[395 * v[0]], down = new float[395 * v[0]];
        up[3] = up[4] = 1;
        down[3] = -1;
        Path varied = Files.createDirectories(dir.resolve("varied"));
        for (float[] lh : new float[][] {up, down}) {
            Path folder = lh == up ? varied : good;
            NpyWriter.save(folder.resolve("lh_pred_test.npy"), lh, 395, v[0]);
        }
        Files.copy(good.resolve("rh_pred_test.npy"), varied.resolve("rh_pred_test.npy"));
        said.clear();
        Files.writeString(varied.resolve("predictions.json"), "{\"subject\": \"subj08\"}");
        Submission.write(zip, Map.of(8, List.of(varied, good)), said::add);
        assertTrue(said.get(0).contains("the predictions of 18980 of 18981 vertices of the left"), said.get(0));
        assertEquals(
                "warning: " + good.resolve("rh_pred_test.npy") + " and " + varied.resolve("rh_pred_test.npy")
                        + " have the same content",
                said.get(1));
        Files.writeString(varied.resolve("predictions.json"), "{\"subject\": \"subj07\"}");
        InputException other =
                assertThrows(InputException.class, () -> Submission.write(zip, Map.of(8, List.of(good, varied))));
        assertTrue(other.getMessage().contains("are of 'subj07', not of 'subj08'"), other.getMessage());
        NpyWriter.save(good.resolve("lh_pred_test.npy"), new float[395 * v[0]], 395, v[0]);

        Submission.write(zip, Map.of(8, List.of(good, ones, good, ones))); // writes the mean of several predictions
        try (ZipFile z = new ZipFile(zip.toFile())) {
            byte[] mean =
                    z.getInputStream(z.getEntry("subj08/rh_pred_test.npy")).readAllBytes();
            float[] half = readFloats(Files.write(dir.resolve("mean.npy"), mean));
            assertEquals(395 * v[1], half.length);
            for (float x : half) assertEquals(0.5f, x);
        }
        try (NpyWriter bool = NpyWriter.create(ones.resolve("rh_pred_test.npy"), NpyType.BOOL, 395, v[1])) {
            byte[] all = new byte[395 * v[1]];
            Arrays.fill(all, (byte) 1);
            bool.write(ByteBuffer.wrap(all));
            bool.commit();
        }
        Submission.write(zip, Map.of(8, List.of(ones))); // float32, whatever the files hold
        try (ZipFile z = new ZipFile(zip.toFile())) {
            byte[] converted =
                    z.getInputStream(z.getEntry("subj08/rh_pred_test.npy")).readAllBytes();
            try (NpyFile f = NpyFile.open(Files.write(dir.resolve("converted.npy"), converted))
                    .require(NpyType.F32, 2)) {
                for (float x : f.toFloatArray()) assertEquals(1, x);
            }
        }
        float[] bad = new float[395 * v[1]];
        bad[9] = Float.POSITIVE_INFINITY;
        NpyWriter.save(good.resolve("rh_pred_test.npy"), bad, 395, v[1]);
        Path refused = dir.resolve("t.zip");
        assertThrows(InputException.class, () -> Submission.write(refused, Map.of(8, List.of(good))));
        assertFalse(Files.exists(refused));
    }

    private static float[] readFloats(Path npy) {
        try (NpyFile f = NpyFile.open(npy)) {
            return f.toFloatArray();
        }
    }
}
