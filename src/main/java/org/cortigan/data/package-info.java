// SPDX-License-Identifier: Apache-2.0
/**
 * Files and data sets: formats, settings, photographs, meshes, subjects and simulated ones. It uses no other package.
 */
package org.cortigan.data;
