// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.config.Settings;
import org.cortigan.features.GaborBank;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * The energies of a pyramid of Gabor wavelets (Kay et al. 2008), divided by the local energy over orientations (Heeger
 * 1992), and the local colours, averaged over the cells of a grid. A dense readout reads one hidden layer of them, or
 * the energies themselves. Every level of the pyramid halves the photograph, so that one bank of filters serves all
 * spatial frequencies.
 *
 * @param levels octaves of spatial frequency
 * @param orientations of the wavelets
 * @param frequency cycles a pixel, at every level
 * @param sigma semi-saturation of the division by the local energy; 0 for none
 * @param grid side of the maps
 * @param trained whether training changes the filters
 * @param hidden width of the hidden layer that a dense readout reads; 0 for none
 * @param dropout rate of the dropout, in training, of the energies that the hidden layer reads
 */
public record Gabor(
        int levels,
        int orientations,
        double frequency,
        double sigma,
        int grid,
        boolean trained,
        int hidden,
        double dropout)
        implements Backbone {
    static final NetworkType<Backbone> TYPE = new NetworkType<>("gabor", "Gabor energies", """
            levels: 4              # octaves of spatial frequency; the photograph is halved from level to level
            orientations: 8
            frequency: 0.25        # cycles a pixel, at every level
            sigma: 0.05            # added to the mean energy over orientations, which divides; 0: no division
            grid: 8                # side of the maps that readouts read
            trained: false         # whether training changes the filters, which begin as Gabor wavelets
            hidden: 512            # width of the hidden layer that a dense readout reads; 0: it reads the energies
            dropout: 0.3           # in training, rate at which energies that the hidden layer reads are set to 0
            """, Gabor::of);

    /** From the section {@code model.generator.gabor} of a recipe. */
    static Gabor of(Settings s) {
        double frequency = s.number("frequency", 0);
        if (frequency <= 0 || frequency > 0.5)
            throw s.wrong("frequency", frequency + " is out of range", "Give cycles a pixel above 0, at most 0.5");
        return new Gabor(
                s.integer("levels", 1),
                s.integer("orientations", 1),
                frequency,
                s.number("sigma", 0),
                s.integer("grid", 1),
                s.flag("trained"),
                s.integer("hidden", 0),
                s.number("dropout", 0, 0.99));
    }

    @Override
    public NetworkType<Backbone> type() {
        return TYPE;
    }

    @Override
    public void checkImage(int side, Settings s) {
        long least = (long) grid << (levels - 1);
        if (levels > 16 || side % least != 0)
            throw s.wrong(
                    "levels",
                    levels + " levels with a grid of " + grid + " do not fit " + side + " pixels",
                    "Give fewer levels or a smaller grid: grid * 2^(levels - 1) must divide the photograph's side");
    }

    @Override
    public Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form) {
        Graph graph = images.graph();
        Value x = Ops.normalize(images, normalisation.mean(), normalisation.std(), w.compute());
        List<Value> maps = new ArrayList<>(List.of(averaged(x, grid)));
        for (int i = 0; i < levels; i++)
            try (Graph.Scope s = graph.scope("levels." + i)) {
                if (i > 0) x = averaged(x, x.dim(1) / 2);
                maps.add(averaged(Ops.energy(filtered(w.sub("levels." + i), x), sigma), grid));
            }
        try (Graph.Scope s = graph.scope("features")) {
            Value all = Ops.concat(3, maps.toArray(new Value[0]));
            return form.maps() ? maps(w, all, subject, form.channels()) : vectors(w, all, subject);
        }
    }

    /** Responses of the filters, [B, h, w, 2 orientations], at every second pixel where the grid allows it. */
    private Value filtered(Weights w, Value x) {
        GaborBank bank = new GaborBank(frequency, orientations, GaborBank.WIDTH);
        int[] dims = {2 * orientations, x.dim(3), bank.size(), bank.size()};
        Value filters = trained
                ? w.weight("filters", Init.gabor(bank), dims).value()
                : Ops.cast(w.state("filters", Init.gabor(bank), dims), w.compute());
        int stride = x.dim(1) % (2 * grid) == 0 ? 2 : 1;
        return Ops.conv2d(x, filters, null, null, stride, stride, bank.radius(), bank.radius());
    }

    /** Averages of x [B, H, H, C] over the cells of a grid: [B, side, side, C]. */
    private static Value averaged(Value x, int side) {
        int b = x.dim(0), h = x.dim(1), c = x.dim(3), cell = h / side;
        if (cell == 1) return x;
        Value rows = Ops.meanMiddle(Ops.reshape(x, b * side, cell, h * c));
        Value cells = Ops.meanMiddle(Ops.reshape(rows, b * side * side, cell, c));
        return Ops.reshape(cells, b, side, side, c);
    }

    private static Features maps(Weights w, Value all, String subject, int channels) {
        Value x = SubjectVector.add(w, Layers.standardise(w.sub("norm"), all), subject);
        x = Layers.linear(w.sub("readout"), x, channels);
        return Features.maps(Ops.reshape(x, x.dim(0), 1, x.dim(1), x.dim(2), x.dim(3)));
    }

    private Features vectors(Weights w, Value all, String subject) {
        int b = all.dim(0), n = Math.toIntExact(all.shape().elements(1, 4));
        Value x = Layers.standardise(w.sub("norm"), Ops.reshape(all, b, 1, 1, n));
        x = Layers.dropout(w.sub("energies"), Ops.reshape(x, b, n), dropout);
        if (hidden > 0) x = Layers.gelu(Layers.linear(w.sub("hidden"), x, hidden));
        return Features.vectors(SubjectVector.add(w, x, subject), 1);
    }
}
