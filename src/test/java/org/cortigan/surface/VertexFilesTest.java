// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.cortigan.io.GiftiFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VertexFilesTest {
    private static void name(String name, int side, String other) {
        assertEquals(side, VertexFiles.side(Path.of(name)), name);
        assertEquals(other, String.valueOf(VertexFiles.other(Path.of(name))));
    }

    @Test
    void aNameTellsItsHemisphere() {
        name("lh_corr.npy", 0, "rh_corr.npy");
        name("rh.thickness.mgh", 1, "lh.thickness.mgh");
        name("LH_corr.npy", 0, "RH_corr.npy");
        name("Left.npy", 0, "Right.npy");
        name("corr_right.npy", 1, "corr_left.npy");
        name("l.npy", 0, "r.npy");
        name("sub-01_hemi-L_stat.func.gii", 0, "sub-01_hemi-R_stat.func.gii");
        name("S1.R.thickness.shape.gii", 1, "S1.L.thickness.shape.gii");
        name("ViT-L_rh_corr.npy", 1, "ViT-L_lh_corr.npy");
        name("right_button_lh.npy", 0, "right_button_rh.npy");
        name("my file lh.npy", 0, "my file rh.npy");
        name("corrlh.npy", -1, "null");
        name("light.npy", -1, "null");
    }

    @Test
    void aNameMaySayItTwice(@TempDir Path folder) throws Exception {
        Path left = Files.createFile(folder.resolve("S1.L.midthickness.10k_fsavg_L.func.gii"));
        Path right = Files.createFile(folder.resolve("S1.R.midthickness.10k_fsavg_R.func.gii"));
        assertArrayEquals(new Path[] {left, right}, VertexFiles.pair(List.of(right)));
    }

    @Test
    void aFileThatSaysTheOtherHemisphereIsRefused(@TempDir Path folder) throws Exception {
        Path file = Files.write(
                folder.resolve("lh.x.func.gii"), GiftiFile.functional(false, List.of("x"), new float[] {1, 2}));
        refused(() -> VertexFiles.read(file, null), "lh.x.func.gii", "right");
    }

    @Test
    void aMaskOfFewVerticesHasItsScaleAtZero() {
        float[] mask = new float[10242];
        assertArrayEquals(new double[] {0, 1}, Scale.limits(Colourmap.INFERNO, mask));
        mask[7] = 5;
        assertArrayEquals(new double[] {0, 5}, Scale.limits(Colourmap.INFERNO, mask));
    }

    @Test
    void whiteIsZeroInEveryDifference() {
        Scale even = new Scale(Colourmap.DIFFERENCE, -1, 1, Double.NaN, "");
        Scale uneven = new Scale(Colourmap.DIFFERENCE, -0.5, 1, Double.NaN, "");
        assertEquals(even.rgb(0), uneven.rgb(0));
        assertEquals(even.rgb(-0.5f), uneven.rgb(-0.25f));
        assertEquals(even.rgb(0.5f), uneven.rgb(0.5f));
    }
}
