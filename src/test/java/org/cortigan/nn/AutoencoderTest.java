// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.util.List;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Value;
import org.cortigan.io.SafeTensors;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/** Compares with diffusers' AutoencoderKL, which computed in double. */
class AutoencoderTest {
    private static final Autoencoder SMALL = new Autoencoder(List.of(32, 64), 1, 32);
    private static final List<Double> HALF = List.of(0.5, 0.5, 0.5);

    private static void compare(SafeTensors golden, String name, int channels, Session s, CpuDevice device) {
        float[] want = DiffusersFile.channelsLast(golden.floats("golden." + name), 2, channels);
        double error = DiffusersFile.largestError(want, s.output(name).toFloats(), 0);
        assertEquals(0, error, 1e-5, name + " on " + device.name());
    }

    @Test
    void computesWhatDiffusersDoes() {
        try (SafeTensors golden = DiffusersFile.open("sd_vae_diffusers")) {
            for (CpuDevice device : List.of(CpuDevice.doubleReference(), CpuDevice.best(2))) {
                Graph g = new Graph();
                Weights w = Weights.in(g, DType.F32, "", false);
                Value x = Ops.normalize(g.input("images", DType.U8, 2, 16, 16, 3), HALF, HALF, DType.F32);
                Value moments = SMALL.moments(w, x), latent = SMALL.latent(w, x);
                g.output("mean", Ops.slice(moments, 3, 0, 4));
                g.output("logvar", Ops.slice(moments, 3, 4, 8));
                g.output("latent", latent);
                g.output("decoded", SMALL.decode(w, latent));
                try (Variables vars = new Variables(device);
                        Session s = new Session(g, device, vars)) {
                    DiffusersFile.load(golden, w, vars);
                    ByteBuffer images = ByteBuffer.allocate(2 * 16 * 16 * 3);
                    golden.read("golden.images", images);
                    s.input("images").write(images.flip());
                    s.run();
                    for (String name : List.of("mean", "logvar", "latent")) compare(golden, name, 4, s, device);
                    compare(golden, "decoded", 3, s, device);
                }
            }
        }
    }

    @Test
    void hasTheParametersOfStableDiffusion() {
        Weights w = Weights.declaredBy(
                DType.F32,
                "",
                false,
                v -> Autoencoder.SD1.decode(
                        v, Autoencoder.SD1.latent(v, v.graph().input("x", DType.F32, 1, 16, 16, 3))));
        assertEquals(DiffusersFile.shapes("vae"), DiffusersFile.shapes(w));
        assertEquals(248, w.specs().size());
        assertEquals(
                83_653_863L,
                w.specs().stream().mapToLong(s -> s.shape().elements()).sum());
        assertEquals(8, Autoencoder.SD1.factor());
    }
}
