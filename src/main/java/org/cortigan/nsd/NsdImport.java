// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.Challenge;
import org.cortigan.cortex.Images;
import org.cortigan.cortex.Rgb;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.InputFiles;
import org.cortigan.io.Json;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.cortigan.io.NumpyPickle;
import org.cortigan.io.PendingFolder;
import org.jspecify.annotations.Nullable;

/**
 * Makes a subject in the challenge's layout from the files of the Natural Scenes Dataset, as the challenge's organisers
 * did (challenge_data_preparation.py of gifale95/algonauts_2023): betas on fsaverage z-scored within each session,
 * averaged over the repeats of a photograph; noise ceilings from ncsnr (Allen et al. 2022); ROIs mapped from the
 * subject's surface. Test responses and noise ceilings go where the organisers' script puts them, to
 * {@code test_split/test_fmri} and {@code test_split/noise_ceiling}; {@code dataset.json} says how the subject was
 * made. Sums are in double. Memory does not grow with the number of photographs.
 */
public final class NsdImport {
    private static final List<String> HEMISPHERES = List.of("lh", "rh");
    private static final int MAX_LIST = 16 << 20, PROGRESS = 1024;

    /**
     * What to import.
     *
     * @param nsd folder that holds nsddata, nsddata_betas and nsddata_stimuli
     * @param out folder for subj0X
     * @param betas folder of the betas' version, such as betas_fithrf_GLMdenoise_RR
     * @param vertices {@code challenge} (nsdgeneral and nsdgeneralRSC), {@code nsdgeneral}, {@code all}, or a left and
     *     a right mask file (MGH or npy)
     * @param test {@code challenge}, {@code shared}, {@code none}, or a text file with a photograph's number a line
     * @param sessions number of sessions, from the first; 0 for all
     * @param rois ROI classes; empty for none
     * @param ceilings whether to compute noise ceilings from ncsnr
     * @param imageSize side of an image in pixels; 0 for that of the stimuli
     */
    public record Options(
            Path nsd,
            int subject,
            Path out,
            String betas,
            List<String> vertices,
            String test,
            int sessions,
            List<String> rois,
            boolean ceilings,
            int imageSize) {
        public Options {
            if (sessions < 0)
                throw new InputException("--sessions " + sessions, "is no number of sessions", "Give 1 or more");
            if (imageSize < 0 || imageSize > Rgb.MAX_SIDE)
                throw new InputException(
                        "--image-size " + imageSize,
                        "is no side of an image in pixels",
                        "Give 1 to " + Rgb.MAX_SIDE + ", or 0 for that of NSD's photographs");
            if (vertices.size() != 2
                    && !(vertices.size() == 1
                            && Set.of("challenge", "nsdgeneral", "all").contains(vertices.get(0))))
                throw new InputException(
                        "--vertices " + String.join(",", vertices),
                        "is no choice of vertices",
                        "Give challenge, nsdgeneral, all, or a left and a right mask file separated by a comma, which their"
                                + " names cannot have");
        }

        private boolean allVertices() {
            return vertices.equals(List.of("all"));
        }

        private Path data(String path) {
            return nsd.resolve("nsddata").resolve(path);
        }

        private Path betasFolder() {
            return nsd.resolve("nsddata_betas/ppdata/" + AlgonautsSubject.folderName(subject) + "/fsaverage/" + betas);
        }
    }

    private final Options o;
    private final Consumer<String> log;

    private NsdImport(Options options, Consumer<String> log) {
        o = options;
        this.log = log;
    }

    /**
     * Writes the subject's folder.
     *
     * @param log takes notes on progress
     * @return the folder
     * @throws InputException if the folder exists, or a file is missing, damaged or does not fit the others; nothing is
     *     left then
     */
    public static Path write(Options options, Consumer<String> log) {
        return new NsdImport(options, log).write();
    }

