// SPDX-License-Identifier: Apache-2.0
/**
 * Runs a planned graph on a device: sessions, variables, storage, and the devices themselves. It uses plans and native
 * code; it finds the CUDA device by a service and never names its classes.
 */
package org.cortigan.exec;
