// SPDX-License-Identifier: Apache-2.0
package org.cortigan.report;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.zip.GZIPOutputStream;
import org.cortigan.InputException;
import org.jspecify.annotations.Nullable;

/**
 * Serves the report of a run that trains, on the loopback address only. The address has a random token of 128 bits; all
 * other paths are unknown. {@code TOKEN/} is the page and {@code TOKEN/data.json} its current data, which the page asks
 * for again and again. The thread that trains only exchanges a reference ({@link #update}): pages and data are made,
 * compressed and sent on at most four daemon threads.
 *
 * <p>A page of another site cannot read the report: it does not know the token, and a request whose Host is not this
 * machine is refused, so that a name that is made to mean 127.0.0.1 (DNS rebinding) is of no use.
 */
public final class LiveServer implements AutoCloseable {
    private static final int THREADS = 4, WAITING = 64, TOKEN_BYTES = 16;

    /** What the page may do: its own scripts and styles, and requests to this server. */
    private static final String POLICY = "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:;"
            + " style-src 'unsafe-inline'; img-src 'self' data: blob:; font-src data:; connect-src 'self' data: blob:;"
            + " worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private final byte[] token = HexFormat.of().formatHex(random()).getBytes(StandardCharsets.US_ASCII);
    private final HttpServer server;
    private final ThreadPoolExecutor threads;
    private final List<String> hosts;
    private final Supplier<byte[]> page;
    private final Consumer<String> log;
    private volatile Data data;
    /** The failure that the user knows of. */
    private volatile @Nullable RuntimeException told;

    /**
     * Begins to serve.
     *
     * @param port 0 for any that is free
     * @param page HTML in UTF-8, asked for whenever the page is loaded
     * @param data JSON in UTF-8, asked for once
     * @param log receives what went wrong with page or data; called on other threads
     * @throws InputException if the port is taken or may not be used
     */
    public LiveServer(int port, Supplier<byte[]> page, Supplier<byte[]> data, Consumer<String> log) {
        this.page = page;
        this.data = new Data(data);
        this.log = log;
        try {
            InetAddress loopback = InetAddress.getByAddress("localhost", new byte[] {127, 0, 0, 1});
            server = HttpServer.create(new InetSocketAddress(loopback, port), 0);
        } catch (BindException e) {
            throw unusable(port, "is taken by another program, or needs the rights of root", e);
        } catch (IllegalArgumentException e) {
            throw unusable(port, "is none", e);
        } catch (IOException e) {
            throw unusable(port, "cannot be opened: " + e.getMessage(), e);
        }
        hosts = List.of("127.0.0.1:" + port(), "localhost:" + port(), "[::1]:" + port());
        threads = new ThreadPoolExecutor(
                THREADS,
                THREADS,
                1,
                TimeUnit.MINUTES,
                new ArrayBlockingQueue<>(WAITING),
                task -> {
                    Thread t = new Thread(task, "live report");
                    t.setDaemon(true);
                    return t;
                },
                new ThreadPoolExecutor.CallerRunsPolicy());
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        try {
            // The server's own thread is a daemon only if a daemon starts it.
            threads.submit(server::start).get();
        } catch (InterruptedException | ExecutionException e) {
            close();
            throw new IllegalStateException(e);
        }
    }

    private static InputException unusable(int port, String problem, Exception cause) {
        return new InputException(
                "port " + port, problem, "Give another port from 1024 to 65535, or 0 for any that is free", cause);
    }

    private static byte[] random() {
        byte[] bytes = new byte[TOKEN_BYTES];
        new SecureRandom().nextBytes(bytes);
        return bytes;
    }

    private int port() {
        return address().getPort();
    }

    /** The address that the server listens at. */
    InetSocketAddress address() {
        return server.getAddress();
    }

    /** The address of the page, which nobody can guess. */
    public String url() {
        return "http://127.0.0.1:" + port() + "/" + new String(token, StandardCharsets.US_ASCII) + "/";
    }

    /** Replaces the data. */
    public void update(byte[] json) {
        update(() -> json);
    }

    /**
     * Replaces the data by some that are made when first asked for.
     *
     * @param json called at most once, on another thread
     */
    public void update(Supplier<byte[]> json) {
        data = new Data(json);
    }

    /** One state of the data, in the forms in which it is sent. */
    private static final class Data {
        private final Supplier<byte[]> supplier;
        private byte @Nullable [] plain;
        private @Nullable RuntimeException failure;
        private byte @Nullable [] compressed;
        private String tag = "";

        Data(Supplier<byte[]> supplier) {
            this.supplier = supplier;
        }

