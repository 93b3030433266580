// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.cortigan.InputException;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.io.AtomicFiles;
import org.cortigan.nn.Weights;
import org.cortigan.onnx.OnnxModel;
import org.cortigan.op.OnnxOps;

/**
 * Writes the generator of one or several models as a file of ONNX, opset {@value OnnxModel#OPSET}, in f32. Its input
 * {@value #INPUT} is u8 [N, S, S, 3], rows of RGB; its output {@value #OUTPUT} is f32 [N, V], what a {@link Predictor}
 * predicts: measured responses, the left hemisphere's vertices first. N is open. Several models are averaged as
 * {@code predict} averages them.
 */
public final class OnnxExport {
    /** Names of the input and the output. */
    public static final String INPUT = "images", OUTPUT = "responses";

    private OnnxExport() {}

    /**
     * Writes a model.
     *
     * @param models by the names of their checkpoints, at least one; all for the same vertices and size of photographs
     * @param subject whose responses are predicted, in models of several subjects
     * @param version of this program
     * @return the written files: {@code file}, and beside it FILE.data with the weights if they are too large for one
     * @throws InputException if a model predicts means of samples or an op has no form in ONNX, if the models do not
     *     fit together, or if the files cannot be written
     */
    public static List<Path> write(Map<String, Model> models, String subject, String version, Path file) {
        return write(models, subject, version, file, OnnxModel.LIMIT_BYTES);
    }

    /** @param limit most bytes of one file */
    static List<Path> write(Map<String, Model> models, String subject, String version, Path file, long limit) {
        OnnxModel to = new OnnxModel("cortigan");
        Map.Entry<String, Model> first = models.entrySet().iterator().next();
        ModelConfig.Subject s = first.getValue().config().subject(subject);
        int side = first.getValue().config().generator().image();
        to.input(INPUT, OnnxModel.Element.UINT8, -1, side, side, 3);
        List<String> members = new ArrayList<>();
        models.forEach((name, model) -> {
            ModelConfig.Subject own = model.config().subject(subject);
            if (own.left() != s.left()
                    || own.right() != s.right()
                    || !own.missing().equals(s.missing()))
                throw new InputException(
                        name,
                        "is for " + own + ", but " + first.getKey() + " is for " + s,
                        "Give models of one subject");
            if (model.config().generator().image() != side)
                throw new InputException(
                        name,
                        "takes photographs of " + model.config().generator().image() + " pixels a side, but "
                                + first.getKey() + " of " + side,
                        "Export the models to files of their own");
            members.add(member(to, models.size() == 1 ? "" : "models." + members.size() + "/", name, model, own));
        });
        output(to, members);
        to.output(OUTPUT, OnnxModel.Element.FLOAT, -1, s.vertices());
        to.note("cortigan.models", String.join(", ", models.keySet()));
        to.note("cortigan.networks", first.getValue().config().networks());
        to.note("cortigan.prediction", first.getValue().config().generator().prediction());
        to.note("cortigan.subject", subject);
        to.note("cortigan.left_vertices", Integer.toString(s.left()));
        to.note("cortigan.right_vertices", Integer.toString(s.right()));
        if (s.missing().count() > 0) {
            to.note("cortigan.missing_left", s.missing().left().toString());
            to.note("cortigan.missing_right", s.missing().right().toString());
        }
        String description = "Responses of the cortex to photographs, " + s.left() + " vertices of the left hemisphere,"
                + " then " + s.right() + " of the right one, in the units of the measurements. " + INPUT
                + ": RGB, 0 to 255.";
        return write(to, version, description, file, limit);
    }

    /** Adds a model's nodes. @return the name of its measured responses */
    private static String member(OnnxModel to, String prefix, String name, Model model, ModelConfig.Subject subject) {
        OnnxOps ops = new OnnxOps(
                to,
                prefix,
                INPUT,
                graph(model, name, subject, OnnxOps.FIRST),
                graph(model, name, subject, OnnxOps.SECOND),
                variable -> reader(model, variable),
                OnnxExport::computed);
        return ops.write("y");
    }

    private static Supplier<float[]> reader(Model model, String variable) {
        return () -> model.values(variable);
    }

    private static Graph graph(Model model, String name, ModelConfig.Subject subject, int batch) {
        Predictor.Programs programs = Predictor.Programs.of(
                model.config(),
                subject,
                DType.F32,
                Weights.Use.PREDICT,
                batch,
                Predictor.Form.MEASURED,
                model.scaling(subject),
                parameter -> false,
                g -> g);
        if (programs.sampled().isPresent())
            throw new InputException(
                    name,
                    "predicts the mean of samples, whose noise depends on a photograph's bytes: ONNX has no such loop",
                    "Export its one evaluation at the last timestep, with --mode mean");
        return programs.last();
    }

    /** The values of a node that reads tables alone, such as noise that is the same for all photographs. */
    private static float[] computed(Node n) {
        Graph g = new Graph();
        g.output(
                "y",
                g.apply(
                                n.op(),
                                n.inputs().stream()
                                        .map(v -> g.copy((Leaf) v.node().op()))
                                        .toList())
                        .output(0));
        try (CpuDevice cpu = CpuDevice.best(1);
                Variables none = new Variables(cpu);
                Session s = new Session(g, cpu, none)) {
            s.run();
            return s.output("y").toFloats();
        }
    }

    private static void output(OnnxModel to, List<String> members) {
        if (members.size() == 1) {
            to.node("Identity", OUTPUT, members).add();
            return;
        }
        String sum = to.node("Sum", "sum", members).add();
        to.node("Div", OUTPUT, List.of(sum, to.scalar(members.size()))).add();
    }

    private static List<Path> write(OnnxModel model, String version, String description, Path file, long limit) {
        // The names and shapes of nodes and weights take far less than this.
        if (model.weightBytes() + (16 << 20) <= limit) {
            AtomicFiles.write(file, out -> model.write(out, version, description));
            return List.of(file);
        }
        Path weights = file.resolveSibling(file.getFileName() + ".data");
        // A model is never beside weights of another one.
        AtomicFiles.deleteIfExists(file);
        AtomicFiles.write(weights, model::writeWeights);
        AtomicFiles.write(
                file,
                out -> model.write(
                        out, version, description, weights.getFileName().toString()));
        return List.of(file, weights);
    }
}
