// SPDX-License-Identifier: Apache-2.0
package org.cortigan.experiment;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.cortigan.eval.ComparisonTable;
import org.cortigan.eval.Metric;

/** Makes the table of a comparison from the results so far. */
record ComparisonSummary(ComparisonOptions options, ComparisonPlan plan) {
    ComparisonTable table() {
        List<ComparisonTable.Row> rows = new ArrayList<>();
        List<ComparisonTable.Difference> differences = new ArrayList<>();
        for (int subject : options.subjects()) {
            for (String name : plan.names()) rows.add(modelRow(name, subject));
            for (String name : ComparisonPlan.BASELINES) rows.add(baselineRow(name, subject));
            for (ComparisonPlan.Pair pair : plan.pairs()) differences.add(difference(pair, subject));
        }
        return new ComparisonTable(about(), rows, differences);
    }

    private List<String> about() {
        List<String> lines = new ArrayList<>();
        List<String> subjects = options.subjects().stream().map(String::valueOf).toList();
        lines.add("data: " + options.data().folder() + ", subjects " + subjects + ", seeds " + options.seeds());
        if (!options.assignments().isEmpty()) lines.add("in every recipe: " + String.join(", ", options.assignments()));
        lines.add("test: responses that no training read, predicted by each run's best checkpoint; validation: the"
                + " training images that a run holds out, predicted by its last checkpoint");
        lines.add(ComparisonPlan.STRONGEST
                + ": the best of Gabor features, pixels and both in bands; one lambda, one for"
                + " each ROI or each vertex; with or without principal components; chosen by " + RidgeSearch.FOLDS
                + " folds of the training images");
        lines.add("time per epoch: training alone, median over epochs, on the device of each run (environment.json)");
        return lines;
    }

    private ComparisonTable.Row modelRow(String name, int subject) {
        List<ComparisonRun> runs = plan.runs(name, subject);
        List<ComparisonRun> finished = finished(runs);
        RecipeSummary recipe = new RecipeSummary(runs.get(0).recipe());
        ComparisonRun first = finished.isEmpty() ? null : finished.get(0);
        ComparisonTable.Setup setup = new ComparisonTable.Setup(
                recipe.model(),
                first == null ? null : (Long) first.whole("parameters"),
                recipe.loss(),
                recipe.epochs(),
                recipe.isPretrained(),
                recipe.discriminators(first == null ? null : (Long) first.whole("discriminators")));
        return new ComparisonTable.Row(
                name,
                subject,
                setup,
                evaluatedOn(subject, finished),
                seeds(finished),
                values(finished, "seconds_per_epoch"),
                figures(finished),
                notes(runs));
    }

    private ComparisonTable.Row baselineRow(String name, int subject) {
        List<ComparisonRun> runs = plan.baselines(name, subject);
        List<ComparisonRun> finished = finished(runs);
        String chosen =
                finished.stream().map(r -> r.text("settings")).distinct().collect(Collectors.joining("; "));
        ComparisonTable.Setup setup = new ComparisonTable.Setup(
                chosen.isEmpty() ? "ridge" : "ridge: " + chosen, null, "squared error + L2", null, null, "none");
        boolean dependsOnSeed = !options.data().hasHeldOut(subject);
        return new ComparisonTable.Row(
                name,
                subject,
                setup,
                evaluatedOn(subject, finished),
                dependsOnSeed ? seeds(finished) : List.of(),
                new double[0],
                figures(finished),
                notes(runs));
    }

    private ComparisonTable.Difference difference(ComparisonPlan.Pair pair, int subject) {
        List<ComparisonRun> first = plan.runs(pair.first(), subject), second = plan.runs(pair.second(), subject);
        String key = Metric.MEAN_R.key();
        double[] differences = IntStream.range(0, first.size())
                .filter(i -> first.get(i).isFinished() && second.get(i).isFinished())
                .mapToDouble(i -> first.get(i).number(key) - second.get(i).number(key))
                .toArray();
        return new ComparisonTable.Difference(pair.first(), pair.second(), subject, differences);
    }

    private String evaluatedOn(int subject, List<ComparisonRun> finished) {
        String split = options.data().hasHeldOut(subject) ? "test" : "validation";
        if (finished.isEmpty()) return split;
        ComparisonRun first = finished.get(0);
        return split + ", " + first.whole("images") + " images"
                + (first.has("prediction") ? ", " + first.text("prediction") : "");
    }

    private static List<ComparisonRun> finished(List<ComparisonRun> runs) {
        return runs.stream().filter(ComparisonRun::isFinished).toList();
    }

    private static List<Long> seeds(List<ComparisonRun> runs) {
        return runs.stream().map(ComparisonRun::seed).toList();
    }

    private static Map<Metric, double[]> figures(List<ComparisonRun> finished) {
        Map<Metric, double[]> figures = new EnumMap<>(Metric.class);
        for (Metric m : Metric.compared()) figures.put(m, values(finished, m.key()));
        return figures;
    }

    private static double[] values(List<ComparisonRun> finished, String key) {
        return finished.stream()
                .filter(r -> r.has(key))
                .mapToDouble(r -> r.number(key))
                .toArray();
    }

    private static List<String> notes(List<ComparisonRun> runs) {
        return runs.stream()
                .filter(r -> !r.isFinished())
                .map(r -> "seed " + r.seed() + ": " + (r.hasFailed() ? "failed: " + r.error() : "not run yet"))
                .toList();
    }
}
