// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Pattern;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/** The names of surfaces' files, as FreeSurfer, nilearn, TemplateFlow and Connectome Workbench write them. */
public final class SurfaceFiles {
    /** Names of GIFTI files that hold something else than a surface, as the format's document proposes them. */
    private static final Pattern DATA =
            Pattern.compile("(?is).*\\.(coord|func|label|rgba|shape|tensor|time|topo|vector)\\.gii(\\.gz)?");

    private SurfaceFiles() {}

    /**
     * The left and the right mesh of a kind.
     *
     * @param kind a regular expression, such as {@code infl(?:ated)?}
     * @return null if one of them is missing
     */
    public static Path @Nullable [] meshes(Path folder, String kind) {
        return pair(
                InputFiles.list(folder).stream()
                        .filter(p -> !DATA.matcher(p.getFileName().toString()).matches())
                        .toList(),
                kind);
    }

    /**
     * The left and the right file of values of a kind.
     *
     * @param kind a regular expression, such as {@code sulc}
     * @return null if one of them is missing
     */
    public static Path @Nullable [] values(Path folder, String kind) {
        return pair(InputFiles.list(folder), kind);
    }

    private static Path @Nullable [] pair(List<Path> all, String kind) {
        // What says that it is a surface comes first, then the name with the fewest additions.
        List<Path> files = all.stream()
                .filter(p -> !Files.isDirectory(p))
                .sorted(Comparator.comparing(
                                (Path p) -> !p.getFileName().toString().contains(".surf.gii"))
                        .thenComparing(p -> p.getFileName().toString().length()))
                .toList();
        Path left = find(files, kind, "lh", "left", "L"), right = find(files, kind, "rh", "right", "R");
        return left == null || right == null ? null : new Path[] {left, right};
    }

    private static @Nullable Path find(List<Path> files, String kind, String hemi, String side, String letter) {
        String names = hemi + "\\." + kind // FreeSurfer
                + "|" + hemi + "\\.(.*[._-])?" + kind + "([._-].*)?\\.gii(\\.gz)?"
                + "|(.*[._-])?" + kind + "_" + side + "\\.gii(\\.gz)?"
                + "|(.*[._-])?(hemi-)?" + letter + "[._-](.*[._-])?" + kind + "([._-].*)?\\.gii(\\.gz)?";
        return files.stream()
                .filter(p -> p.getFileName().toString().matches(names))
                .findFirst()
                .orElse(null);
    }
}
