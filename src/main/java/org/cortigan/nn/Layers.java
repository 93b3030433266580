// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import java.util.ArrayList;
import java.util.List;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;
import org.cortigan.op.Activation;
import org.cortigan.op.ChannelAffine;
import org.cortigan.op.ChannelNorm;
import org.cortigan.op.Ops;
import org.cortigan.op.SyncBatchNorm;
import org.cortigan.op.TrackStatistics;
import org.jspecify.annotations.Nullable;

/** Layers as functions that add nodes to a graph. Parameters have the names that torch and timm give them. */
public final class Layers {
    /** Epsilon of the layer norms in timm's ViT. */
    public static final double VIT_EPS = 1e-6;

    /** Initial factors of LayerScale in timm's DINOv2. */
    private static final Init LAYER_SCALE = new Init(Init.Kind.CONSTANT, 1e-5);

    /** Epsilon of group and batch norms in torch. */
    private static final double NORM_EPS = 1e-5;

    /** Slope of leaky ReLUs below zero in DCGAN and pix2pix. */
    private static final double LEAK = 0.2;

    private Layers() {}

    /**
     * Linear layer from x [..., in] to [..., out]. Parameters: {@code weight} [out, in] and {@code bias} [out].
     *
     * @param bias null for a layer without bias
     */
    public static Value linear(Weights w, Value x, int out, Init weight, @Nullable Init bias) {
        Weights.Weight m = w.weight("weight", weight, out, x.dim(-1));
        Weights.Bias b = bias == null ? null : w.bias("bias", bias, out);
        Value y = b == null
                ? Ops.matmul(rows(x), m.value(), false, true, null, m.scale(), w.compute())
                : Ops.linear(rows(x), m.value(), b.value(), b.copy(), m.scale(), w.compute());
        return Ops.reshape(y, x.shape().with(-1, out).dims());
    }

    /** x [..., n] as a matrix [rows, n]. */
    private static Value rows(Value x) {
        return Ops.reshape(x, Math.toIntExact(x.shape().elements() / x.dim(-1)), x.dim(-1));
    }

    /**
     * The parameters of a linear layer of an encoder's block, or some rows of them.
     *
     * @param name of the weight or its rows, for the states in FP8
     * @param weight [out, in]
     * @param update of the weight, or null
     */
    private record BlockLayer(
            String name,
            Value weight,
            Weights.Bias bias,
            @Nullable Value scale,
            Lora.@Nullable Pair update) {
        /** @param layer last part of the layer's name */
        static BlockLayer of(Weights w, String layer, int out, int in, Encoder form) {
            Weights.Weight m = w.weight("weight", Init.VIT, out, in);
            Weights.Bias bias = w.bias("bias", Init.ZEROS, out);
            return new BlockLayer("weight", m.value(), bias, m.scale(), form.lora.of(w, layer, out, in));
        }

        /** The first rows, and the others. */
        List<BlockLayer> split(String first, String second, int rows) {
            int[] extents = {rows, weight.dim(0) - rows};
            List<Value> weights = Ops.split(weight, extents);
            List<Weights.Bias> biases = bias.split(extents);
            List<Value> factors = update == null ? List.of() : Ops.split(update.b(), extents);
            List<BlockLayer> parts = new ArrayList<>();
            for (int i = 0; i < extents.length; i++)
                parts.add(new BlockLayer(
                        name + "." + (i == 0 ? first : second),
                        weights.get(i),
                        biases.get(i),
                        scale,
                        update == null ? null : new Lora.Pair(update.a(), factors.get(i), update.factor())));
            return parts;
        }

        /**
         * The layer from x [..., in] to [..., out]. Only blocks compute in FP8: it is standard practice to keep the
         * first layer, which reads pixels or responses, and the last. Low-rank products do not.
         */
        Value apply(Weights w, Value x) {
            Value rows = rows(x), b = bias.value(), copy = bias.copy();
            Value y = w.inFp8(x, weight)
                    ? Ops.linearFp8(rows, weight, w.fp8States(name), b, copy, scale, w.compute())
                    : Ops.linear(rows, weight, b, copy, scale, w.compute());
            if (update != null) y = Ops.add(y, update.apply(rows));
            return Ops.reshape(y, x.shape().with(-1, weight.dim(0)).dims());
        }
    }

    /**
     * Linear layer of an encoder's block.
     *
     * @param layer name of the layer in the block
     */
    private static Value blockLinear(Weights block, String layer, Value x, int out, Encoder form) {
        Weights w = block.sub(layer);
        return BlockLayer.of(w, lastPart(layer), out, x.dim(-1), form).apply(w, x);
    }

    private static String lastPart(String layer) {
        return layer.substring(layer.lastIndexOf('.') + 1);
    }

