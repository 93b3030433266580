// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/** The surface meshes of both hemispheres, and the mesh vertex of each vertex of a subject. */
final class SubjectMeshes {
    /** Kinds of surface as regular expressions. Kinds that preserve distances come first. */
    private static final List<String> SURFACES = List.of("white", "midthickness", "pial", "infl(?:ated)?", "sphere");

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
        return new SubjectMeshes(hemisphere(files[0], s, 0), hemisphere(files[1], s, 1));
    }

    private static Hemisphere hemisphere(Path file, AlgonautsSubject s, int hemisphere) {
        Mesh mesh = Mesh.read(file);
        FsaverageVertices.Mask mask = FsaverageVertices.mask(s, hemisphere);
        if (mask.length() != mesh.vertices())
            throw new InputException(
                    file.toString(),
                    "has " + mesh.vertices() + " vertices, but " + mask.file() + " has " + mask.length(),
                    "Give the meshes in the space of the masks: for the challenge fsaverage, 163842 vertices");
        int[] marked = mask.marked();
        List<Integer> missing =
                hemisphere == 0 ? s.missing().left() : s.missing().right();
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
        for (String kind : SURFACES) {
            Path[] pair = SurfaceFiles.meshes(folder, kind);
            if (pair != null) return pair;
        }
        throw new InputException(
                folder.toString(),
                "has no pair of surface meshes for both hemispheres",
                "Name the files as " + FILE_NAMES);
    }
}
