// SPDX-License-Identifier: Apache-2.0
/** Settings: nested keys and values with defaults, checked by type and range, with errors that name the key. */
@NullMarked
package org.cortigan.config;

import org.jspecify.annotations.NullMarked;