    /** Linear layer with the initialisation of torch. */
    public static Value linear(Weights w, Value x, int out) {
        return linear(w, x, out, Init.torch(x.dim(-1)), Init.torch(x.dim(-1)));
    }

    /**
     * Linear layers of several networks in one node, each on its own input, with the initialisation of torch.
     *
     * @param x flat: the [rows, in] matrices of the networks, one after another
     * @param in input features of each network
     * @return flat: the [rows, out] matrices of the networks, one after another
     */
    public static Value groupedLinear(List<Weights> ws, Value x, int rows, List<Integer> in, int out) {
        if (ws.size() == 1) return flat(linear(ws.get(0), Ops.reshape(x, rows, in.get(0)), out));
        return grouped(
                ws,
                in.stream().map(n -> new int[] {out, n}).toList(),
                (w, b, s) -> Ops.groupedLinear(x, rows, w, b, s));
    }

    /**
     * Linear layers of several networks in one node that all read the same x [rows, in].
     *
     * @return flat: the [rows, out] matrices of the networks, one after another
     */
    public static Value sharedLinear(List<Weights> ws, Value x, int out) {
        if (ws.size() == 1) return flat(linear(ws.get(0), x, out));
        return grouped(
                ws,
                ws.stream().map(w -> new int[] {out, x.dim(1)}).toList(),
                (w, b, s) -> Ops.groupedLinear(x, w, b, s));
    }

    /**
     * Convolutions along the vertices of several networks in one node, with the initialisation of torch. Zero padding
     * of (kernel - 1) / 2 keeps the length at stride 1.
     *
     * @param x flat: the [rows, n, channels] inputs of the networks, one after another
     * @param n vertices of each network
     * @param kernel width, odd
     * @return flat: the [rows, (n - 1) / stride + 1, out] outputs of the networks, one after another
     */
    public static Value groupedConv(
            List<Weights> ws, Value x, int rows, List<Integer> n, int out, int kernel, int stride) {
        int in = Math.toIntExact(
                x.shape().elements() / rows / n.stream().mapToInt(k -> k).sum());
        return grouped(
                ws,
                ws.stream().map(w -> new int[] {out, in, 1, kernel}).toList(),
                (w, b, s) -> Ops.groupedConv1d(x, rows, n, w, b, s, stride));
    }

    private static Value flat(Value x) {
        return Ops.reshape(x, Math.toIntExact(x.shape().elements()));
    }

    private interface Product {
        Value of(List<Value> weights, List<Value> biases, @Nullable List<Value> scales);
    }

    private static Value grouped(List<Weights> ws, List<int[]> dims, Product product) {
        List<Init> init = dims.stream()
                .map(d -> Init.torch(Math.toIntExact(Shape.of(d).elements(1, d.length))))
                .toList();
        List<Weights.Weight> m = Weights.weights(ws, "weight", init, dims);
        List<Value> b = new ArrayList<>();
        for (int i = 0; i < ws.size(); i++) b.add(ws.get(i).vector("bias", init.get(i), dims.get(i)[0]));
        @Nullable
        List<Value> scales = m.get(0).scale() == null
                ? null
                : m.stream().map(Weights.Weight::scale).toList();
        return product.of(m.stream().map(Weights.Weight::value).toList(), b, scales);
    }

    /**
     * Convolution of x [B, H, W, C] to [B, H', W', out] with the initialisation of torch; weight [out, C, kh, kw].
     *
     * @param kernel {kh, kw}
     * @param stride {vertical, horizontal}
     * @param pad zeros on each side, {vertical, horizontal}
     */
    public static Value conv(Weights w, Value x, int out, int[] kernel, int[] stride, int[] pad) {
        int in = x.dim(3), fan = in * kernel[0] * kernel[1];
        Weights.Weight m = w.weight("weight", Init.torch(fan), out, in, kernel[0], kernel[1]);
        Value b = w.vector("bias", Init.torch(fan), out);
        return Ops.conv2d(x, m.value(), b, m.scale(), stride[0], stride[1], pad[0], pad[1]);
    }

    /**
     * Layer norm of x, or of x + residual if {@code residual} is not null. For the outputs see {@link Ops#layerNorm}
     * and {@link Ops#layerNormResidual}.
     */
    public static Node layerNorm(Weights w, Value x, @Nullable Value residual, double eps) {
        Value gamma = w.vector("weight", Init.ONES, x.dim(-1)), beta = w.vector("bias", Init.ZEROS, x.dim(-1));
        return residual == null
                ? Ops.layerNorm(x, gamma, beta, eps)
                : Ops.layerNormResidual(x, residual, gamma, beta, eps);
    }

    /** The activation of an MLP. */
    public enum MlpActivation {
        /** Exact GELU. */
        GELU(Activation.Kind.GELU, 0),
        /** x / (1 + exp(-1.702 x)), of OpenAI's CLIP (Radford et al. 2021). */
        QUICK_GELU(Activation.Kind.SWISH, 1.702);

