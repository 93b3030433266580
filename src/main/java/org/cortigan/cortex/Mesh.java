// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cortex;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.Locale;
import java.util.MissingResourceException;
import java.util.zip.GZIPInputStream;
import java.util.zip.InflaterInputStream;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;
import org.cortigan.InputException;
import org.cortigan.io.InputFiles;
import org.jspecify.annotations.Nullable;

/**
 * A triangle mesh of a cortical surface, read from FreeSurfer's binary geometry (lh.white, lh.pial, ...) or from GIFTI
 * (.gii, optionally compressed with gzip). Sources of the formats: FreeSurfer's wiki, FileFormats/TriangleSurfaces;
 * GIFTI 1.0 (nitrc.org/projects/gifti).
 *
 * @param points coordinates, [vertices][3], mm
 * @param triangles vertices of each triangle, [triangles][3]
 */
public record Mesh(float[] points, int[] triangles) {
    private static final int MAX_BYTES = 1 << 28, MAX_ROWS = 1 << 24;
    /** Real meshes compress at most 10:1, because coordinates are noisy. A higher ratio than this is an attack. */
    private static final int MAX_EXPANSION = 100;

    private static final String DAMAGED = "The file is damaged; copy it again or convert it again from its source";

    /** Number of vertices. */
    public int vertices() {
        return points.length / 3;
    }

    /**
     * Reads a mesh. The first bytes of the file determine its format.
     *
     * @throws InputException if the file is missing, damaged or not a triangle mesh
     */
    public static Mesh read(Path file) {
        return parse(file, InputFiles.readAll(file, MAX_BYTES, "a surface mesh"));
    }

    /** Parses a file that is already in memory; {@code path} only names it in messages. */
    public static Mesh parse(Path path, byte[] file) {
        if (file.length > 2 && (file[0] & 255) == 0x1f && (file[1] & 255) == 0x8b) {
            int max = (int) Math.min(MAX_BYTES, (1 << 16) + (long) MAX_EXPANSION * file.length);
            try (InputStream in = new GZIPInputStream(new ByteArrayInputStream(file))) {
                file = in.readNBytes(max + 1);
            } catch (IOException e) {
                throw bad(path, "the gzip stream is broken: " + InputFiles.reason(e));
            }
            if (file.length > max) throw bad(path, "it unpacks to more than " + max + " bytes");
        }
        if (file.length > 2 && file[0] == -1 && file[1] == -1) return freeSurfer(path, file);
        int start = 0;
        while (start < file.length && " \t\r\n\u00ef\u00bb\u00bf".indexOf(file[start] & 255) >= 0) start++;
        if (start < file.length && file[start] == '<')
            return gifti(
                    path,
                    new InputStreamReader(
                            new ByteArrayInputStream(file, start, file.length - start), StandardCharsets.UTF_8));
        throw new InputException(
                path.toString(),
                "is neither FreeSurfer geometry nor GIFTI",
                "Give a surface such as lh.white, or convert it with FreeSurfer's mris_convert");
    }

    /** Format: FF FF FE, two lines of text, counts of vertices and triangles, coordinates, triangles; big-endian. */
    private static Mesh freeSurfer(Path path, byte[] file) {
        if (file[2] != (byte) 0xfe)
            throw new InputException(
                    path.toString(),
                    String.format(
                            Locale.ROOT, "has the magic number FF FF %02X, not FF FF FE of a triangle mesh", file[2]),
                    "Convert it with FreeSurfer's mris_convert");
        int at = 3;
        for (int lines = 0; lines < 2; at++) {
            if (at >= file.length) throw bad(path, "it ends within its first lines");
            if (file[at] == '\n') lines++;
        }
        if (file.length - at < 8) throw bad(path, "it ends before the number of vertices");
        ByteBuffer in = ByteBuffer.wrap(file).position(at);
        int vertices = in.getInt(), triangles = in.getInt();
        if (vertices < 0 || triangles < 0 || 12L * vertices + 12L * triangles > in.remaining())
            throw bad(
                    path,
                    vertices + " vertices and " + triangles + " triangles are more than its " + file.length
                            + " bytes hold");
        return checked(path, floats(in, 3 * vertices), ints(in, 3 * triangles));
    }

    private static float[] floats(ByteBuffer in, int n) {
        float[] out = new float[n];
        in.asFloatBuffer().get(out);
        in.position(in.position() + 4 * n);
        return out;
    }

    private static int[] ints(ByteBuffer in, int n) {
        int[] out = new int[n];
        in.asIntBuffer().get(out);
        return out;
    }

