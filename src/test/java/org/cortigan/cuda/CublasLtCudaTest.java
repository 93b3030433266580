// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntSupplier;
import java.util.stream.LongStream;
import org.cortigan.InputException;
import org.cortigan.exec.ComputeCapability;
import org.cortigan.exec.CpuDevice;
import org.cortigan.exec.Device;
import org.cortigan.exec.Devices;
import org.cortigan.exec.OpCheck;
import org.cortigan.exec.Precision;
import org.cortigan.exec.Served;
import org.cortigan.exec.Session;
import org.cortigan.exec.Variables;
import org.cortigan.grad.Gradients;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.graph.Value;
import org.cortigan.io.Json;
import org.cortigan.jni.Memory;
import org.cortigan.op.Activation;
import org.cortigan.op.ArgWriter;
import org.cortigan.op.CaseInputs;
import org.cortigan.op.Op;
import org.cortigan.op.OpCase;
import org.cortigan.op.OpCases;
import org.cortigan.op.Ops;
import org.cortigan.prof.Ceilings;
import org.cortigan.prof.Profile;
import org.junit.jupiter.api.Test;

/** Matrix products through cuBLASLt's interface, computed by a simulation of the library. */
class CublasLtCudaTest extends VendorCudaTest {
    private static float[] numbers(int n, int seed) {
        float[] f = new float[n];
        for (int i = 0; i < n; i++) f[i] = (float) Math.cos(seed * 77 + 1.7 * i);
        return f;
    }

    /** Runs a product three times (launched, recorded and replayed) and returns the result of the last run. */
    private static float[] product(
            Device d, int m, int n, int k, boolean ta, boolean tb, boolean bias, boolean scale, DType in, DType out) {
        Graph g = new Graph();
        Value a = ta ? g.input("a", in, k, m) : g.input("a", in, m, k),
                b = tb ? g.input("b", in, n, k) : g.input("b", in, k, n);
        Value bi = bias ? g.input("bias", DType.F32, n) : null, sc = scale ? g.input("scale", DType.F32, 1) : null;
        g.output("y", Ops.matmul(a, b, ta, tb, bi, sc, out));
        try (Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            for (int i = 0; i < 3; i++) {
                s.input("a").write(numbers(m * k, i));
                s.input("b").write(numbers(k * n, 10 + i));
                if (bias) s.input("bias").write(numbers(n, 20 + i));
                if (scale) s.input("scale").set(0, 0.3 + i);
                s.run();
            }
            return s.output("y").toFloats();
        }
    }

    private static Device open(List<String> said) {
        return Devices.open("cuda", 0, said::add);
    }

    @Test
    void everyCombinationMatchesTheCpu() {
        List<String> said = new ArrayList<>();
        int[][] shapes = {{1, 1, 1}, {3, 5, 7}, {17, 33, 20}, {2, 301, 3}};
        DType[][] types = {
            {DType.F32, DType.F32}, {DType.BF16, DType.BF16}, {DType.BF16, DType.F32}, {DType.F32, DType.BF16}
        };
        try (Device own = Devices.open("cpu", 1);
                Device d = open(said)) {
            for (int[] s : shapes)
                for (int t = 0; t < 16; t++)
                    for (DType[] ty : types) {
                        boolean ta = (t & 1) != 0, tb = (t & 2) != 0, bias = (t & 4) != 0, scale = (t & 8) != 0;
                        if (ty[0] != ty[1] && ty[0] == DType.F32 && t > 3
                                || ty[0] == DType.BF16 && !own.supports(DType.BF16)) continue;
                        int m = s[0], n = s[1], k = s[2];
                        float[] want = product(own, m, n, k, ta, tb, bias, scale, ty[0], ty[1]);
                        float[] got = product(d, m, n, k, ta, tb, bias, scale, ty[0], ty[1]);
                        double largest = 1;
                        for (float w : want) largest = Math.max(largest, Math.abs(w));
                        // sums of k products; a bf16 result is rounded twice: before and after its bias is added
                        double tol = (k + 4) * 0x1p-23 * largest + (ty[1] == DType.BF16 ? 2 * 0x1p-8 * largest : 0);
                        for (int i = 0; i < want.length; i++)
                            assertEquals(
                                    want[i],
                                    got[i],
                                    tol,
                                    m + "x" + n + "x" + k + " case " + t + " " + ty[0] + " " + ty[1]);
                    }
        }
        // the library has no product of f32 to bf16: one message for each problem says so
        assertTrue(
                said.stream().allMatch(x -> x.contains("own kernel") && x.contains("f32 to bf16")) && !said.isEmpty(),
                said.toString());
    }

