// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.cortigan.Browser;
import org.cortigan.cortex.AlgonautsSubject;
import org.cortigan.cortex.SmallSubject;
import org.cortigan.eval.NoiseCeiling;
import org.cortigan.io.Json;
import org.cortigan.train.EpochResult;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LiveReportTest {
    private static final int VERTICES = 820;

    @TempDir
    private Path folder;

    private AlgonautsSubject subject;
    private LiveReport report;

    @BeforeEach
    void serve() throws Exception {
        SmallSubject.write(folder.resolve("data"), 8, 4);
        subject = AlgonautsSubject.open(folder.resolve("data"), 1);
        Path run = Files.createDirectories(folder.resolve("run"));
        Files.writeString(run.resolve("metrics.csv"), "epoch,step,loss,validation_mean_r\n1,5,0.9,0.25\n");
        report = new LiveReport(
                run, Map.of("", subject), NoiseCeiling.Unit.FRACTION, 0, "cortigan train --live", "CortiGAN", n -> {});
    }

    @AfterEach
    void close() {
        report.close();
        subject.close();
    }

    private void validate(int epoch, double r) {
        double[] all = new double[VERTICES];
        Arrays.fill(all, r);
        report.validated(new EpochResult(epoch, 9, 5L * epoch, List.of(), r, r, 1, 0, ""), Map.of("", all));
    }

    private String get(String name) throws Exception {
        HttpResponse<String> answer = HttpClient.newHttpClient()
                .send(
                        HttpRequest.newBuilder(URI.create(report.url() + name)).build(),
                        HttpResponse.BodyHandlers.ofString());
        assertEquals(200, answer.statusCode());
        return answer.body();
    }

    private Map<String, Object> run() throws Exception {
        Map<String, Object> data = Json.object(Json.parse(get("data.json"), "data"), "data");
        return Json.object(((List<?>) data.get("runs")).get(0), "run");
    }

    @Test
    void everyEpochIsServed() throws Exception {
        assertTrue(get("").contains("before the first validation"));
        validate(1, 0.25);
        assertEquals(0.25, Json.object(run().get("summary"), "summary").get("mean_r"));
        validate(2, 0.5);
        assertEquals(0.5, Json.object(run().get("summary"), "summary").get("mean_r"));
        assertEquals("validation images after epoch 2 of 9", run().get("label"));
        assertTrue(get("").contains("after epoch 2 of 9"), "a page that is opened later has the last epoch");
    }

    @Test
    @Tag("slow")
    void aPageFollowsTheRun() throws Exception {
        try (Browser browser = Browser.start()) {
            browser.open(URI.create(report.url()));
            browser.evaluate("cortigan.ready");
            validate(1, 0.25);
            browser.evaluate("new Promise((done, failed) => { const end = Date.now() + 20000; (function look() {"
                    + " if (document.getElementById('runs').textContent.includes('0.250')) done(true);"
                    + " else if (Date.now() > end) failed(new Error('the page did not follow'));"
                    + " else setTimeout(look, 100); })(); })");
            assertEquals(List.of(), browser.errors());
            report.close();
            browser.evaluate("new Promise((done, failed) => { const end = Date.now() + 20000; (function look() {"
                    + " if (!document.getElementById('status').hidden) done(true);"
                    + " else if (Date.now() > end) failed(new Error('the page does not tell the end'));"
                    + " else setTimeout(look, 100); })(); })");
        }
    }
}
