// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.features.GaborBank;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * The energies of a pyramid of Gabor wavelets (Kay et al. 2008), compressed by a logarithm, and the local colours, as
 * maps that a network reads in place of pixels. Every level of the pyramid halves the photograph, so that one bank of
 * filters serves all spatial frequencies.
 *
 * @param levels octaves of spatial frequency
 * @param orientations of the wavelets
 * @param frequency cycles a pixel, at every level
 * @param sigma contrast at which the compression sets in; 0 for none
 * @param trained whether training changes the filters, which begin as Gabor wavelets
 */
public record EnergyMaps(int levels, int orientations, double frequency, double sigma, boolean trained) {
    private static final int MOST_LEVELS = 16;

    /** The default of {@code gabor.sigma}. */
    static final double SIGMA = 0.015;

    /** The wavelets of the standard bank, fixed, at as many levels as fit maps of a side. */
    static EnergyMaps standard(int image, int side) {
        GaborBank bank = GaborBank.standard();
        EnergyMaps maps = new EnergyMaps(1, bank.orientations(), bank.frequency(), SIGMA, false);
        while (maps.withLevels(maps.levels + 1).fits(image, side)) maps = maps.withLevels(maps.levels + 1);
        return maps;
    }

    /**
     * The maps [B, side, side, C] of the standard bank, standardised by their statistics over the training photographs.
     *
     * @param w {@code levels} and {@code norm}
     */
    static Value standardised(Weights w, Value images, Normalisation normalisation, int side) {
        return Layers.standardise(w.sub("norm"), standard(images.dim(1), side).maps(w, images, normalisation, side));
    }

    private EnergyMaps withLevels(int n) {
        return new EnergyMaps(n, orientations, frequency, sigma, trained);
    }

    /** Whether the coarsest level of a photograph of {@code image} pixels a side can be averaged to maps of a side. */
    boolean fits(int image, int side) {
        return levels <= MOST_LEVELS && image % ((long) side << (levels - 1)) == 0;
    }

    /** The maps [B, side, side, 3 + levels * orientations] of photographs, not standardised. */
    Value maps(Weights w, Value images, Normalisation normalisation, int side) {
        Graph graph = images.graph();
        Value x = Ops.normalize(images, normalisation.mean(), normalisation.std(), w.compute());
        List<Value> maps = new ArrayList<>(List.of(averaged(x, side)));
        for (int i = 0; i < levels; i++)
            try (Graph.Scope s = graph.scope("levels." + i)) {
                if (i > 0) x = averaged(x, x.dim(1) / 2);
                maps.add(averaged(Ops.energy(filtered(w.sub("levels." + i), x, side), sigma), side));
            }
        try (Graph.Scope s = graph.scope("features")) {
            return Ops.concat(3, maps.toArray(new Value[0]));
        }
    }

    /** Responses of the filters, [B, h, w, 2 orientations], at every second pixel where the maps allow it. */
    private Value filtered(Weights w, Value x, int side) {
        GaborBank bank = new GaborBank(frequency, orientations, GaborBank.WIDTH);
        int[] dims = {2 * orientations, x.dim(3), bank.size(), bank.size()};
        Value filters = trained
                ? w.weight("filters", Init.gabor(bank), dims).value()
                : Ops.cast(w.state("filters", Init.gabor(bank), dims), w.compute());
        int stride = x.dim(1) % (2 * side) == 0 ? 2 : 1;
        return Ops.conv2d(x, filters, null, null, stride, stride, bank.radius(), bank.radius());
    }

    /** Averages of x [B, H, H, C] over the cells of a grid: [B, side, side, C]. */
    static Value averaged(Value x, int side) {
        int b = x.dim(0), h = x.dim(1), c = x.dim(3), cell = h / side;
        if (cell == 1) return x;
        Value rows = Ops.meanMiddle(Ops.reshape(x, b * side, cell, h * c));
        Value cells = Ops.meanMiddle(Ops.reshape(rows, b * side * side, cell, c));
        return Ops.reshape(cells, b, side, side, c);
    }
}
