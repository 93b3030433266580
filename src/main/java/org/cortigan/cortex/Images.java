// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;
import org.cortigan.io.FileKind;
import org.cortigan.io.InputFiles;

/** Reads and writes photographs as RGB bytes, row by row. */
public final class Images {
    /** Files are read into memory whole. */
    private static final int MAX_BYTES = 1 << 30;

    private static final Pattern IMAGE = Pattern.compile("(?is).*\\.(png|jpe?g|jpe|jfif)");
    private static final Pattern GUEST = Pattern.compile("(?i)(eh)?thumbs\\.db|desktop\\.ini|icon\r|@eaDir");

    private Images() {}

    /**
     * Reads a PNG or JPEG file, whatever its name. Samples are taken as they are stored, without colour profiles and
     * gamma; grey, CMYK and palette images become RGB as in Pillow; transparency is dropped.
     *
     * @throws InputException if the file is missing, no PNG or JPEG, of a kind that is not read, too large, truncated
     *     or damaged
     */
    public static Photograph read(Path file) {
        return decode(file, InputFiles.readAll(file, MAX_BYTES, "a photograph"));
    }

    /**
     * Reads the bytes of a PNG or JPEG file; otherwise as {@link #read}.
     *
     * @param file what messages name
     */
    public static Photograph decode(Path file, byte[] bytes) {
        if (!PictureDecoder.reads(bytes))
            throw FileKind.refusal(file, bytes, "PNG or JPEG file", "Convert it to PNG or JPEG, or leave it out");
        try {
            return PictureDecoder.decode(bytes);
        } catch (PictureDecoder.Unsupported e) {
            throw new InputException(file.toString(), e.problem, e.remedy, e);
        } catch (IOException | RuntimeException e) {
            String reason = e instanceof IOException i ? ": " + InputFiles.reason(i) : "";
            throw new InputException(
                    file.toString(), "is truncated or damaged" + reason, "Copy or download the file again", e);
        }
    }

    /**
     * Says which photographs are not stored upright, in one line; nothing if all are.
     *
     * @param applied whether they were turned
     */
    public static void noteOrientation(Collection<Path> turned, boolean applied, Consumer<String> log) {
        if (turned.isEmpty()) return;
        log.accept(turned.size()
                + (turned.size() == 1 ? " photograph was" : " photographs were")
                + (applied
                        ? " turned upright, as EXIF or XMP says: "
                        : " read as stored, not turned as EXIF or XMP says: ")
                + InputFiles.names(turned));
    }

    /** Writes a PNG file. */
    public static void writePng(Path file, Rgb image) {
        BufferedImage b = new BufferedImage(image.width(), image.height(), BufferedImage.TYPE_INT_RGB);
        int[] row = new int[image.width()];
        byte[] p = image.pixels();
        for (int y = 0; y < image.height(); y++) {
            for (int x = 0; x < row.length; x++) {
                int o = (y * row.length + x) * 3;
                row[x] = (p[o] & 0xff) << 16 | (p[o + 1] & 0xff) << 8 | p[o + 2] & 0xff;
            }
            b.setRGB(0, y, row.length, 1, row, 0, row.length);
        }
        java.io.ByteArrayOutputStream bytes = new java.io.ByteArrayOutputStream();
        try (javax.imageio.stream.MemoryCacheImageOutputStream out =
                new javax.imageio.stream.MemoryCacheImageOutputStream(bytes)) {
            ImageIO.write(b, "png", out);
        } catch (IOException e) {
            throw new IllegalStateException(e); // Writing to memory does not fail.
        }
        AtomicFiles.write(file, bytes.toByteArray());
    }

    /** The PNG and JPEG files of a folder, sorted by name. */
    public static List<Path> list(Path folder) {
        return list(folder, note -> {});
    }

    /**
     * Lists the PNG and JPEG files of a folder, sorted by name. Files that systems leave in folders (names with a dot
     * first, Thumbs.db and the like) are passed over.
     *
     * @param log receives one line that names the other files, and one that names the folders in the folder
     * @throws InputException if the folder does not exist or has no PNG or JPEG files
     */
    public static List<Path> list(Path folder, Consumer<String> log) {
        if (!Files.isDirectory(folder))
            throw new InputException(folder.toString(), "is not a folder", "Give a folder of PNG or JPEG files");
        List<Path> images = new ArrayList<>(), others = new ArrayList<>(), folders = new ArrayList<>();
        for (Path p : InputFiles.list(folder)) {
            String name = p.getFileName().toString();
            if (!GUEST.matcher(name).matches())
                (Files.isDirectory(p) ? folders : IMAGE.matcher(name).matches() ? images : others).add(p);
        }
        if (images.isEmpty()) {
            others.addAll(folders);
            throw new InputException(
                    folder.toString(),
                    "has no PNG or JPEG files" + (others.isEmpty() ? "" : ", but " + InputFiles.names(others)),
                    "Give another folder, or convert the images to PNG or JPEG");
        }
        if (!others.isEmpty())
            log.accept(others.size() + (others.size() == 1 ? " file is" : " files are")
                    + " no PNG or JPEG and left out: " + InputFiles.names(others));
        if (!folders.isEmpty())
            log.accept(folders.size() + (folders.size() == 1 ? " folder in " : " folders in ") + folder
                    + (folders.size() == 1 ? " is" : " are") + " not searched for photographs: "
                    + InputFiles.names(folders));
        return images;
    }
}