        private final Activation.Kind kind;
        private final double alpha;

        MlpActivation(Activation.Kind kind, double alpha) {
            this.kind = kind;
            this.alpha = alpha;
        }

        Value apply(Value x) {
            return Ops.activation(x, kind, alpha);
        }
    }

    /** Exact GELU. */
    public static Value gelu(Value x) {
        return MlpActivation.GELU.apply(x);
    }

    /** Leaky ReLU with slope 0.2 below zero. */
    public static Value leakyRelu(Value x) {
        return Ops.activation(x, Activation.Kind.LEAKY_RELU, LEAK);
    }

    /**
     * Dropout (Srivastava et al. 2014) of x [B, ...]: in training, sets each element to 0 with probability {@code rate}
     * and divides the others by 1 - rate; adds nothing in prediction, and nothing for rate 0.
     *
     * @param w its prefix is the name of this dropout; dropouts of other names draw other random numbers
     */
    public static Value dropout(Weights w, Value x, double rate) {
        if (!w.training() || rate == 0) return x;
        return Ops.dropout(
                x, rate, w.dropoutSite(), w.shard().rank() * x.shape().elements());
    }

    /** What follows a group norm. */
    public enum NormActivation {
        NONE(Activation.Kind.LEAKY_RELU),
        /** x / (1 + exp(-x)). */
        SILU(Activation.Kind.SWISH);

        private final Activation function;

        /** Leaky ReLU of slope 1 is the identity, swish of factor 1 SiLU. */
        NormActivation(Activation.Kind kind) {
            function = new Activation(kind, 1);
        }
    }

    /**
     * Group normalisation of x [B, H, W, C] (Wu and He 2018) with the parameter names of torch, then an activation.
     *
     * @param shift [B, C] of x's type, added to every pixel before the normalisation; null for none
     */
    public static Value groupNorm(
            Weights w, Value x, int groups, double eps, NormActivation activation, @Nullable Value shift) {
        return groupNorm(w, x, new ChannelNorm(groups, false, eps, activation.function), shift);
    }

    /**
     * Group normalisation of x [B, H, W, C] (Wu and He 2018), then leaky ReLU, with the parameter names and epsilon of
     * torch.
     */
    public static Value groupNorm(Weights w, Value x, int groups) {
        return groupNorm(w, x, new ChannelNorm(groups, false, NORM_EPS, LEAK), null);
    }

    private static Value groupNorm(Weights w, Value x, ChannelNorm op, @Nullable Value shift) {
        Value gamma = w.vector("weight", Init.ONES, x.dim(3)), beta = w.vector("bias", Init.ZEROS, x.dim(3));
        List<Value> in = new ArrayList<>(List.of(x, gamma, beta));
        if (shift != null) in.add(shift);
        return x.graph().apply(op, in).output(0);
    }

    /**
     * Batch normalisation of x [B, H, W, C] (Ioffe and Szegedy 2015), then leaky ReLU, with the parameter names,
     * epsilon and momentum of torch. Training normalises by the batch statistics and updates the running statistics;
     * prediction normalises by the running statistics.
     */
    public static Value batchNorm(Weights w, Value x) {
        Graph g = x.graph();
        int c = x.dim(3);
        Value gamma = w.vector("weight", Init.ONES, c), beta = w.vector("bias", Init.ZEROS, c);
        Value mean = w.state("running_mean", Init.ZEROS, c), variance = w.state("running_var", Init.ONES, c);
        if (!w.training())
            return g.apply(new ChannelAffine(NORM_EPS, LEAK), x, gamma, beta, mean, variance)
                    .output(0);
        int ranks = w.shard().ranks();
        Node norm = w.shard().isPart()
                ? SyncBatchNorm.of(x, gamma, beta, ranks, NORM_EPS, LEAK)
                : g.apply(new ChannelNorm(c, true, NORM_EPS, LEAK), x, gamma, beta);
        Node track = g.apply(
                new TrackStatistics(0.1, ranks * (x.shape().elements() / c), NORM_EPS),
                mean,
                variance,
                norm.output(1),
                norm.output(2));
        w.replaceState("running_mean", track.output(0));
        w.replaceState("running_var", track.output(1));
        return norm.output(0);
    }

    /**
     * Each channel of x [..., C] less its mean over the training images, divided by its standard deviation over them.
     * Both are states, which training does not change: see {@link Weights#measured}.
     */
    public static Value standardise(Weights w, Value x) {
        Value[] statistics = w.statistics(x);
        return Ops.mul(Ops.add(x, statistics[0]), statistics[1]);
    }

