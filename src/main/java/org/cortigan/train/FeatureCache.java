// SPDX-License-Identifier: Apache-2.0
package org.cortigan.train;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.cortigan.InputException;
import org.cortigan.exec.Ranks;
import org.cortigan.exec.Variables;
import org.cortigan.graph.DType;
import org.cortigan.graph.Graph;
import org.cortigan.graph.Half;
import org.cortigan.graph.Leaf;
import org.cortigan.graph.Node;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.NpyFile;
import org.cortigan.io.NpyType;
import org.cortigan.io.NpyWriter;
import org.cortigan.jni.Memory;

/**
 * The features of all photographs of a subject ({@link FrozenPart}), f16 [photographs, E], computed once. They lie in a
 * npy file beside the decoded photographs, or in memory where these are. The file's name is a hash of what they depend
 * on: the frozen part, the values of its variables, the photographs, and the device, whose rounding differs from
 * another's.
 */
final class FeatureCache implements AutoCloseable {
    /** Numbers from here on round to infinity in f16. */
    private static final float BEYOND = 65520;

    private static final String FILES = "features-";

    /** To be raised when what the program computes for a graph changes: files of earlier versions are then not read. */
    private static final String VERSION = "1";

    private static final long NANOS_BETWEEN_REPORTS = 10_000_000_000L;

    /** The value of every f16, which costs less to look up than to compute. */
    private static final float[] F16 = new float[1 << Short.SIZE];

    static {
        for (int h = 0; h < F16.length; h++) F16[h] = Half.fromF16((short) h);
    }

    /** Where the rows of f16 are. */
    private interface Rows {
        /** Writes row i at the buffer's position, which advances. */
        void read(int i, ByteBuffer into);
    }

    private final int elements;
    private final Rows rows;
    private final Runnable closer;

    private FeatureCache(int elements, Rows rows, Runnable closer) {
        this.elements = elements;
        this.rows = rows;
        this.closer = closer;
    }

    /**
     * Opens the cache and computes it if necessary.
     *
     * @param vars hold the values of the frozen part
     * @param stop whether to give up between two batches
     * @param log receives what is read or computed, and the progress
     * @return empty if {@code stop} became true
     * @throws InputException if a value does not fit f16 or the file cannot be written
     */
    static Optional<FeatureCache> open(
            SubjectSetup setup, FrozenPart part, Variables vars, BooleanSupplier stop, Consumer<String> log) {
        Graph graph = part.alone();
        Optional<TrainingData.Store> store = setup.data().store();
        int images = setup.data().count(), elements = part.elements();
        if (store.isEmpty()) return inMemory(setup, graph, vars, elements, stop, log);
        Path file = store.get().folder().resolve(FILES + key(graph, vars, store.get()) + ".npy");
        Ranks ranks = vars.device().runtime().ranks();
        if (ranks.largest(isComplete(file, images, elements) ? 0 : 1) > 0) {
            tell(log, setup, elements, " to " + file);
            // One rank of each machine writes; on a shared folder the last of equal files stays.
            if (ranks.localRank() > 0) {
                if (!compute(setup, graph, vars, elements, stop, log, rows -> {})) return Optional.empty();
            } else {
                AtomicFiles.deleteAbandoned(store.get().folder(), AtomicFiles.ABANDONED, FILES);
                try (NpyWriter w = writer(file, images, elements)) {
                    if (!compute(setup, graph, vars, elements, stop, log, w::write)) return Optional.empty();
                    w.commit();
                }
            }
            ranks.barrier();
        } else {
            log.accept(name(setup) + "features of " + images + " photographs from " + file);
        }
        NpyFile npy = NpyFile.open(file);
        return Optional.of(new FeatureCache(elements, npy::readRow, npy::close));
    }

    private static Optional<FeatureCache> inMemory(
            SubjectSetup setup, Graph graph, Variables vars, int elements, BooleanSupplier stop, Consumer<String> log) {
        long row = (long) elements * Short.BYTES;
        tell(log, setup, elements, " in memory");
        Memory memory = Memory.allocate(setup.data().count() * row);
        try {
            long[] at = {0};
            boolean done = compute(setup, graph, vars, elements, stop, log, rows -> {
                int n = rows.remaining();
                memory.view(at[0], n).put(rows);
                at[0] += n;
            });
            if (!done) {
                memory.close();
                return Optional.empty();
            }
        } catch (RuntimeException | Error e) {
            memory.close();
            throw e;
        }
        return Optional.of(new FeatureCache(elements, (i, into) -> into.put(memory.view(i * row, row)), memory::close));
    }

    private static String name(SubjectSetup setup) {
        String name = setup.subject().name();
        return name.isEmpty() ? "" : name + ": ";
    }

