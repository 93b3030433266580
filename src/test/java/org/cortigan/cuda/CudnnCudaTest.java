// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.bytedeco.cuda.global.cudnn.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.zip.DeflaterOutputStream;
import org.bytedeco.cuda.cudnn.cudnnContext;
import org.cortigan.InputException;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Served;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Node;
import org.cortigan.graph.Shape;
import org.cortigan.graph.Value;
import org.cortigan.op.Op;
import org.cortigan.op.Ops;
import org.junit.jupiter.api.Test;

/** Convolutions through cuDNN's interface, computed by a simulation of the library. */
class CudnnCudaTest extends VendorCudaTest {
    private record Convolution(
            int batch,
            int height,
            int width,
            int channels,
            int outputs,
            int kernelHeight,
            int kernelWidth,
            int strideY,
            int strideX,
            int padY,
            int padX) {}

    private static final Convolution[] SHAPES = {
        new Convolution(1, 1, 2, 1, 1, 1, 1, 1, 1, 0, 0),
        new Convolution(2, 5, 6, 3, 2, 3, 3, 1, 1, 1, 1),
        new Convolution(1, 8, 8, 2, 5, 4, 4, 2, 2, 1, 1),
        new Convolution(2, 6, 7, 1, 8, 3, 2, 2, 1, 0, 1),
        new Convolution(3, 4, 4, 16, 8, 1, 1, 1, 1, 0, 0),
        new Convolution(1, 7, 7, 5, 7, 3, 3, 2, 2, 0, 0)
    };

    /** A 1-D convolution over 19 vertices. */
    private static final Convolution OVER_VERTICES = new Convolution(2, 1, 19, 1, 3, 1, 5, 1, 4, 0, 2);

    /** @param steps number of values between 0 and 1; 64 steps are exact in bf16 */
    private static float[] numbers(long n, int seed, int steps) {
        float[] f = new float[Math.toIntExact(n)];
        for (int i = 0; i < f.length; i++) f[i] = (float) Math.rint(steps * Math.cos(seed * 77 + 1.7 * i)) / steps;
        return f;
    }

    /** Runs a convolution three times (launched, recorded and replayed) and returns y, dX and dW of the last run. */
    private static List<float[]> convolve(Device d, Convolution c, boolean bias, boolean scale, DType t) {
        return convolve(d, c, bias, scale, t, 1 << 20);
    }

    private static List<float[]> convolve(Device d, Convolution c, boolean bias, boolean scale, DType t, int steps) {
        return convolve(d, c, bias, scale, t, steps, new ArrayList<>());
    }

    /** @param served receives who computes y, dX and dW */
    private static List<float[]> convolve(
            Device d, Convolution c, boolean bias, boolean scale, DType t, int steps, List<Served> served) {
        Graph g = new Graph();
        Value x = g.input("x", t, c.batch, c.height, c.width, c.channels),
                w = g.input("w", t, c.outputs, c.channels, c.kernelHeight, c.kernelWidth);
        Value b = bias ? g.input("bias", DType.F32, c.outputs) : null,
                sc = scale ? g.input("scale", DType.F32, 1) : null;
        Value y = Ops.conv2d(x, w, b, sc, c.strideY, c.strideX, c.padY, c.padX);
        Shape out = y.shape();
        Value dY = g.input("dY", t, out.dim(0), out.dim(1), out.dim(2), out.dim(3));
        g.output("y", y);
        Value plain = Ops.conv2d(x, w, null, null, c.strideY, c.strideX, c.padY, c.padX);
        List<Value> grad = Gradients.of(List.of(plain), List.of(dY), List.of(x, w));
        g.output("dX", grad.get(0));
        g.output("dW", grad.get(1));
        try (Variables v = new Variables(d);
                Session session = new Session(g, d, v)) {
            for (int i = 0; i < 3; i++) {
                session.input("x").write(numbers(x.shape().elements(), i, steps));
                session.input("w").write(numbers(w.shape().elements(), 10 + i, steps));
                session.input("dY").write(numbers(out.elements(), 20 + i, steps));
                if (bias) session.input("bias").write(numbers(c.outputs, 30 + i, steps));
                if (scale) session.input("scale").set(0, 0.3 + i);
                session.run();
            }
            Map<String, Served> by = new TreeMap<>();
            for (Node n : session.launched()) by.put(Op.of(n).kernel(), session.served(n));
            served.addAll(List.of(by.get("conv2d"), by.get("conv2d_grad_x"), by.get("conv2d_grad_w")));
            return List.of(
                    session.output("y").toFloats(),
                    session.output("dX").toFloats(),
                    session.output("dW").toFloats());
        }
    }

