/* Stack and instructions of a step on a Cortex-M of qemu, with -icount shift=0: one instruction is
 * a nanosecond, a tick of SysTick TICK of them. What MODEL_ begins is written in. */
#include <stdint.h>
#include <stdio.h>
#include MODEL_H
enum { STEPS = 50, PAINTED = 8192, PAINT = 0xA5 };
static float x[MODEL_SIZE], target[MODEL_SIZE], y[MODEL_SIZE];
static double row[MODEL_SIZE], forecasts[MODEL_SIZE];
MODEL_OWN

static void __attribute__((noinline)) step(void) {
    MODEL_STEP;
}

/* Paint what lies below this function's frame, step, and see how deep the paint is gone. */
static int __attribute__((noinline)) stack(void) {
    register uint8_t *top __asm("sp");
    uint8_t *end = top;
    for (int i = 1; i <= PAINTED; i++) ((volatile uint8_t *)end)[-i] = PAINT;
    step();
    int left = PAINTED;
    while (left > 0 && ((volatile uint8_t *)end)[-left] == PAINT) left--;
    return left;
}

int main(void) {
    volatile uint32_t *tick = (volatile uint32_t *)0xE000E010;
    for (int i = 0; i < MODEL_SIZE; i++) x[i] = 0.1f * (float)(i % 7), row[i] = 0.1 * (i % 5);
    (void)x, (void)target, (void)y, (void)forecasts, (void)row;
    MODEL_INIT;
    for (int t = 0; t < 50; t++) step();
    int deep = stack();
    tick[1] = 0xFFFFFF, tick[2] = 0, tick[0] = 5;
    uint64_t ticks = 0; /* of 24 bits: added up step by step, the counter would run over */
    for (int t = 0; t < STEPS; t++) {
        uint32_t before = tick[2];
        step();
        ticks += (before - tick[2]) & 0xFFFFFF;
    }
    printf("%d %ld\n", deep, (long)(ticks * TICK / STEPS));
    return 0;
}
