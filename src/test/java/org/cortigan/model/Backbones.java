// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.UnaryOperator;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.cortigan.io.SafeTensors;

/** The small random ViTs of tools/golden_backbones.py, and changed copies of them. */
public final class Backbones {
    private static final Path ZIP = Path.of("src/test/resources/models/backbones.zip");

    private Backbones() {}

    /** Unpacks all into a folder: NAME/model.safetensors with files beside, and golden.safetensors. */
    public static void unpack(Path folder) {
        try (ZipFile zip = new ZipFile(ZIP.toFile())) {
            for (Enumeration<? extends ZipEntry> e = zip.entries(); e.hasMoreElements(); ) {
                ZipEntry entry = e.nextElement();
                Path to = folder.resolve(entry.getName());
                Files.createDirectories(to.getParent());
                try (InputStream in = zip.getInputStream(entry)) {
                    Files.copy(in, to);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Names of the backbones, without the goldens' side. */
    static TreeSet<String> names(SafeTensors golden) {
        TreeSet<String> names = new TreeSet<>(golden.names());
        names.remove("images");
        return names;
    }

    /** A tensor to be written. */
    record Tensor(long[] shape, float[] values) {}

    /** The tensors of a file, which may be changed. */
    static Map<String, Tensor> tensors(Path file) {
        Map<String, Tensor> all = new LinkedHashMap<>();
        try (SafeTensors t = SafeTensors.open(file)) {
            for (String name : t.names()) all.put(name, new Tensor(t.entry(name).shape(), t.floats(name)));
        }
        return all;
    }

    /** Writes tensors in float32, with changed names. */
    public static Path write(Path file, Map<String, Tensor> tensors, UnaryOperator<String> rename) {
        SafeTensors.Writer w = new SafeTensors.Writer(file);
        tensors.forEach((name, x) -> w.add(rename.apply(name), x.values, x.shape));
        w.commit();
        return file;
    }

    static Path write(Path file, Map<String, Tensor> tensors) {
        return write(file, tensors, name -> name);
    }

    /** The upper left of the photographs [2, 48, 48, 3]. */
    static byte[] images(SafeTensors golden, int side) {
        ByteBuffer all = ByteBuffer.allocate(2 * 48 * 48 * 3).order(ByteOrder.LITTLE_ENDIAN);
        golden.read("images", all);
        byte[] out = new byte[2 * side * side * 3];
        for (int i = 0; i < 2; i++)
            for (int y = 0; y < side; y++) all.get((i * 48 + y) * 48 * 3, out, (i * side + y) * side * 3, side * 3);
        return out;
    }
}
