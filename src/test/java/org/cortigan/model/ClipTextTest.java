// SPDX-License-Identifier: Apache-2.0
package org.cortigan.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import org.cortigan.io.SafeTensors;
import org.junit.jupiter.api.Test;

/** Compares with the CLIPTextModel of transformers, which computed in double. */
class ClipTextTest {
    /** That of the golden file. */
    static final ClipText SMALL = new ClipText(60, 9, 24, 48, 2, 3);

    private static final Path GOLDEN = Path.of("src/test/resources/sd/clip_text.safetensors");

    /** A text of the golden file: 0 is the empty prompt. */
    private static int[] ids(SafeTensors t, int text) {
        ByteBuffer all = ByteBuffer.allocate(2 * SMALL.tokens() * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        t.read("golden.ids", all);
        int[] ids = new int[SMALL.tokens()];
        all.flip().asIntBuffer().get(text * ids.length, ids);
        return ids;
    }

    /** The golden last hidden state [tokens, width] of a text, to 1e-5 of its largest number. */
    static void assertGolden(int text, float[] state) {
        try (SafeTensors t = SafeTensors.open(GOLDEN)) {
            float[] all = t.floats("golden.last_hidden_state");
            int n = SMALL.tokens() * SMALL.width();
            float[] want = Arrays.copyOfRange(all, text * n, (text + 1) * n);
            float scale = 0;
            for (float x : want) scale = Math.max(scale, Math.abs(x));
            assertArrayEquals(want, state, 1e-5f * scale);
        }
    }

    @Test
    void computesWhatTransformersDoes() {
        StableDiffusionFile f = Objects.requireNonNull(StableDiffusionFile.text(GOLDEN));
        assertEquals(SMALL.shapes().keySet(), f.tensors().keySet());
        for (int text = 0; text < 2; text++) assertGolden(text, SMALL.state(f.tensors(), ids(f.file(), text)));
        assertArrayEquals(ids(f.file(), 0), SMALL.empty());
    }

    @Test
    void hasTheParametersOfStableDiffusion() {
        assertEquals(196, ClipText.SD1.shapes().size());
        assertEquals(
                123_060_480L,
                ClipText.SD1.shapes().values().stream()
                        .mapToLong(s -> Arrays.stream(s).reduce(1, (a, b) -> a * b))
                        .sum());
        int[] empty = ClipText.SD1.empty();
        assertEquals(77, empty.length);
        assertEquals(49_406, empty[0]);
        for (int i = 1; i < 77; i++) assertEquals(49_407, empty[i]);
    }
}