    /**
     * A hemisphere, before its betas are read.
     *
     * @param chosen vertices of the surface to write
     * @param ceiling by vertex of the surface, NaN where not chosen; null if no noise ceilings are wanted
     * @param rois id of each vertex of the surface, by class
     */
    private record Hemisphere(
            String name,
            SessionBetas betas,
            int[] chosen,
            @Nullable NoiseCeiling ceiling,
            Map<String, int[]> rois) {}

    private Path write() {
        Path folder = o.out.resolve(AlgonautsSubject.folderName(o.subject));
        requireRoot();
        ExperimentDesign design = ExperimentDesign.read(o.data("experiments/nsd/nsd_expdesign.mat"));
        design.requireSubject(o.subject);
        int sessions = SessionBetas.sessions(o.betasFolder(), o.sessions);
        Map<String, Map<Integer, String>> names = new LinkedHashMap<>();
        for (String c : o.rois) names.put(c, NsdFiles.names(label(c + ".mgz.ctab")));
        try (Stimuli stimuli = Stimuli.open(o.nsd.resolve("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"));
                SessionBetas left = SessionBetas.open(o.betasFolder(), "lh", sessions);
                SessionBetas right = SessionBetas.open(o.betasFolder(), "rh", sessions)) {
            if (left.trialsPerSession() != right.trialsPerSession())
                throw new InputException(
                        right.path(0).toString(),
                        "has " + right.trialsPerSession() + " trials, but " + left.path(0) + " has "
                                + left.trialsPerSession(),
                        "Give both hemispheres of one version of the betas");
            design.requireWholeSessions(left.path(0), left.trialsPerSession());
            TrialSplit split = split(design, sessions, left.trialsPerSession(), stimuli.count());
            int last = Math.max(last(split.training()), last(split.test()));
            if (last >= stimuli.count())
                throw new InputException(
                        stimuli.path().toString(),
                        "has " + stimuli.count() + " photographs, but the subject saw number " + last
                                + " (counted from 0)",
                        "Give the stimuli of the same experiment");
            List<Hemisphere> hemispheres =
                    List.of(hemisphere("lh", left, names, split), hemisphere("rh", right, names, split));
            try (PendingFolder pending = new PendingFolder(folder, log)) {
                checkSpace(split, hemispheres, stimuli);
                Map<String, Object> about = about(split, sessions);
                names.forEach((c, n) ->
                        NumpyPickle.writeMapping(pending.create("roi_masks").resolve("mapping_" + c + ".npy"), n));
                // First, because a photograph that cannot be read is then told within minutes.
                images(stimuli, split.training(), "train", pending.create("training_split/training_images"));
                if (!split.test().isEmpty())
                    images(stimuli, split.test(), "test", pending.create("test_split/test_images"));
                for (Hemisphere h : hemispheres) about.put(h.name + "_unknown_vertices", write(h, split, pending));
                Json.write(pending.path().resolve("dataset.json"), about);
                pending.requireFiles(
                        "training_split/training_images", split.training().size());
                if (!split.test().isEmpty())
                    pending.requireFiles("test_split/test_images", split.test().size());
                pending.commit();
            }
        }
        return folder;
    }

    /** Checks that the user has not named a folder inside of NSD's. */
    private void requireRoot() {
        if (Files.isDirectory(o.nsd.resolve("nsddata"))) return;
        for (Path p = o.nsd.toAbsolutePath().normalize(); p != null; p = p.getParent())
            if (Files.isDirectory(p.resolve("nsddata")))
                throw new InputException("--nsd " + o.nsd, "is a folder inside of NSD's", "Give --nsd " + p);
    }

    private static int last(Map<Integer, List<Integer>> set) {
        return set.keySet().stream().max(Integer::compare).orElse(-1);
    }

    private Path label(String name) {
        return NsdFiles.require(
                o.data("freesurfer/" + AlgonautsSubject.folderName(o.subject) + "/label/" + name),
                "Download the file, or choose other ROI classes with --rois, or none with --rois none");
    }

