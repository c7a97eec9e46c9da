/* What a port of the firmware brings: five functions and its limits. */
#ifndef HDS_HARDWARE_H
#define HDS_HARDWARE_H

#include <stdint.h>

#include "hds_protocol.h"

/* Read the sensors: HDS_STATES numbers, positions then velocities, SI units, finite. */
void hds_hw_read(float *x);

/* Apply HDS_ACTIONS numbers in [-1, 1] to the motors; zeros must leave the plant without torque. */
void hds_hw_write(const float *u);

/* Called again and again after RESET: bring the plant to its start, or wait until it rests there; return 1 then. */
int hds_hw_reset(void);

/* Send bytes over the line. */
void hds_hw_send(const uint8_t *bytes, uint16_t count);

/* Microseconds since the start; it may wrap around. */
uint32_t hds_hw_micros(void);

/* Largest size of each state; beyond it the plant is let go until RESET. */
extern const float hds_hw_limits[HDS_STATES];

#ifndef HDS_MAX_ACTION
#define HDS_MAX_ACTION 1.0f
#endif

/* Without a DRIVE for this long the plant is let go; at most 100. */
#ifndef HDS_WATCHDOG_MS
#define HDS_WATCHDOG_MS 100
#endif
#if HDS_WATCHDOG_MS > 100 || HDS_WATCHDOG_MS < 1
#error "HDS_WATCHDOG_MS must be in 1 to 100"
#endif

#endif
