// SPDX-License-Identifier: Apache-2.0
package org.cortigan.op;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.function.Function;
import org.cortigan.InputException;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.onnx.OnnxModel;
import org.junit.jupiter.api.Test;

class OnnxOpsTest {
    private static Graph graph(int photographs, Function<Value, Value> network) {
        Graph g = new Graph();
        Value x = g.input("images", DType.U8, photographs, 4, 4, 3);
        g.output("y", network.apply(Ops.reshape(rows(x), photographs, 48)));
        return g;
    }

    private static Value rows(Value images) {
        List<Double> half = List.of(0.5, 0.5, 0.5);
        return Ops.normalize(images, half, half, DType.F32);
    }

    private static String write(Function<Value, Value> network) {
        return new OnnxOps(
                        new OnnxModel("test"),
                        "",
                        "images",
                        graph(OnnxOps.FIRST, network),
                        graph(OnnxOps.SECOND, network),
                        name -> () -> new float[0],
                        n -> new float[0])
                .write("y");
    }

    @Test
    void anOpWithoutTranslationIsRefusedByItsName() {
        assertEquals("tanh.3", write(x -> Ops.activation(x, Activation.Kind.TANH, 0)));
        String refused = assertThrows(InputException.class, () -> write(x -> Ops.dropout(x, 0.5, "d", 0)))
                .getMessage();
        assertTrue(refused.startsWith("the op 'dropout': has no translation to ONNX"), refused);
    }

    /** A sum over the photographs would be another one in a batch of another size. */
    @Test
    void whatMixesPhotographsIsRefused() {
        assertThrows(
                IllegalArgumentException.class,
                () -> write(x -> Ops.slice(Ops.reshape(x, 1, 48 * x.dim(0)), 1, 0, x.dim(0) + 1)));
        assertThrows(IllegalArgumentException.class, () -> write(x -> Ops.scale(x, 1.0 / x.dim(0))));
    }
}