    private static Mesh gifti(Path path, Reader file) {
        XMLInputFactory factory = XMLInputFactory.newDefaultFactory();
        factory.setProperty(XMLInputFactory.SUPPORT_DTD, false); // GIFTI files refer to a DTD on the web.
        factory.setProperty(XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES, false);
        float[] points = null;
        int[] triangles = null;
        try {
            XMLStreamReader xml = factory.createXMLStreamReader(file);
            try {
                DataArray array = null;
                boolean root = false;
                while (xml.hasNext()) {
                    int event = xml.next();
                    if (event == XMLStreamConstants.START_ELEMENT) {
                        String name = xml.getLocalName();
                        if (!root && !name.equals("GIFTI"))
                            throw bad(path, "its root element is " + InputFiles.quote(name) + ", not GIFTI");
                        root = true;
                        if (name.equals("DataArray")) {
                            array = DataArray.of(path, xml);
                        } else if (name.equals("Data") && array != null) {
                            byte[] data = array.decode(text(xml));
                            if (array.points) {
                                if (points != null) throw bad(path, "it has two point sets");
                                points = array.floats(data);
                            } else {
                                if (triangles != null) throw bad(path, "it has two sets of triangles");
                                triangles = array.ints(data);
                            }
                            array = null;
                        }
                    }
                }
            } finally {
                xml.close();
            }
        } catch (XMLStreamException | MissingResourceException e) { // The JDK lacks some of its XML messages.
            throw bad(
                    path,
                    "not well-formed XML: "
                            + InputFiles.quote(String.valueOf(e.getMessage()).replaceAll("\\s+", " ")));
        }
        if (points == null || triangles == null)
            throw new InputException(
                    path.toString(),
                    "has no data array of intent "
                            + (points == null ? "NIFTI_INTENT_POINTSET" : "NIFTI_INTENT_TRIANGLE"),
                    "Give a surface (.surf.gii), not data on a surface");
        return checked(path, points, triangles);
    }

    /** The text up to the end of this element. */
    private static String text(XMLStreamReader xml) throws XMLStreamException {
        StringBuilder text = new StringBuilder();
        while (xml.next() != XMLStreamConstants.END_ELEMENT) {
            if (xml.isCharacters()) text.append(xml.getTextCharacters(), xml.getTextStart(), xml.getTextLength());
            else if (xml.isStartElement()) throw new XMLStreamException("an element within Data");
        }
        return text.toString();
    }

    /** Element types of point sets and triangle sets, without NIFTI_TYPE_. GIFTI 1.0 names UINT8, INT32 and FLOAT32. */
    private enum ElementType {
        FLOAT32(4),
        FLOAT64(8),
        UINT8(1),
        INT16(2),
        UINT16(2),
        INT32(4),
        UINT32(4),
        INT64(8),
        UINT64(8);

        private final int bytes;

        ElementType(int bytes) {
            this.bytes = bytes;
        }

        private boolean isFloat() {
            return this == FLOAT32 || this == FLOAT64;
        }

        /** The element at a byte offset, a real number. */
        private double real(ByteBuffer in, int at) {
            return this == FLOAT32 ? in.getFloat(at) : in.getDouble(at);
        }

        /** The element at a byte offset, a whole number; negative for an unsigned one beyond long. */
        private long whole(ByteBuffer in, int at) {
            return switch (this) {
                case UINT8 -> in.get(at) & 0xff;
                case INT16 -> in.getShort(at);
                case UINT16 -> in.getShort(at) & 0xffff;
                case INT32 -> in.getInt(at);
                case UINT32 -> in.getInt(at) & 0xffffffffL;
                case INT64, UINT64 -> in.getLong(at);
                case FLOAT32, FLOAT64 -> throw new IllegalStateException(toString());
            };
        }

        /** NIFTI's names of the real or of the whole types. */
        private static String[] names(boolean floats) {
            return Arrays.stream(values())
                    .filter(t -> t.isFloat() == floats)
                    .map(t -> "NIFTI_TYPE_" + t)
                    .toArray(String[]::new);
        }
    }