    /** Tokens of an encoder's blocks that its caller reads. */
    public enum Tokens {
        /** All tokens. */
        ALL,
        /** The first token, which the last block then computes alone: the other tokens only give it keys and values. */
        CLASS
    }

    /**
     * The form of a transformer encoder.
     *
     * @param depth number of blocks
     * @param heads number of attention heads; divides the width of a token
     * @param mlpRatio hidden width of a block's MLP divided by the width of a token
     * @param eps epsilon of the layer norms
     * @param layerScale whether each branch of a block is multiplied by a learned vector before it is added (Touvron et
     *     al. 2021, "Going deeper with Image Transformers")
     * @param lora low-rank updates of the blocks' linear layers
     */
    public record Encoder(
            int depth,
            int heads,
            double mlpRatio,
            double eps,
            MlpActivation activation,
            boolean layerScale,
            Lora lora) {
        /** An encoder of timm's original ViT. */
        public Encoder(int depth, int heads, double mlpRatio) {
            this(depth, heads, mlpRatio, VIT_EPS, MlpActivation.GELU, false, Lora.NONE);
        }
    }

    /**
     * Pre-norm transformer encoder including the final norm (Dosovitskiy et al. 2021), with the parameter names of
     * timm's VisionTransformer. Each layer norm also computes the residual sum that it normalises.
     *
     * @param x tokens [B, T, E]
     * @return tokens after the final norm: [B, T, E], or [B, 1, E] if {@code read} is {@link Tokens#CLASS}
     */
    public static Value encoder(Weights w, Value x, Encoder form, Tokens read) {
        return encoder(w, x, form, read, List.of(form.depth)).get(0);
    }

    /**
     * The same encoder with the tokens of several blocks as outputs. It ends with the last of these blocks.
     *
     * @param after blocks whose tokens are wanted, from 1 to depth, ascending
     * @return normalised tokens after each of these blocks: {@code norm} normalises those of block {@code depth},
     *     {@code norms.BLOCK} those of any other
     */
    public static List<Value> encoder(Weights w, Value x, Encoder form, Tokens read, List<Integer> after) {
        Graph g = x.graph();
        int width = x.dim(2), last = after.get(after.size() - 1);
        List<Value> tokens = new ArrayList<>();
        Value sum = x;
        Value h = layerNorm(w.sub("blocks.0.norm1"), x, null, form.eps).output(0);
        for (int i = 1; i <= last; i++) {
            Weights b = w.sub("blocks." + (i - 1));
            try (Graph.Scope s = g.scope("blocks." + (i - 1))) {
                boolean alone = read == Tokens.CLASS && i == last;
                if (alone) sum = classToken(sum);
                Value a = alone
                        ? classAttention(b.sub("attn.qkv"), h, form)
                        : Ops.attention(blockLinear(b, "attn.qkv", h, 3 * width, form), form.heads);
                a = scaled(b.sub("ls1"), blockLinear(b, "attn.proj", a, width, form), form);
                Node n = layerNorm(b.sub("norm2"), a, sum, form.eps);
                sum = n.output(3);
                int hidden = (int) Math.round(width * form.mlpRatio);
                Value m = form.activation.apply(blockLinear(b, "mlp.fc1", n.output(0), hidden, form));
                m = scaled(b.sub("ls2"), blockLinear(b, "mlp.fc2", m, width, form), form);
                Weights norm = w.sub(i == form.depth ? "norm" : "norms." + i);
                n = layerNorm(i < last ? w.sub("blocks." + i + ".norm1") : norm, m, sum, form.eps);
                h = n.output(0);
                sum = n.output(3);
                if (i < last && after.contains(i)) {
                    Value seen = read == Tokens.CLASS ? classToken(sum) : sum;
                    tokens.add(layerNorm(norm, seen, null, form.eps).output(0));
                }
            }
        }
        tokens.add(h);
        return tokens;
    }

    /** A branch of a block, times the learned vector if the encoder has LayerScale. */
    private static Value scaled(Weights w, Value branch, Encoder form) {
        return form.layerScale ? Ops.mul(branch, w.vector("gamma", LAYER_SCALE, branch.dim(-1))) : branch;
    }

    /** The first of the tokens [B, T, E], as [B, 1, E]. */
    private static Value classToken(Value tokens) {
        return Ops.slice(tokens, 1, 0, 1);
    }

    /**
     * Self-attention of normalised tokens h [B, T, E] for the class token alone: [B, 1, E]. The rows of timm's qkv
     * weight that make queries see one token, the others all tokens.
     */
    private static Value classAttention(Weights w, Value h, Encoder form) {
        int width = h.dim(2);
        List<BlockLayer> rows = BlockLayer.of(w, "qkv", 3 * width, width, form).split("q", "kv", width);
        return Ops.attention(rows.get(0).apply(w, classToken(h)), rows.get(1).apply(w, h), form.heads);
    }
}
