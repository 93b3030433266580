// SPDX-License-Identifier: Apache-2.0
package org.cortigan.surface;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import org.cortigan.cortex.Mesh;
import org.cortigan.surface.Surfaces.Kind;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SurfacesTest {
    @TempDir
    Path dir;

    private final Surfaces bundled = Surfaces.bundled();

    private void copy(String resource, String name) throws Exception {
        try (InputStream in = Surfaces.class.getResourceAsStream("/org/cortigan/surface/fsaverage5/" + resource)) {
            Files.write(dir.resolve(name), Objects.requireNonNull(in).readAllBytes());
        }
    }

    /** FreeSurfer's binary geometry. */
    private static byte[] geometry(Mesh mesh) {
        ByteBuffer b = ByteBuffer.allocate(3 + 2 + 8 + 4 * (mesh.points().length + mesh.triangles().length));
        b.put((byte) -1).put((byte) -1).put((byte) -2).put((byte) '\n').put((byte) '\n');
        b.putInt(mesh.vertices()).putInt(mesh.triangles().length / 3);
        for (float p : mesh.points()) b.putFloat(p);
        for (int t : mesh.triangles()) b.putInt(t);
        return b.array();
    }

    @BeforeEach
    void folder() throws Exception {
        for (int h = 0; h < 2; h++)
            Files.write(dir.resolve((h == 0 ? "lh" : "rh") + ".inflated"), geometry(bundled.mesh(Kind.INFLATED, h)));
    }

    @Test
    void aFolderOfFreeSurferIsRead() throws Exception {
        for (String side : new String[] {"left", "right"}) {
            String hemi = side.equals("left") ? "lh" : "rh";
            copy("sulc_" + side + ".gii.gz", hemi + ".sulc.shape.gii.gz");
            Mesh flat = bundled.mesh(Kind.FLAT, hemi.equals("lh") ? 0 : 1);
            int[] used = Arrays.stream(flat.triangles()).distinct().toArray();
            ByteBuffer b = ByteBuffer.allocate(8 + 16 * used.length).putInt(-1).putInt(used.length);
            for (int v : used) {
                b.putInt(v % 2 == 0 ? v + 1 : -v - 1);
                // Seen from within, as a patch may be.
                b.putFloat(-flat.points()[3 * v])
                        .putFloat(flat.points()[3 * v + 1])
                        .putFloat(0);
            }
            Files.write(dir.resolve(hemi + ".cortex.patch.flat"), b.array());
        }
        Surfaces read = Surfaces.read(dir);
        assertEquals(5, read.level());
        assertFalse(read.has(Kind.PIAL));
        float[][] sulc = Objects.requireNonNull(read.sulc());
        for (int h = 0; h < 2; h++) {
            assertArrayEquals(
                    bundled.mesh(Kind.INFLATED, h).points(),
                    read.mesh(Kind.INFLATED, h).points());
            assertArrayEquals(Objects.requireNonNull(bundled.sulc())[h], sulc[h]);
            Mesh flat = bundled.mesh(Kind.FLAT, h), patch = read.mesh(Kind.FLAT, h);
            for (int v : flat.triangles())
                for (int k = 0; k < 2; k++) assertEquals(flat.points()[3 * v + k], patch.points()[3 * v + k], 0);
            assertTrue(patch.triangles().length >= flat.triangles().length);
        }
    }

    @Test
    void otherBrainsAreRefused() throws Exception {
        Mesh mesh = bundled.mesh(Kind.INFLATED, 0);
        int[] moved = mesh.triangles().clone();
        moved[0] = 5000;
        Files.write(dir.resolve("rh.inflated"), geometry(new Mesh(mesh.points(), moved)));
        refused(() -> Surfaces.read(dir), "rh.inflated", "other triangles than fsaverage", "fsaverage");
        Files.write(dir.resolve("lh.inflated"), geometry(new Mesh(new float[9], new int[] {0, 1, 2})));
        refused(() -> Surfaces.read(dir), "lh.inflated", "has 3 vertices", "fsaverage");
        Files.delete(dir.resolve("rh.inflated"));
        refused(() -> Surfaces.read(dir), "neither inflated nor pial", "lh.inflated");
    }

    @Test
    void depthsOfAnotherMeshAreRefused() throws Exception {
        for (String hemi : new String[] {"lh", "rh"}) {
            ByteBuffer b = ByteBuffer.allocate(19).put(new byte[] {-1, -1, -1});
            Files.write(
                    dir.resolve(hemi + ".sulc"),
                    b.putInt(1).putInt(0).putInt(1).putFloat(1).array());
        }
        refused(() -> Surfaces.read(dir), "lh.sulc", "1 values", "10242");
    }

    /** Sulci are positive: the fundus of the calcarine sulcus, the crown of the postcentral gyrus. */
    @Test
    void sulciArePositive() {
        float[][] sulc = Objects.requireNonNull(bundled.sulc());
        Mesh pial = bundled.mesh(Kind.PIAL, 0);
        double inner = 0, outer = 0;
        for (int v = 0; v < pial.vertices(); v++) {
            // The lateral surface above the Sylvian fissure: crowns lie further out than fundi.
            float x = pial.points()[3 * v], z = pial.points()[3 * v + 2];
            if (z < 20 || x > -30) continue;
            if (sulc[0][v] > 0.5) inner = Math.max(inner, -x);
            if (sulc[0][v] < -0.5) outer = Math.max(outer, -x);
        }
        assertTrue(outer > inner, inner + " " + outer);
    }
}
