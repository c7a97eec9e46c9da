#include "hds_protocol.h"

#include <string.h>

/* Floats travel as they lie in memory: IEEE 754, little-endian, as on ARM, AVR, RISC-V and x86. */
typedef char hds_float_has_32_bits[sizeof(float) == 4 ? 1 : -1];

static const uint8_t SYNC[2] = {0xA5, 0x5A};

uint16_t hds_crc(const uint8_t *bytes, uint16_t count) {
  uint16_t crc = 0xFFFF;
  while (count--) {
    crc ^= (uint16_t)(*bytes++ << 8);
    for (uint8_t bit = 0; bit < 8; bit++) crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
  }
  return crc;
}

/* Length of a command of this kind; 0 if there is no such kind. */
static uint8_t length_of(uint8_t kind) {
  switch (kind) {
    case HDS_HELLO:
    case HDS_RESET:
    case HDS_POLL:
      return HDS_OVERHEAD;
    case HDS_DRIVE:
      return HDS_LARGEST_COMMAND;
    default:
      return 0;
  }
}

static void drop(hds_parser *parser, uint8_t count) {
  parser->count = (uint8_t)(parser->count - count);
  memmove(parser->bytes, parser->bytes + count, parser->count);
}

void hds_push(hds_parser *parser, uint8_t byte) {
  if (parser->count == sizeof parser->bytes) drop(parser, 1);
  parser->bytes[parser->count++] = byte;
}

int hds_next(hds_parser *parser, hds_command *command) {
  for (;;) {
    const uint8_t *b = parser->bytes;
    if (parser->count >= 1 && b[0] != SYNC[0]) { drop(parser, 1); continue; }
    if (parser->count >= 2 && b[1] != SYNC[1]) { drop(parser, 1); continue; }
    if (parser->count < 3) return 0;
    uint8_t length = length_of(b[2]);
    if (length == 0) { drop(parser, 1); continue; }
    if (parser->count < length) return 0;
    uint16_t sent = (uint16_t)(b[length - 2] | b[length - 1] << 8);
    if (hds_crc(b + 2, (uint16_t)(length - 4)) != sent) { drop(parser, 1); continue; }
    memset(command, 0, sizeof *command);
    command->kind = b[2];
    command->sequence = (uint16_t)(b[4] | b[5] << 8);
    if (command->kind == HDS_DRIVE) memcpy(command->u, b + HDS_HEADER, sizeof command->u);
    drop(parser, length);
    return 1;
  }
}

uint16_t hds_frame(uint8_t *frame, uint8_t kind, uint8_t flags, uint16_t sequence, const void *payload, uint8_t size) {
  frame[0] = SYNC[0];
  frame[1] = SYNC[1];
  frame[2] = kind;
  frame[3] = flags;
  frame[4] = (uint8_t)(sequence & 0xFF);
  frame[5] = (uint8_t)(sequence >> 8);
  memcpy(frame + HDS_HEADER, payload, size);
  uint16_t crc = hds_crc(frame + 2, (uint16_t)(HDS_HEADER - 2 + size));
  frame[HDS_HEADER + size] = (uint8_t)(crc & 0xFF);
  frame[HDS_HEADER + size + 1] = (uint8_t)(crc >> 8);
  return (uint16_t)(HDS_OVERHEAD + size);
}
