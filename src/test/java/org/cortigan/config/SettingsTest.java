// SPDX-License-Identifier: Apache-2.0
package org.cortigan.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.junit.jupiter.api.Test;

class SettingsTest {
    @Test
    void unknownKeysAndWrongTypesAreRefused() {
        assertEquals(1, Settings.distance("widht", "width") - 1);
        Settings s = Settings.of("d", Map.of("a", Map.of("width", 3, "on", true), "list", List.of(1, 2)));
        assertEquals(5, s.with("a.width", 5, "x").section("a").integer("width", 1));
        for (Object wrong : new Object[] {"text", true, Double.NaN, List.of(1)})
            assertThrows(InputException.class, () -> s.with("a.width", wrong, "x"));
        assertTrue(assertThrows(InputException.class, () -> s.with("a.widht", 5, "x.yaml"))
                .getMessage()
                .contains("'a.width'"));
    }

    /** A message names the last override of the very key, or the file. */
    @Test
    void theSourceOfAWrongValueIsThatOfItsKey() {
        Settings file = Settings.of("defaults", Map.of("a", Map.of("width", 3, "depth", 0, "size", 0), "b", 0))
                .with(Map.of("b", 0), "mine.yaml")
                .in("mine.yaml");
        Settings s = file.with(Map.of("a", Map.of("width", 0)), "option 1")
                .with("a.width", -1, "option 2")
                .with("a.depth", 0, "option 3")
                .with("b", -1, "option 4");
        assertEquals("option 2, key 'a.width'", place(s.section("a"), "width"));
        assertEquals("option 3, key 'a.depth'", place(s.section("a"), "depth"));
        assertEquals("mine.yaml, key 'a.size'", place(s.section("a"), "size"));
        assertEquals("option 4, key 'b'", place(s, "b"));
        assertEquals("mine.yaml, key 'b'", place(file, "b"), "the settings below are unchanged");
        assertEquals("option 5, key 'a.size'", place(s.section("a").with("size", 0, "option 5"), "size"));
    }

    private static String place(Settings s, String key) {
        String message =
                assertThrows(InputException.class, () -> s.integer(key, 1)).getMessage();
        return message.substring(0, message.indexOf(':'));
    }
}
