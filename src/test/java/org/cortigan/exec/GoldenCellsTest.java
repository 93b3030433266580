// SPDX-License-Identifier: Apache-2.0
package org.cortigan.exec;

import java.nio.file.Path;
import java.util.List;
import org.cortigan.graph.Value;
import org.cortigan.op.Ops;
import org.cortigan.op.PositionReadout;
import org.junit.jupiter.api.Test;

/** Compares the laying out of vertices in cells and their readout with PyTorch in double. */
class GoldenCellsTest {
    private static final Golden GOLDEN = new Golden(Path.of("src/test/resources/sd/sd_layers.safetensors"));

    private static final int VERTICES = 10, SIDE = 2, EACH = 3;

    /** Three vertices a cell, one in the last; the cells of a row follow each other. */
    private static Value positions(Value like) {
        float[] p = new float[2 * VERTICES];
        for (int v = 0; v < VERTICES; v++) {
            int cell = v / EACH, column = cell % SIDE, row = cell / SIDE;
            p[2 * v] = (2f * column + 1) / SIDE - 1;
            p[2 * v + 1] = (2f * row + 1) / SIDE - 1;
        }
        return like.graph().table(p, VERTICES, 2);
    }

    @Test
    void cellsMatch() {
        GOLDEN.checkRounded("cells_in", 8, in -> {
            Value h = Ops.cellsIn(in.get(0), in.get(1), positions(in.get(0)), SIDE, SIDE);
            return Ops.reshape(h, h.dim(0), SIDE * SIDE, h.dim(3));
        });
        GOLDEN.checkRounded("cells_out", 8, in -> {
            Value h = in.get(0), map = Ops.reshape(h, h.dim(0), 1, SIDE, SIDE, h.dim(2));
            return h.graph()
                    .apply(new PositionReadout(true), List.of(map, positions(h), in.get(1), in.get(2)))
                    .output(0);
        });
    }
}
