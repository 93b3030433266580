// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Images;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import us.hebi.matlab.mat.format.Mat5;
import us.hebi.matlab.mat.types.MatFile;
import us.hebi.matlab.mat.types.Matrix;
import us.hebi.matlab.mat.types.Sink;
import us.hebi.matlab.mat.types.Sinks;

/** Imports a tiny made-up data set and compares with numpy (tools/golden_nsd.py). */
class NsdImportTest {
    private static final Path NSD = Path.of("src/test/resources/nsd");
    private static final List<String> CLASSES = List.of("streams", "floc-faces");
    private static final String BETAS = "betas_fithrf_GLMdenoise_RR",
            FOLDER = "nsddata_betas/ppdata/subj01/fsaverage/" + BETAS + "/",
            DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat",
            STIMULI = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5",
            LABELS = "nsddata/freesurfer/subj01/label/";

    @TempDir
    Path dir;

    private final List<String> notes = new ArrayList<>();
    private int written;

    private Path write(Path nsd, String vertices, String test, int sessions) {
        return NsdImport.write(
                new NsdImport.Options(
                        nsd,
                        1,
                        dir.resolve("out" + written++),
                        BETAS,
                        List.of(vertices.split(",")),
                        test,
                        sessions,
                        CLASSES,
                        true,
                        0),
                notes::add);
    }

    private String notes() {
        return String.join("\n", notes);
    }

    private static double[] doubles(Path file) {
        try (NpyFile f = NpyFile.open(file)) {
            return f.toDoubleArray();
        }
    }

    /** Every number that the import writes, the names of the images, and the images themselves. */
    private void compare(String golden, Path subject) throws IOException {
        Path want = NSD.resolve(golden);
        for (String h : List.of("lh", "rh")) {
            List<String> files = new ArrayList<>(List.of(
                    "training_split/training_fmri/" + h + "_training_fmri.npy",
                    "test_split/test_fmri/" + h + "_test_fmri.npy",
                    "test_split/noise_ceiling/" + h + "_noise_ceiling.npy",
                    "roi_masks/" + h + ".all-vertices_fsaverage_space.npy"));
            for (String c : CLASSES)
                for (String space : List.of("fsaverage", "challenge"))
                    files.add("roi_masks/" + h + "." + c + "_" + space + "_space.npy");
            for (String f : files)
                // z-scores are below 4: half a unit in the last place of a float is 2.4e-7.
                assertArrayEquals(
                        doubles(want.resolve(Path.of(f).getFileName())), doubles(subject.resolve(f)), 2.4e-7, f);
        }
        double[] bricks = doubles(NSD.resolve("bricks.npy"));
        int pixels = 8 * 8 * 3;
        List<String> names = Files.readAllLines(want.resolve("images.txt"));
        for (String kind : List.of("training", "test")) {
            Path images = subject.resolve(kind + "_split/" + kind + "_images");
            List<String> wanted = names.stream()
                    .filter(n -> kind.startsWith(n.substring(0, 4)))
                    .toList();
            assertEquals(
                    wanted,
                    Images.list(images).stream()
                            .map(p -> p.getFileName().toString())
                            .toList());
            for (String n : wanted) {
                int id = Integer.parseInt(n.substring(n.length() - 9, n.length() - 4));
                byte[] read = Images.read(images.resolve(n)).stored().pixels();
                for (int i = 0; i < pixels; i++) assertEquals((int) bricks[id * pixels + i], read[i] & 0xff, n);
            }
        }
    }

    @Test
    void theChallengesSplitEqualsNumpys() throws IOException {
        Path subject = write(NSD, "challenge", "challenge", 0);
        compare("challenge", subject);
        assertTrue(notes().contains("lh: 2 of "), notes());
        assertTrue(notes().contains("the split is not the challenge's"), notes());
        assertEquals(
                2L, ((Number) Json.readObject(subject.resolve("dataset.json")).get("lh_unknown_vertices")).longValue());
        try (AlgonautsSubject s = AlgonautsSubject.open(subject.getParent(), 1)) {
            assertEquals(21, s.trainingImages().size());
            assertEquals(3, s.testImages().size());
            assertEquals(2 * (3 + 2), s.groups().size());
            s.checkFinite();
        }
        assertThrows(
                InputException.class,
                () -> NsdImport.write(
                        new NsdImport.Options(
                                NSD, 1, subject.getParent(), BETAS, List.of("all"), "none", 0, CLASSES, true, 0),
                        n -> {}));
    }