    private static Device open(List<String> said) {
        return Devices.open("cuda", 0, said::add);
    }

    @Test
    void everyCombinationMatchesTheCpu() throws IOException {
        List<String> said = new ArrayList<>();
        try (Device cpu = Devices.open("cpu", 1);
                Device d = open(said)) {
            for (Convolution c : SHAPES)
                for (DType t : new DType[] {DType.F32, DType.BF16}) {
                    for (int o = 0; o < 4; o++) {
                        boolean bias = (o & 1) != 0, scale = (o & 2) != 0;
                        List<float[]> want = convolve(cpu, c, bias, scale, DType.F32, 64);
                        List<float[]> got = convolve(d, c, bias, scale, t, 64);
                        for (int k = 0; k < 3; k++) {
                            double largest = 1;
                            for (float f : want.get(k)) largest = Math.max(largest, Math.abs(f));
                            int terms = k == 2
                                    ? want.get(0).length / c.outputs
                                    : Math.max(c.channels, c.outputs) * c.kernelHeight * c.kernelWidth;
                            // sums of f32; y and dX are rounded to bf16, a scaled y also before its bias is added; dW
                            // is f32 throughout
                            double tol = (terms + 4) * 0x1p-23 * largest;
                            if (t == DType.BF16 && k < 2) tol += (scale ? 3 : 2) * 0x1p-8 * largest;
                            for (int i = 0; i < want.get(k).length; i++)
                                assertEquals(
                                        want.get(k)[i], got.get(k)[i], tol, c + " " + t + " case " + o + " of " + k);
                        }
                    }
                }
        }
        assertEquals(List.of(), said);
        String text = Files.readString(cache.resolve("algorithms.json"));
        for (String kernel : new String[] {"conv2d", "conv2d_grad_x", "conv2d_grad_w"})
            assertTrue(
                    text.contains(
                            "Simulated card, cuDNN 91900: " + kernel + " of 2 x 5 x 6 x 3 by 2 x 3 x 3, strides 1 1"),
                    text);
    }

    @Test
    void f32IsExactAndTf32IsNot() {
        Convolution c = new Convolution(1, 6, 6, 16, 4, 3, 3, 1, 1, 1, 1);
        try (Device d = open(new ArrayList<>())) {
            List<float[]> exact = convolve(d, c, true, false, DType.F32),
                    fast = convolve(d.with(Precision.TF32), c, true, false, DType.F32);
            for (int k = 0; k < 3; k++) {
                double largest = 0;
                for (int i = 0; i < exact.get(k).length; i++)
                    largest = Math.max(largest, Math.abs(exact.get(k)[i] - fast.get(k)[i]));
                assertTrue(largest > 1e-5 && largest < 144 * 0x1p-10, "difference " + largest);
            }
        }
    }

    /** The simulated clock counts launches, and the graph API's plans come first: they win. */
    @Test
    void plansAreMeasuredOnceAndKept() throws IOException {
        List<Served> first = measure(new ArrayList<>());
        assertEquals(
                List.of(
                        "graph engine 8, workspace 0 bytes, fused bias, weight reordered",
                        "graph engine 1, workspace 4096 bytes, weight reordered",
                        "graph engine 1, workspace 4096 bytes, weight reordered"),
                first.stream().map(Served::form).toList());
        String text = Files.readString(cache.resolve("algorithms.json"));
        long waits = SimulatedCuda.waits();
        assertEquals(first, measure(new ArrayList<>()));
        long again = SimulatedCuda.waits() - waits;
        // entries that the library would refuse are measured again: an unknown algorithm, TF32 for exact products, and
        // the text of a plan that the library does not read
        for (String bad :
                List.of("7 3 0 0 0 0 0 0 0 0", "1 1 0 0 0 0 0 0 0 0", "3e 0 0 0 0 0 0 0 0 0 " + packed("{}"))) {
            String spoilt = text.replaceAll("\": \"[^\"]*", "\": \"" + bad);
            assertTrue(!spoilt.equals(text), text);
            Files.writeString(cache.resolve("algorithms.json"), spoilt);
            waits = SimulatedCuda.waits();
            assertEquals(first, measure(new ArrayList<>()));
            assertTrue(SimulatedCuda.waits() - waits > again, "algorithms are measured again");
            assertEquals(text, Files.readString(cache.resolve("algorithms.json")), "the bad entries are replaced");
        }
        // one of the legacy API that is good is kept, though a plan would be faster
        Files.writeString(
                cache.resolve("algorithms.json"), text.replaceAll("\": \"[^\"]*", "\": \"" + "1 3 0 0 0 0 0 0 0 0"));
        for (Served s : measure(new ArrayList<>()))
            assertEquals("algorithm 1, math type 3, workspace 4096 bytes, weight reordered", s.form());
    }