    /** The result of a bf16 linear layer, the kernels of a replay, and who computed it. */
    private record Linear(float[] y, long kernels, String form) {}

    private static Linear linear(Device d, boolean copied, boolean scale) {
        Graph g = new Graph();
        Value bias = g.input("bias", DType.F32, 16), copy = g.input("copy", DType.BF16, 16);
        g.output(
                "y",
                Ops.linear(
                        g.input("x", DType.BF16, 5, 24),
                        g.input("w", DType.BF16, 16, 24),
                        bias,
                        copied ? copy : null,
                        scale ? g.input("scale", DType.F32, 1) : null,
                        DType.BF16));
        try (Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            s.input("x").write(numbers(5 * 24, 1));
            s.input("w").write(numbers(16 * 24, 2));
            s.input("bias").write(numbers(16, 3));
            if (copied) s.input("copy").write(numbers(16, 3));
            if (scale) s.input("scale").set(0, 0.7);
            long before = 0;
            for (int i = 0; i < 4; i++) {
                s.synchronize();
                before = SimulatedCuda.kernels();
                s.run();
            }
            s.synchronize();
            return new Linear(
                    s.output("y").toFloats(),
                    SimulatedCuda.kernels() - before,
                    s.served(s.launched()[0]).form());
        }
    }

    @Test
    void theCopyOfABiasIsReadInPlaceOfACastBitForBit() {
        try (Device d = open(new ArrayList<>())) {
            for (boolean scale : new boolean[] {false, true}) {
                Linear cast = linear(d, false, scale), copied = linear(d, true, scale);
                assertArrayEquals(cast.y, copied.y);
                assertTrue(cast.form.endsWith(", bias cast to bf16"), cast.form);
                assertTrue(copied.form.endsWith(", bf16 bias"), copied.form);
                assertEquals(cast.kernels - 1, copied.kernels);
            }
        }
    }

    /** Runs both gradients of a linear layer three times and returns dW and db of the last run. */
    private static float[][] gradients(Device d, int rows, int m, int n, DType t) {
        Graph g = new Graph();
        Value w = g.input("w", t, m, n), bias = g.input("bias", DType.F32, m);
        Value y = Ops.matmul(g.input("x", t, rows, n), w, false, true, bias, null, t);
        List<Value> grad = Gradients.of(List.of(y), List.of(g.input("dY", t, rows, m)), List.of(w, bias));
        g.output("dW", grad.get(0));
        g.output("db", grad.get(1));
        try (Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            for (int i = 0; i < 3; i++) {
                s.input("dY").write(numbers(rows * m, i));
                s.input("x").write(numbers(rows * n, 10 + i));
                s.run();
            }
            return new float[][] {s.output("dW").toFloats(), s.output("db").toFloats()};
        }
    }

    @Test
    void gradientsOfLinearLayersMatchTheCpu() throws Exception {
        List<String> said = new ArrayList<>();
        try (Device own = Devices.open("cpu", 1);
                Device d = open(said)) {
            for (DType t : new DType[] {DType.F32, DType.BF16})
                for (int[] s : new int[][] {{1, 1, 1}, {9, 5, 7}, {40, 16, 24}}) {
                    if (!own.supports(t)) continue;
                    int rows = s[0];
                    float[][] want = gradients(own, rows, s[1], s[2], t), got = gradients(d, rows, s[1], s[2], t);
                    // sums of rows products of numbers up to 1, in float on both sides
                    for (int k = 0; k < 2; k++)
                        assertArrayEquals(want[k], got[k], (rows + 2) * 0x1p-23f * rows, t + " " + rows);
                }
        }
        assertEquals(List.of(), said);
        String text = Files.readString(cache.resolve("algorithms.json"));
        // the simulated library has sums for bf16 only
        assertTrue(text.matches("(?s).*5 x 7 x 9, a transposed, sums, f32 to f32\"[^\"]*\"[^\"]* 6\".*"), text);
    }