    @Test
    void allVerticesAndSharedPhotographsEqualNumpys() throws IOException {
        compare("shared", write(NSD, "all", "shared", 5));
        assertTrue(notes().contains("are NaN for every photograph"), notes());
    }

    @Test
    void aListAndMasksChooseTheSame() throws IOException {
        Path list = Files.writeString(dir.resolve("list.txt"), "6\n\n27\n34\n");
        Path golden = NSD.resolve("challenge");
        String masks = golden.resolve("lh.all-vertices_fsaverage_space.npy") + ","
                + golden.resolve("rh.all-vertices_fsaverage_space.npy");
        Path subject = write(NSD, masks, list.toString(), 0);
        Path test = Path.of("test_split/test_fmri/rh_test_fmri.npy");
        assertArrayEquals(doubles(golden.resolve(test.getFileName())), doubles(subject.resolve(test)), 2.4e-7);
        // A byte-order mark, lines of another system, and photographs that only other subjects saw.
        Set<Integer> seen = Arrays.stream(
                        ExperimentDesign.read(NSD.resolve(DESIGN)).trials(1, 72))
                .boxed()
                .collect(Collectors.toSet());
        List<Integer> unseen =
                IntStream.range(0, 42).filter(i -> !seen.contains(i)).boxed().toList();
        Files.writeString(list, "\ufeff6\r\n27\r\n34\r\n" + unseen.get(0) + "\r\n" + unseen.get(1) + "\r\n");
        Path other = write(NSD, masks, list.toString(), 0);
        assertArrayEquals(doubles(subject.resolve(test)), doubles(other.resolve(test)));
        assertTrue(
                notes().contains("list.txt: 2 of 5 photographs are left out, which the subject did not see"), notes());
        Files.writeString(list, "# as numpy.savetxt\n6.000000000000000000e+00, 27. # second\n3.4e+01\n");
        assertArrayEquals(
                doubles(subject.resolve(test)),
                doubles(write(NSD, masks, list.toString(), 0).resolve(test)));
        Files.writeString(list, "6.5");
        refused("'6.5' is no number of a photograph", NSD, "all", list.toString(), 0);
        Files.writeString(list, "" + unseen.get(0));
        refused("lists no photograph that the subject saw", NSD, "all", list.toString(), 0);
        Files.writeString(list, "6\n42");
        refused("list.txt, line 2: '42' is no number of a photograph", NSD, "all", list.toString(), 0);
        refused("lists no photograph", NSD, "all", Files.writeString(list, "\n").toString(), 0);
    }

    @Test
    void withoutATestSetTheCeilingIsThatOfTheTrainingResponses() {
        Path subject = write(NSD, "nsdgeneral", "none", 0);
        assertFalse(Files.exists(subject.resolve("test_split")));
        // Every photograph was seen three times, as the challenge's test photographs were.
        double[] all = doubles(subject.resolve("rh_noise_ceiling.npy")),
                challenge = doubles(NSD.resolve("challenge/rh_noise_ceiling.npy"));
        assertTrue(Arrays.stream(all).allMatch(c -> Arrays.stream(challenge).anyMatch(d -> Math.abs(c - d) < 1e-7)));
    }

    @Test
    void photographsInChunksAreTheSame() {
        double[] want = doubles(NSD.resolve("bricks.npy"));
        try (Stimuli s = Stimuli.open(NSD.resolve("chunked.hdf5"))) {
            assertEquals(42, s.count());
            for (int id = 0; id < 42; id++) {
                byte[] got = s.read(id).pixels();
                for (int i = 0; i < got.length; i++) assertEquals((int) want[id * got.length + i], got[i] & 0xff);
            }
        }
    }