    private static String packed(String text) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DeflaterOutputStream out = new DeflaterOutputStream(bytes)) {
            out.write(text.getBytes(StandardCharsets.UTF_8));
        }
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    /** The simulated heuristics also offer engines that must not be taken, one twice, and one whose plan fails. */
    @Test
    void onlyExactDeterministicEnginesAreTaken() {
        cudnnContext handle = new cudnnContext();
        try (Device d = open(new ArrayList<>())) {
            convolve(d, SHAPES[0], false, false, DType.F32); // loads the library
            assertEquals(0, cudnnCreate(handle));
            for (ConvolutionShape.Kind k : ConvolutionShape.Kind.values()) {
                assertEquals(List.of(1L), engines(handle, k, 8, false, false, true), k + " exact");
                assertEquals(List.of(62L, 1L), engines(handle, k, 8, false, false, false), k + " tf32");
            }
            assertEquals(List.of(62L, 1L), engines(handle, ConvolutionShape.Kind.FORWARD, 5, true, false, false));
            assertEquals(List.of(62L, 1L), engines(handle, ConvolutionShape.Kind.BY_X, 5, true, false, false));
            // no precompiled engine adds a bias or returns f32 from bf16
            assertEquals(List.of(8L), engines(handle, ConvolutionShape.Kind.FORWARD, 8, false, true, true));
            assertEquals(List.of(71L, 8L), engines(handle, ConvolutionShape.Kind.FORWARD, 8, true, true, false));
            assertEquals(List.of(71L, 8L), engines(handle, ConvolutionShape.Kind.BY_W, 8, true, false, false));
            assertEquals(List.of(), engines(handle, ConvolutionShape.Kind.BY_W, 5, true, false, false));
        } finally {
            cudnnDestroy(handle);
        }
    }

    private static List<Long> engines(
            cudnnContext handle, ConvolutionShape.Kind kind, int channels, boolean in16, boolean bias, boolean exact) {
        ConvolutionShape s = new ConvolutionShape(2, 6, 6, channels, channels, 3, 3, 1, 1, 1, 1, in16);
        return List.copyOf(CudnnGraph.plans(handle, kind, s, s.type(), bias, exact, new HashSet<>())
                .values());
    }

    /**
     * The simulation is stricter than the library, so that a descriptor that it takes is one that the library takes.
     */
    @Test
    void aWrongDescriptorIsRefused() {
        try (Device d = open(new ArrayList<>())) {
            convolve(d, SHAPES[0], false, false, DType.F32); // loads the library
        }
        String bad = "CUDNN_STATUS_BAD_PARAM";
        refused(bad + "_ATTRIBUTE_TYPE", t -> t.longs(CUDNN_ATTR_TENSOR_DATA_TYPE, 0));
        refused(bad, t -> t.longs(CUDNN_ATTR_TENSOR_DIMENSIONS, 1, 8, 4));
        refused(bad, t -> t.longs(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2));
        refused(bad, t -> t.longs(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 24).finish());
        refused(
                "CUDNN_STATUS_NOT_SUPPORTED",
                t -> t.longs(CUDNN_ATTR_TENSOR_STRIDES, 128, 16, 4, 1).finish());
        refused("CUDNN_STATUS_NOT_INITIALIZED", t -> t.finish().longs(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1));
        refused(bad + "_NOT_FINALIZED", t -> t.getLong(CUDNN_ATTR_TENSOR_UNIQUE_ID));
        refused(bad + "_NOT_FINALIZED", t -> {
            try (CudnnDescriptor node = new CudnnDescriptor(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)) {
                node.descriptors(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, t);
            }
        });
    }

    /** Expects the status of what is done to the descriptor of a good tensor that is not finished. */
    private static void refused(String status, Consumer<CudnnDescriptor> change) {
        try (CudnnDescriptor t = new CudnnDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR)) {
            t.longs(CUDNN_ATTR_TENSOR_UNIQUE_ID, 1)
                    .constant(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
                    .longs(CUDNN_ATTR_TENSOR_DIMENSIONS, 1, 8, 4, 4)
                    .longs(CUDNN_ATTR_TENSOR_STRIDES, 128, 1, 32, 8)
                    .longs(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
            assertEquals(
                    status,
                    assertThrows(CudnnDescriptor.Refused.class, () -> change.accept(t))
                            .name());
        }
    }

    /** dW in f32 needs no converted operands where an engine takes bf16, and some where none does. */
    @Test
    void aGradientInF32ReadsBf16WhereAnEngineDoes() {
        try (Device d = open(new ArrayList<>())) {
            for (int channels = 4; channels <= 8; channels += 4) {
                List<Served> served = new ArrayList<>();
                Convolution c = new Convolution(1, 6, 6, channels, 8, 3, 3, 1, 1, 1, 1);
                convolve(d, c, false, false, DType.BF16, 64, served);
                String form = served.get(2).form();
                assertTrue(form.startsWith(channels == 8 ? "graph engine 71," : "graph engine 62,"), form);
                assertEquals(channels != 8, form.endsWith(", x and dY in f32"), form);
            }
        }
    }

    /** Returns who computes y, dX and dW. */
    private static List<Served> measure(List<String> said) {
        List<Served> served = new ArrayList<>();
        try (Device d = open(said)) {
            convolve(d, SHAPES[1], true, false, DType.F32, 64, served);
        }
        return served;
    }

    @Test
    void whatTheLibraryLacksIsReportedAndComputedByOwnKernels() {
        Convolution c = new Convolution(1, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1);
        List<String> said = new ArrayList<>();
        try (Device cpu = Devices.open("cpu", 1);
                Device d = open(said)) {
            List<float[]> want = convolve(cpu, c, true, false, DType.F32), got = convolve(d, c, true, false, DType.F32);
            for (int k = 0; k < 3; k++)
                for (int i = 0; i < want.get(k).length; i++) assertEquals(want.get(k)[i], got.get(k)[i], 1e-5);
        }
        assertEquals(3, said.size(), said.toString());
        for (String line : said)
            assertTrue(
                    line.startsWith(
                                    "cuDNN has no deterministic algorithm that runs (CUDNN_STATUS_NOT_SUPPORTED) for conv2d")
                            && line.endsWith(": CortiGAN's own kernel computes it"),
                    line);
    }

    @Test
    void convolutionsOverVerticesUseOwnKernels() {
        List<Served> served = new ArrayList<>();
        try (Device d = open(new ArrayList<>())) {
            convolve(d, OVER_VERTICES, true, true, DType.F32, 64, served);
        }
        assertTrue(Files.notExists(cache.resolve("algorithms.json")));
        assertEquals(Collections.nCopies(3, new Served(Served.OWN, "slices", "1-D convolution", false)), served);
    }

    /** Two plans and three forms of the legacy API compute y: lets one plan, both, and all fail. */
    @Test
    void aFormThatFailsAtRunTimeIsLeftOut() throws IOException {
        Convolution c = SHAPES[1];
        for (int fails : new int[] {1, 2, 5}) {
            List<String> said = new ArrayList<>();
            List<Served> served = new ArrayList<>();
            Files.deleteIfExists(cache.resolve("algorithms.json"));
            try (Device cpu = Devices.open("cpu", 1);
                    Device d = open(said)) {
                List<float[]> want = convolve(cpu, c, true, false, DType.F32);
                SimulatedCuda.fail("cudnn", 0, 5000 + 10000 * (fails - 1));
                List<float[]> got = convolve(d, c, true, false, DType.F32, 1 << 20, served);
                for (int k = 0; k < 3; k++)
                    for (int i = 0; i < want.get(k).length; i++) assertEquals(want.get(k)[i], got.get(k)[i], 1e-4);
            }
            assertEquals(1, said.size(), said.toString());
            assertTrue(
                    said.get(0).contains("CUDNN_STATUS_EXECUTION_FAILED")
                            && said.get(0).contains(" conv2d of 2 x 5 x 6 x 3"),
                    said.get(0));
            // the plan that adds the bias is the first candidate; of the others the legacy API's, which adds it too,
            // needs the fewest launches
            if (fails < 5)
                assertEquals(
                        Served.library(
                                "cuDNN",
                                "algorithm 1, math type 3, workspace 4096 bytes, fused bias, weight reordered"),
                        served.get(0));
            else
                assertEquals(
                        new Served(
                                Served.OWN,
                                "any",
                                "cuDNN has no deterministic algorithm that runs (CUDNN_STATUS_NOT_SUPPORTED; CUDNN_STATUS_EXECUTION_FAILED)",
                                true),
                        served.get(0));
            for (int i = 1; i < 3; i++)
                assertTrue(served.get(i).form().startsWith("graph engine 1,"), served.toString());
        }
    }

    @Test
    void aPlanThatCannotBeMadeIsLeftOut() {
        List<String> said = new ArrayList<>();
        // the first plan that is made, which would add the bias
        SimulatedCuda.fail("cudnnBackendFinalize", 0, 3000);
        Served y = measure(said).get(0);
        assertEquals("algorithm 1, math type 3, workspace 4096 bytes, fused bias, weight reordered", y.form());
        assertEquals(List.of(), said);
    }

    @Test
    void aCachedFormIsTriedToo() throws IOException {
        measure(new ArrayList<>());
        List<String> said = new ArrayList<>();
        // fails as the cached form, then again among all candidates
        SimulatedCuda.fail("cudnn", 0, 5000 + 10000);
        measure(said);
        assertEquals(1, said.size(), said.toString());
        assertTrue(
                said.get(0).startsWith("cuDNN: algorithms that failed when tried are left out of conv2d"), said.get(0));
        said.clear();
        measure(said);
        assertEquals(List.of(), said);
    }

    @Test
    void anErrorOfTheCardIsThrown() {
        List<String> said = new ArrayList<>();
        try (Device d = open(said)) {
            SimulatedCuda.fail("cudnn kernel", 0, 1);
            Exception e =
                    assertThrows(IllegalStateException.class, () -> convolve(d, SHAPES[1], true, false, DType.F32));
            assertTrue(e.getMessage().contains("cudaErrorLaunchFailure"), e.getMessage());
        }
        assertEquals(List.of(), said);
    }

    @Test
    void withLittleMemoryTheFirstChoiceIsTaken() {
        List<String> said = new ArrayList<>();
        try (Device d = open(said)) {
            convolve(d, SHAPES[0], false, false, DType.F32);
            SimulatedCuda.fail("cudaMalloc", 0, 2);
            convolve(d, SHAPES[1], true, false, DType.F32);
        }
        assertTrue(
                !SimulatedCuda.pending() && said.size() == 1 && said.get(0).contains("too little memory to time"),
                said.toString());
    }

    /** Runs in a separate JVM, with a folder that has all libraries except cuDNN. */
    @Test
    void withoutCudnnProductsRunAndConvolutionsNameTheRemedy() throws Exception {
        Path folder = Files.createDirectory(cache.resolve("some"));
        try (var files = Files.list(Path.of(System.getProperty(CudaLibraries.PATH)))) {
            for (Path f : files.toList())
                if (!f.getFileName().toString().contains("cudnn")) Files.copy(f, folder.resolve(f.getFileName()));
        }
        List<String> command = new ArrayList<>(
                List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp"));
        command.add(System.getProperty("java.class.path"));
        for (String p : new String[] {"cortigan.cuda.kernels", "cortigan.cuda.cache"})
            command.add("-D" + p + "=" + System.getProperty(p));
        command.addAll(List.of(
                "-D" + CudaLibraries.PATH + "=" + folder,
                "-Dcortigan.cuda.ownProducts=false",
                WithoutCudnn.class.getName()));
        File out = cache.resolve("out").toFile();
        Process p = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(out)
                .start();
        assertTrue(p.waitFor(60, TimeUnit.SECONDS), "the process ends");
        assertEquals(0, p.exitValue(), Files.readString(out.toPath()));
        SimulatedCuda.reset();
    }

    static final class WithoutCudnn {
        public static void main(String[] args) {
            try (Device d = open(new ArrayList<>())) {
                for (int i = 0; i < 2; i++) {
                    InputException e =
                            assertThrows(InputException.class, () -> convolve(d, SHAPES[1], true, false, DType.F32));
                    String s = e.getMessage();
                    assertTrue(
                            s.contains("device cuda: cuDNN, which computes 2-D convolutions, does not load (")
                                    && s.contains("libcudnn_")
                                    && s.contains("-Dcortigan.cuda.ownProducts=true")
                                    && !s.contains("\n"),
                            s);
                }
                convolve(d, OVER_VERTICES, true, false, DType.F32);
            }
        }
    }
}
