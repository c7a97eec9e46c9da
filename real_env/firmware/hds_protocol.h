/* The serial protocol between hds-real-env and a plant's micro-controller.

   A frame: 0xA5 0x5A | kind u8 | flags u8 | sequence u16 | payload | crc u16, all little-endian. The CRC is
   CRC-16/CCITT-FALSE (polynomial 0x1021, from 0xFFFF) of kind to payload. Each kind has one size.

   to the plant     HELLO 0x01  nothing          answered by INFO
                    RESET 0x02  nothing          let go, bring the plant to its start; answered by READING
                    DRIVE 0x03  u float[A]       hold u in [-1, 1] from now on; not answered
                    POLL  0x04  nothing          answered by READING
   from the plant   INFO  0x81  version u8, states u8, actions u8, watchdog u8 [ms]
                    READING 0x82  time u32 [us], u float[A] as applied, x float[N]
   An answer repeats the sequence number of what it answers. Flags of a READING are HDS_READY and below. */
#ifndef HDS_PROTOCOL_H
#define HDS_PROTOCOL_H

#include <stdint.h>

#ifndef HDS_STATES
#define HDS_STATES 4
#endif
#ifndef HDS_ACTIONS
#define HDS_ACTIONS 1
#endif

#define HDS_VERSION 1

enum { HDS_HELLO = 0x01, HDS_RESET = 0x02, HDS_DRIVE = 0x03, HDS_POLL = 0x04, HDS_INFO = 0x81, HDS_READING = 0x82 };

enum {
  HDS_READY = 1,    /* reset is done; commands act */
  HDS_OUTSIDE = 2,  /* a state was beyond its limit: let go until RESET */
  HDS_WATCHDOG = 4, /* commands stopped coming: let go until RESET */
  HDS_LIMITED = 8   /* the last command was not finite or beyond its limit */
};

#define HDS_HEADER 6
#define HDS_OVERHEAD (HDS_HEADER + 2)
#define HDS_LARGEST_COMMAND (HDS_OVERHEAD + 4 * HDS_ACTIONS)
#define HDS_LARGEST_ANSWER (HDS_OVERHEAD + 4 + 4 * (HDS_ACTIONS + HDS_STATES))

typedef struct {
  uint8_t kind;
  uint16_t sequence;
  float u[HDS_ACTIONS]; /* of DRIVE only */
} hds_command;

/* Bytes that may be the beginning of a frame. Zero it before its first use. */
typedef struct {
  uint8_t bytes[HDS_LARGEST_COMMAND];
  uint8_t count;
} hds_parser;

uint16_t hds_crc(const uint8_t *bytes, uint16_t count);

/* Add one byte. Call hds_next until it returns 0 before the next one. */
void hds_push(hds_parser *parser, uint8_t byte);

/* Take the next whole command; return 1 if there was one. Garbage and damaged frames are skipped. */
int hds_next(hds_parser *parser, hds_command *command);

/* Write a frame with `size` bytes of payload; return its length. `frame` holds HDS_OVERHEAD + size bytes. */
uint16_t hds_frame(uint8_t *frame, uint8_t kind, uint8_t flags, uint16_t sequence, const void *payload, uint8_t size);

#endif
