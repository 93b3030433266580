// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.cortigan.io.Json;
import org.cortigan.train.EpochResult;
import org.cortigan.train.TrainerListener;

/** Shows a run: a progress line on a terminal and one line per epoch, or one line of JSON per epoch. */
final class Progress implements TrainerListener {
    /** The metrics of a line, with their decimals. */
    private static final Map<EpochResult.Kind, Integer> DECIMALS = Map.of(
            EpochResult.Kind.PIXEL_LOSS, 4,
            EpochResult.Kind.CORRELATION_LOSS, 4,
            EpochResult.Kind.ADVERSARIAL_LOSS, 3);

    private final Output output;
    private final String name;
    private final boolean json;
    private final boolean terminal;
    private final long begin = System.nanoTime();
    private long first = -1;
    private long shown;

    Progress(Output output, String name, boolean json) {
        this.output = output;
        this.name = name;
        this.json = json;
        this.terminal = !json && System.console() != null;
    }

    @Override
    public void step(long step, long steps, double loss) {
        if (first < 0) first = step - 1;
        long now = System.nanoTime();
        if (!terminal || now - shown < 200_000_000L) return;
        shown = now;
        double seconds = (now - begin) / 1e9, left = seconds / (step - first) * (steps - step);
        output.err()
                .print(String.format(
                        Locale.ROOT,
                        "\r%s step %d/%d  %.2f steps/s  loss %.4f  %d:%02d left   ",
                        name,
                        step,
                        steps,
                        (step - first) / seconds,
                        loss,
                        (long) left / 60,
                        (long) left % 60));
        output.err().flush();
    }

    @Override
    public void epoch(EpochResult r) {
        if (json) {
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("epoch", r.epoch());
            m.put("step", r.step());
            m.putAll(r.means());
            m.put("validation_mean_r", Double.isNaN(r.validationMeanR()) ? null : r.validationMeanR());
            if (!r.prediction().isEmpty()) m.put("validation_prediction", r.prediction());
            m.put("images_per_second", r.imagesPerSecond());
            m.put("skipped_steps", r.skipped());
            output.line("%s", Json.compact(m));
            return;
        }
        if (terminal) output.err().print('\r');
        StringBuilder s = new StringBuilder();
        s.append(String.format(Locale.ROOT, "%s epoch %d/%d", name, r.epoch(), r.epochs()));
        // The losses of each of several subjects would be hundreds; their means have the subject "".
        for (EpochResult.Metric m : r.metrics())
            if (m.subject().isEmpty() && DECIMALS.containsKey(m.kind()))
                s.append(String.format(Locale.ROOT, "  %s %." + DECIMALS.get(m.kind()) + "f", m.name(), m.value()));
        if (!Double.isNaN(r.validationMeanR()))
            s.append(String.format(Locale.ROOT, "  validation mean r %.4f", r.validationMeanR()));
        if (!r.prediction().isEmpty()) s.append(" (").append(r.prediction()).append(')');
        String bySubject = r.metrics().stream()
                .filter(m -> m.kind() == EpochResult.Kind.VALIDATION)
                .map(m -> String.format(Locale.ROOT, "%s %.4f", m.subject(), m.value()))
                .collect(Collectors.joining(", "));
        if (!bySubject.isEmpty()) s.append("  (").append(bySubject).append(')');
        if (r.skipped() > 0) s.append("  skipped steps ").append(r.skipped());
        s.append(String.format(Locale.ROOT, "  %.1f img/s", r.imagesPerSecond()));
        output.note(s.toString());
    }
}