    /** The simulated library computes them only in the form that Hopper has; a refusal would be said. */
    @Test
    void fp8ProductsAgreeWithTheReference() throws Exception {
        List<String> said = new ArrayList<>();
        Device reference = CpuDevice.doubleReference();
        int cases = 0;
        try (Device d = open(said)) {
            assertTrue(d.supports(Precision.FP8));
            for (OpCase c : OpCases.all()) {
                if (!c.name().startsWith("scaled_matmul") || c.bench()) continue;
                cases++;
                var want = OpCheck.run(c, DType.BF16, reference, Session.Options.DEFAULT, true, false);
                var got = OpCheck.run(c, DType.BF16, d, Session.Options.DEFAULT, true, false);
                OpCheck.compare(c, DType.BF16, want, got, d.name());
            }
        }
        assertTrue(cases > 0);
        assertEquals(List.of(), said);
        String text = Files.readString(cache.resolve("algorithms.json"));
        for (String product : List.of("bias, f8e4m3 to bf16", "f8e5m2 and f8e4m3 to bf16", "f8e5m2 and f8e4m3 to f32"))
            assertTrue(text.contains(product), product + " in " + text);
    }

    @Test
    void olderCardsHaveNoFp8() {
        SimulatedCuda.architecture(8);
        try (Device d = open(new ArrayList<>())) {
            assertFalse(d.supports(Precision.FP8));
            assertTrue(d.supports(Precision.BF16));
        }
        for (int[] c : new int[][] {{8, 6}, {8, 9}, {9, 0}, {10, 0}, {12, 0}})
            assertEquals(c[0] > 8 || c[1] == 9, new ComputeCapability(c[0], c[1]).hasFp8());
    }

    @Test
    void tf32IsASeparateDeviceOnTheSameStream() {
        List<String> said = new ArrayList<>();
        try (Device d = open(said)) {
            Device fast = d.with(Precision.TF32);
            assertEquals(d.name() + ", tf32", fast.name());
            float[] exact = product(d, 4, 4, 64, false, false, false, false, DType.F32, DType.F32);
            float[] rounded = product(fast, 4, 4, 64, false, false, false, false, DType.F32, DType.F32);
            double largest = 0;
            for (int i = 0; i < exact.length; i++) largest = Math.max(largest, Math.abs(exact[i] - rounded[i]));
            assertTrue(largest > 1e-5 && largest < 64 * 0x1p-10, "difference " + largest);
        }
    }

    @Test
    void algorithmsAreMeasuredOnceAndKept() throws Exception {
        Path file = cache.resolve("algorithms.json");
        long before = SimulatedCuda.kernels();
        measure(new ArrayList<>());
        String text = Files.readString(file);
        assertTrue(text.contains("Simulated card, cuBLASLt 130000: 8 x 9 x 10, bias, f32 to f32"), text);
        long waits = SimulatedCuda.waits();
        measure(new ArrayList<>());
        long again = SimulatedCuda.waits() - waits;
        Files.delete(file);
        waits = SimulatedCuda.waits();
        measure(new ArrayList<>());
        assertTrue(SimulatedCuda.waits() - waits > again, "without the file, algorithms are measured again");
        for (String bad :
                new String[] {"{", "{\"format\": 99, \"algorithms\": {}}", text.replaceAll("c0ffee0\\d", "12"), "[]"}) {
            Files.writeString(file, bad);
            List<String> said = new ArrayList<>();
            measure(said);
            assertEquals(bad.contains("Simulated") ? 0 : 1, said.size(), said.toString());
            if (!said.isEmpty())
                assertTrue(
                        said.get(0).contains("algorithms.json is not used")
                                && !said.get(0).contains("\n"),
                        said.get(0));
        }
        assertFalse(Files.exists(cache.resolve("algorithms.json.tmp")));
        assertTrue(SimulatedCuda.kernels() > before);
    }