    private void refused(String part, Path nsd, String vertices, String test, int sessions) {
        String message = assertThrows(InputException.class, () -> write(nsd, vertices, test, sessions))
                .getMessage();
        assertTrue(message.contains(part) && !message.contains("\n"), message);
        Path out = dir.resolve("out" + (written - 1));
        try (Stream<Path> left = Files.exists(out) ? Files.list(out) : Stream.of()) {
            assertEquals(List.of(), left.toList(), "nothing is left");
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** A copy of the data set. */
    private Path copy() throws IOException {
        Path to = Files.createTempDirectory(dir, "nsd");
        try (Stream<Path> all = Files.walk(NSD)) {
            for (Path p : all.toList())
                if (Files.isRegularFile(p)) {
                    Path target = to.resolve(NSD.relativize(p));
                    Files.createDirectories(target.getParent());
                    Files.copy(p, target);
                }
        }
        return to;
    }

    private void refusedWith(String part, String file, byte[] content) throws IOException {
        Path nsd = copy();
        Files.write(nsd.resolve(file), content);
        refused(part, nsd, "challenge", "challenge", 0);
    }

    private static byte[] bytes(String file) throws IOException {
        return Files.readAllBytes(NSD.resolve(file));
    }

    private static byte[] cut(String file, int bytes) throws IOException {
        byte[] b = bytes(file);
        return Arrays.copyOf(b, b.length - bytes);
    }

    @Test
    void whatDoesNotFitIsRefusedInOneLine() throws IOException {
        String session = FOLDER + "rh.betas_session04.mgh";
        // nibabel writes 20 bytes of scan parameters behind the data.
        refusedWith("rh.betas_session04.mgh: has 1243 bytes", session, cut(session, 21));
        refusedWith(
                "has 11 trials",
                session,
                ByteBuffer.wrap(bytes(session)).putInt(16, 11).array());
        refusedWith(
                "of 19 vertices",
                session,
                ByteBuffer.wrap(bytes(session)).putInt(4, 19).array());
        refusedWith("nsd_stimuli.hdf5: has ", STIMULI, cut(STIMULI, 1));
        refusedWith("nsd_stimuli.hdf5", STIMULI, cut("chunked.hdf5", 1));
        refusedWith("is no HDF5 file but a MAT file", STIMULI, bytes(DESIGN));
        refusedWith("nsd_expdesign.mat: is damaged", DESIGN, cut(DESIGN, 20));
        for (int n : new int[] {20, 300}) {
            String message = assertThrows(
                            InputException.class,
                            () -> ExperimentDesign.read(Files.write(dir.resolve("cut.mat"), cut(DESIGN, n))))
                    .getMessage();
            assertFalse(message.contains("Exception") || message.contains("null"), message);
        }
        refusedWith("is no MAT file but ", DESIGN, bytes(STIMULI));
        refusedWith("version 7.3", DESIGN, "MATLAB 7.3 MAT-file".getBytes(StandardCharsets.US_ASCII));
        refusedWith("lh.nsdgeneral.mgz", "nsddata/freesurfer/fsaverage/label/lh.nsdgeneral.mgz", new byte[] {
            0x1f, (byte) 0x8b, 8
        });
        refusedWith(
                "has 17 vertices, but the betas have 20", FOLDER + "lh.ncsnr.mgh", bytes(LABELS + "lh.streams.mgz"));
        refusedWith(
                "is no ROI id of its .ctab file",
                LABELS + "streams.mgz.ctab",
                "0 Unknown\n1 early".getBytes(StandardCharsets.UTF_8));
        refusedWith("streams.mgz.ctab, line 1", LABELS + "streams.mgz.ctab", "early".getBytes(StandardCharsets.UTF_8));
        refusedWith(
                "is no vertex of",
                "nsddata/ppdata/subj01/transforms/rh.white-to-fsaverage.mgz",
                bytes("nsddata/freesurfer/fsaverage/label/rh.nsdgeneral.mgz"));
    }

    @Test
    void aMissingFileIsNamedWithItsRemedy() throws IOException {
        String[][] missing = {
            {FOLDER + "lh.betas_session03.mgh", "lacks lh.betas_session03.mgh"},
            {FOLDER + "rh.ncsnr.mgh", "--no-ceilings"},
            {"nsddata/freesurfer/fsaverage/label/lh.nsdgeneralRSC.mgz", "--vertices nsdgeneral"},
            {"nsddata/ppdata/subj01/transforms/lh.white-to-fsaverage.mgz", "--rois none"},
            {LABELS + "floc-faces.mgz.ctab", "--rois"},
            {DESIGN, "nsd_expdesign.mat: no such file"},
            {STIMULI, "nsd_stimuli.hdf5: no such file"},
        };
        for (String[] m : missing) {
            Path nsd = copy();
            Files.delete(nsd.resolve(m[0]));
            refused(m[1], nsd, "challenge", "challenge", 0);
        }
        Path nsd = copy();
        Files.delete(nsd.resolve(FOLDER + "rh.betas_session06.mgh"));
        refused("lacks rh.betas_session06.mgh", nsd, "challenge", "challenge", 0);
        write(nsd, "challenge", "shared", 5);
        refused("lacks lh.betas_session07.mgh, rh", NSD, "challenge", "shared", 7);
        Path without = copy();
        Files.move(without.resolve(FOLDER), dir.resolve("moved"));
        refused("has no file such as lh.betas_session01.mgh", without, "all", "none", 0);
        refused("holds out the last 3 sessions", NSD, "challenge", "challenge", 3);
        refused("Give challenge, shared, none", NSD, "challenge", "share", 0);
        refused("is no choice of vertices", NSD, "everything", "shared", 0);
    }

    /** Compresses files that the NSD has uncompressed, and the other way round. */
    @Test
    void masksAndCeilingsAreFoundCompressedOrNot() throws IOException {
        Path nsd = copy();
        for (String h : List.of("lh", "rh")) {
            unpack(nsd.resolve("nsddata/freesurfer/fsaverage/label/" + h + ".nsdgeneral.mgz"));
            unpack(nsd.resolve(LABELS + h + ".streams.mgz"));
            unpack(nsd.resolve("nsddata/ppdata/subj01/transforms/" + h + ".white-to-fsaverage.mgz"));
            pack(nsd.resolve(FOLDER + h + ".ncsnr.mgh"));
        }
        Path names = nsd.resolve(LABELS + "streams.mgz.ctab");
        Files.writeString(
                names, "\ufeff-1 Outside\r\n" + Files.readString(names).replace("\n", "\r\n"));
        compare("challenge", write(nsd, "challenge", "challenge", 0));
    }

    private static void unpack(Path file) throws IOException {
        Path to = file.resolveSibling(file.getFileName().toString().replace(".mgz", ".mgh"));
        try (InputStream in = new GZIPInputStream(Files.newInputStream(file))) {
            Files.copy(in, to);
        }
        Files.delete(file);
    }

    private static void pack(Path file) throws IOException {
        Path to = file.resolveSibling(file.getFileName().toString().replace(".mgh", ".mgz"));
        try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(to))) {
            Files.copy(file, out);
        }
        Files.delete(file);
    }

