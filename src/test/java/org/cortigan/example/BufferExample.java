// SPDX-License-Identifier: Apache-2.0
package org.cortigan.example;

import java.nio.file.Path;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.DlPack;
import org.cortigan.exec.TensorMemory;
import org.cortigan.model.Model;
import org.cortigan.model.Predictor;

/**
 * Shows how a program predicts in memory that it shares with other libraries, here JavaCPP; a pointer of JCuda or of
 * java.lang.foreign works alike. On a card, open the device {@code cuda:0} and give pointers of the card.
 */
public final class BufferExample {
    private BufferExample() {}

    /** @param args a checkpoint of a model of one subject */
    public static void main(String[] args) {
        int n = 2;
        Model model = Model.load(Path.of(args[0]));
        try (CpuDevice device = CpuDevice.best(0);
                Predictor predictor = model.measured(device, n, "")) {
            // Another library's memory: one copy of the photographs, one of the responses.
            try (BytePointer photographs = new BytePointer((long) n * predictor.imageBytes());
                    FloatPointer responses = new FloatPointer((long) n * predictor.columns())) {
                photographs.fill(127);
                predictor.predict(photographs.address(), responses.address(), n);
                System.out.println("the first response: " + responses.get(0));
            }

            // The predictor's own memory: no copy. The last photographs still lie there.
            predictor.runInPlace();
            TensorMemory y = predictor.outputMemory();
            System.out.println(y.type() + " at " + Long.toHexString(y.address()));
            try (DlPack capsule = new DlPack(y)) {
                System.out.println("a DLManagedTensor at " + Long.toHexString(capsule.address()));
            }
        }
    }
}