    @Test
    void unalignedRowsArePaddedWhereThatIsFaster() throws Exception {
        try (Device d = open(new ArrayList<>())) {
            // As stored: first a [7, 24], b [10, 24] and y [7, 10], of which only y has unaligned rows; then all three
            // have. Rows of a multiple of 4 f32 are aligned.
            product(d, 7, 10, 24, false, true, false, false, DType.BF16, DType.BF16);
            product(d, 7, 9, 10, true, false, true, false, DType.BF16, DType.F32);
            product(d, 7, 12, 20, false, true, false, true, DType.F32, DType.F32);
        }
        String text = Files.readString(cache.resolve("algorithms.json"));
        for (String[] want : new String[][] {
            {"7 x 10 x 24, b transposed, bf16 to bf16", "2"},
            {"7 x 9 x 10, a transposed, bias, bf16 to f32", "2"},
            {"7 x 12 x 20, b transposed, scale, f32 to f32", "0"}
        })
            assertTrue(
                    text.matches("(?s).*" + want[0] + "\"[^\"]*\"[^\"]* " + want[1] + "\".*"),
                    want[0] + " in form " + want[1] + ": " + text);
    }

    /**
     * Runs an f32 product for which the library offers two algorithms, checks the result and returns who computed it.
     */
    private static Served attempt(List<String> said) {
        Graph g = new Graph();
        g.output(
                "y",
                Ops.matmul(
                        g.input("a", DType.F32, 8, 12),
                        g.input("b", DType.F32, 12, 16),
                        false,
                        false,
                        null,
                        null,
                        DType.F32));
        List<float[]> y = new ArrayList<>();
        Served served = null;
        try (Device cpu = Devices.open("cpu", 1);
                Device d = open(said)) {
            for (Device x : List.of(d, cpu))
                try (Variables v = new Variables(x);
                        Session s = new Session(g, x, v)) {
                    s.input("a").write(numbers(8 * 12, 1));
                    s.input("b").write(numbers(12 * 16, 2));
                    s.run();
                    y.add(s.output("y").toFloats());
                    if (x == d) served = s.served(s.launched()[0]);
                }
        }
        assertArrayEquals(y.get(1), y.get(0), 1e-5f);
        return served;
    }

    @Test
    void anAlgorithmThatFailsIsLeftOut() {
        List<String> said = new ArrayList<>();
        SimulatedCuda.fail("cublasLtMatmul", 0, 13);
        Served s = attempt(said);
        assertEquals(
                Served.library("cuBLASLt", "algorithm c0ffee01.0.0.0.0.0.0.8000000000000001, workspace 4096 bytes"), s);
        assertEquals(
                List.of(
                        "cuBLASLt: algorithms that failed when tried are left out of the product 8 x 16 x 12, f32 to f32"
                                + " (CUBLAS_STATUS_EXECUTION_FAILED)"),
                said);
        assertEquals(s, attempt(said), "from the cache");
        assertEquals(1, said.size());
    }

    @Test
    void anAlgorithmThatFailsAsynchronouslyIsLeftOut() {
        List<String> said = new ArrayList<>();
        try (Device d = open(said)) {
            SimulatedCuda.fail("cudaStreamSynchronize", 0, 98);
            product(d, 8, 16, 12, false, false, false, false, DType.F32, DType.F32);
        }
        assertEquals(1, said.size(), said.toString());
        assertTrue(
                said.get(0).contains("left out of the product 8 x 16 x 12")
                        && said.get(0).contains("cudaError"),
                said.get(0));
    }

    @Test
    void aCachedAlgorithmThatFailsIsReplaced() {
        List<String> said = new ArrayList<>();
        Served first = attempt(said);
        // fails as the cached algorithm, then again among all candidates
        SimulatedCuda.fail("cublasLtMatmul", 0, 14 + 10000);
        Served next = attempt(said);
        assertTrue(first.form().contains("c0ffee00") && next.form().contains("c0ffee01"), first + " " + next);
        assertTrue(said.size() == 1 && said.get(0).contains("(CUBLAS_STATUS_INTERNAL_ERROR)"), said.toString());
    }

