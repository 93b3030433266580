// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.eval.EvaluationFile;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.GiftiFile;
import org.cortigan.io.MghFile;
import org.cortigan.surface.BrainPicture;
import org.cortigan.surface.Colourmap;
import org.cortigan.surface.Fsaverage;
import org.cortigan.surface.Outline;
import org.cortigan.surface.Scale;
import org.cortigan.surface.Surfaces;
import org.cortigan.surface.Surfaces.Kind;
import org.cortigan.surface.VertexFiles;
import org.cortigan.surface.VertexMap;
import org.cortigan.surface.View;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "map",
        description = "Shows values of vertices on the cortex: as a picture (.png, .svg), or as files for FreeView,"
                + " Connectome Workbench, nilearn and pycortex (.func.gii, .mgh, .mgz).",
        mixinStandardHelpOptions = true,
        footer = {
            "",
            "Files that evaluate and predict wrote have the challenge's vertices: give --data and --subject, so that"
                    + " the subject's masks tell where these lie. Values of fsaverage (163842 vertices a hemisphere),"
                    + " fsaverage6 (40962) or fsaverage5 (10242) need neither."
        })
final class MapCommand implements Callable<Integer> {
    private static final String[] HEMISPHERES = {"lh", "rh"};

    private static final List<String> FORMATS = List.of(".png", ".svg", ".func.gii", ".mgh", ".mgz");

    private static final int MIN_WIDTH = 300, MAX_WIDTH = 10_000;

    private static final List<String> PICTURE_OPTIONS = List.of(
            "--mesh",
            "--rois",
            "--title",
            "--colourmap",
            "--min",
            "--max",
            "--threshold",
            "--surface",
            "--views",
            "--width");

    @Spec
    private CommandSpec spec;

    @Mixin
    private Output output;

    @Parameters(
            paramLabel = "FILE",
            arity = "1..2",
            description = "One value for each vertex (.npy, .func.gii, .shape.gii, .mgh, .mgz): a hemisphere's file,"
                    + " whose other one is found by its name (lh_, lh., left and the like), both files, or one file"
                    + " with the left hemisphere's values and then the right's.")
    private List<Path> files;

