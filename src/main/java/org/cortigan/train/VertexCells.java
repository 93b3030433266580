// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.file.Path;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.cortex.Regions;
import org.cortigan.exec.Variables;
import org.cortigan.io.InputFiles;
import org.cortigan.model.Diffusion;
import org.cortigan.model.Generator;

/** The cells of a denoising readout's grid in which the vertices of a subject lie. */
final class VertexCells {
    private VertexCells() {}

    /**
     * The vertices in the order in which they lie along the grid.
     *
     * @throws org.cortigan.InputException if the data lack the ROIs or the mesh of the order
     */
    static int[] order(Diffusion d, TrainingData data, Consumer<String> log) {
        Path mesh = d.mesh().isEmpty() ? null : InputFiles.path(d.mesh());
        try {
            return data.regions(Regions.ALL, d.order(), mesh, 1, log).get(0).vertices();
        } catch (InputException e) {
            throw new InputException(
                    "key 'model.generator." + Diffusion.SECTION + ".order'",
                    String.valueOf(e.getMessage()),
                    "Or give -o model.generator." + Diffusion.SECTION + ".order=stored");
        }
    }

    /**
     * Writes the states of a subject.
     *
     * @param layout the vertices in their order along the grid
     */
    static void write(Diffusion d, String subject, int[] layout, Variables vars) {
        vars.find(Generator.cellOf(subject)).write(d.grid().positions(layout));
        if (d.vertices() == Diffusion.Interface.CONV)
            vars.find(Generator.placeOf(subject)).write(d.grid().places(layout));
    }
}