    @Test
    void anAlgorithmThatWasNeverTimedIsNotCached() {
        List<String> said = new ArrayList<>();
        try (Device d = open(said)) {
            SimulatedCuda.fail("cudaMalloc", 0, 2);
            product(d, 8, 16, 12, false, false, false, false, DType.F32, DType.F32);
        }
        assertTrue(
                said.size() == 1 && said.get(0).contains("using the library's first choice untested"), said.toString());
        assertTrue(Files.notExists(cache.resolve("algorithms.json")));
    }

    @Test
    void aCachedAlgorithmIsTriedOncePerProcess() {
        attempt(new ArrayList<>());
        try (Device d = open(new ArrayList<>())) {
            long[] blocks = new long[3];
            for (int i = 0; i < 3; i++) {
                long before = SimulatedCuda.deviceAllocations();
                product(d, 8, 16, 12, false, false, false, false, DType.F32, DType.F32);
                blocks[i] = SimulatedCuda.deviceAllocations() - before;
            }
            assertEquals(blocks[0] - 1, blocks[1], "the second run allocates no block for trials");
            assertEquals(blocks[1], blocks[2]);
        }
    }

    @Test
    void ifAllAlgorithmsFailTheOwnKernelComputesAndAMessageSaysSo() {
        List<String> said = new ArrayList<>();
        SimulatedCuda.fail("cublasLtMatmul", 0, 13 + 10000);
        Served s = attempt(said);
        String why = "cuBLASLt has no deterministic algorithm that runs (CUBLAS_STATUS_EXECUTION_FAILED)";
        assertEquals(Served.refused(why), s);
        assertEquals(
                List.of(why + " for the product 8 x 16 x 12, f32 to f32: CortiGAN's own kernel computes it"), said);
        assertTrue(attempt(said).by().equals("cuBLASLt"), "the failure is not cached");
    }

    @Test
    void anInvalidDescriptionIsReportedAsOurFault() {
        List<String> said = new ArrayList<>();
        SimulatedCuda.fail("cublasLtMatmulAlgoGetHeuristic", 0, 7);
        assertTrue(attempt(said).refused());
        assertEquals(2, said.size(), said.toString());
        assertTrue(
                said.get(0).contains("invalid (CUBLAS_STATUS_INVALID_VALUE): this is a bug in CortiGAN"), said.get(0));
    }

    @Test
    void anErrorOfTheCardIsThrown() {
        for (String[] fault : new String[][] {
            {"cublasLt kernel", "0", "1", "cudaErrorLaunchFailure"},
            {"cudaStreamSynchronize", "0", "719", "cudaErrorLaunchFailure"},
            {"cudaStreamSynchronize", "1", "999", "cudaErrorUnknown"}
        }) {
            List<String> said = new ArrayList<>();
            try (Device d = open(said)) {
                SimulatedCuda.fail(fault[0], Integer.parseInt(fault[1]), Integer.parseInt(fault[2]));
                Exception e = assertThrows(
                        IllegalStateException.class,
                        () -> product(d, 8, 16, 12, false, false, false, false, DType.F32, DType.F32));
                assertTrue(e.getMessage().contains(fault[3]), e.getMessage());
            }
            assertEquals(List.of(), said, fault[0]);
        }
    }

    /** Device auto opens the card before it reports its choice; later messages must arrive too. */
    @Test
    void messagesArriveAfterDeviceAutoHasOpened() {
        List<String> said = new ArrayList<>();
        try (Device d = Devices.open("auto", 0, said::add)) {
            product(d, 4, 4, 4, false, false, false, false, DType.F32, DType.BF16);
        }
        assertEquals(2, said.size(), said.toString());
        assertTrue(said.get(0).startsWith("device: cuda:0") && said.get(1).contains("own kernel"), said.toString());
    }