    @Option(
            names = {"-o", "--out"},
            required = true,
            paramLabel = "FILE",
            description = "The file to write. A surface file x.func.gii is written as lh.x.func.gii and rh.x.func.gii,"
                    + " with all vertices of fsaverage.")
    private Path out;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description =
                    "Folder with subj01 ... subj08, for their masks (default: the one that metrics.json beside the"
                            + " file names).")
    private @Nullable Path data;

    @Option(
            names = "--subject",
            paramLabel = "N",
            description = "1 to 8 (default: the one that metrics.json beside the file names, else 1).")
    private @Nullable Integer subject;

    @Option(names = "--row", paramLabel = "N", description = "Row of an array [rows, vertices], from 0.")
    private @Nullable Integer row;

    @Option(names = "--title", defaultValue = "", paramLabel = "TEXT", description = "Title of the picture.")
    private String title;

    @Option(
            names = "--label",
            paramLabel = "TEXT",
            description = "What the colour bar shows, with its unit (default: the file's name).")
    private @Nullable String label;

    @Option(
            names = "--colourmap",
            defaultValue = "inferno",
            paramLabel = "NAME",
            description = "${COMPLETION-CANDIDATES} (default ${DEFAULT-VALUE}); dark is low. difference is for values"
                    + " about 0: blue below, orange above.")
    private Colourmap colourmap;

    @Option(
            names = "--min",
            paramLabel = "X",
            description = "Value of the first colour (default: 0; of a difference minus --max).")
    private @Nullable Double min;

    @Option(
            names = "--max",
            paramLabel = "X",
            description =
                    "Value of the last colour (default: the 99th percentile, rounded up; of a difference minus --min).")
    private @Nullable Double max;

    @Option(
            names = "--threshold",
            paramLabel = "X",
            description = "Hides values below X; of a difference those between -X and X.")
    private @Nullable Double threshold;

    @Option(
            names = "--surface",
            defaultValue = "inflated",
            paramLabel = "KIND",
            description = "${COMPLETION-CANDIDATES} (default ${DEFAULT-VALUE}); flat shows the flat map alone.")
    private Kind surface;

    @Option(
            names = "--views",
            split = ",",
            paramLabel = "VIEW",
            description = "${COMPLETION-CANDIDATES} (default: lateral,medial,ventral,posterior,flat).")
    private @Nullable List<View> views;

    @Option(
            names = "--width",
            defaultValue = "1800",
            paramLabel = "N",
            description = "Width of the picture in pixels (default ${DEFAULT-VALUE}).")
    private int width;

    @Option(
            names = "--rois",
            split = ",",
            paramLabel = "ROI",
            description = "Outlines of these ROIs of the subject's masks, such as V1v,FFA-1 (needs --data).")
    private List<String> rois = List.of();

    @Option(
            names = "--mesh",
            paramLabel = "DIR",
            description = "Folder of fsaverage's surfaces, such as FreeSurfer's fsaverage/surf (default: fsaverage5,"
                    + " which comes with the program and has a sixteenth of the vertices).")
    private @Nullable Path mesh;

    @Option(
            names = "--fill",
            defaultValue = "NaN",
            paramLabel = "X",
            description = "Value of vertices without one in a surface file (default ${DEFAULT-VALUE}).")
    private float fill;

    @Override
    public Integer call() {
        String name = String.valueOf(out.getFileName());
        String format = FORMATS.stream()
                .filter(f -> name.toLowerCase(Locale.ROOT).endsWith(f))
                .findFirst()
                .orElseThrow(() -> new InputException(
                        "--out " + out, "has no known format", "End its name in " + String.join(", ", FORMATS)));
        boolean picture = FORMATS.indexOf(format) < 2;
        if (picture && (width < MIN_WIDTH || width > MAX_WIDTH))
            throw new InputException(
                    "--width " + width, "is no width of a picture", "Give " + MIN_WIDTH + " to " + MAX_WIDTH);
        Optional<EvaluationFile> evaluation = evaluation();
        Path of = data != null
                ? data
                : evaluation
                        .flatMap(EvaluationFile::subjectFolder)
                        .filter(Files::isDirectory)
                        .orElse(null);
        if (!rois.isEmpty() && of == null)
            throw new InputException("--rois", "needs the subject's masks", "Add --data DIR and --subject N");
        if (of == null) write(VertexMap.read(files, row, null), format, null);
        else
            try (AlgonautsSubject s = AlgonautsSubject.withoutPhotographs(of, number(evaluation), output::note)) {
                write(VertexMap.read(files, row, s), format, s);
            }
        return 0;
    }

    /** The metrics.json beside the first file. */
    private Optional<EvaluationFile> evaluation() {
        Path folder = AtomicFiles.folderOf(files.get(0));
        return EvaluationFile.isIn(folder) ? Optional.of(EvaluationFile.read(folder)) : Optional.empty();
    }

    private int number(Optional<EvaluationFile> evaluation) {
        Optional<Integer> own = evaluation.flatMap(EvaluationFile::subject);
        if (subject != null && own.isPresent() && !own.get().equals(subject))
            throw new InputException(
                    "--subject " + subject,
                    "is not the subject of " + files.get(0) + ": metrics.json beside it says " + own.get(),
                    "Leave --subject out");
        return subject != null ? subject : own.orElse(1);
    }

    private void write(VertexMap map, String format, @Nullable AlgonautsSubject s) {
        for (int h = 0; h < 2; h++)
            if (!map.has(h))
                output.note(
                        "no file of the " + (h == 0 ? "left" : "right") + " hemisphere, which stays without values");
        String what = label != null ? label : VertexFiles.stem(files.get(0));
        if (FORMATS.indexOf(format) < 2) picture(map, format, what, s);
        else surfaceFiles(map, format, what);
    }

    private void picture(VertexMap map, String format, String what, @Nullable AlgonautsSubject s) {
        Surfaces surfaces = mesh == null ? Surfaces.bundled() : Surfaces.read(mesh);
        if (surfaces.level() > map.level())
            throw new InputException(
                    files.get(0).toString(),
                    "has values of " + Fsaverage.vertices(map.level()) + " vertices a hemisphere, but the surfaces "
                            + (mesh == null ? "of fsaverage5" : "in " + mesh) + " have " + surfaces.vertices(),
                    "Give --mesh DIR of surfaces with as many vertices, or with fewer");
        VertexMap.OnMesh on = map.on(surfaces.level());
        List<Outline> outlines = s == null
                ? List.of()
                : VertexMap.outlines(s, rois.stream().map(String::strip).toList(), surfaces.level());
        Scale scale = scale(on.values(), what);
        if (Arrays.stream(on.values())
                .allMatch(h -> IntStream.range(0, h.length).noneMatch(v -> scale.shows(h[v]))))
            output.note("no vertex has a colour: there are no values, or --threshold hides them all");
        BrainPicture picture =
                new BrainPicture(surfaces, kind(surfaces), views(surfaces), on.values(), scale, title, outlines);
        if (format.equals(".png")) AtomicFiles.write(out, picture.png(width));
        else AtomicFiles.writeString(out, picture.svg(width));
        output.line("%s", out);
        output.line("%s", coverage(map, on.shown(), surfaces.level()));
    }

    /** Which of the values a picture shows. */
    private static String coverage(VertexMap map, int shown, int level) {
        int all = map.count();
        if (shown == all) return String.format(Locale.ROOT, "shows all %,d vertices", all);
        String full = Fsaverage.name(map.level());
        return String.format(
                Locale.ROOT,
                "shows %,d of %,d vertices: the surfaces have %,d of the %,d vertices of a hemisphere; --mesh DIR of %s"
                        + " shows all",
                shown,
                all,
                Fsaverage.vertices(level),
                Fsaverage.vertices(map.level()),
                full.equals("fsaverage") ? "a full fsaverage" : full);
    }

    private Kind kind(Surfaces surfaces) {
        Kind kind = surface == Kind.FLAT ? surfaces.meshes().keySet().iterator().next() : surface;
        return required(surfaces, kind, "--surface " + kind.key());
    }

    private Kind required(Surfaces surfaces, Kind kind, String option) {
        if (!surfaces.has(kind))
            throw new InputException(
                    option,
                    mesh + " has no " + kind.key() + " surface of both hemispheres",
                    "Choose another view or surface, or add the files");
        return kind;
    }

    private List<View> views(Surfaces surfaces) {
        if (surface == Kind.FLAT) {
            if (views != null && !views.equals(List.of(View.FLAT)))
                throw new InputException("--surface flat", "has no views", "Leave --views out");
            required(surfaces, Kind.FLAT, "--surface flat");
            return List.of(View.FLAT);
        }
        if (views == null) return BrainPicture.views(surfaces);
        if (views.contains(View.FLAT)) required(surfaces, Kind.FLAT, "--views flat");
        return views;
    }

    private Scale scale(float[][] values, String what) {
        double[] limits = Scale.limits(colourmap, values);
        Double low = min, high = max;
        if (colourmap == Colourmap.DIFFERENCE) { // One end says both, so that white is 0.
            if (low == null && high != null) low = -high;
            if (high == null && low != null) high = -low;
        }
        if (low == null) low = limits[0];
        if (high == null) high = limits[1];
        if (!(low < high) || !Double.isFinite(high - low))
            throw new InputException(
                    "the scale from " + low + " to " + high, "is no scale", "Give finite numbers, --min below --max");
        if (threshold != null && (threshold.isNaN() || colourmap == Colourmap.DIFFERENCE && threshold < 0))
            throw new InputException(
                    "--threshold " + threshold,
                    "hides nothing",
                    "Give a number" + (colourmap == Colourmap.DIFFERENCE ? " of at least 0" : ""));
        return new Scale(colourmap, low, high, threshold == null ? Double.NaN : threshold, what);
    }

    private void surfaceFiles(VertexMap map, String format, String what) {
        for (String option : PICTURE_OPTIONS)
            if (spec.commandLine().getParseResult().hasMatchedOption(option))
                throw new InputException(option, "is for pictures only", "Leave it out for " + format);
        // FreeView tells the hemisphere by the first letters.
        String name = String.valueOf(out.getFileName()).replaceFirst("^[lr]h\\.", "");
        Map<String, byte @Nullable []> written = new LinkedHashMap<>();
        float[][] values = map.on(map.level()).values();
        for (int h = 0; h < 2; h++) {
            if (!map.has(h)) continue;
            float[] own = values[h];
            for (int v = 0; v < own.length; v++) if (Float.isNaN(own[v])) own[v] = fill;
            written.put(
                    HEMISPHERES[h] + "." + name,
                    format.equals(".func.gii")
                            ? GiftiFile.functional(h == 0, List.of(what), own)
                            : MghFile.bytes(format.equals(".mgz"), own));
        }
        Path folder = AtomicFiles.folderOf(out);
        for (String n : written.keySet())
            for (Path file : files)
                if (file.toAbsolutePath()
                        .normalize()
                        .equals(folder.resolve(n).toAbsolutePath().normalize()))
                    throw new InputException(
                            "--out " + out, "would replace its own input " + file, "Choose another name or folder");
        AtomicFiles.write(folder, written);
        for (String n : written.keySet()) output.line("%s", out.resolveSibling(n));
        output.line(
                "%,d values on %,d vertices a hemisphere; the others have %s",
                map.count(), Fsaverage.vertices(map.level()), fill);
    }
}
