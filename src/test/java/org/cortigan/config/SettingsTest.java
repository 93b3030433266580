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
}