    /**
     * The library assumes that matrices are aligned to 256 bytes, as tensors are: operands must start at the beginning
     * of a tensor.
     */
    @Test
    void operandsOfLibrariesStartAtTheBeginningOfTheirTensors() {
        Set<String> seen = new TreeSet<>();
        for (OpCase c : OpCases.all()) {
            CaseInputs inputs = new CaseInputs(DType.F32);
            List<Value> out = c.body().apply(inputs), by = List.copyOf(inputs.differentiable());
            if (c.gradient())
                Gradients.of(
                        out,
                        out.stream()
                                .map(v -> inputs.normal(v.dtype(), v.shape().dims()))
                                .toList(),
                        by);
            for (Node n : inputs.graph().nodes()) {
                if (n.op() instanceof Leaf) continue;
                if (n.op() instanceof Op.View) continue;
                String kernel = Op.of(n).kernel();
                if (!CublasLt.KERNELS.contains(kernel) && ConvolutionShape.Kind.of(kernel) == null) continue;
                seen.add(kernel);
                Op.of(n).args(n, requireZeroOffsets(kernel));
            }
        }
        assertEquals(
                Set.of("matmul", "linear_grad", "scaled_matmul", "conv2d", "conv2d_grad_x", "conv2d_grad_w"), seen);
    }

    private static ArgWriter requireZeroOffsets(String kernel) {
        return (ArgWriter) Proxy.newProxyInstance(
                ArgWriter.class.getClassLoader(), new Class<?>[] {ArgWriter.class}, (self, m, a) -> {
                    if (m.isDefault()) return InvocationHandler.invokeDefault(self, m, a);
                    if (m.getName().equals("in") || m.getName().equals("out")) assertEquals(0L, a[2], kernel);
                    return self;
                });
    }

    @Test
    void trialsRunOnNoiseInOneGrowingBlock() {
        CudaLibraries.load();
        try (CudaRuntime r = new CudaRuntime(0);
                Trials t = new Trials(r, 0)) {
            long used = SimulatedCuda.usedBytes();
            long[] at = t.memory(1000, 100, 5 << 20);
            assertEquals(5 << 20, at[2] - at[1]);
            assertEquals(256, at[1] - at[0]);
            ByteBuffer b = ByteBuffer.allocateDirect(5 << 20).order(ByteOrder.LITTLE_ENDIAN);
            r.download(Memory.address(b), at[1], b.capacity());
            r.synchronize();
            double[] squares = new double[2];
            for (int i = 0; i < b.capacity(); i += 4) {
                float f32 = b.getFloat(i), bf16 = Float.intBitsToFloat(b.getShort(i) << 16);
                assertTrue(Math.abs(f32) <= 1 && Math.abs(bf16) <= 1, f32 + " " + bf16);
                squares[0] += f32 * f32;
                squares[1] += bf16 * bf16;
            }
            // the mean square of uniform numbers between -1 and 1 is 1/3
            for (double s : squares) assertEquals(1 / 3.0, s / (b.capacity() / 4.0), 0.01);
            long one = SimulatedCuda.usedBytes() - used;
            t.memory(0, 200, 6 << 20);
            assertEquals(one, SimulatedCuda.usedBytes() - used, "the block is reused");
            t.memory(2 * one, one);
            assertEquals(3 * one, SimulatedCuda.usedBytes() - used, "a larger block replaces the first");
            t.release();
            assertEquals(used, SimulatedCuda.usedBytes());
        }
    }

    @Test
    void setsOfOperandsTakeTurnsUntilTheyExceedTheCacheTwice() {
        CudaLibraries.load();
        try (CudaRuntime r = new CudaRuntime(0);
                Trials t = new Trials(r, 1000)) {
            List<long[]> sets = t.sets(64, 100, 300);
            assertEquals(3, sets.size(), "768 bytes each, for 2,000 bytes");
            for (int i = 0; i < 3; i++)
                assertArrayEquals(
                        new long[] {768L * i, 768L * i + 256, 768L * 3},
                        LongStream.of(sets.get(i)).map(a -> a - sets.get(0)[0]).toArray());
            assertEquals(1, t.sets(64, 2000).size());
            assertEquals(8, t.sets(64, 1).size(), "256 bytes each");
            t.release();
            SimulatedCuda.fail("cudaMalloc", 0, 2);
            assertEquals(1, t.sets(64, 1).size(), "one set where memory is short");
        }
    }

