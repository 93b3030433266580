// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.cortigan.io.NpyFile;
import org.jspecify.annotations.Nullable;

/** The surface meshes of both hemispheres, and the mesh vertex of each vertex of a subject. */
final class SubjectMeshes {
    /** Kinds of surface as regular expressions. Kinds that preserve distances come first. */
    private static final List<String> SURFACES = List.of("white", "midthickness", "pial", "infl(?:ated)?", "sphere");

    /** Names of GIFTI files that hold something else than a surface, as the format's document proposes them. */
    private static final Pattern DATA =
            Pattern.compile("(?is).*\\.(coord|func|label|rgba|shape|tensor|time|topo|vector)\\.gii(\\.gz)?");

    private static final String FILE_NAMES =
            "lh.white and rh.white (or pial, inflated, sphere), lh.white.surf.gii, or white_left.gii(.gz)";

    /** @param at mesh vertex of each of the subject's vertices in this hemisphere */
    private record Hemisphere(Mesh mesh, int[] at) {}

    private final Hemisphere left, right;

    private SubjectMeshes(Hemisphere left, Hemisphere right) {
        this.left = left;
        this.right = right;
    }

    /**
     * Reads the meshes and the subject's masks.
     *
     * @param folder folder of the fsaverage surface meshes, or null
     * @throws InputException if the folder is null, or if files are missing or do not fit
     */
    static SubjectMeshes read(@Nullable Path folder, AlgonautsSubject s) {
        if (folder == null)
            throw new InputException(
                    "order surface", "needs the fsaverage surface meshes", "Give the folder that holds " + FILE_NAMES);
        Path[] files = files(folder);
        return new SubjectMeshes(
                hemisphere(files[0], mask(s, "lh"), s.left(), s.missing().left()),
                hemisphere(files[1], mask(s, "rh"), s.right(), s.missing().right()));
    }

    private static Path mask(AlgonautsSubject s, String hemisphere) {
        return s.folder().resolve("roi_masks/" + hemisphere + ".all-vertices_fsaverage_space.npy");
    }

    private static Hemisphere hemisphere(Path file, Path mask, int vertices, List<Integer> missing) {
        Mesh mesh = Mesh.read(file);
        int[] all;
        try (NpyFile f = NpyFile.open(mask)) {
            all = f.toIntArray();
        }
        if (all.length != mesh.vertices())
            throw new InputException(
                    file.toString(),
                    "has " + mesh.vertices() + " vertices, but " + mask + " has " + all.length,
                    "Give the meshes in the space of the masks: for the challenge fsaverage, 163842 vertices");
        int[] marked = IntStream.range(0, all.length).filter(v -> all[v] > 0).toArray();
        if (marked.length != vertices + missing.size())
            throw new InputException(
                    mask.toString(),
                    "marks " + marked.length + " vertices, but that hemisphere has " + (vertices + missing.size()),
                    "Give the masks and the responses of one subject");
        int[] at = MissingVertices.present(missing, marked.length);
        Arrays.setAll(at, v -> marked[at[v]]);
        return new Hemisphere(mesh, at);
    }

    /**
     * Orders vertices by neighbourhood on the surface.
     *
     * @param hemisphere 0 for the left, 1 for the right
     * @param vertices vertices of one hemisphere, counted from its first vertex
     * @return indices into {@code vertices}
     */
    int[] order(int hemisphere, int[] vertices) {
        Hemisphere h = hemisphere == 0 ? left : right;
        return VertexOrder.of(h.mesh, Arrays.stream(vertices).map(v -> h.at[v]).toArray());
    }

    /** The left and the right mesh of the first available kind of surface. */
    private static Path[] files(Path folder) {
        // What says that it is a surface comes first, then the name with the fewest additions.
        List<Path> files = InputFiles.list(folder).stream()
                .filter(p -> !DATA.matcher(p.getFileName().toString()).matches() && !Files.isDirectory(p))
                .sorted(Comparator.comparing(
                                (Path p) -> !p.getFileName().toString().contains(".surf.gii"))
                        .thenComparing(p -> p.getFileName().toString().length()))
                .toList();
        for (String kind : SURFACES) {
            Path[] pair = new Path[2];
            for (int h = 0; h < 2; h++) {
                String hemi = h == 0 ? "l" : "r", side = h == 0 ? "left" : "right", letter = h == 0 ? "L" : "R";
                String names = hemi + "h\\." + kind // FreeSurfer
                        + "|" + hemi + "h\\.(.*[._-])?" + kind + "([._-].*)?\\.gii(\\.gz)?"
                        + "|(.*[._-])?" + kind + "_" + side + "\\.gii(\\.gz)?"
                        + "|(.*[._-])?(hemi-)?" + letter + "[._-](.*[._-])?" + kind + "([._-].*)?\\.gii(\\.gz)?";
                pair[h] = files.stream()
                        .filter(p -> p.getFileName().toString().matches(names))
                        .findFirst()
                        .orElse(null);
            }
            if (pair[0] != null && pair[1] != null) return pair;
        }
        throw new InputException(
                folder.toString(),
                "has no pair of surface meshes for both hemispheres",
                "Name the files as " + FILE_NAMES);
    }
}
