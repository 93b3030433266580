// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cortigan.InputException;
import org.cortigan.io.Csv;

/** The photographs.csv of an evaluation: how well the response of each ROI to each photograph is predicted. */
final class PhotographTable {
    /** Best and worst photographs that a report shows of an ROI. */
    private static final int SHOWN = 4;

    private record Roi(String roiClass, String name) {}

    /** A photograph with r over the vertices of an ROI. */
    private record Score(String file, double r) {}

    private final Map<Roi, List<Score>> scores = new LinkedHashMap<>();

    /** @throws InputException if the file is no such table */
    static PhotographTable read(Path file) {
        PhotographTable table = new PhotographTable();
        List<List<String>> lines = Csv.read(file);
        List<String> head = lines.isEmpty() ? List.of() : lines.get(0);
        int name = column(file, head, "file"), hemisphere = column(file, head, "hemisphere");
        int roiClass = column(file, head, "class"), roi = column(file, head, "roi"), r = column(file, head, "r");
        for (List<String> line : lines.subList(1, lines.size())) {
            if (line.size() != head.size()
                    || !line.get(hemisphere).equals("both")
                    || line.get(r).isEmpty()) continue;
            table.scores
                    .computeIfAbsent(new Roi(line.get(roiClass), line.get(roi)), k -> new ArrayList<>())
                    .add(new Score(line.get(name), number(file, line.get(r))));
        }
        return table;
    }

    private static int column(Path file, List<String> head, String name) {
        int at = head.indexOf(name);
        if (at < 0)
            throw new InputException(
                    file.toString(), "has no column " + name, "Evaluate the run again, or remove the file");
        return at;
    }

    private static double number(Path file, String text) {
        try {
            return Double.parseDouble(text);
        } catch (NumberFormatException e) {
            throw new InputException(
                    file.toString(), text + " is no number", "Evaluate the run again, or remove the file");
        }
    }

    /**
     * The best and the worst photographs of every ROI.
     *
     * @param files photographs by name
     * @param thumbnails receives them
     */
    List<Object> json(Map<String, Path> files, Thumbnails thumbnails) {
        List<Object> all = new ArrayList<>();
        scores.forEach((roi, own) -> {
            List<Score> best = new ArrayList<>(
                    own.stream().filter(s -> files.containsKey(s.file)).toList());
            best.sort(Comparator.comparingDouble(Score::r).reversed().thenComparing(Score::file));
            List<Score> worst = new ArrayList<>(best);
            Collections.reverse(worst);
            int n = Math.min(SHOWN, best.size() / 2);
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("class", roi.roiClass);
            o.put("roi", roi.name);
            o.put("most", shown(best.subList(0, n), files, thumbnails));
            o.put("least", shown(worst.subList(0, n), files, thumbnails));
            all.add(o);
        });
        return all;
    }

    private static List<Object> shown(List<Score> scores, Map<String, Path> files, Thumbnails thumbnails) {
        List<Object> shown = new ArrayList<>();
        for (Score s : scores) {
            Path file = files.get(s.file);
            String id = file == null ? null : thumbnails.add(file);
            if (id == null) continue;
            Map<String, Object> o = new LinkedHashMap<>();
            o.put("photograph", id);
            o.put("name", s.file);
            o.put("r", s.r);
            shown.add(o);
        }
        return shown;
    }
}