    @Test
    void compressedBetasAreRefusedWithTheCommandThatUnpacksThem() throws IOException {
        Path nsd = copy(), third = nsd.resolve(FOLDER + "lh.betas_session03.mgh");
        pack(third);
        refused(
                "lh.betas_session03.mgz: is compressed, but its frames are read in any order. Unpack it, and others like"
                        + " it, in its folder: gzip -dc lh.betas_session03.mgz > lh.betas_session03.mgh",
                nsd,
                "challenge",
                "challenge",
                0);
        Files.move(nsd.resolve(FOLDER + "lh.betas_session03.mgz"), third);
        refused(
                "gzip -dc lh.betas_session03.mgh > unpacked && mv unpacked lh.betas_session03.mgh",
                nsd,
                "challenge",
                "challenge",
                0);
    }

    @Test
    void aFolderInsideOfNsdsIsTold() {
        refused("is a folder inside of NSD's. Give --nsd ", NSD.resolve("nsddata"), "challenge", "challenge", 0);
        refused("is a folder inside of NSD's", NSD.resolve(FOLDER), "challenge", "challenge", 0);
    }

    private static double[][] row(double... values) {
        return new double[][] {values};
    }

    private Path design(String name, double[][] order, int... stimpattern) throws IOException {
        MatFile mat = Mat5.newMatFile();
        add(mat, "masterordering", order);
        add(mat, "subjectim", new double[][] {{3, 1, 2}, {3, 2, 1}});
        add(mat, "sharedix", row(3));
        if (stimpattern.length > 0) mat.addArray("stimpattern", Mat5.newMatrix(stimpattern));
        Path file = dir.resolve(name);
        try (Sink sink = Sinks.newStreamingFile(file.toFile())) {
            mat.writeTo(sink);
        }
        return file;
    }