    private static void tell(Consumer<String> log, SubjectSetup setup, int elements, String where) {
        long images = setup.data().count();
        log.accept(name(setup) + "computing the features of " + images + " photographs once, " + elements
                + " numbers each, " + images * elements * Short.BYTES + " bytes" + where);
    }

    private static NpyWriter writer(Path file, int images, int elements) {
        try {
            return NpyWriter.create(file, NpyType.F16, images, elements);
        } catch (InputException e) { // such as a full disk
            throw new InputException(
                    "cache of features", String.valueOf(e.getMessage()), "train.cache_features=no does without", e);
        }
    }

    private static boolean isComplete(Path file, int images, int elements) {
        if (!Files.isRegularFile(file)) return false;
        try (NpyFile f = NpyFile.open(file)) {
            return f.type() == NpyType.F16 && Arrays.equals(f.shape(), new long[] {images, elements});
        } catch (InputException e) {
            return false; // A damaged cache is computed again.
        }
    }

    private static String key(Graph graph, Variables vars, TrainingData.Store store) {
        MessageDigest hash;
        try {
            hash = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // Every Java has it.
        }
        for (String s : new String[] {VERSION, store.identity(), vars.device().name(), graph.toString()})
            hash.update((s + "\0").getBytes(StandardCharsets.UTF_8));
        for (Node n : graph.nodes())
            if (n.op() instanceof Leaf.Variable v) hash.update(vars.find(v.id()).snapshot());
        return HexFormat.of().formatHex(hash.digest()).substring(0, 32);
    }

    /** @return false if it was stopped */
    private static boolean compute(
            SubjectSetup setup,
            Graph graph,
            Variables vars,
            int elements,
            BooleanSupplier stop,
            Consumer<String> log,
            Consumer<ByteBuffer> to) {
        int[] images = Permutations.identity(setup.data().count());
        long[] last = {System.nanoTime()};
        return ForwardPass.forEachBatch(
                graph, FrozenPart.FEATURES, setup.data(), images, vars, stop, (at, n, values) -> {
                    to.accept(f16(values, n * elements, at, elements, name(setup)));
                    if (System.nanoTime() - last[0] < NANOS_BETWEEN_REPORTS) return;
                    last[0] = System.nanoTime();
                    log.accept("features of " + (at + n) + " of " + images.length + " photographs");
                });
    }

    private static ByteBuffer f16(float[] values, int count, int firstImage, int elements, String subject) {
        ByteBuffer rows = ByteBuffer.allocate(count * Short.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < count; i++) {
            if (!(Math.abs(values[i]) < BEYOND))
                throw new InputException(
                        subject + "training data, image " + (firstImage + i / elements),
                        "feature " + i % elements + " is " + values[i] + ", which f16 cannot hold",
                        "Set train.cache_features to no, or choose other initial weights if it is not finite");
            rows.putShort(Half.toF16(values[i]));
        }
        return rows.flip();
    }

    /** Reads rows for one thread. */
    final class Reader {
        private final DType type;
        private final ByteBuffer row =
                ByteBuffer.allocate(elements * Short.BYTES).order(ByteOrder.LITTLE_ENDIAN);

        private Reader(DType type) {
            this.type = type;
        }

        /** Writes the features of photograph i, little-endian, at the buffer's position, which advances. */
        void read(int i, ByteBuffer into) {
            rows.read(i, row.clear());
            row.flip();
            boolean swap = into.order() != ByteOrder.LITTLE_ENDIAN;
            for (int k = 0; k < elements; k++) {
                float x = F16[row.getShort() & 0xffff];
                if (type == DType.F32) {
                    int bits = Float.floatToRawIntBits(x);
                    into.putInt(swap ? Integer.reverseBytes(bits) : bits);
                } else {
                    short bits = Half.toBf16(x);
                    into.putShort(swap ? Short.reverseBytes(bits) : bits);
                }
            }
        }
    }

    /** A reader for one thread, which converts to {@code type}: f32 or bf16. */
    Reader reader(DType type) {
        return new Reader(type);
    }

    /** A data set that gives the features, in f32, instead of the photographs; for the calling thread. */
    TrainingData of(TrainingData data) {
        Reader reader = reader(DType.F32);
        return new TrainingData() {
            @Override
            public int count() {
                return data.count();
            }

            @Override
            public int leftVertices() {
                return data.leftVertices();
            }

            @Override
            public int rightVertices() {
                return data.rightVertices();
            }

            @Override
            public void image(int i, ByteBuffer into) {
                reader.read(i, into);
            }

            @Override
            public void responses(int i, ByteBuffer into) {
                data.responses(i, into);
            }
        };
    }

    @Override
    public void close() {
        closer.run();
    }
}