        /** @throws RuntimeException always the same one, if the data cannot be made */
        synchronized byte[] plain() {
            if (failure != null) throw failure;
            try {
                if (plain == null) plain = supplier.get();
            } catch (RuntimeException e) {
                failure = e;
                throw e;
            }
            return plain;
        }

        synchronized byte[] compressed() {
            if (compressed == null) compressed = gzip(plain());
            return compressed;
        }

        /** A quoted text that other data do not have (an entity tag). */
        synchronized String tag() {
            if (tag.isEmpty()) tag = '"' + HexFormat.of().formatHex(sha256(plain()), 0, TOKEN_BYTES) + '"';
            return tag;
        }
    }

    private static byte[] gzip(byte[] bytes) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (GZIPOutputStream g = new GZIPOutputStream(out)) {
            g.write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    private void answer(HttpExchange x) throws IOException {
        try (x) {
            Headers h = x.getResponseHeaders();
            h.set("Cache-Control", "no-store");
            h.set("X-Content-Type-Options", "nosniff");
            h.set("Referrer-Policy", "no-referrer");
            h.set("Cross-Origin-Resource-Policy", "same-origin");
            h.set("Content-Security-Policy", POLICY);
            String file = fileOf(x.getRequestURI().getPath());
            if (!isLocal(x.getRequestHeaders().get("Host"))) {
                text(x, 403, "Use the address that the program printed. A tunnel must lead from the same port.");
            } else if (file == null) {
                text(x, 404, "There is nothing here.");
            } else if (!List.of("GET", "HEAD").contains(x.getRequestMethod())) {
                h.set("Allow", "GET, HEAD");
                text(x, 405, "The report can only be read.");
            } else {
                report(x, file);
            }
        }
    }

    private void report(HttpExchange x, String file) throws IOException {
        try {
            if (file.isEmpty()) send(x, 200, "text/html; charset=utf-8", page.get());
            else data(x, data);
        } catch (RuntimeException e) {
            String what = "the live report cannot be made: " + e.getMessage();
            // The page asks again and again; one message for each state of the data is enough.
            if (e != told) log.accept(what);
            told = e;
            text(x, 500, what);
        }
    }

    private static void data(HttpExchange x, Data d) throws IOException {
        Headers h = x.getResponseHeaders();
        h.set("ETag", d.tag());
        h.set("Vary", "Accept-Encoding");
        if (d.tag().equals(x.getRequestHeaders().getFirst("If-None-Match"))) {
            x.sendResponseHeaders(304, -1);
            return;
        }
        boolean gzip = accepts(x.getRequestHeaders().getOrDefault("Accept-Encoding", List.of()));
        if (gzip) h.set("Content-Encoding", "gzip");
        send(x, 200, "application/json", gzip ? d.compressed() : d.plain());
    }

    /** Whether the list of codings names gzip, with a weight other than 0. */
    private static boolean accepts(List<String> codings) {
        for (String coding : String.join(",", codings).toLowerCase(Locale.ROOT).split(","))
            if (coding.strip().matches("gzip(\\s*;\\s*q=(?!0(\\.0*)?$).*)?")) return true;
        return false;
    }

    /**
     * The file that a path names: "" for the page, data.json, or null for none. The time does not tell how many of the
     * token's characters are right.
     */
    private @Nullable String fileOf(@Nullable String path) {
        if (path == null) return null;
        String[] parts = path.split("/", 3);
        if (parts.length < 3 || !parts[0].isEmpty()) return null;
        boolean known = MessageDigest.isEqual(token, parts[1].getBytes(StandardCharsets.UTF_8));
        return known && List.of("", "data.json").contains(parts[2]) ? parts[2] : null;
    }

    private boolean isLocal(@Nullable List<String> host) {
        return host != null && host.size() == 1 && hosts.contains(host.get(0).toLowerCase(Locale.ROOT));
    }

    private static void text(HttpExchange x, int status, String text) throws IOException {
        send(x, status, "text/plain; charset=utf-8", (text + "\n").getBytes(StandardCharsets.UTF_8));
    }

    private static void send(HttpExchange x, int status, String type, byte[] body) throws IOException {
        x.getResponseHeaders().set("Content-Type", type);
        boolean head = x.getRequestMethod().equals("HEAD");
        if (head) x.getResponseHeaders().set("Content-Length", Integer.toString(body.length));
        // A length of 0 would mean: not known yet.
        x.sendResponseHeaders(status, head || body.length == 0 ? -1 : body.length);
        if (!head && body.length > 0) x.getResponseBody().write(body);
    }

    /** Ends the server and frees its port. */
    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
