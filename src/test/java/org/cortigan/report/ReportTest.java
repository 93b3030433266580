// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.zip.InflaterInputStream;
import org.cortigan.ReportPages;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.FsaverageVertices;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.io.Json;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyWriter;
import org.cortigan.io.SafeTensors;
import org.cortigan.surface.Fsaverage;
import org.cortigan.surface.Surfaces;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {
    private static final int LEFT = 400, RIGHT = 420;

    @TempDir
    private static Path shared;

    @TempDir
    private Path folder;

    @BeforeAll
    static void evaluate() {
        ReportPages.evaluated(shared, new int[] {LEFT, RIGHT});
    }

    private static Map<String, Object> json(Report.Options options) {
        return Report.json(options, note -> {});
    }

    private static Map<String, Object> at(Map<String, Object> json, String... keys) {
        Map<String, Object> at = json;
        for (String key : keys) at = Json.object(at.get(key), key);
        return at;
    }

    private static List<Object> list(Map<String, Object> json, String key) {
        return new ArrayList<>((List<?>) json.get(key));
    }

    /** The integers of a blob, as the page reads them. */
    private static int[] integers(Map<String, Object> blob) throws IOException {
        int n = ((Number) blob.get("n")).intValue();
        byte[] bytes = new InflaterInputStream(
                        new ByteArrayInputStream(Base64.getDecoder().decode(String.valueOf(blob.get("data")))))
                .readAllBytes();
        int width = bytes.length / n;
        int[] out = new int[n];
        for (int i = 0; i < n; i++) {
            for (int plane = 0; plane < width; plane++) out[i] |= (bytes[plane * n + i] & 0xff) << 8 * plane;
            if (blob.get("type").equals("i16") && blob.get("coding").equals("plain")) out[i] = (short) out[i];
            if (!blob.get("coding").equals("plain")) out[i] = out[i] >>> 1 ^ -(out[i] & 1);
            if (blob.get("coding").equals("delta") && i > 0) out[i] += out[i - 1];
        }
        return out;
    }

    @Test
    void thePageHasTheNumbersOfTheFiles() throws IOException {
        Map<String, Object> json = json(ReportPages.options(ReportRun.find(shared)));
        assertEquals(
                List.of("model", "control", "baseline"),
                list(json, "runs").stream()
                        .map(r -> Json.object(r, "run").get("role"))
                        .toList());
        Map<String, Object> gan = Json.object(list(json, "runs").get(0), "run");
        try (AlgonautsSubject s = AlgonautsSubject.open(shared.resolve("data"), 1)) {
            int[][] where = FsaverageVertices.of(s);
            for (int h = 0; h < 2; h++) {
                String hemisphere = h == 0 ? "lh" : "rh";
                float[] r;
                try (NpyFile f = NpyFile.open(shared.resolve("evaluation/GAN/" + hemisphere + "_correlation.npy"))) {
                    r = f.toFloatArray();
                }
                Map<String, Object> blob = at(gan, "maps", "r", hemisphere);
                int[] packed = integers(blob);
                double scale = ((Number) blob.get("scale")).doubleValue();
                for (int v = 0; v < r.length; v++) assertEquals(r[v], packed[v] * scale, 0.5001 * scale);
                assertArrayEquals(where[h], integers(at(json, "subjects", "subj01", "fsaverage", hemisphere)));
                int[] shown = integers(at(json, "subjects", "subj01", "shown", hemisphere));
                assertArrayEquals(Fsaverage.nearest(where[h], 5), shown);
            }
        }
        assertEquals("tools/cortigan train\ntools/cortigan evaluate", gan.get("command"));
        assertTrue(String.valueOf(gan.get("recipe")).contains("shuffle_pairs"));
        assertEquals(8, list(at(gan, "curves"), "rows").size());
        Map<String, Object> v1v = Json.object(list(gan, "photographs").get(1), "photographs");
        Map<String, Object> best = Json.object(list(v1v, "most").get(0), "most");
        assertEquals(0.5, best.get("r"));
        assertTrue(at(json, "photographs").containsKey(best.get("photograph")));
    }

    @Test
    void theSurfacesComeBack() throws IOException {
        Map<String, Object> json = json(ReportPages.options(ReportRun.find(shared)));
        float[] points = Surfaces.bundled().mesh(Surfaces.Kind.PIAL, 1).points();
        Map<String, Object> blob = at(json, "geometry", "surfaces", "pial", "rh");
        int[] coded = integers(blob), parents = Fsaverage.parents(5);
        double scale = ((Number) blob.get("scale")).doubleValue();
        for (int i = 0; i < coded.length; i++) {
            int p = 3 * parents[i / 3 * 2] + i % 3, q = 3 * parents[i / 3 * 2 + 1] + i % 3;
            if (i >= 36) coded[i] += coded[p] + coded[q] >> 1;
            assertEquals(points[i], coded[i] * scale, 0.5001 * scale);
        }
    }

    @Test
    void aPageIsNotEndedByWhatItShows() throws IOException {
        ReportRun gan = ReportRun.find(shared).get(0);
        String name = "</script><script>alert(1)</script>{{script}}";
        ReportRun evil = new ReportRun(name, gan.role(), gan.evaluation(), gan.run());
        String page = new String(Report.page(json(ReportPages.options(List.of(evil)))), StandardCharsets.UTF_8);
        assertFalse(page.contains("<script>alert"));
        String element = "id=\"report-data\">";
        int begin = page.indexOf(element) + element.length();
        Map<String, Object> json =
                Json.object(Json.parse(page.substring(begin, page.indexOf("</script>", begin)), "page"), "page");
        assertEquals(name, Json.object(list(json, "runs").get(0), "run").get("name"));
    }

    @Test
    void aPhotographThatCannotBeReadIsNamed() throws IOException {
        ReportRun run = copy("label", "label");
        String name = "test-0001_nsd-00003.png";
        Files.writeString(
                run.evaluation().resolve("photographs.csv"),
                "image,file,hemisphere,class,roi,vertices,r\n0," + name + ",both,,all vertices,820,0.5\n"
                        + "1,test-0002_nsd-00010.png,both,,all vertices,820,0.25\n");
        Path file = shared.resolve("data/subj01/test_split/test_images").resolve(name);
        byte[] whole = Files.readAllBytes(file);
        try {
            Files.writeString(file, "no photograph");
            Map<String, Object> json = json(ReportPages.options(List.of(run)));
            assertTrue(
                    list(json, "notes").toString().contains(name),
                    list(json, "notes").toString());
            assertEquals(1, at(json, "photographs").size());
        } finally {
            Files.write(file, whole);
        }
    }

    @Test
    void photographsCanBeLeftOutAndNeedNotBeThere() throws IOException {
        Report.Options o = ReportPages.options(ReportRun.find(shared));
        Report.Options without = new Report.Options(
                o.runs(), o.data(), o.subject(), o.unit(), o.mesh(), false, o.command(), o.version());
        Path images = shared.resolve("data/subj01/training_split/training_images"), away = shared.resolve("away");
        Files.move(images, away);
        try {
            refused(() -> json(o), "training_images");
            Map<String, Object> json = json(without);
            assertTrue(at(json, "photographs").isEmpty());
            assertNull(Json.object(list(json, "runs").get(0), "run").get("photographs"));
        } finally {
            Files.move(away, images);
        }
    }

    /** An evaluation with the same files and another metrics.json. */
    private ReportRun copy(String from, String to) throws IOException {
        Path copy = Files.createDirectories(folder.resolve("evaluation"));
        for (String h : List.of("lh", "rh"))
            Files.copy(
                    shared.resolve("evaluation/GAN/" + h + "_correlation.npy"), copy.resolve(h + "_correlation.npy"));
        String metrics = Files.readString(shared.resolve("evaluation/GAN/metrics.json"));
        assertTrue(metrics.contains(from));
        Files.writeString(copy.resolve("metrics.json"), metrics.replace(from, to));
        return ReportRun.find(folder).get(0);
    }

    @Test
    void anEvaluationOfAnEarlierVersionNeedsItsData() throws IOException {
        ReportRun run = copy("subject_folder", "earlier");
        Report.Options o = ReportPages.options(List.of(run));
        refused(() -> json(o), "metrics.json", "--data");
        Report.Options named = new Report.Options(
                o.runs(), shared.resolve("data"), 1, NoiseCeiling.Unit.FRACTION, null, true, o.command(), o.version());
        assertEquals(1, list(json(named), "runs").size());
    }

    @Test
    void anotherSubjectThanTheEvaluationsIsRefused() {
        Report.Options o = ReportPages.options(ReportRun.find(shared));
        Report.Options other =
                new Report.Options(o.runs(), shared.resolve("data"), 2, null, null, true, o.command(), o.version());
        refused(() -> json(other), "--subject 2", "metrics.json");
    }

    @Test
    void damagedFilesAreNamed() throws IOException {
        for (List<String> change : List.of(
                List.of("\"images\": 60", "\"images\": -3"),
                List.of("\"warnings\": []", "\"warnings\": \"x\""),
                List.of("\"label\": \"GAN", "\"label\": [5], \"x\": \"GAN"),
                List.of("\"subject\": 1", "\"subject\": 9"),
                List.of("\"noise_ceiling_unit\": \"fraction\"", "\"noise_ceiling_unit\": \"parts\""),
                List.of("\"rows\":", "\"rows\": \"x\", \"others\":"))) {
            ReportRun run = copy(change.get(0), change.get(1));
            refused(() -> json(ReportPages.options(List.of(run))), "metrics.json", "key '");
            for (String name : List.of("lh_correlation.npy", "rh_correlation.npy", "metrics.json"))
                Files.delete(run.evaluation().resolve(name));
        }
    }

    @Test
    void aReadoutOfOtherVerticesIsRefused() throws IOException {
        ReportRun run = copy("label", "label");
        SafeTensors.Writer writer = new SafeTensors.Writer(run.evaluation().resolve("readout.safetensors"));
        writer.add("positions.lh", new float[2 * LEFT - 2], LEFT - 1, 2);
        writer.commit();
        refused(() -> json(ReportPages.options(List.of(run))), "readout.safetensors", "400 vertices");
    }

    @Test
    void evaluationsOfOneNameAreToldApart() throws IOException {
        ReportRun gan = ReportRun.find(shared).get(0);
        ReportRun other = new ReportRun("GAN", gan.role(), shared.resolve("evaluation/ridge"), null);
        List<ReportRun> runs = ReportPages.options(List.of(gan, other, gan)).runs();
        assertEquals(2, runs.size(), "the same evaluation is shown once");
        assertTrue(runs.get(0).name().startsWith("GAN in "), runs.toString());
        assertNotEquals(runs.get(0).name(), runs.get(1).name());
    }

    @Test
    void movedDataAreNamed() throws IOException {
        ReportRun run = copy("subj01\"", "gone\"");
        refused(() -> json(ReportPages.options(List.of(run))), "gone", "--data");
    }

    @Test
    void anEvaluationOfAnotherSubjectIsRefused() throws IOException {
        ReportRun run = copy("label", "label");
        NpyWriter.save(run.evaluation().resolve("lh_correlation.npy"), new float[LEFT + 1], LEFT + 1);
        refused(() -> json(ReportPages.options(List.of(run))), "lh_correlation.npy", "400 vertices");
    }

    @Test
    void whatIsNoRunIsRefused() throws IOException {
        refused(() -> ReportRun.find(folder), "evaluate");
        refused(() -> ReportRun.find(folder.resolve("none")), "none");
        ReportRun gan = ReportRun.find(shared).get(0);
        List<ReportRun> many = new ArrayList<>();
        for (int i = 0; i < 11; i++) many.add(new ReportRun("run", gan.role(), folder.resolve("run" + i), null));
        refused(() -> ReportPages.options(many), "11");
    }
}
