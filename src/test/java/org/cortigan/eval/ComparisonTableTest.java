// SPDX-License-Identifier: Apache-2.0
package org.cortigan.eval;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Compares the figures of the table with hand calculation; checks the escaping of text. */
class ComparisonTableTest {
    private static ComparisonTable.Row row(String name, double[] r, double[] bound, String note) {
        List<Long> seeds =
                java.util.stream.LongStream.range(0, r.length).boxed().toList();
        Map<Metric, double[]> figures = new EnumMap<>(Metric.class);
        figures.put(Metric.MEAN_R, r);
        figures.put(Metric.BOUND, bound);
        return new ComparisonTable.Row(
                name,
                1,
                new ComparisonTable.Setup("ViT", 12_345L, "L1", 5, false, "none"),
                "test, 8 images",
                seeds,
                new double[] {90, 150},
                figures,
                note.isEmpty() ? List.of() : List.of(note));
    }

    @Test
    void figuresMatchHandCalculationAndTextIsEscaped() {
        ComparisonTable t = new ComparisonTable(
                List.of("data: d"),
                List.of(
                        row("a", new double[] {0.30, 0.32, 0.34}, new double[] {0.5, 0.5, 0.5}, ""),
                        row("b", new double[] {0.61}, new double[] {0.5}, "seed 1: x < y | \"z\"")),
                List.of(
                        new ComparisonTable.Difference("a", "b", 1, new double[] {0.1, 0.12, 0.11}),
                        new ComparisonTable.Difference("a", "b", 2, new double[] {0.1, -0.1})));
        String md = t.markdown();
        // s = 0.02, t(2) = 4.3027: 0.32 -+ 4.3027 * 0.02 / sqrt(3)
        assertTrue(md.contains("| 0.3200 | [0.2703, 0.3697] | 0.5000 |"), md);
        assertTrue(md.contains("| 12,345 |") && md.contains("| 2.00 min |"), md);
        assertTrue(md.contains("x < y \\| \"z\""), md);
        assertTrue(md.contains("the first is better"), md);
        assertTrue(md.contains("no difference beyond the variation over seeds"), md);
        assertTrue(md.contains("warning: b, subject 1: mean r is above its bound"), md);
        assertFalse(md.contains("score (%)"), "a column without values is left out");
        assertTrue(t.html().contains("x &lt; y | &quot;z&quot;"), t.html());
        assertTrue(t.csv().contains("\"seed 1: x < y | \"\"z\"\"\""), t.csv());
        assertTrue(t.csv().contains(",0.32,0.27") && t.csv().contains("0.3 0.32 0.34"), t.csv());
    }
}