    private TrialSplit split(ExperimentDesign design, int sessions, int trialsPerSession, long stimuli) {
        int trials = Math.multiplyExact(sessions, trialsPerSession);
        int[] photographs = design.trials(o.subject, trials);
        TrialSplit split;
        if (o.test.equals("none")) split = TrialSplit.none(photographs);
        else if (o.test.equals("shared")) split = TrialSplit.of(photographs, design.shared());
        else if (o.test.equals("challenge")) {
            int before = sessions - TrialSplit.HELD_OUT_SESSIONS;
            if (before < 1)
                throw new InputException(
                        "--test challenge",
                        "holds out the last " + TrialSplit.HELD_OUT_SESSIONS + " sessions, but only " + sessions
                                + " are used",
                        "Give more sessions, or --test shared");
            boolean complete = trials == design.order().length;
            split = TrialSplit.challenge(photographs, before * trialsPerSession, complete, design.shared());
            int all = o.subject <= 8 ? Challenge.sessions(o.subject) : sessions;
            if (sessions != all)
                log.accept("note: NSD has " + all + " sessions of subject " + o.subject + ", and " + sessions
                        + " are used: the split is not the challenge's");
        } else split = TrialSplit.of(photographs, listed(InputFiles.path(o.test), photographs, stimuli));
        log.accept(String.format(
                Locale.ROOT,
                "%d sessions of %d trials: %d training photographs %s, %d test photographs %s",
                sessions,
                trialsPerSession,
                split.training().size(),
                seen(split.training()),
                split.test().size(),
                seen(split.test())));
        return split;
    }

    private static String seen(Map<Integer, List<Integer>> set) {
        List<String> parts = new ArrayList<>();
        TrialSplit.seen(set).forEach((times, n) -> parts.add(n + " seen " + times + "x"));
        return "(" + String.join(", ", parts) + ")";
    }

    /** The photographs of a list that the subject saw; the log receives how many others there are. */
    private Set<Integer> listed(Path file, int[] photographs, long stimuli) {
        String text = InputFiles.readText(
                NsdFiles.require(file, "Give challenge, shared, none, or a text file"),
                MAX_LIST,
                "a list of photographs");
        Set<Integer> listed = new TreeSet<>();
        int number = 0;
        for (String line : text.split("\\R")) {
            number++;
            // As numpy.savetxt writes them: whole numbers, also in the form of a float, and comments.
            for (String id : line.replaceFirst("#.*", "").strip().split("[\\s,]+")) {
                if (id.isEmpty()) continue;
                if (!id.matches("\\+?\\d{1,9}(\\.\\d*)?(e\\+\\d\\d?)?")
                        || Double.parseDouble(id) % 1 != 0
                        || Double.parseDouble(id) >= stimuli)
                    throw new InputException(
                            file + ", line " + number,
                            InputFiles.quote(id) + " is no number of a photograph, of which there are " + stimuli,
                            "Give NSD's numbers, counted from 0, one a line");
                listed.add((int) Double.parseDouble(id));
            }
        }
        if (listed.isEmpty())
            throw new InputException(file.toString(), "lists no photograph", "Give one a line, or --test none");
        int all = listed.size();
        listed.retainAll(IntStream.of(photographs).boxed().collect(Collectors.toSet()));
        if (listed.isEmpty())
            throw new InputException(
                    file.toString(),
                    "lists no photograph that the subject saw in these sessions",
                    "List others, or give --test none");
        if (listed.size() < all)
            log.accept(file + ": " + (all - listed.size()) + " of " + all
                    + " photographs are left out, which the subject did not see in these sessions");
        return listed;
    }

