// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.cortigan.io.Formats.golden;
import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Values of vertices in GIFTI, MGH and curvature files; MeshTest has the surfaces. */
class GiftiFileTest {
    private static final float[] A = {0, -1.5f, Float.NaN, 3e-20f}, B = {1, 2, 3, 4};

    @TempDir
    Path dir;

    private static byte[] replaced(byte[] file, String from, String to) {
        String text = new String(file, StandardCharsets.UTF_8);
        assertTrue(text.contains(from), text);
        return text.replace(from, to).getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void columnsComeBackBitForBit() {
        byte[] file = GiftiFile.functional(true, List.of("r", "b ]]> & <"), A, B);
        float[][] read = GiftiFile.values(Path.of("a.func.gii"), file);
        assertArrayEquals(new float[][] {A, B}, read);
        String text = new String(file, StandardCharsets.UTF_8);
        assertTrue(text.contains("CortexLeft") && !text.contains("CortexRight"), text);
        assertTrue(new String(GiftiFile.functional(false, List.of("r"), A), StandardCharsets.UTF_8)
                .contains("CortexRight"));
    }

    @Test
    void columnsOfOneArrayAreTakenApart() {
        String file = "<GIFTI><DataArray Intent='NIFTI_INTENT_LABEL' DataType='NIFTI_TYPE_INT32' Dimensionality='2'"
                + " Dim0='3' Dim1='2' ArrayIndexingOrder='RowMajorOrder' Encoding='ASCII' Endian='LittleEndian'>"
                + "<Data>1 2 3 4 5 nan</Data></DataArray></GIFTI>";
        byte[] rows = file.getBytes(StandardCharsets.UTF_8);
        assertArrayEquals(new float[][] {{1, 3, 5}, {2, 4, Float.NaN}}, GiftiFile.values(Path.of("a.gii"), rows));
        byte[] columns = replaced(rows, "RowMajorOrder", "ColumnMajorOrder");
        assertArrayEquals(new float[][] {{1, 2, 3}, {4, 5, Float.NaN}}, GiftiFile.values(Path.of("a.gii"), columns));
    }

    @Test
    void otherFilesAreRefused() {
        Path p = Path.of("a.gii");
        byte[] file = GiftiFile.functional(true, List.of("r"), A);
        refused(() -> GiftiFile.values(p, golden("mesh_gzip.gii")), "a.gii", "no values of vertices", "func.gii");
        refused(() -> GiftiFile.values(p, golden("array_f4.npy")), "a.gii", "GIFTI");
        refused(() -> GiftiFile.values(p, replaced(file, "Dim0=\"4\"", "Dim0=\"5\"")), "5 rows holds fewer");
        refused(() -> GiftiFile.values(p, replaced(file, "Dim0=\"4\"", "Dim0=\"99999999\"")), "99999999");
        refused(() -> GiftiFile.values(p, replaced(file, "GZipBase64Binary", "ExternalFileBinary")), "Encoding");
    }

    @Test
    void mghComesBack() throws Exception {
        for (String name : new String[] {"a.mgh", "a.mgz"}) {
            Path file = Files.write(dir.resolve(name), MghFile.bytes(name.endsWith("z"), A));
            double[] read = MghFile.readValues(file);
            for (int i = 0; i < A.length; i++) assertTrue(Float.compare(A[i], (float) read[i]) == 0, name);
        }
        try (MghFile two = MghFile.open(Files.write(dir.resolve("two.mgh"), MghFile.bytes(false, A, B)))) {
            float[] frame = new float[4];
            two.readFrame(1, frame);
            assertArrayEquals(B, frame);
        }
    }

    @Test
    void curvatureIsRead() {
        ByteBuffer b = ByteBuffer.allocate(15 + 16);
        b.put((byte) -1).put((byte) -1).put((byte) -1).putInt(4).putInt(0).putInt(1);
        for (float v : B) b.putFloat(v);
        Path p = Path.of("lh.sulc");
        assertArrayEquals(B, CurvFile.parse(p, b.array()));
        refused(() -> CurvFile.parse(p, Arrays.copyOf(b.array(), 30)), "lh.sulc", "4 vertices");
        refused(() -> CurvFile.parse(p, golden("mesh.white")), "lh.sulc", "mris_convert");
    }
}
