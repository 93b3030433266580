// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.cortigan.config.Settings;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.nn.Autoencoder;
import org.cortigan.nn.DenoisingUNet;
import org.cortigan.nn.DenoisingUNet.Place;
import org.cortigan.nn.Init;
import org.cortigan.nn.Layers;
import org.cortigan.nn.Weights;
import org.cortigan.op.Ops;

/**
 * The maps that the UNet of Stable Diffusion (Rombach et al. 2022) makes of a photograph's latent, without noise, at
 * one step of diffusion (Tang et al. 2023, "Emergent Correspondence from Image Diffusion"). The UNet attends to learned
 * tokens, to each of which the subject's vector is added. Parameters below {@code unet.} and {@code vae.} have
 * diffusers' names.
 *
 * <p>All readouts read the maps at the side of the finest place: those of coarser places are repeated.
 *
 * @param latent what the UNet reads
 * @param timestep step of diffusion, 0 to 999
 * @param tokens number of the learned tokens
 * @param layers places whose maps the readout reads; nothing is built beyond the last
 * @param vae the autoencoder, which is never trained; used by {@link Latent#VAE} only
 */
public record StableDiffusion(
        Latent latent, int timestep, int tokens, List<Place> layers, Autoencoder vae, DenoisingUNet unet)
        implements Backbone {
    static final NetworkType<Backbone> TYPE =
            new NetworkType<>("sd", "Stable Diffusion", "sd", """
            latent: vae            # what the UNet (sd_unet) reads: vae: the latent of the autoencoder, which is never trained | patch: a linear layer of patches of 4x4 pixels
            timestep: 50           # step of diffusion at which it reads the latent, without noise: 0 to 999
            tokens: 1              # learned tokens that it attends to; 77: they begin with what Stable Diffusion attends to for the empty prompt, if train.init has its text encoder
            layers: [mid, up1, up2, up3] # maps that the readout reads: mid | up0, up1, ... on the way up, coarsest first; nothing is computed beyond the last
            vae_channels: [128, 256, 512, 512] # of each level of the autoencoder; its blocks and groups are those of sd_unet
            """, StableDiffusion::of, StableDiffusion::used);

    /** Beginning of the names, below {@link Generator#PREFIX}, of the parameters of the autoencoder and the UNet. */
    static final String VAE = "vae", UNET = "unet";

    /** Name of the learned tokens, below {@link Generator#PREFIX}. */
    static final String TOKEN = "token";

    /** Epsilon of the group norms of maps that are read. */
    private static final double EPS = 1e-6;

    /** Side of a patch, and channels that are made of it. */
    private static final int PATCH = 4, PATCH_CHANNELS = 32;

    /** What the UNet reads. */
    public enum Latent {
        VAE,
        PATCH
    }

    public StableDiffusion {
        layers = List.copyOf(layers);
    }

    /** From the section {@code model.generator} of a recipe. */
    static StableDiffusion of(Settings generator) {
        Settings s = generator.section(TYPE.section());
        DenoisingUNet unet = DenoisingUNet.of(generator.section(DenoisingUNet.SECTION));
        StableDiffusion sd = new StableDiffusion(
                s.choice("latent", Latent.class),
                s.integer("timestep", 0),
                s.has("tokens") ? s.integer("tokens", 1) : 1,
                s.choices("layers", Place.class),
                new Autoencoder(s.integers("vae_channels"), unet.blocks(), unet.groups()),
                unet);
        sd.check(s);
        return sd;
    }

    /** Without the autoencoder's keys if there is none. */
    private static Map<String, Object> used(Map<String, Object> values) {
        Map<String, Object> used = new LinkedHashMap<>(values);
        if ("patch".equals(values.get("latent"))) used.remove("vae_channels");
        return used;
    }

    private void check(Settings s) {
        if (timestep >= DenoisingUNet.STEPS)
            throw s.wrong(
                    "timestep", timestep + " is out of range", "Give a step from 0 to " + (DenoisingUNet.STEPS - 1));
        int levels = unet.channels().size();
        boolean twice = layers.stream().distinct().count() < layers.size();
        if (layers.isEmpty() || twice || layers.stream().anyMatch(p -> p.ordinal() > levels))
            throw s.wrong(
                    "layers",
                    names() + " does not fit the UNet's " + levels + " levels",
                    "Give some of mid and up0 to up" + (levels - 1) + ", each once");
        if (vae.channels().isEmpty()) throw s.wrong("vae_channels", "is empty", "Give at least one level");
        for (int c : vae.channels())
            if (c % vae.groups() != 0)
                throw s.wrong(
                        "vae_channels",
                        c + " is not a multiple of the " + vae.groups() + " groups of " + DenoisingUNet.SECTION,
                        "Give multiples");
    }

    /**
     * Refuses colours on which the autoencoder was not trained.
     *
     * @param s section that has the normalisation
     */
    void checkColours(Normalisation colours, Settings s) {
        List<Double> half = List.of(0.5, 0.5, 0.5);
        if (latent == Latent.VAE && !colours.equals(new Normalisation(half, half)))
            throw s.wrong(
                    "preprocess",
                    s.text("preprocess") + " gives colours on which Stable Diffusion's autoencoder was not trained",
                    "Leave preprocess, mean and std at their defaults");
    }

    private List<String> names() {
        return layers.stream().map(StableDiffusion::name).toList();
    }

    private static String name(Place p) {
        return p.name().toLowerCase(Locale.ROOT);
    }

    @Override
    public NetworkType<Backbone> type() {
        return TYPE;
    }

    @Override
    public List<String> layerNames() {
        return layers.size() < 2 ? List.of() : names();
    }

    /** Whether the network has an autoencoder, which is never trained. */
    boolean hasAutoencoder() {
        return latent == Latent.VAE;
    }

    /**
     * Whether a parameter belongs to the autoencoder.
     *
     * @param name below {@link Generator#PREFIX}
     */
    static boolean isOfAutoencoder(String name) {
        return name.startsWith(VAE + ".");
    }

    /** A photograph's side divided by that of what the UNet reads. */
    private int factor() {
        return latent == Latent.VAE ? vae.factor() : PATCH;
    }

    @Override
    public void checkImage(int side, Settings s) {
        long multiple = factor() * (1L << unet.channels().size() - 1);
        if (side % multiple != 0)
            throw s.wrong(
                    "latent",
                    "photographs of " + side + " pixels cannot be divided by " + factor()
                            + " and then halved for each of the UNet's "
                            + unet.channels().size() + " levels",
                    "Give a model.generator.image that is a multiple of " + multiple + ", or fewer "
                            + DenoisingUNet.SECTION + ".channels");
    }

    @Override
    public Features features(Weights w, Value images, String subject, Normalisation normalisation, Features.Form form) {
        Graph g = images.graph();
        List<Value> maps = maps(w, images, subject, normalisation);
        int side = maps.stream().mapToInt(m -> m.dim(1)).max().orElseThrow();
        List<Value> parts = new ArrayList<>();
        try (Graph.Scope s = g.scope("features")) {
            for (int i = 0; i < maps.size(); i++) {
                Weights read = w.sub("readout." + name(layers.get(i)));
                Value x = Layers.groupNorm(
                        read.sub("norm"), maps.get(i), unet.groups(), EPS, Layers.NormActivation.NONE, null);
                if (!form.spatial()) {
                    Value mean = Ops.meanMiddle(cells(x));
                    parts.add(maps.size() == 1 ? mean : Layers.linear(read, mean, form.channels()));
                    continue;
                }
                x = Layers.linear(read, x, form.channels());
                while (x.dim(1) < side) x = Ops.upsample(x);
                parts.add(cells(x));
            }
            Value all = Ops.concat(1, parts.toArray(new Value[0]));
            return form.spatial()
                    ? Features.maps(Ops.reshape(all, images.dim(0), maps.size(), side, side, form.channels()))
                    : Features.vectors(all, maps.size());
        }
    }

    /** x [B, H, W, C] as [B, H W, C]. */
    private static Value cells(Value x) {
        return Ops.reshape(x, x.dim(0), x.dim(1) * x.dim(2), x.dim(3));
    }

    private List<Value> maps(Weights w, Value images, String subject, Normalisation normalisation) {
        Graph g = images.graph();
        int batch = images.dim(0);
        Value x;
        try (Graph.Scope s = g.scope("latent")) {
            x = latent(w, images, normalisation);
        }
        Weights u = w.sub(UNET);
        try (Graph.Scope s = g.scope(UNET)) {
            int[] steps = new int[batch];
            Arrays.fill(steps, timestep);
            Value time = unet.time(u, g.table(steps, batch));
            Init init = tokens == 1 ? Init.ZEROS : Init.VIT; // Tokens that begin alike would stay alike.
            Value context = SubjectVector.add(w, w.token(TOKEN, init, tokens, unet.context()), subject);
            return unet.maps(u, unet.convIn(u, x), time, Ops.repeat(batch, context), layers);
        }
    }

    /** What the UNet reads, [B, H, W, C]. */
    private Value latent(Weights w, Value images, Normalisation n) {
        if (latent == Latent.VAE) return vae.latent(w.sub(VAE), Ops.normalize(images, n.mean(), n.std(), w.compute()));
        int side = images.dim(1) / PATCH;
        Value patches = Ops.patchify(images, PATCH, n.mean(), n.std(), w.compute());
        Value x = Layers.linear(w.sub("patch"), patches, PATCH_CHANNELS);
        return Ops.reshape(x, images.dim(0), side, side, PATCH_CHANNELS);
    }
}