    private Hemisphere hemisphere(
            String h, SessionBetas betas, Map<String, Map<Integer, String>> names, TrialSplit split) {
        int surface = betas.surface();
        Map<String, int[]> rois = new LinkedHashMap<>();
        names.forEach((c, n) -> rois.put(
                c,
                NsdFiles.rois(
                        label(h + "." + c + ".mgz"),
                        NsdFiles.require(
                                o.data("ppdata/" + AlgonautsSubject.folderName(o.subject) + "/transforms/" + h
                                        + ".white-to-fsaverage.mgz"),
                                "Download the file, which maps the ROIs to fsaverage, or give --rois none"),
                        surface,
                        n)));
        int[] chosen = chosen(h, surface);
        if (chosen.length == 0)
            throw new InputException(
                    "--vertices " + String.join(",", o.vertices),
                    "marks no vertex of hemisphere " + h,
                    "Give a mask with numbers above 0");
        return new Hemisphere(h, betas, chosen, o.ceilings ? ceiling(h, surface, chosen, split) : null, rois);
    }

    /** The noise ceilings of the chosen vertices, NaN elsewhere: messages then name the vertex as the file does. */
    private NoiseCeiling ceiling(String h, int surface, int[] chosen, TrialSplit split) {
        Path file = NsdFiles.require(
                o.betasFolder().resolve(h + ".ncsnr.mgh"),
                "Download the file, or add --no-ceilings to write no noise ceilings");
        double[] values = NsdFiles.values(file, surface);
        float[] ncsnr = new float[surface];
        Arrays.fill(ncsnr, Float.NaN);
        for (int v : chosen) ncsnr[v] = (float) values[v];
        return NoiseCeiling.fromNcsnr(
                file.toString(),
                ncsnr,
                split.averaged(),
                "Download the file again, or add --no-ceilings to write no noise ceilings");
    }

    private int[] chosen(String h, int surface) {
        if (o.allVertices()) return IntStream.range(0, surface).toArray();
        if (o.vertices.size() == 2)
            return NsdFiles.marked(NsdFiles.values(InputFiles.path(o.vertices.get(HEMISPHERES.indexOf(h))), surface));
        Path folder = o.data("freesurfer/fsaverage/label");
        double[] general = NsdFiles.values(
                NsdFiles.require(folder.resolve(h + ".nsdgeneral.mgz"), "Download the file, or give --vertices all"),
                surface);
        if (o.vertices.equals(List.of("nsdgeneral"))) return NsdFiles.marked(general);
        Path rsc = NsdFiles.require(
                folder.resolve(h + ".nsdgeneralRSC.mgz"),
                "The challenge's organisers publish this file: copy it from code/01_challenge_data_preparation of"
                        + " github.com/gifale95/algonauts_2023, or give --vertices nsdgeneral");
        return NsdFiles.marked(general, NsdFiles.values(rsc, surface));
    }

    private void checkSpace(TrialSplit split, List<Hemisphere> hemispheres, Stimuli stimuli) {
        long photographs = split.training().size() + (long) split.test().size();
        long responses = photographs
                * hemispheres.stream().mapToLong(h -> h.chosen.length).sum()
                * Float.BYTES;
        long images = photographs * (o.imageSize == 0 ? stimuli.imageBytes() : 3L * o.imageSize * o.imageSize);
        long free = AtomicFiles.freeBytes(o.out);
        log.accept(String.format(
                Locale.ROOT,
                "%s needs %.1f GB for responses and at most %.1f GB for images",
                o.out,
                responses / 1e9,
                images / 1e9));
        if (free >= 0 && free < responses)
            throw new InputException(
                    o.out.toString(),
                    "the disk is full: the responses alone need " + responses + " bytes, " + free + " are free",
                    "Free disk space, choose a folder on another disk, or fewer vertices with --vertices");
    }

    private Map<String, Object> about(TrialSplit split, int sessions) {
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("what", "subject in the layout of the Algonauts 2023 challenge, imported from NSD");
        about.put("subject", o.subject);
        about.put("betas", o.betas);
        about.put("sessions", sessions);
        about.put("vertices", String.join(",", o.vertices));
        about.put("test", o.test);
        about.put("training_images", split.training().size());
        about.put("test_images", split.test().size());
        return about;
    }

