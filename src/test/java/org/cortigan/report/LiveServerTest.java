// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.zip.GZIPInputStream;
import org.cortigan.Browser;
import org.cortigan.InputException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class LiveServerTest {
    private static final byte[] PAGE = utf8("<p>the page"), DATA = utf8("{\"epoch\": 1}");

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static LiveServer serve(Supplier<byte[]> data) {
        return new LiveServer(0, () -> PAGE, data, line -> {});
    }

    private record Reply(int status, Map<String, String> headers, byte[] body) {
        String text() {
            return new String(body, StandardCharsets.UTF_8);
        }
    }

    /** Sends a request as written: Java's client would refuse some of its headers. */
    private static Reply ask(LiveServer s, String method, String path, String... headers) throws IOException {
        int port = s.address().getPort();
        List<String> lines = new ArrayList<>(List.of(method + " " + path + " HTTP/1.1", "Connection: close"));
        if (Arrays.stream(headers).noneMatch(h -> h.startsWith("Host"))) lines.add("Host: 127.0.0.1:" + port);
        lines.addAll(List.of(headers));
        try (Socket socket = new Socket(s.address().getAddress(), port)) {
            socket.setSoTimeout(10_000);
            socket.getOutputStream().write(utf8(String.join("\r\n", lines) + "\r\n\r\n"));
            byte[] all = socket.getInputStream().readAllBytes();
            String text = new String(all, StandardCharsets.ISO_8859_1);
            int end = text.indexOf("\r\n\r\n");
            String[] head = text.substring(0, end).split("\r\n");
            Map<String, String> values = new TreeMap<>();
            for (int i = 1; i < head.length; i++)
                values.put(
                        head[i].substring(0, head[i].indexOf(':')).toLowerCase(Locale.ROOT),
                        head[i].substring(head[i].indexOf(':') + 2));
            return new Reply(
                    Integer.parseInt(head[0].split(" ")[1]), values, Arrays.copyOfRange(all, end + 4, all.length));
        }
    }

    private static String path(LiveServer s) {
        return URI.create(s.url()).getPath();
    }

    @Test
    void servesPageAndData() throws IOException {
        try (LiveServer s = serve(() -> DATA)) {
            assertTrue(s.url().matches("http://127\\.0\\.0\\.1:\\d+/[0-9a-f]{32}/"), s.url());
            Reply page = ask(s, "GET", path(s));
            assertEquals(200, page.status);
            assertEquals("<p>the page", page.text());
            assertEquals("text/html; charset=utf-8", page.headers.get("content-type"));
            Reply data = ask(s, "GET", path(s) + "data.json?again=1");
            assertEquals("{\"epoch\": 1}", data.text());
            assertEquals("application/json", data.headers.get("content-type"));
            for (Reply r : List.of(page, data)) {
                assertEquals("no-store", r.headers.get("cache-control"));
                assertEquals("nosniff", r.headers.get("x-content-type-options"));
                assertTrue(r.headers.get("content-security-policy").contains("default-src 'none'"));
            }
        }
    }

    @Test
    void otherPathsAreUnknown() throws IOException {
        try (LiveServer s = serve(() -> DATA);
                LiveServer other = serve(() -> DATA)) {
            assertNotEquals(path(s), path(other));
            String mine = path(s);
            String wrong = mine.substring(0, mine.length() - 2) + (mine.charAt(32) == '0' ? "1/" : "0/");
            for (String p : List.of(
                    "/", "/data.json", path(other), wrong, mine.substring(0, 32), "/" + mine, mine + "x", mine + "../"))
                assertEquals(404, ask(s, "GET", p).status, p);
            assertEquals(404, ask(s, "POST", wrong).status);
        }
    }

    @Test
    void onlyReadsOfThisMachineAreAnswered() throws IOException {
        try (LiveServer s = serve(() -> DATA)) {
            int port = s.address().getPort();
            for (String host : List.of("localhost:" + port, "LOCALHOST:" + port, "[::1]:" + port))
                assertEquals(200, ask(s, "GET", path(s), "Host: " + host).status, host);
            for (String host : List.of("rebound.example:" + port, "localhost", "127.0.0.1:1", "localhost." + port, ""))
                assertEquals(403, ask(s, "GET", path(s), "Host: " + host).status, host);
            for (String method : List.of("POST", "PUT", "DELETE", "OPTIONS")) {
                Reply r = ask(s, method, path(s) + "data.json");
                assertEquals(405, r.status, method);
                assertEquals("GET, HEAD", r.headers.get("allow"));
            }
            Reply head = ask(s, "HEAD", path(s) + "data.json");
            assertEquals(200, head.status);
            assertEquals(Integer.toString(DATA.length), head.headers.get("content-length"));
            assertEquals(0, head.body.length);
        }
    }

    @Test
    void unchangedDataAreNotSentAgain() throws IOException {
        try (LiveServer s = serve(() -> DATA)) {
            String data = path(s) + "data.json";
            String tag = ask(s, "GET", data).headers.get("etag");
            Reply same = ask(s, "GET", data, "If-None-Match: " + tag);
            assertEquals(304, same.status);
            assertEquals(0, same.body.length);
            s.update(utf8("{}"));
            Reply changed = ask(s, "GET", data, "If-None-Match: " + tag);
            assertEquals("{}", changed.text());
            assertNotEquals(tag, changed.headers.get("etag"));
            s.update(DATA);
            assertEquals(tag, ask(s, "GET", data).headers.get("etag"));
        }
    }

    @Test
    void dataAreCompressedForThoseWhoAccept() throws IOException {
        try (LiveServer s = serve(() -> DATA)) {
            String data = path(s) + "data.json";
            for (String accepted : List.of("gzip, br", "br;q=0.1,GZIP;q=0.5", "gzip;q=0.01")) {
                Reply r = ask(s, "GET", data, "Accept-Encoding: " + accepted);
                assertEquals("gzip", r.headers.get("content-encoding"), accepted);
                try (GZIPInputStream in = new GZIPInputStream(new ByteArrayInputStream(r.body))) {
                    assertEquals("{\"epoch\": 1}", new String(in.readAllBytes(), StandardCharsets.UTF_8));
                }
            }
            for (String accepted : List.of("br", "gzip;q=0", "gzip;q=0.000", "x-gzip2"))
                assertFalse(ask(s, "GET", data, "Accept-Encoding: " + accepted)
                        .headers
                        .containsKey("content-encoding"));
        }
    }

    @Test
    void onlyThisMachineCanConnect() {
        try (LiveServer s = serve(() -> DATA)) {
            InetAddress bound = s.address().getAddress();
            assertTrue(bound.isLoopbackAddress() && !bound.isAnyLocalAddress(), bound.toString());
        }
    }

    @Test
    void aTakenPortIsNamedAndAClosedServerFreesIts() throws Exception {
        LiveServer s = serve(() -> DATA);
        int port = s.address().getPort();
        InputException e =
                assertThrows(InputException.class, () -> new LiveServer(port, () -> PAGE, () -> DATA, l -> {}));
        assertTrue(e.getMessage().startsWith("port " + port + ": is taken by another program"), e.getMessage());
        for (int none : new int[] {-1, 65536})
            assertThrows(InputException.class, () -> new LiveServer(none, () -> PAGE, () -> DATA, l -> {}));
        ask(s, "GET", path(s));
        List<Thread> threads = threads();
        assertTrue(threads.size() >= 2 && threads.stream().allMatch(Thread::isDaemon), threads.toString());
        s.close();
        assertThrows(ConnectException.class, () -> new Socket(s.address().getAddress(), port).close());
        for (Thread t : threads) t.join(10_000);
        assertEquals(List.of(), threads.stream().filter(Thread::isAlive).toList());
        try (LiveServer again = new LiveServer(port, () -> PAGE, () -> DATA, l -> {})) {
            assertEquals(200, ask(again, "GET", path(again)).status);
        }
    }

    private static List<Thread> threads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(t -> t.getName().equals("live report") || t.getName().startsWith("HTTP-Dispatcher"))
                .toList();
    }

    @Test
    void anUpdateNeitherMakesTheDataNorWaitsForThem() throws Exception {
        AtomicInteger made = new AtomicInteger();
        CountDownLatch asked = new CountDownLatch(1), go = new CountDownLatch(1);
        try (LiveServer s = serve(() -> {
            made.incrementAndGet();
            asked.countDown();
            await(go);
            return DATA;
        })) {
            String data = path(s) + "data.json";
            CompletableFuture<Reply> slow = CompletableFuture.supplyAsync(() -> {
                try {
                    return ask(s, "GET", data);
                } catch (IOException e) {
                    throw new IllegalStateException(e);
                }
            });
            assertTrue(asked.await(10, TimeUnit.SECONDS));
            s.update(() -> {
                made.addAndGet(10);
                return utf8("{}");
            });
            assertEquals(1, made.get());
            assertEquals("{}", ask(s, "GET", data).text());
            assertEquals("{}", ask(s, "GET", data).text());
            assertEquals(11, made.get());
            go.countDown();
            assertEquals("{\"epoch\": 1}", slow.get(10, TimeUnit.SECONDS).text());
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void whatCannotBeMadeIsTold() throws IOException {
        List<String> log = new ArrayList<>();
        try (LiveServer s = new LiveServer(
                0,
                () -> PAGE,
                () -> {
                    throw new IllegalStateException("no maps");
                },
                log::add)) {
            Reply r = ask(s, "GET", path(s) + "data.json");
            assertEquals(500, r.status);
            assertTrue(r.text().contains("no maps"), r.text());
            assertEquals(List.of("the live report cannot be made: no maps"), log);
            s.update(DATA);
            assertEquals(200, ask(s, "GET", path(s) + "data.json").status);
        }
    }

    /** The policy lets the page's own script run and ask this server, and nobody else. */
    @Test
    @Tag("slow")
    void aBrowserShowsThePageAndAsksForItsData() {
        byte[] page = utf8("<!doctype html><title>live</title><link rel=icon href='data:,'><p id=p></p><script>"
                + "const script = document.createElement('script');"
                + "script.textContent = 'window.unpacked = 1'; document.head.append(script);"
                + "const ask = () => fetch('data.json').then(r => r.json()).then(d => d.epoch);"
                + "const shown = ask().then(epoch => p.textContent = epoch)</script>");
        try (Browser b = Browser.start();
                LiveServer s = new LiveServer(0, () -> page, () -> DATA, line -> {})) {
            b.open(URI.create(s.url()));
            assertEquals(1L, b.evaluate("window.unpacked"));
            assertEquals(1L, b.evaluate("ask()"));
            assertEquals("1", b.evaluate("shown.then(() => p.textContent)"));
            s.update(utf8("{\"epoch\": 2}"));
            assertEquals(2L, b.evaluate("ask()"));
            assertEquals(List.of(), b.errors());
            assertEquals(
                    List.of(s.url() + "data.json"),
                    b.requests().stream().distinct().toList());
            String elsewhere = s.url().replace("127.0.0.1", "localhost");
            assertEquals("TypeError", b.evaluate("fetch('" + elsewhere + "').catch(e => e.name)"));
            assertTrue(
                    b.errors().get(0).contains("Content Security Policy"),
                    b.errors().toString());
        }
    }
}