    private static void add(MatFile mat, String name, double[][] values) {
        Matrix m = Mat5.newMatrix(values.length, values[0].length);
        for (int i = 0; i < values.length; i++)
            for (int j = 0; j < values[0].length; j++) m.setDouble(i, j, values[i][j]);
        mat.addArray(name, m);
    }

    /** Otherwise all trials of later sessions get the photographs of others. */
    @Test
    void aSessionHasAllTrialsOfTheDesigns() throws IOException {
        Path nsd = copy();
        for (int s = 1; s <= 6; s++)
            for (String h : List.of("lh", "rh")) {
                String file = FOLDER + h + ".betas_session0" + s + ".mgh";
                Files.write(
                        nsd.resolve(file),
                        ByteBuffer.wrap(bytes(file)).putInt(16, 11).array());
            }
        refused(
                "lh.betas_session01.mgh: has 11 trials, but " + nsd.resolve(DESIGN)
                        + " has 72 in all, which are no whole sessions",
                nsd,
                "challenge",
                "challenge",
                0);
        double[][] order = row(1, 2, 3, 3, 2, 1, 2, 1, 3, 1, 2, 3);
        Path betas = Path.of("betas");
        ExperimentDesign without = ExperimentDesign.read(design("a.mat", order));
        without.requireWholeSessions(betas, 6);
        ExperimentDesign with = ExperimentDesign.read(design("b.mat", order, 3, 2, 2));
        with.requireWholeSessions(betas, 4);
        String message = assertThrows(InputException.class, () -> with.requireWholeSessions(betas, 6))
                .getMessage();
        assertTrue(message.contains("has 6 trials, but") && message.contains("has 4 a session"), message);
        assertEquals("[2, 0, 1, 1]", Arrays.toString(with.trials(1, 4)));
    }

    @Test
    void designsOfAnotherFormAreRefused() throws IOException {
        double[][] matrix = {{1, 2}, {3, 1}};
        InputException e =
                assertThrows(InputException.class, () -> ExperimentDesign.read(design("matrix.mat", matrix)));
        assertTrue(
                e.getMessage().contains("masterordering: has 2 rows and 2 columns, but is a vector"), e.getMessage());
        for (ByteOrder order : List.of(ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN)) {
            ByteBuffer old = ByteBuffer.allocate(30).order(order);
            old.putInt(order == ByteOrder.LITTLE_ENDIAN ? 0 : 1000)
                    .putInt(1)
                    .putInt(1)
                    .putInt(0)
                    .putInt(2);
            old.put("a\0".getBytes(StandardCharsets.US_ASCII)).putDouble(7);
            Path file = Files.write(dir.resolve("old.mat"), old.array());
            e = assertThrows(InputException.class, () -> ExperimentDesign.read(file));
            assertTrue(e.getMessage().contains("is a MAT file of version 4. "), e.getMessage());
        }
    }

    private Map<Integer, String> names(String text) throws IOException {
        return NsdFiles.names(Files.writeString(dir.resolve("c.ctab"), text));
    }

