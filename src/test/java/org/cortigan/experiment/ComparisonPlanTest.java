// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.cortigan.InputException;
import org.cortigan.eval.ComparisonTable;
import org.cortigan.eval.NoiseCeiling;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Checks the runs that a comparison plans; needs no data. */
class ComparisonPlanTest {
    @TempDir
    private Path dir;

    private ComparisonOptions options(List<String> recipes, List<String> pairs) {
        return new ComparisonOptions(
                new DataFolder(Path.of("no-data")),
                dir.resolve("out"),
                recipes,
                List.of("train.epochs=1"),
                List.of(3L, 1L, 3L),
                List.of(2, 2),
                true,
                pairs,
                NoiseCeiling.Unit.FRACTION);
    }

    @Test
    void seedsAreTheOuterLoopAndARecipeIsFollowedByItsVariantWithoutGan() {
        ComparisonPlan plan = new ComparisonPlan(
                options(
                        List.of("vanilla-gan-tiny", "vanilla-corr-2d-tiny"),
                        List.of("vanilla-corr-2d-tiny=vanilla-gan-tiny")),
                line -> {});
        List<String> names = new ArrayList<>();
        for (ComparisonRun r : plan.runs()) names.add(r.label());
        assertEquals("vanilla-gan-tiny-subj02-seed3", names.get(0));
        assertEquals("vanilla-gan-tiny-without-GAN-subj02-seed3", names.get(1));
        assertTrue(names.indexOf("vanilla-corr-2d-tiny-subj02-seed3") < names.indexOf("vanilla-gan-tiny-subj02-seed1"));
        assertEquals(2, plan.runs("vanilla-gan-tiny", 2).size());
        // The validation split differs from seed to seed.
        assertEquals(2, plan.baselines(ComparisonPlan.STRONGEST, 2).size());
        assertEquals(2, plan.baselines(ComparisonPlan.PIXELS, 2).size());
        assertEquals(
                "vanilla-corr-2d-tiny",
                plan.pairs().get(plan.pairs().size() - 1).first());
        for (ComparisonRun r : plan.runs()) {
            assertEquals(1, new RecipeSummary(r.recipe()).epochs());
            assertEquals(!r.name().endsWith("without GAN"), new RecipeSummary(r.recipe()).hasGan(), r.name());
            assertFalse(r.isFinished() || r.hasFailed());
        }
    }

    @Test
    void aTableNamesTheRunsThatAreNotRunYet() {
        ComparisonOptions options = options(List.of("vit-gan-tiny"), List.of());
        ComparisonTable table = new ComparisonSummary(options, new ComparisonPlan(options, line -> {})).table();
        assertEquals(4, table.rows().size());
        ComparisonTable.Row row = table.rows().get(0);
        assertEquals(List.of("seed 3: not run yet", "seed 1: not run yet"), row.notes());
        assertEquals("ViT", row.setup().model());
        assertEquals("validation", row.evaluatedOn());
        assertEquals(
                List.of("strongest ridge", "ridge on pixels"),
                table.rows().subList(2, 4).stream()
                        .map(ComparisonTable.Row::name)
                        .toList());
        assertEquals("ridge", table.rows().get(2).setup().model());
        assertEquals(0, table.differences().get(0).meanR().length);
    }

    private void refused(String part, List<String> recipes, List<String> pairs) {
        InputException e =
                assertThrows(InputException.class, () -> new ComparisonPlan(options(recipes, pairs), line -> {}));
        assertTrue(e.getMessage().contains(part), e.getMessage());
    }

    @Test
    void wrongOptionsAreRefused() {
        refused("--recipes", List.of(), List.of());
        refused("two recipes 'vit-gan-tiny'", List.of("vit-gan-tiny", "vit-gan-tiny"), List.of());
        refused("--compare vit-gan-tiny", List.of("vit-gan-tiny"), List.of("vit-gan-tiny"));
        refused("--compare vit-gan-tiny=x", List.of("vit-gan-tiny"), List.of("vit-gan-tiny=x"));
    }
}