    /** The attributes of a point set or a triangle set. */
    private record DataArray(
            Path path,
            boolean points,
            ElementType type,
            int rows,
            boolean columnMajor,
            String encoding,
            ByteOrder order) {
        /** Reads the attributes of a DataArray; null if its intent is neither points nor triangles. */
        static @Nullable DataArray of(Path path, XMLStreamReader xml) {
            String intent = attribute(path, xml, "Intent");
            boolean points = intent.equals("NIFTI_INTENT_POINTSET");
            if (!points && !intent.equals("NIFTI_INTENT_TRIANGLE")) return null;
            String[] types = ElementType.names(points);
            String type = types[one(path, xml, "DataType", types)].substring("NIFTI_TYPE_".length());
            one(path, xml, "Dimensionality", "2");
            one(path, xml, "Dim1", "3");
            String rows = attribute(path, xml, "Dim0");
            if (!rows.matches("\\d{1,8}") || Integer.parseInt(rows) > MAX_ROWS)
                throw bad(
                        path,
                        "Dim0 of " + intent + " is " + InputFiles.quote(rows) + ", not a number up to " + MAX_ROWS);
            boolean columns = one(path, xml, "ArrayIndexingOrder", "RowMajorOrder", "ColumnMajorOrder") == 1;
            String encoding = attribute(path, xml, "Encoding");
            one(path, xml, "Encoding", "ASCII", "Base64Binary", "GZipBase64Binary");
            // ASCII data have no byte order and no size: ascii() writes 4 bytes, big-endian. The names beside GIFTI
            // 1.0's are NIfTI's, which
            // some writers use and other readers take.
            boolean little = !encoding.equals("ASCII")
                    && one(path, xml, "Endian", "BigEndian", "LittleEndian", "GIFTI_ENDIAN_BIG", "GIFTI_ENDIAN_LITTLE")
                                    % 2
                            == 1;
            return new DataArray(
                    path,
                    points,
                    !encoding.equals("ASCII")
                            ? ElementType.valueOf(type)
                            : points ? ElementType.FLOAT32 : ElementType.INT32,
                    Integer.parseInt(rows),
                    columns,
                    encoding,
                    little ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
        }

        private static String attribute(Path path, XMLStreamReader xml, String name) {
            String value = xml.getAttributeValue(null, name);
            if (value == null) throw bad(path, "a DataArray has no attribute " + name);
            return value;
        }

        private static int one(Path path, XMLStreamReader xml, String name, String... known) {
            String value = attribute(path, xml, name);
            int i = java.util.List.of(known).indexOf(value);
            if (i < 0)
                throw new InputException(
                        path.toString(),
                        name + " of a DataArray is " + InputFiles.quote(value) + ", which is not supported",
                        "Write the surface with " + name + " " + String.join(" or ", known));
            return i;
        }

        /** The elements as row-major bytes in {@link #order}. */
        byte[] decode(String text) {
            byte[] data = encoding.equals("ASCII") ? ascii(text) : base64(text);
            if (!columnMajor) return data;
            byte[] out = new byte[data.length];
            int n = type.bytes;
            for (int i = 0; i < 3 * rows; i++) System.arraycopy(data, n * (i % 3 * rows + i / 3), out, n * i, n);
            return out;
        }

        /** The elements of a point set, rounded to float. */
        float[] floats(byte[] data) {
            ByteBuffer in = ByteBuffer.wrap(data).order(order);
            float[] out = new float[3 * rows];
            for (int i = 0; i < out.length; i++) out[i] = (float) type.real(in, i * type.bytes);
            return out;
        }

        /** The elements of a triangle set. */
        int[] ints(byte[] data) {
            ByteBuffer in = ByteBuffer.wrap(data).order(order);
            int[] out = new int[3 * rows];
            for (int i = 0; i < out.length; i++) {
                long vertex = type.whole(in, i * type.bytes);
                out[i] = (int) vertex;
                if (out[i] != vertex) throw bad(path, "triangle " + i / 3 + " names vertex " + vertex);
            }
            return out;
        }

        private byte[] base64(String text) {
            int bytes = Math.multiplyExact(3 * type.bytes, rows);
            byte[] data;
            try {
                data = Base64.getDecoder().decode(text.replaceAll("\\s", ""));
                if (encoding.equals("GZipBase64Binary"))
                    try (InputStream in = new InflaterInputStream(new ByteArrayInputStream(data))) {
                        data = in.readNBytes(bytes + 1);
                    }
            } catch (IllegalArgumentException | IOException e) {
                throw bad(
                        path,
                        "Data of encoding " + encoding + " cannot be decoded: "
                                + InputFiles.quote(String.valueOf(e.getMessage())));
            }
            if (data.length != bytes)
                throw bad(
                        path,
                        "a DataArray of " + rows + " rows holds " + (data.length > bytes ? "more" : "fewer") + " than "
                                + bytes + " bytes");
            return data;
        }

        private byte[] ascii(String text) {
            if (text.length() < 6L * rows - 1)
                throw bad(path, "a DataArray has fewer than " + 3L * rows + " numbers"); // At least "1 " each.
            ByteBuffer out = ByteBuffer.allocate(12 * rows);
            int at = 0;
            while (true) {
                while (at < text.length() && text.charAt(at) <= ' ') at++;
                if (at == text.length()) break;
                int from = at;
                while (at < text.length() && text.charAt(at) > ' ') at++;
                String number = text.substring(from, at);
                if (!out.hasRemaining()) throw bad(path, "a DataArray has more than " + 3L * rows + " numbers");
                try {
                    if (points) out.putFloat(Float.parseFloat(number));
                    else out.putInt(Integer.parseInt(number));
                } catch (NumberFormatException e) {
                    throw bad(path, InputFiles.quote(number) + " is not a number");
                }
            }
            if (out.hasRemaining()) throw bad(path, "a DataArray has fewer than " + 3L * rows + " numbers");
            return out.array();
        }
    }

    private static Mesh checked(Path path, float[] points, int[] triangles) {
        int n = points.length / 3;
        if (n == 0) throw bad(path, "it has no vertex");
        for (int i = 0; i < points.length; i++)
            if (!Float.isFinite(points[i])) throw bad(path, "vertex " + i / 3 + " has the coordinate " + points[i]);
        for (int i = 0; i < triangles.length; i++)
            if (triangles[i] < 0 || triangles[i] >= n)
                throw bad(path, "triangle " + i / 3 + " names vertex " + triangles[i] + " of " + n);
        return new Mesh(points, triangles);
    }

    private static InputException bad(Path path, String problem) {
        return new InputException(path.toString(), problem, DAMAGED);
    }
}
