/* What a Cortex-M does before main: the table of vectors, and the floating-point unit switched on. */
#include <stdint.h>
extern void _start(void);
static void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: full access to CP10 and CP11 */
    __asm volatile("dsb\n isb");
    _start();
}
static void fault(void) {
    for (;;) {}
}
__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))DATA_END, reset, fault, fault, fault, fault, fault,
};
