// SPDX-License-Identifier: Apache-2.0
package org.cortigan.simulate;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.io.AtomicFiles;

/** Four bundled photographs, in the public domain or under CC0 (photos/ATTRIBUTION.txt). */
public final class BundledPhotos {
    private static final List<String> NAMES = List.of("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg");

    private BundledPhotos() {}

    /** Writes the photographs into a folder and returns the files. */
    public static List<Path> extract(Path folder) {
        List<Path> files = new ArrayList<>();
        AtomicFiles.createFolder(folder);
        try {
            for (String n : NAMES)
                try (InputStream in = BundledPhotos.class.getResourceAsStream("/org/cortigan/photos/" + n)) {
                    if (in == null) throw new IllegalStateException("no resource " + n);
                    AtomicFiles.write(folder.resolve(n), in.readAllBytes());
                    files.add(folder.resolve(n));
                }
        } catch (IOException e) {
            throw new InputException(folder.toString(), "cannot be written: " + e, "Choose another folder", e);
        }
        return files;
    }
}
