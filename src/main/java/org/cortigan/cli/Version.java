// SPDX-License-Identifier: Apache-2.0
package org.cortigan.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;
import picocli.CommandLine.IVersionProvider;

/** Reads the version from the resource that the build writes. */
final class Version implements IVersionProvider {
    private static final String RESOURCE = "/org/cortigan/version.properties";

    /** Name and version of the program. */
    static String name() {
        return "CortiGAN " + number();
    }

    static String number() {
        return new Version().getVersion()[0];
    }

    @Override
    public String[] getVersion() {
        Properties p = new Properties();
        try (InputStream in = Version.class.getResourceAsStream(RESOURCE)) {
            if (in == null) throw new IllegalStateException("the class path lacks " + RESOURCE);
            p.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new String[] {p.getProperty("version")};
    }
}