    /** Writes a hemisphere's responses, noise ceilings and masks; returns the number of unknown vertices. */
    private int write(Hemisphere h, TrialSplit split, PendingFolder folder) {
        log.accept(h.name + ": measuring " + h.chosen.length + " vertices in every session");
        boolean[] unknown = h.betas.measure(h.chosen);
        int count =
                (int) IntStream.range(0, unknown.length).filter(v -> unknown[v]).count();
        int[] columns = IntStream.range(0, unknown.length)
                .filter(v -> o.allVertices() || !unknown[v])
                .toArray();
        if (count > 0)
            log.accept(h.name + ": " + count + " of " + unknown.length + " vertices have a NaN among their trials and "
                    + (o.allVertices()
                            ? "are NaN for every photograph; a mask file (--vertices) would leave them out"
                            : "are left out"));
        if (count == unknown.length)
            throw new InputException(
                    o.betasFolder().toString(),
                    "every chosen vertex of hemisphere " + h.name + " has a NaN among its trials",
                    "Choose other vertices with --vertices, or download the betas again");
        int[] at = IntStream.of(columns).map(c -> h.chosen[c]).toArray();
        responses(
                h,
                split.training(),
                columns,
                folder.create("training_split/training_fmri").resolve(h.name + "_training_fmri.npy"));
        if (!split.test().isEmpty())
            responses(
                    h,
                    split.test(),
                    columns,
                    folder.create("test_split/test_fmri").resolve(h.name + "_test_fmri.npy"));
        if (h.ceiling != null) {
            NoiseCeiling ceiling = h.ceiling.of(at);
            log.accept(h.name + ": " + ceiling.summary());
            Path ceilings = split.test().isEmpty() ? folder.path() : folder.create("test_split/noise_ceiling");
            NpyWriter.save(ceilings.resolve(h.name + "_noise_ceiling.npy"), ceiling.toFloats(), at.length);
        }
        Path masks = folder.create("roi_masks");
        int[] all = new int[h.betas.surface()];
        for (int v : at) all[v] = 1;
        NpyWriter.save(masks.resolve(h.name + ".all-vertices_fsaverage_space.npy"), all, all.length);
        h.rois.forEach((c, ids) -> {
            int[] inside =
                    IntStream.range(0, ids.length).map(v -> ids[v] * all[v]).toArray();
            NpyWriter.save(masks.resolve(h.name + "." + c + "_fsaverage_space.npy"), inside, inside.length);
            int[] challenge = IntStream.of(at).map(v -> ids[v]).toArray();
            NpyWriter.save(masks.resolve(h.name + "." + c + "_challenge_space.npy"), challenge, challenge.length);
        });
        return count;
    }

    private void responses(Hemisphere h, Map<Integer, List<Integer>> photographs, int[] columns, Path file) {
        float[] row = new float[columns.length];
        int done = 0;
        try (NpyWriter w = NpyWriter.create(file, NpyType.F32, photographs.size(), columns.length)) {
            for (List<Integer> trials : photographs.values()) {
                h.betas.response(trials, columns, row);
                w.writeRow(row, 0, row.length);
                if (++done % PROGRESS == 0)
                    log.accept(h.name + ": responses to " + done + " of " + photographs.size() + " photographs");
            }
            w.commit();
        }
    }

    private void images(Stimuli stimuli, Map<Integer, List<Integer>> photographs, String prefix, Path folder) {
        List<Integer> ids = List.copyOf(photographs.keySet());
        for (int from = 0; from < ids.size(); from += PROGRESS) {
            int to = Math.min(ids.size(), from + PROGRESS);
            IntStream.range(from, to).parallel().forEach(i -> {
                Rgb image = stimuli.read(ids.get(i));
                if (o.imageSize > 0) image = image.square().resize(o.imageSize, o.imageSize);
                Images.writePng(
                        folder.resolve(String.format(Locale.ROOT, "%s-%04d_nsd-%05d.png", prefix, i + 1, ids.get(i))),
                        image);
            });
            log.accept(to + " of " + ids.size() + " " + prefix + " images written");
        }
    }
}
