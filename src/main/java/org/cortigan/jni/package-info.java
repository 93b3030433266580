// SPDX-License-Identifier: Apache-2.0
/**
 * The boundary to native code: loading the library, checking it, and calling a kernel. It uses no other package; with
 * {@code mem} and {@code cuda} it is the only one that knows JavaCPP.
 */
package org.cortigan.jni;
