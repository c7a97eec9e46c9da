/* A port to no hardware at all: a simulated cart-pole with friction behind a pseudo-terminal, in real time.

     cc -O2 -o simulated_pendulum simulated_pendulum.c hds_device.c hds_protocol.c -lm
     ./simulated_pendulum            prints the path of its serial line, and runs until it is ended */
#define _XOPEN_SOURCE 700
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "hds_device.h"

#define CART 10.47   /* kg */
#define POLE 5.02    /* kg */
#define TO_MIDDLE 0.3 /* m, from the hinge to the middle of the pole */
#define GRAVITY 9.81
#define STEP 0.0005 /* s */

const float hds_hw_limits[HDS_STATES] = {5.0f, 1e6f, 30.0f, 100.0f};

static double q[2] = {0.0, 3.141592653589793}, v[2], push; /* cart [m], pole [rad, 0 = upright]; [N] */
static double simulated;                                    /* s */
static uint32_t draws = 1;
static int line;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A number in [-1, 1), another each time. */
static double drawn(void) {
  draws = draws * 1664525u + 1013904223u;
  return (double)draws / 2147483648.0 - 1.0;
}

/* Viscous and dry friction of joint i; the dry part is smooth within 1 cm/s. */
static double friction(int i) {
  static const double viscous[2] = {10.0, 0.375}, dry[2] = {19.0, 0.375};
  return -viscous[i] * v[i] - dry[i] * tanh(v[i] / 0.01);
}

/* Lagrange's equations of a cart and a uniform rod, stepped semi-implicitly. */
static void step(void) {
  const double inertia = POLE * (2.0 * TO_MIDDLE) * (2.0 * TO_MIDDLE) / 12.0 + POLE * TO_MIDDLE * TO_MIDDLE;
  const double coupling = POLE * TO_MIDDLE * cos(q[1]), mass = CART + POLE;
  const double f = push + friction(0) + POLE * TO_MIDDLE * v[1] * v[1] * sin(q[1]);
  const double t = friction(1) + POLE * GRAVITY * TO_MIDDLE * sin(q[1]);
  const double determinant = mass * inertia - coupling * coupling;
  v[0] += STEP * (inertia * f - coupling * t) / determinant;
  v[1] += STEP * (mass * t - coupling * f) / determinant;
  q[0] += STEP * v[0];
  q[1] += STEP * v[1];
}

void hds_hw_read(float *x) {
  for (int i = 0; i < 2; i++) {
    x[i] = (float)q[i];
    x[2 + i] = (float)v[i];
  }
}

void hds_hw_write(const float *u) { push = 100.0 * (double)u[0]; }

int hds_hw_reset(void) {
  q[0] = 0.5 * drawn();
  q[1] = 3.141592653589793 + 0.6 * drawn();
  v[0] = v[1] = 0.0;
  return 1;
}

void hds_hw_send(const uint8_t *bytes, uint16_t count) {
  if (write(line, bytes, count) < 0) perror("simulated_pendulum: write");
}

uint32_t hds_hw_micros(void) { return (uint32_t)(uint64_t)(1e6 * seconds()); }

int main(void) {
  hds_device device;
  struct termios settings;
  line = posix_openpt(O_RDWR | O_NOCTTY);
  if (line < 0 || grantpt(line) || unlockpt(line)) return perror("simulated_pendulum"), 1;
  const int other_end = open(ptsname(line), O_RDWR | O_NOCTTY); /* stays open, so that hosts may come and go */
  if (other_end < 0 || tcgetattr(other_end, &settings)) return perror("simulated_pendulum"), 1;
  cfmakeraw(&settings);
  tcsetattr(other_end, TCSANOW, &settings);
  printf("%s\n", ptsname(line));
  fflush(stdout);
  hds_start(&device);
  for (simulated = seconds();;) {
    struct pollfd waiting = {line, POLLIN, 0};
    uint8_t bytes[256];
    if (poll(&waiting, 1, 1) > 0) {
      const ssize_t count = read(line, bytes, sizeof bytes);
      for (ssize_t i = 0; i < count; i++) hds_receive(&device, bytes[i]);
    }
    for (const double now = seconds(); simulated < now; simulated += STEP) step();
    hds_tick(&device);
  }
}
