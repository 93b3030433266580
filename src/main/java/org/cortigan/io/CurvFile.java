// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.InputException;

/**
 * FreeSurfer's file of one value for each vertex, such as lh.sulc: FF FF FF, counts of vertices, triangles and values a
 * vertex, then float32; big-endian. Source: FreeSurfer's wiki, FileFormats/Curvature.
 */
public final class CurvFile {
    private static final int HEADER = 15;

    private CurvFile() {}

    /**
     * Reads the values.
     *
     * @param file in memory; {@code path} only names it in messages
     * @throws InputException if the file has another format or is damaged
     */
    public static float[] parse(Path path, byte[] file) {
        if (file.length < HEADER || file[0] != -1 || file[1] != -1 || file[2] != -1)
            throw FileKind.refusal(
                    path,
                    Arrays.copyOf(file, Math.min(file.length, FileKind.START)),
                    "curvature file of FreeSurfer",
                    "Give a file such as lh.sulc, or convert it with FreeSurfer's mris_convert");
        ByteBuffer in = ByteBuffer.wrap(file).position(3);
        int vertices = in.getInt(), each = in.position(11).getInt();
        if (each != 1 || vertices < 0 || 4L * vertices > in.remaining())
            throw new InputException(
                    path.toString(),
                    vertices + " vertices of " + each + " values do not fit its " + file.length + " bytes",
                    GiftiFile.DAMAGED);
        float[] values = new float[vertices];
        in.asFloatBuffer().get(values);
        return values;
    }
}
