/* The firmware itself: protocol, watchdog and limits. A port calls three functions:

     hds_device device;
     hds_start(&device);                             once
     hds_receive(&device, byte);                     for each byte that comes
     hds_tick(&device);                              at least once in a millisecond */
#ifndef HDS_DEVICE_H
#define HDS_DEVICE_H

#include "hds_hardware.h"
#include "hds_protocol.h"

typedef struct {
  hds_parser parser;
  float u[HDS_ACTIONS];
  uint32_t driven_us; /* when the last DRIVE came */
  uint8_t flags;
  uint8_t armed;      /* the watchdog runs: a DRIVE came since RESET */
  uint8_t resetting;
} hds_device;

void hds_start(hds_device *device);
void hds_receive(hds_device *device, uint8_t byte);
void hds_tick(hds_device *device);

#endif
