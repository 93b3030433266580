// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * The energies of a pyramid of Gabor wavelets and the local colours ({@link EnergyMaps}), averaged over the cells of
 * one or several grids, and standardised. A dense readout reads hidden units of them, of which each sees the cells of
 * one grid, and the energies of the grids without hidden units.
 *
 * <p>The hidden units begin with random weights. A ridge regression on many of them is one on a kernel (Rahimi and
 * Recht 2007), which also sees conjunctions of energies. Fine grids tell a vertex its place, and coarse ones its
 * conjunctions: hidden units of a fine grid see too many energies for that.
 *
 * @param pyramid the wavelets
 * @param grids sides of the maps; each divides the largest, which spatial readouts read
 * @param hidden units for each grid, 0 for those whose energies a dense readout reads themselves; empty if it reads all
 * @param dropout rate of the dropout, in training, of the energies that hidden units or readout read
 */
public record Gabor(EnergyMaps pyramid, List<Integer> grids, List<Integer> hidden, double dropout) implements Backbone {
    static final NetworkType<Backbone> TYPE = new NetworkType<>("gabor", "Gabor energies", """
            levels: 3              # octaves of spatial frequency; the photograph is halved from level to level
            orientations: 8
            frequency: 0.25        # cycles a pixel, at every level
            sigma: 0.015           # contrast at which the logarithmic compression of energies sets in; 0: no compression
            grids: [4, 8, 16]      # sides of the maps; spatial readouts read the largest, which the others divide
            trained: false         # whether training changes the filters, which begin as Gabor wavelets
            hidden: [5120, 3072, 0]  # hidden units for each grid, which a dense readout reads; 0: it reads the energies
            dropout: 0             # in training, rate at which energies that hidden units read are set to 0
            """, Gabor::of);

    /** A contrast far below one level of an 8-bit photograph. */
    private static final double LEAST_CONTRAST = 1e-9;

    /**
     * Scale of energies that a dense readout reads beside hidden units: the standard deviation of the GELU of a
     * standard normal variable, so that both vary alike.
     */
    private static final double UNIT = 0.59;

    /** Standard deviation of the initial biases of hidden units, whose weighted sums have deviations near 1. */
    private static final double BIAS = 0.5;

    public Gabor {
        grids = List.copyOf(grids);
        hidden = List.copyOf(hidden);
    }

    /** From the section {@code model.generator.gabor} of a recipe. */
    static Gabor of(Settings s) {
        double frequency = s.number("frequency", 0);
        if (frequency <= 0 || frequency > 0.5)
            throw s.wrong("frequency", frequency + " is out of range", "Give cycles a pixel above 0, at most 0.5");
        double sigma = s.number("sigma", 0, 1);
        if (sigma > 0 && sigma < LEAST_CONTRAST)
            throw s.wrong("sigma", sigma + " is too small", "Give a contrast of at least " + LEAST_CONTRAST + ", or 0");
        Gabor g = new Gabor(
                new EnergyMaps(
                        s.integer("levels", 1), s.integer("orientations", 1), frequency, sigma, s.flag("trained")),
                s.integers("grids"),
                s.integers("hidden", 0),
                s.number("dropout", 0, 0.99));
        if (g.grids.isEmpty() || g.grids.stream().anyMatch(n -> n < 1 || g.grid() % n != 0))
            throw s.wrong("grids", g.grids + " does not fit", "Give at least one side; each must divide the largest");
        if (!g.hidden.isEmpty() && g.hidden.size() != g.grids.size())
            throw s.wrong(
                    "hidden",
                    g.hidden.size() + " numbers of units for " + g.grids.size() + " grids",
                    "Give one for each of grids, or [] for none");
        return g;
    }

    /** Side of the finest maps. */
    private int grid() {
        return Collections.max(grids);
    }

    @Override
    public NetworkType<Backbone> type() {
        return TYPE;
    }

    @Override
    public void checkImage(int side, Settings s) {
        if (!pyramid.fits(side, grid()))
            throw s.wrong(
                    "levels",
                    pyramid.levels() + " levels with a grid of " + grid() + " do not fit " + side + " pixels",
                    "Give fewer levels or smaller grids: grid * 2^(levels - 1) must divide the photograph's side");
    }

    @Override
    public Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form) {
        Value all = pyramid.maps(w, images, normalisation, grid());
        try (Graph.Scope s = images.graph().scope("features")) {
            return form.spatial() ? maps(w, all, subject, form.channels()) : vectors(w, all, subject);
        }
    }

    private static Features maps(Weights w, Value all, String subject, int channels) {
        Value x = SubjectVector.add(w, Layers.standardise(w.sub("norm"), all), subject);
        x = Layers.linear(w.sub("readout"), x, channels);
        return Features.maps(Ops.reshape(x, x.dim(0), 1, x.dim(1), x.dim(2), x.dim(3)));
    }

    private Features vectors(Weights w, Value all, String subject) {
        Value[] cells =
                grids.stream().map(n -> rows(EnergyMaps.averaged(all, n))).toArray(Value[]::new);
        Value x = Layers.standardise(w.sub("norm"), Ops.concat(1, cells));
        x = Layers.dropout(w.sub("energies"), x, dropout);
        if (!hidden.isEmpty())
            x = units(w, x, Arrays.stream(cells).mapToInt(c -> c.dim(1)).toArray());
        return Features.vectors(SubjectVector.add(w, x, subject), 1);
    }

    /** x [B, ...] as rows [B, n]. */
    private static Value rows(Value x) {
        return Ops.reshape(
                x, x.dim(0), Math.toIntExact(x.shape().elements(1, x.shape().rank())));
    }

    private static Value units(Weights w, Value x, int count) {
        Init weights = Init.normal(1 / Math.sqrt(x.dim(1)));
        return Layers.gelu(Layers.linear(w, x, count, weights, Init.normal(BIAS)));
    }

    /**
     * The hidden units, and the energies of the grids that have none.
     *
     * @param x the cells of all grids, one grid after another
     * @param extents number of features of each grid
     */
    private Value units(Weights w, Value x, int[] extents) {
        Value[] units = new Value[extents.length];
        for (int i = 0, from = 0; i < extents.length; from += extents[i++]) {
            Value own = Ops.slice(x, 1, from, from + extents[i]);
            units[i] = hidden.get(i) == 0 ? Ops.scale(own, UNIT) : units(w.sub("hidden." + i), own, hidden.get(i));
        }
        return Ops.concat(1, units);
    }
}