    @Test
    void aProblemIsMeasuredForALimitedTime() {
        CudaLibraries.load();
        try (CudaRuntime r = new CudaRuntime(0);
                Trials t = new Trials(r, 0);
                Memory host = Memory.allocate(256)) {
            long at = t.memory(0, 256)[0];
            // The clock of the simulated card counts queued calls, a microsecond each: 3 launches take 3 ms.
            IntSupplier millisecond = () -> {
                for (int i = 0; i < 1000; i++) r.upload(at, host.address(), 4);
                return 0;
            };
            List<AlgorithmCache.Entry> candidates = new ArrayList<>();
            for (int i = 0; i < 32; i++) candidates.add(new AlgorithmCache.Entry(new long[8], i, 0));
            Set<Long> used = new TreeSet<>();
            t.fastest(
                    candidates,
                    e -> {
                        used.add(e.workspaceBytes());
                        return true;
                    },
                    millisecond,
                    Integer::toString,
                    new TreeSet<>());
            assertEquals(20, used.size(), "60 ms");
        }
    }

    /** The first block that a session allocates is for the trials, the second for its inputs. */
    @Test
    void trialsOfASessionShareABlockThatIsFreedBeforeItsTensorsAreAllocated() {
        List<String> said = new ArrayList<>();
        Graph g = new Graph();
        for (int i = 0; i < 3; i++)
            g.output(
                    "y" + i,
                    Ops.matmul(
                            g.input("a" + i, DType.F32, 8, 9),
                            g.input("b" + i, DType.F32, 9, 10 + i),
                            false,
                            false,
                            null,
                            null,
                            DType.F32));
        try (Device d = open(said);
                Variables v = new Variables(d)) {
            long used = SimulatedCuda.usedBytes();
            SimulatedCuda.fail("cudaMalloc", 1, 2);
            InputException e = assertThrows(InputException.class, () -> new Session(g, d, v));
            assertTrue(e.getMessage().contains("cudaMalloc"), e.getMessage());
            assertEquals(used, SimulatedCuda.usedBytes());
        }
        assertEquals(List.of(), said);
    }

    @Test
    void aProfileNamesWhoComputesEachNode() throws Exception {
        Graph g = new Graph();
        Value a = g.input("a", DType.F32, 8, 12), b = g.input("b", DType.F32, 12, 16);
        g.output("y", Ops.activation(Ops.matmul(a, b, false, false, null, null, DType.F32), Activation.Kind.GELU, 0));
        g.output("z", Ops.matmul(a, b, false, false, null, null, DType.BF16));
        g.output(
                "c",
                Ops.conv2d(
                        g.input("x", DType.F32, 2, 1, 19, 1),
                        g.input("w", DType.F32, 3, 1, 1, 5),
                        null,
                        null,
                        1,
                        4,
                        0,
                        2));
        try (Device d = open(new ArrayList<>());
                Variables v = new Variables(d);
                Session s = new Session(g, d, v)) {
            Profile p = Profile.of(s, new Ceilings("test", 1e11, 0, 1e10), 1, 3);
            assertEquals(
                    List.of(
                            "products and convolutions: cuBLASLt 1, CortiGAN's own 1 (refused), 1 (by design)",
                            "  refused, 1: cuBLASLt has no deterministic algorithm that runs (CUBLAS_STATUS_NOT_SUPPORTED)",
                            "  by design, 1: 1-D convolution"),
                    p.served());
            assertTrue(
                    p.table(9).contains(p.served().get(0)) && p.table(9).contains("  [cuBLASLt: algorithm c0ffee0"),
                    p.table(9));
            p.writeTrace(cache.resolve("trace.json"));
            for (String text :
                    new String[] {Json.compact(p.json()), Json.compact(Json.readObject(cache.resolve("trace.json")))})
                assertTrue(
                        text.contains("\"by\":\"cuBLASLt\",\"form\":\"algorithm") && text.contains("NOT_SUPPORTED"),
                        text);
        }
    }

    private static void measure(List<String> said) {
        try (Device d = open(said)) {
            product(d, 8, 9, 10, false, false, true, false, DType.F32, DType.F32);
        }
    }
}