    @Test
    void namesOfRoisMayHaveBlanksAndColours() throws IOException {
        Map<Integer, String> want = Map.of(0, "Unknown", 1, "V1v", 2, "FFA 1");
        assertEquals(want, names("# no\n0 Unknown\n1 V1v\n2 \"FFA 1\"\n-1 Out\n\n"));
        assertEquals(want, names("0\tUnknown\r\n1\tV1v\r\n2\tFFA 1\r\n2\tFFA 1\r\n"));
        assertEquals(want, names("0 Unknown 25 5 25 0\n  1  V1v  255 0 0 0\n2\tFFA 1\t1\t2\t3\t0"));
        String[][] wrong = {
            {"1 FFA one", "line 1: '1 FFA one' is no id and name"},
            {"1 a\n1 b", "line 2: names the ROI id 1 'b', but a line above names it 'a'"},
            {"# nothing\n", "names no ROI"},
            {"V1v 1", "is no id and name"},
            {"1 \"a", "is no id and name"}
        };
        for (String[] w : wrong) {
            String message =
                    assertThrows(InputException.class, () -> names(w[0])).getMessage();
            assertTrue(message.contains(w[1]), message);
        }
    }

    @Test
    void aMaskMayBeOfAnyRealType() throws IOException {
        float[] some = new float[20];
        some[3] = 0.5f;
        some[4] = Float.NaN;
        some[5] = -1;
        NpyWriter.save(dir.resolve("mask.NPY"), some, 1, 20);
        Path subject = write(NSD, dir.resolve("mask.NPY") + "," + dir.resolve("mask.NPY"), "none", 0);
        double[] all = doubles(subject.resolve("roi_masks/lh.all-vertices_fsaverage_space.npy"));
        assertEquals(1, all[3]);
        assertEquals(1, Arrays.stream(all).sum());
    }

    @Test
    void ncsnrThatIsNoneIsToldByItsVertexBeforeTheWork() throws IOException {
        Path nsd = copy(), file = nsd.resolve(FOLDER + "rh.ncsnr.mgh");
        byte[] ncsnr = Files.readAllBytes(file);
        double[] chosen = doubles(NSD.resolve("challenge/rh.all-vertices_fsaverage_space.npy"));
        int last = 19;
        while (chosen[last] == 0) last--;
        ByteBuffer.wrap(ncsnr).putFloat(284 + 4 * last, 11);
        Files.write(file, ncsnr);
        notes.clear();
        refused("rh.ncsnr.mgh, vertex " + last + ": 11.0 is no signal-to-noise", nsd, "challenge", "challenge", 0);
        assertFalse(notes().contains("images written"), notes());
    }

    @Test
    void aLinkInTheFoldersPlaceIsRefused() throws IOException {
        for (String name : List.of("subj01", ".subj01.partial")) {
            Path out = Files.createDirectories(dir.resolve("out" + written)), link = out.resolve(name);
            Files.createSymbolicLink(link, dir.resolve("nowhere"));
            String message = assertThrows(InputException.class, () -> write(NSD, "challenge", "challenge", 0))
                    .getMessage();
            assertTrue(message.contains(link.toString()), message);
            assertTrue(Files.isSymbolicLink(link));
        }
    }

    @Test
    void theSplitFollowsTheDesign() {
        int[] photographs = {3, 1, 3, 2, 1, 0};
        TrialSplit split = TrialSplit.challenge(photographs, 3, true, Set.of(0, 1));
        assertEquals("[1, 3]", split.training().keySet().toString());
        assertEquals("[2]", split.test().keySet().toString());
        assertThrows(InputException.class, () -> TrialSplit.challenge(photographs, 5, true, Set.of(0, 1)));
        ExperimentDesign design = ExperimentDesign.read(NSD.resolve(DESIGN));
        assertEquals(72, design.order().length);
        assertThrows(InputException.class, () -> design.trials(1, 73));
        for (int subject : new int[] {-1, 0, 3})
            assertThrows(InputException.class, () -> design.requireSubject(subject));
    }

    @Test
    void aMaskMustMarkVertices() {
        NpyWriter.save(dir.resolve("none.npy"), new int[20], 20);
        refused(
                "marks no vertex of hemisphere lh",
                NSD,
                dir.resolve("none.npy") + "," + dir.resolve("none.npy"),
                "none",
                0);
    }
}
