#include "hds_device.h"

#include <string.h>

static void let_go(hds_device *device) {
  memset(device->u, 0, sizeof device->u);
  device->armed = 0;
  hds_hw_write(device->u);
}

static void answer_info(uint16_t sequence) {
  const uint8_t payload[4] = {HDS_VERSION, HDS_STATES, HDS_ACTIONS, HDS_WATCHDOG_MS};
  uint8_t frame[HDS_OVERHEAD + sizeof payload];
  hds_hw_send(frame, hds_frame(frame, HDS_INFO, 0, sequence, payload, sizeof payload));
}

static void answer_reading(const hds_device *device, uint16_t sequence) {
  uint8_t payload[HDS_LARGEST_ANSWER - HDS_OVERHEAD], frame[HDS_LARGEST_ANSWER];
  const uint32_t now = hds_hw_micros();
  float x[HDS_STATES];
  hds_hw_read(x);
  for (uint8_t i = 0; i < 4; i++) payload[i] = (uint8_t)(now >> (8 * i));
  memcpy(payload + 4, device->u, sizeof device->u);
  memcpy(payload + 4 + sizeof device->u, x, sizeof x);
  hds_hw_send(frame, hds_frame(frame, HDS_READING, device->flags, sequence, payload, sizeof payload));
}

static void drive(hds_device *device, const float *u) {
  if (!(device->flags & HDS_READY) || device->flags & (HDS_OUTSIDE | HDS_WATCHDOG)) return;
  device->flags &= (uint8_t)~HDS_LIMITED;
  for (uint8_t i = 0; i < HDS_ACTIONS; i++) {
    float held = u[i];
    if (!(held >= -HDS_MAX_ACTION && held <= HDS_MAX_ACTION)) { /* so is a number that is none */
      device->flags |= HDS_LIMITED;
      held = u[i] > HDS_MAX_ACTION ? HDS_MAX_ACTION : u[i] < -HDS_MAX_ACTION ? -HDS_MAX_ACTION : 0.0f;
    }
    device->u[i] = held;
  }
  device->driven_us = hds_hw_micros();
  device->armed = 1;
  hds_hw_write(device->u);
}

void hds_start(hds_device *device) {
  memset(device, 0, sizeof *device);
  let_go(device);
}

void hds_receive(hds_device *device, uint8_t byte) {
  hds_command command;
  hds_push(&device->parser, byte);
  while (hds_next(&device->parser, &command)) {
    switch (command.kind) {
      case HDS_HELLO:
        answer_info(command.sequence);
        break;
      case HDS_RESET:
        let_go(device);
        device->flags = 0;
        device->resetting = 1;
        answer_reading(device, command.sequence);
        break;
      case HDS_DRIVE:
        drive(device, command.u);
        break;
      default:
        answer_reading(device, command.sequence);
    }
  }
}

void hds_tick(hds_device *device) {
  if (device->resetting && hds_hw_reset()) {
    device->resetting = 0;
    device->flags |= HDS_READY;
  }
  if (device->armed && hds_hw_micros() - device->driven_us > HDS_WATCHDOG_MS * 1000UL) {
    let_go(device);
    device->flags |= HDS_WATCHDOG;
  }
  if (!(device->flags & HDS_READY) || device->flags & HDS_OUTSIDE) return;
  float x[HDS_STATES];
  hds_hw_read(x);
  for (uint8_t i = 0; i < HDS_STATES; i++) {
    if (!(x[i] >= -hds_hw_limits[i] && x[i] <= hds_hw_limits[i])) {
      let_go(device);
      device->flags |= HDS_OUTSIDE;
      return;
    }
  }
}
