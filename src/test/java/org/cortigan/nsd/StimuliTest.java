// SPDX-License-Identifier: Apache-2.0
package org.cortigan.nsd;

import static org.cortigan.io.Formats.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.cortigan.io.NpyFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Reads the forms of HDF5 files that h5py writes (tools/golden_hdf5.py). */
class StimuliTest {
    private static final Path HDF5 = Path.of("src/test/resources/hdf5");
    private static final int PHOTOGRAPHS = 4;

    private static void readAll(Path file) {
        try (Stimuli s = Stimuli.open(file);
                NpyFile want = NpyFile.open(HDF5.resolve("photographs.npy"))) {
            assertEquals(PHOTOGRAPHS, s.count());
            int[] bytes = want.toIntArray();
            for (int id = 0; id < PHOTOGRAPHS; id++) {
                byte[] read = s.read(id).pixels();
                int[] got = new int[read.length];
                for (int i = 0; i < got.length; i++) got[i] = read[i] & 0xff;
                assertArrayEquals(Arrays.copyOfRange(bytes, id * got.length, (id + 1) * got.length), got);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "lzf", "latest", "soft_link", "external_link"})
    void theSamePhotographsAreReadFromEveryForm(String name) {
        readAll(HDF5.resolve(name + ".hdf5"));
    }

    @ParameterizedTest
    @CsvSource({
        "int8, 'dataset imgBrick: is int8, shape [4, 8, 8, 3]'",
        "uint16, 'dataset imgBrick: is uint16, shape [4, 8, 8, 3]'",
        "broken_link, 'dataset imgBrick: is a link to '",
        "never_written, 'dataset imgBrick: has never been written'",
        "without_chunks, 'photograph 1 (counted from 0): has never been written, or not all of it'",
        "without_half, 'photograph 0 (counted from 0): has never been written, or not all of it'",
        "black, 'photograph 1 (counted from 0): is 0 at every pixel, as one that has never been written'",
        "latest_filter, 'has a feature of HDF5 that cannot be read here: Unsupported data layout message version'",
        "lzf_fletcher32, 'cannot be decompressed: it is damaged, or its filters do not go together here: [lzf'",
        "scale_offset, 'has a feature of HDF5 that cannot be read here: A required filter is not available'",
        "external_storage, 'has a feature of HDF5 that cannot be read here: Encountered External Data Files'",
        "virtual, 'has a feature of HDF5 that cannot be read here: Virtual storage'"
    })
    void anotherFormIsRefusedForWhatItIs(String name, String problem) {
        Path file = HDF5.resolve(name + ".hdf5");
        boolean copyHelps = problem.contains("feature") || problem.contains("decompressed");
        refused(() -> readAll(file), file.toString(), problem, copyHelps ? "h5repack -f NONE" : ". ");
    }

    @Test
    void aFileThatIsCutOffIsDamaged(@TempDir Path dir) throws Exception {
        for (String name : new String[] {"plain", "lzf", "latest"}) {
            byte[] whole = Files.readAllBytes(HDF5.resolve(name + ".hdf5"));
            for (int bytes : new int[] {600, whole.length - 1}) {
                Path file = Files.write(dir.resolve("cut.hdf5"), Arrays.copyOf(whole, bytes));
                refused(() -> readAll(file), "cut.hdf5: ", "Copy or download the file again");
            }
        }
    }
}
