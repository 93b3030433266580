// SPDX-License-Identifier: Apache-2.0
package org.cortigan.io;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class CsvTest {
    @Test
    void cellsAreQuotedAsRfc4180Says() {
        assertEquals(
                "lh,\"V1, ventral\",\"a \"\"b\"\"\nc\",, d \n",
                Csv.line(List.of("lh", "V1, ventral", "a \"b\"\nc", "", " d ")));
        assertEquals("\"a\rb\"\n", Csv.line(List.of("a\rb")));
    }

    @Test
    void whatIsWrittenIsReadAgain() {
        List<List<String>> lines =
                List.of(List.of("epoch", "d.loss.V1, \"ventral\"\r\nx", "\"", ""), List.of("", "a\"b\"", "\"\"", ","));
        String text = Csv.line(lines.get(0)) + Csv.line(lines.get(1));
        assertEquals(lines, Csv.parse(text));
        // A line that a killed run did not end, in a quoted cell or outside.
        assertEquals(lines, Csv.parse(text + "3,\"a\n"));
        assertEquals(lines, Csv.parse(text + "3,4"));
        assertEquals(List.of(), Csv.parse(""));
        // as spreadsheets and editors leave it
        assertEquals(
                List.of(List.of("a", "b\r\n"), List.of("1", "2\r")), Csv.parse("a,\"b\r\n\"\r\n\r\n1,\"2\r\"\r\n\n"));
        assertEquals(List.of(List.of("a \"b\" c", "d")), Csv.parse("a \"b\" c,d\n"), "as versions before wrote it");
    }
}
