package org.cortigan.cuda;

final class CublasLt {
    static final String[] LIBRARIES = {"libcublasLt.so.13", "libcublas.so.13"};
}
